"""Settings: values are normalized, or rejected at startup with a message that names the setting."""

from pathlib import Path

import pytest

from seaway import settings
from seaway.errors import BadSetting

VALID = """
[[oidc]]
name = "corp"
title = "Example Corp"
issuer = "https://login.example.com/realms/main"
client_id = "seaway"
client_secret = "s3cret-s3cret"
"""


def load(folder: Path, text: str) -> settings.Settings:
    path = folder / "seaway.toml"
    path.write_text(text)
    return settings.load(path)


def test_provider_in_the_settings_file_is_loaded(tmp_path: Path) -> None:
    """Algorithms and scopes have defaults; the secret is not shown."""
    loaded = load(tmp_path, VALID)
    (corp,) = loaded.oidc
    assert ("openid", "profile", "email") == corp.scopes
    assert "s3cret" not in str(loaded.without_secrets())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('"https://login', '"http://login'), "oidc.0.issuer"),
        (('main"', 'main?x=1"'), "oidc.0.issuer"),
        (('name = "corp"', 'name = "Corp"'), "oidc.0.name"),
        (('name = "corp"', 'name = "google"'), "the name google is taken"),
        (('client_id = "seaway"', ""), "oidc.0.client_id"),
        (('client_secret = "s3cret-s3cret"', "client_secret = 7"), "oidc.0.client_secret"),
        (('title = "Example Corp"', 'scopes = ["email"]\ntitle = "x"'), "openid"),
        (('title = "Example Corp"', 'color = "x"\ntitle = "x"'), "oidc.0.color"),
        ((VALID, VALID + VALID), "the name corp is taken"),
        ((VALID, 'github_client_id = "x"'), "github_client_secret"),
        ((VALID, 'google_client_secret = "s3cret-s3cret"'), "google_client_id"),
        ((VALID, 'github_url = "http://github.example.com"'), "github_url"),
        ((VALID, "oidc = 7"), "oidc"),
    ],
)
def test_invalid_provider_is_rejected(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """The message names the setting to correct, and never the secret."""
    with pytest.raises(BadSetting) as error:
        load(tmp_path, VALID.replace(*change))
    assert named in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "given", "loaded"),
    [
        ("public_url", " HTTPS://Conda.Example.COM:443/ ", "https://conda.example.com"),
        ("public_url", "https://conda.example.com.:8443", "https://conda.example.com:8443"),
        ("public_url", "http://LOCALHOST:80", "http://localhost"),
        ("public_url", "http://[::1]:8000/", "http://[::1]:8000"),
        ("public_url", "https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("public_url_aliases", "https://A.example/, HTTP://b.example:80", "https://a.example,http://b.example"),
        ("github_url", "https://GitHub.Example.com/", "https://github.example.com"),
        ("s3_endpoint", "http://MinIO.example:9000/ ", "http://minio.example:9000"),
        ("secret_scanning_keys", "HTTPS://Api.example/Keys", "https://api.example/Keys"),
        ("secret_scanning_keys", " keys.json ", "keys.json"),
        ("storage_url", " S3://Bucket/a ", "s3://Bucket/a"),
        ("mail_from", " seaway@example.com ", "seaway@example.com"),
    ],
)
def test_urls_are_normalized(name: str, given: str, loaded: str) -> None:
    """Clients compare issuers and attestations byte by byte, and write hosts in lower case."""
    assert loaded == getattr(settings.load(**{name: given, "insecure_http": True}), name)


def test_provider_issuer_is_normalized(tmp_path: Path) -> None:
    """The path is kept, because it can be case-sensitive."""
    (corp,) = load(
        tmp_path, VALID.replace("https://login.example.com/realms/main", " https://Login.EXAMPLE.com/R ")
    ).oidc
    assert "https://login.example.com/R" == corp.issuer


@pytest.mark.parametrize("name", ["database_url", "mail_url"])
def test_white_space_around_a_secret_url_is_removed(name: str) -> None:
    """A variable that is read from a file often ends in a line feed."""
    address = "postgresql://u:p@host/name" if name == "database_url" else "smtp://u:p@host:25"
    assert address == getattr(settings.load(**{name: f" {address}\n"}), name).get_secret_value()


@pytest.mark.parametrize(
    "url",
    ["https://u:p@conda.example.com", "https://", "ftp://x", "https://a b", "https://a:99999", "https://[::1", "https://a/b",
     "https://a?", "https://a/#", "conda.example.com"],
)  # fmt: skip
def test_invalid_public_url_is_rejected(url: str) -> None:
    """Otherwise it would appear on pages, or break a client later."""
    with pytest.raises(BadSetting, match="public_url"):
        settings.load(public_url=url)


@pytest.mark.parametrize("host", ["0", "0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0", "[::]", "::ffff:0.0.0.0"])
def test_wildcard_host_listens_on_all_addresses(host: str) -> None:
    """Other machines can connect, and the site URL says localhost."""
    loaded = settings.load(host=host)
    assert (True, False, "http://localhost:8000") == (
        loaded.listens_on_all_addresses,
        loaded.is_loopback,
        loaded.site_url,
    )


@pytest.mark.parametrize(
    "host", ["127.1", "localhost.", "LOCALHOST", "::ffff:127.0.0.1", "127.0.0.2", "0:0:0:0:0:0:0:1"]
)
def test_loopback_host_is_recognized(host: str) -> None:
    loaded = settings.load(host=host)
    assert (False, True) == (loaded.listens_on_all_addresses, loaded.is_loopback)


@pytest.mark.parametrize("host", ["0.0.0.0:80", "127.0.0.1:8000", "[::1]:80", ":80"])
def test_host_with_a_port_is_rejected(host: str) -> None:
    with pytest.raises(BadSetting):
        settings.load(host=host)
