"""What is encrypted, and with which key (encryption/cipher.py, encryption/secret_key.py)."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.encryption import secret_key
from seaway.encryption.cipher import Encryption
from seaway.errors import BadSetting, Unavailable
from seaway.server.wiring import Seaway
from seaway.storage import keys
from tests.support import house, state

ONE, TWO = b"1" * 32, b"2" * 32


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_was_sealed_opens(plain: bytes, purpose: str) -> None:
    """For its purpose, whatever it is."""
    sealer = Encryption(lambda: [ONE])
    assert plain == sealer.decrypt(sealer.encrypt(plain, purpose), purpose)


def test_it_opens_for_no_other_purpose() -> None:
    """A value that was copied into another row is of no use there (2)."""
    sealer = Encryption(lambda: [ONE])
    with pytest.raises(Unavailable, match="damaged"):
        sealer.decrypt(sealer.encrypt(b"seed", "totp"), "letter")


@given(st.integers(0, 43))
def test_a_changed_byte_is_noticed(at: int) -> None:
    """Every byte counts."""
    sealed = bytearray(Encryption(lambda: [ONE]).encrypt(b"twelve bytes", "totp"))
    sealed[at] ^= 1
    with pytest.raises(Unavailable):
        Encryption(lambda: [ONE]).decrypt(bytes(sealed), "totp")


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * 16])
def test_nonsense_opens_nothing(sealed: bytes) -> None:
    """What is too short is refused as well."""
    with pytest.raises(Unavailable):
        Encryption(lambda: [ONE]).decrypt(sealed, "totp")


def test_equal_values_look_different() -> None:
    """Nobody sees in the table that two are the same."""
    assert Encryption(lambda: [ONE]).encrypt(b"x", "p") != Encryption(lambda: [ONE]).encrypt(b"x", "p")


def test_keys_are_rotated() -> None:
    """Case 96: the new key seals, the old one opens what it sealed; without it, it is told what is missing (3)."""
    old, both, new = Encryption(lambda: [ONE]), Encryption(lambda: [TWO, ONE]), Encryption(lambda: [TWO])
    assert b"x" == both.decrypt(old.encrypt(b"x", "p"), "p") == new.decrypt(both.encrypt(b"x", "p"), "p")
    with pytest.raises(Unavailable, match="secret key that is missing"):
        new.decrypt(old.encrypt(b"x", "p"), "p")


def test_the_setting_lists_keys() -> None:
    """Several stand there by commas."""
    assert [ONE, TWO] == secret_key.of_setting(f"{ONE.decode()}, {TWO.decode()}")
    assert secret_key.of_setting("") == []


def test_houses_that_share_a_store_share_the_key(tmp_path: Path) -> None:
    """Workers that start at one moment make one key, not two (1)."""
    state.settings(tmp_path)  # once, before they start side by side
    with ThreadPoolExecutor() as pool:
        houses = list(pool.map(lambda _: house.build(tmp_path), range(4)))
    sealed = houses[0].request_parts.accounts.encryption.encrypt(b"x", "p")
    assert [b"x"] * 4 == [each.request_parts.accounts.encryption.decrypt(sealed, "p") for each in houses]
    for each in houses:
        each.close()


@pytest.mark.on_disk
def test_nobody_else_can_read_the_key(tmp_path: Path, seaway: Seaway) -> None:
    """It is made for the owner alone, and a start with one that others can read is refused (2, case 95)."""
    path = seaway.blobs.local_path(keys.SECRET_KEY)
    assert path is not None
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o640)
    with pytest.raises(BadSetting, match="Other users can read the secret key"):
        house.build(tmp_path)


@pytest.mark.on_disk
def test_a_key_that_was_cut_is_refused(tmp_path: Path, seaway: Seaway) -> None:
    """Half a key would encrypt what nobody can read later."""
    path = seaway.blobs.local_path(keys.SECRET_KEY)
    assert path is not None
    path.write_bytes(b"short")
    with pytest.raises(BadSetting, match="truncated"):
        house.build(tmp_path)
