"""Issuers as who looks after them sees them: with the state of their keys, and how many publishers rely on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import issuer_keys, publishers
from seaway.errors import NotFound
from seaway.trust import issuers
from seaway.trust.issuers import Issuer
from seaway.trust.key_set import read_keys


@dataclass(frozen=True, slots=True)
class IssuerState:
    """One issuer."""

    issuer: Issuer
    keys: tuple[str, ...]  # their names
    fetched_at_ms: int | None
    error: str  # of the last try to fetch them
    publishers: int

    @property
    def has_static_keys(self) -> bool:
        """Whether a set of keys that an admin gave stands in for what would be fetched."""
        return self.issuer.static_keys is not None


def states(tx: Tx) -> list[IssuerState]:
    """Every issuer, in three statements however many there are."""
    held = {row.issuer: row for row in tx.execute(select(issuer_keys))}
    count = select(publishers.c.issuer, func.count()).group_by(publishers.c.issuer)
    counts: Mapping[str, int] = dict(tx.execute(count).all())
    return [_state(one, held.get(one.issuer), counts.get(one.issuer, 0)) for one in issuers.all_issuers(tx)]


def state(tx: Tx, name: str) -> IssuerState:
    """The issuer of this name."""
    found = next((one for one in states(tx) if one.issuer.name == name), None)
    if found is None:
        raise NotFound(f"There is no issuer named {name[:60]!a}.", "Look at the list of them.")
    return found


def _state(issuer: Issuer, row: AnyRow | None, count: int) -> IssuerState:
    if issuer.static_keys is not None:
        return IssuerState(issuer, tuple(sorted(read_keys(issuer.static_keys))), None, "", count)
    if row is None:
        return IssuerState(issuer, (), None, "", count)
    keys = tuple(sorted(read_keys(row.keys))) if row.keys else ()
    return IssuerState(issuer, keys, row.fetched_at or None, row.error, count)
