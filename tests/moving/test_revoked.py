"""What was ended or used up before a backup is so after it (case 97)."""

from pathlib import Path

from seaway.accounts import keys, users
from seaway.accounts.principal import OPERATOR
from seaway.moving.tar import TarTarget
from seaway.server.wiring import Seaway
from seaway.trust import tokens
from tests.moving.test_backup import back_up, restore_file
from tests.support.house import People

_ISSUER, _TOKEN = "https://issuer.example", bytes(32)


def test_what_was_revoked_or_used_stays_so(source: Seaway, empty: Seaway, tmp_path: Path) -> None:
    """A restored house takes no key that was revoked, and no token of a workflow a second time."""
    people, now_ms = People(source), source.clock.now_ms()
    good, revoked = people.key("grace"), people.key("grace")
    with source.database.write_site() as tx:
        name = keys.principal_of(tx, revoked, now_ms)
        assert name is not None
        keys.revoke(tx, now_ms, OPERATOR, users.get(tx, "grace"), name.key_name)
        assert 0 == tokens.use(tx, _ISSUER, _TOKEN, now_ms + 1)
    file = tmp_path / "backup.tar"
    back_up(source, TarTarget(file))
    restore_file(empty, file)

    with empty.database.write_site() as tx:
        assert keys.principal_of(tx, good, now_ms) is not None
        assert keys.principal_of(tx, revoked, now_ms) is None
        assert 1 == tokens.use(tx, _ISSUER, _TOKEN, now_ms + 1)
