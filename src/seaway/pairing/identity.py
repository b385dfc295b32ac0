"""
The identity that a database and its store share, and the operations that each combination of identities allows.

Both sides have an id and a counter. The counter is raised on both sides before each sweep, at every start of a server
and before manifests are written: first in the database, then in the store, then the database records that the store has
it. So the store's counter is always between the recorded one and the database's own, even if any of these steps are
interrupted, any number of times. A database restored from an older dump has a lower counter than its store.
"""

import secrets
from dataclasses import dataclass, replace
from enum import Enum


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The identity in the store."""

    id: str
    counter: int


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Identity in the database; `stored` is the last counter confirmed in the store, 0 before the store has the id."""

    id: str
    counter: int
    stored: int

    def raised(self) -> "DatabaseIdentity":
        """Return the identity with the next counter, which the store does not have yet."""
        return replace(self, counter=self.counter + 1)

    def confirmed(self) -> "DatabaseIdentity":
        """Return the identity after its counter was written to the store."""
        return replace(self, stored=self.counter)

    @property
    def of_store(self) -> StoreIdentity:
        """Return the identity to write to the store."""
        return StoreIdentity(self.id, self.counter)


class PairingVerdict(Enum):
    """The result of comparing two identities; the value is a predicate of the store."""

    MATCHES = "belongs to the database"
    NEW = "is new"  # both sides are empty, or a pairing was interrupted: they can be paired
    ABSENT = "is empty or not mounted"
    BEHIND = "is newer than the database"  # the database is an older copy: it serves, accepts uploads, deletes nothing
    UNKNOWN_STORE = "is not known to the database"  # it has contents, and the database was never paired
    UNPAIRED = "was never paired"  # both have contents, and neither has an identity
    OTHER_STORE = "belongs to another database"
    OLDER_STORE = "is an older copy"  # it was replaced by an older copy of itself


# The server does not start with these: an operator must decide first.
PREVENT_START = frozenset(
    {PairingVerdict.UNKNOWN_STORE, PairingVerdict.UNPAIRED, PairingVerdict.OTHER_STORE, PairingVerdict.OLDER_STORE}
)
ACCEPT_UPLOADS = frozenset({PairingVerdict.MATCHES, PairingVerdict.BEHIND})


def new_identity() -> DatabaseIdentity:
    """Return an identity that no store has yet."""
    return DatabaseIdentity(secrets.token_hex(16), counter=1, stored=0)


def compare(
    database: DatabaseIdentity | None,
    store: StoreIdentity | None,
    *,
    database_names_blobs: bool,
    store_has_blobs: bool,
) -> PairingVerdict:
    """Compare the two identities; whether the sides have content matters only if an identity is missing."""
    if database is None:
        return _without_database(store, database_names_blobs, store_has_blobs)
    if store is None:
        return PairingVerdict.NEW if database.stored == 0 else PairingVerdict.ABSENT
    if store.id != database.id:
        return PairingVerdict.OTHER_STORE
    if store.counter > database.counter:
        return PairingVerdict.BEHIND
    return PairingVerdict.MATCHES if store.counter >= database.stored else PairingVerdict.OLDER_STORE


def _without_database(store: StoreIdentity | None, database_names_blobs: bool, store_has_blobs: bool) -> PairingVerdict:
    if store is not None:
        return PairingVerdict.UNKNOWN_STORE
    if database_names_blobs:
        return PairingVerdict.UNPAIRED if store_has_blobs else PairingVerdict.ABSENT
    return PairingVerdict.UNKNOWN_STORE if store_has_blobs else PairingVerdict.NEW


_ABSENT = (
    "The store of this database is missing: its folder or bucket is empty or not mounted.",
    "Mount or restore it, or run `seaway adopt` to continue with an empty one; uploads are refused until then.",
)
# What happened and what to do about it, for every verdict except `MATCHES`.
MESSAGES = {
    PairingVerdict.NEW: _ABSENT,  # emptied on both sides while the server ran
    PairingVerdict.ABSENT: _ABSENT,
    PairingVerdict.BEHIND: (
        "The database is older than its store, so nothing is deleted.",
        "Restore the newer database, or run `seaway adopt` to continue with this one.",
    ),
    PairingVerdict.UNKNOWN_STORE: (
        "The store belongs to another database: it has content that this database does not know.",
        (
            "Correct database_url or storage_url, run `seaway restore` or `seaway rebuild --from-store`, run "
            "`seaway adopt` to use the store with this database, or configure an empty store."
        ),
    ),
    PairingVerdict.UNPAIRED: (
        "The database and the store have no identity that shows that they belong together.",
        "Check database_url and storage_url, and run `seaway adopt` to pair them.",
    ),
    PairingVerdict.OTHER_STORE: (
        "The store belongs to another database.",
        "Correct database_url or storage_url, restore the right store, or run `seaway adopt` to pair these two.",
    ),
    PairingVerdict.OLDER_STORE: (
        "The store is an older copy: files uploaded since then are missing.",
        "Restore the newer store, run `seaway move-storage` again, or run `seaway adopt` to continue with this one.",
    ),
}
