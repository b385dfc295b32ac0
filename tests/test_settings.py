"""What the operator writes about providers: taken, or refused at the start with the line to correct."""

from pathlib import Path

import pytest

from seaway import settings
from seaway.errors import BadSetting

GOOD = """
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


def test_a_provider_of_the_file(tmp_path: Path) -> None:
    """Algorithms and scopes need not be said; the secret is not shown."""
    loaded = load(tmp_path, GOOD)
    (corp,) = loaded.oidc
    assert (("RS256", "ES256"), ("openid", "profile", "email")) == (corp.algorithms, corp.scopes)
    assert "s3cret" not in str(loaded.shown())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('"https://login', '"http://login'), "oidc.0.issuer"),
        (('main"', 'main?x=1"'), "oidc.0.issuer"),
        (('name = "corp"', 'name = "Corp"'), "oidc.0.name"),
        (('name = "corp"', 'name = "google"'), "the name google is taken"),
        (('client_id = "seaway"', ""), "oidc.0.client_id"),
        (('client_secret = "s3cret-s3cret"', "client_secret = 7"), "oidc.0.client_secret"),
        (('title = "Example Corp"', 'algorithms = ["HS256"]\ntitle = "x"'), "oidc.0.algorithms"),
        (('title = "Example Corp"', 'algorithms = ["none"]\ntitle = "x"'), "oidc.0.algorithms"),
        (('title = "Example Corp"', 'scopes = ["email"]\ntitle = "x"'), "openid"),
        (('title = "Example Corp"', 'colour = "x"\ntitle = "x"'), "oidc.0.colour"),
        ((GOOD, GOOD + GOOD), "the name corp is taken"),
        ((GOOD, 'github_client_id = "x"'), "github_client_secret"),
        ((GOOD, 'google_client_secret = "s3cret-s3cret"'), "google_client_id"),
        ((GOOD, 'github_url = "http://github.example.com"'), "github_url"),
        ((GOOD, "oidc = 7"), "oidc"),
    ],
)
def test_a_provider_that_cannot_work_stops_the_start(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    """The sentence names what to correct, and never the secret."""
    with pytest.raises(BadSetting) as refused:
        load(tmp_path, GOOD.replace(*change))
    assert named in str(refused.value)
    assert "s3cret" not in str(refused.value)
