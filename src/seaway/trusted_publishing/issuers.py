"""
Issuers of workflow tokens: three built-in ones, and those registered by an admin.

1. A token's issuer is found by byte comparison, before anything else is done with the token and before any network
   call.
2. Only a site admin can register an issuer, because registering one chooses a host that this server connects to.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import delete, insert, select, update

from seaway import audit
from seaway.audit import Event
from seaway.callers.caller import Caller
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import SECOND_MS
from seaway.database.engine import Tx
from seaway.database.tables import issuer_keys
from seaway.database.tables import issuers as rows
from seaway.errors import Malformed, NameTaken, NotFound, check_all
from seaway.oidc.fetching import KeySource
from seaway.oidc.jwks import BadKeySet, read_keys
from seaway.oidc.jwt import TokenRules
from seaway.trusted_publishing.issuer_kinds import github, gitlab, google
from seaway.trusted_publishing.issuer_kinds.issuer_kind import IssuerKind
from seaway.trusted_publishing.issuer_kinds.registry import NAMES, kind_of
from seaway.urls import is_loopback

MAX_ISSUER = 500
MAX_NAME = 40
RULES = TokenRules(frozenset({"RS256"}), requires_kid=True, whole_seconds=True, leeway_ms=30 * SECOND_MS)


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens this server accepts."""

    name: str
    kind: IssuerKind
    issuer: str
    is_enabled: bool = True
    is_builtin: bool = False
    keys_origin: str = ""  # the only origin its keys are fetched from; empty: the issuer's
    static_keys: str | None = None
    rules: str = ""

    @property
    def key_source(self) -> KeySource:
        """Return where the keys of its tokens come from."""
        return KeySource(
            self.issuer,
            self.issuer,
            RULES,
            is_trusted=not self.is_builtin,
            keys_origin=self.keys_origin,
            static_keys=self.static_keys,
        )


BUILT_IN = (
    Issuer("github", github.GITHUB, github.ISSUER, is_builtin=True),
    Issuer("gitlab", gitlab.GITLAB, gitlab.ISSUER, is_builtin=True),
    Issuer("google", google.GOOGLE, google.ISSUER, is_builtin=True, keys_origin=google.KEYS_ORIGIN),
)


def all_issuers(tx: Tx) -> list[Issuer]:
    """Return every issuer, the built-in ones first."""
    changed = {row.issuer: row for row in tx.execute(select(rows).order_by(rows.c.name))}
    built_in = [
        replace(issuer, is_enabled=row.is_enabled, static_keys=row.static_keys) if row is not None else issuer
        for issuer in BUILT_IN
        for row in [changed.pop(issuer.issuer, None)]
    ]
    return built_in + [
        Issuer(
            row.name,
            kind_of(row.kind, row.rules),
            row.issuer,
            is_enabled=row.is_enabled,
            static_keys=row.static_keys,
            rules=row.rules,
        )
        for row in changed.values()
    ]


def find(tx: Tx, issuer: object) -> Issuer | None:
    """Return the issuer equal to a token's `iss`, byte for byte, or None."""
    return next((candidate for candidate in all_issuers(tx) if candidate.issuer == issuer), None)


def get(tx: Tx, name: str) -> Issuer:
    """Return the issuer with this name."""
    found = next((candidate for candidate in all_issuers(tx) if candidate.name == name), None)
    if found is None:
        raise NotFound(f"There is no issuer named {name[:60]!a}.", "See the list of issuers.")
    return found


def add(tx: Tx, now_ms: int, by: Caller, name: str, *, kind: str, issuer: str, rules: str = "") -> Issuer:
    """Register an issuer; its tokens are accepted from then on, and its keys are fetched when the first one arrives."""
    require_site(by, SiteAction.CHANGE_SITE)
    name, issuer = name.strip(), issuer.strip()
    known = all_issuers(tx)
    check_all(
        partial(_require_name, known, name),
        partial(_require_new_url, known, issuer),
        partial(_require_kind, kind, rules),
    )
    tx.execute(insert(rows).values(name=name, kind=kind, issuer=issuer, is_enabled=True, rules=rules, added_at=now_ms))
    audit.write(tx, now_ms, by.actor, Event.ISSUER_ADDED, target=name, issuer=issuer, kind=kind)
    return get(tx, name)


