"""Encryption of stored secrets and the secret key (encryption/cipher.py, encryption/secret_key.py)."""

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
from tests.support import sites, state

ONE, TWO = b"1" * 32, b"2" * 32


@given(st.binary(max_size=300), st.text(max_size=20))
def test_encrypted_value_decrypts_for_its_purpose(plain: bytes, purpose: str) -> None:
    encryption = Encryption(lambda: [ONE])
    assert plain == encryption.decrypt(encryption.encrypt(plain, purpose), purpose)


def test_encrypted_value_does_not_decrypt_for_another_purpose() -> None:
    """A value that is copied into another row must be useless there (2)."""
    encryption = Encryption(lambda: [ONE])
    with pytest.raises(Unavailable, match="damaged"):
        encryption.decrypt(encryption.encrypt(b"seed", "totp"), "letter")


@given(st.integers(0, 43))
def test_changed_byte_is_detected(position: int) -> None:
    encrypted = bytearray(Encryption(lambda: [ONE]).encrypt(b"twelve bytes", "totp"))
    encrypted[position] ^= 1
    with pytest.raises(Unavailable):
        Encryption(lambda: [ONE]).decrypt(bytes(encrypted), "totp")


@pytest.mark.parametrize("encrypted", [b"", b"x", b"x" * 16])
def test_truncated_value_is_refused(encrypted: bytes) -> None:
    with pytest.raises(Unavailable):
        Encryption(lambda: [ONE]).decrypt(encrypted, "totp")


def test_equal_values_encrypt_differently() -> None:
    """A reader of the table must not see which values are equal."""
    assert Encryption(lambda: [ONE]).encrypt(b"x", "p") != Encryption(lambda: [ONE]).encrypt(b"x", "p")


def test_old_key_decrypts_until_it_is_removed() -> None:
    """Case 96: the new key encrypts; without the old one, the error names the missing key (3)."""
    old, both, new = Encryption(lambda: [ONE]), Encryption(lambda: [TWO, ONE]), Encryption(lambda: [TWO])
    assert b"x" == both.decrypt(old.encrypt(b"x", "p"), "p") == new.decrypt(both.encrypt(b"x", "p"), "p")
    with pytest.raises(Unavailable, match="secret key that is missing"):
        new.decrypt(old.encrypt(b"x", "p"), "p")


def test_setting_lists_keys_separated_by_commas() -> None:
    assert [ONE, TWO] == secret_key.of_setting(f"{ONE.decode()}, {TWO.decode()}")
    assert secret_key.of_setting("") == []


def test_workers_that_share_a_store_share_the_key(tmp_path: Path) -> None:
    """Workers that start at the same moment create one key, not two (1)."""
    state.settings(tmp_path)  # once, before they start concurrently
    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(lambda _: sites.build(tmp_path), range(4)))
    encrypted = servers[0].request_parts.accounts.encryption.encrypt(b"x", "p")
    assert [b"x"] * 4 == [server.request_parts.accounts.encryption.decrypt(encrypted, "p") for server in servers]
    for server in servers:
        server.close()


@pytest.mark.on_disk
def test_key_file_readable_by_others_is_refused(tmp_path: Path, seaway: Seaway) -> None:
    """The file is created for its owner only (2, case 95)."""
    path = seaway.site.blobs.local_path(keys.SECRET_KEY)
    assert path is not None
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o640)
    with pytest.raises(BadSetting, match="Other users can read the secret key"):
        sites.build(tmp_path)


@pytest.mark.on_disk
def test_truncated_key_is_refused(tmp_path: Path, seaway: Seaway) -> None:
    """Data encrypted with a partial key could not be decrypted later."""
    path = seaway.site.blobs.local_path(keys.SECRET_KEY)
    assert path is not None
    path.write_bytes(b"short")
    with pytest.raises(BadSetting, match="truncated"):
        sites.build(tmp_path)
