"""Issuers as admins see them: with the state of their keys and the number of publishers that use them."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import issuer_keys, publishers
from seaway.errors import NotFound
from seaway.oidc.jwks import key_ids, read_keys
from seaway.trusted_publishing import issuers
from seaway.trusted_publishing.issuers import RULES, Issuer


@dataclass(frozen=True, slots=True)
class IssuerState:
    """The state of one issuer."""

    issuer: Issuer
    keys: tuple[str, ...]  # key IDs
    fetched_at_ms: int | None
    error: str  # of the last attempt to fetch them
    publishers: int

    @property
    def has_static_keys(self) -> bool:
        """Return whether an admin set the keys, so that none are fetched."""
        return self.issuer.static_keys is not None


def states(tx: Tx) -> list[IssuerState]:
    """Return the state of every issuer, in three statements for any number of issuers."""
    key_rows = {row.issuer: row for row in tx.execute(select(issuer_keys))}
    count = select(publishers.c.issuer, func.count()).group_by(publishers.c.issuer)
    counts: Mapping[str, int] = dict(tx.execute(count).all())
    return [
        _state(issuer, key_rows.get(issuer.issuer), counts.get(issuer.issuer, 0)) for issuer in issuers.all_issuers(tx)
    ]


def state(tx: Tx, name: str) -> IssuerState:
    """Return the state of the issuer with this name."""
    found = next((candidate for candidate in states(tx) if candidate.issuer.name == name), None)
    if found is None:
        raise NotFound(f"There is no issuer named {name[:60]!a}.", "See the list of issuers.")
    return found


def _state(issuer: Issuer, row: AnyRow | None, count: int) -> IssuerState:
    if issuer.static_keys is not None:
        return IssuerState(issuer, _ids(issuer.static_keys), None, "", count)
    if row is None:
        return IssuerState(issuer, (), None, "", count)
    return IssuerState(issuer, _ids(row.keys) if row.keys else (), row.fetched_at or None, row.error, count)


def _ids(keys: str) -> tuple[str, ...]:
    return tuple(sorted(key_ids(read_keys(keys, RULES))))