def remove(tx: Tx, now_ms: int, by: Caller, name: str) -> Issuer:
    """Remove an issuer; its publishers stay in their channels and match no token."""
    require_site(by, SiteAction.CHANGE_SITE)
    found = get(tx, name)
    if found.is_builtin:
        raise Malformed(f"{name} is a built-in issuer and cannot be removed.", "Disable it instead.")
    tx.execute(delete(rows).where(rows.c.name == name))
    tx.execute(delete(issuer_keys).where(issuer_keys.c.issuer == found.issuer))
    audit.write(tx, now_ms, by.actor, Event.ISSUER_REMOVED, target=name, issuer=found.issuer)
    return found


def set_enabled(tx: Tx, now_ms: int, by: Caller, name: str, *, enabled: bool) -> Issuer:
    """Enable or disable an issuer; while it is disabled, publish tokens issued for its tokens are invalid."""
    return _change(tx, now_ms, by, name, is_enabled=enabled)


def set_static_keys(tx: Tx, now_ms: int, by: Caller, name: str, keys: str | None) -> Issuer:
    """Use these keys instead of fetching keys; None goes back to fetching."""
    if keys is not None:
        _require_keys(keys)
    return _change(tx, now_ms, by, name, static_keys=keys)


def require_issuer_url(issuer: str) -> None:
    """Refuse an issuer URL unless it is https, or http to a loopback host, whose traffic stays on this machine."""
    parts = _split(issuer)
    plain = len(issuer) <= MAX_ISSUER and re.fullmatch(r"[!-~]+", issuer) and not re.search(r"[?#@\\\"<>]", issuer)
    if not plain or not parts.hostname or not (parts.scheme == "https" or is_loopback(parts)):
        raise Malformed(
            f"{issuer[:80]!a} is not a valid issuer.",
            "Enter the `iss` of its tokens, such as https://gitlab.example.com.",
            field="issuer",
        )


def _require_name(known: Sequence[Issuer], name: str) -> None:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", name):
        raise NameTaken(
            f"{name[:60]!a} is not a valid name for an issuer.", "Use lowercase letters, digits and -.", field="name"
        )
    if any(candidate.name == name for candidate in known):
        raise NameTaken(f"There is already an issuer named {name}.", "Choose another name.", field="name")


def _require_new_url(known: Sequence[Issuer], issuer: str) -> None:
    require_issuer_url(issuer)
    same = next((candidate for candidate in known if candidate.issuer == issuer), None)
    if same is not None:
        raise NameTaken(f"The issuer {same.name} already has this URL.", "See the list of issuers.", field="issuer")


def _require_kind(kind: str, rules: str) -> None:
    try:
        kind_of(kind, rules)
    except Malformed as error:
        field = "rules" if kind in NAMES else "kind"
        raise Malformed(error.message, error.hint, field=field) from None


def _require_keys(text: str) -> None:
    try:
        read_keys(text, RULES)
    except BadKeySet as error:
        raise Malformed(
            f"The key set cannot be used: {error}.",
            "Enter the JSON Web Key Set of the issuer, with RSA keys.",
            field="keys",
        ) from None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access; raises ValueError for an invalid port
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _change(tx: Tx, now_ms: int, by: Caller, name: str, **values: bool | str | None) -> Issuer:
    require_site(by, SiteAction.CHANGE_SITE)
    found = get(tx, name)
    changed = tx.execute(update(rows).where(rows.c.issuer == found.issuer).values(values)).rowcount
    if not changed:
        row = {"is_enabled": found.is_enabled, "static_keys": found.static_keys, **values}
        tx.execute(
            insert(rows).values(
                name=name, kind=found.kind.name, issuer=found.issuer, rules=found.rules, added_at=now_ms, **row
            )
        )
    audit.write(tx, now_ms, by.actor, Event.ISSUER_CHANGED, target=name, changed=", ".join(sorted(values)))
    return get(tx, name)
