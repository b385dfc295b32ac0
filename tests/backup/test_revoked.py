"""Revoked API keys and used tokens stay so in a restored backup (case 97)."""

from pathlib import Path

from seaway.backup.tar import TarTarget
from seaway.callers.caller import OPERATOR
from seaway.keys import api_keys
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import tokens
from seaway.users import users
from tests.backup.test_backup import back_up, restore_file
from tests.support.sites import Factory

_ISSUER, _TOKEN = "https://issuer.example", bytes(32)


def test_restored_site_refuses_revoked_keys_and_used_tokens(source: Seaway, empty: Seaway, tmp_path: Path) -> None:
    factory, now_ms = Factory(source), source.site.clock.now_ms()
    valid, revoked = factory.key("grace"), factory.key("grace")
    with source.site.database.write_site() as tx:
        caller = api_keys.caller_of(tx, revoked, now_ms)
        assert caller is not None
        api_keys.revoke(tx, now_ms, OPERATOR, users.get(tx, "grace"), caller.key_name)
        assert 0 == tokens.count_exchange(tx, _ISSUER, _TOKEN, now_ms + 1)
    file = tmp_path / "backup.tar"
    back_up(source, TarTarget(file))
    restore_file(empty, file)

    with empty.site.database.write_site() as tx:
        assert api_keys.caller_of(tx, valid, now_ms) is not None
        assert api_keys.caller_of(tx, revoked, now_ms) is None
        assert 1 == tokens.count_exchange(tx, _ISSUER, _TOKEN, now_ms + 1)
