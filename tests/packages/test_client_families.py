"""Client families: the User-Agents that clients send."""

import pytest

from seaway.packages.client_families import ClientFamily, family_of

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        ("pixi/0.59.0", ClientFamily.RATTLER),
        ("rattler/0.37.1", ClientFamily.RATTLER),
        ("rattler-build/0.50.1", ClientFamily.RATTLER),
        ("py-rattler/0.28.0", ClientFamily.RATTLER),
        ("conda/25.9.0 requests/2.32.5 CPython/3.13.9 Linux/6.8.0 ubuntu/24.04 glibc/2.39", ClientFamily.CONDA),
        (
            "conda/24.11.1 requests/2.32.3 solver/libmamba conda-libmamba-solver/24.9.0 libmambapy/2.0",
            ClientFamily.CONDA,
        ),
        ("mamba/2.3.3 libcurl/8.16.0 OpenSSL/3.5.4", ClientFamily.MAMBA),
        ("micromamba/1.5.8", ClientFamily.MAMBA),
        (FIREFOX, ClientFamily.BROWSER),
        (SAFARI, ClientFamily.BROWSER),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ClientFamily.OTHER),
        ("conda-mirror/1.0", ClientFamily.OTHER),
        ("Artifactory/7.111.4", ClientFamily.OTHER),
        ("python-requests/2.32.5", ClientFamily.OTHER),
        ("curl/8.5.0", ClientFamily.OTHER),
        ("a tool that mentions conda/25.9.0", ClientFamily.OTHER),
        ("CONDA/4.4", ClientFamily.CONDA),
        ("", ClientFamily.OTHER),
        (None, ClientFamily.OTHER),
        ("pixi/" + "9" * 100_000, ClientFamily.RATTLER),
    ],
)
def test_family_is_that_of_the_first_product(user_agent: str | None, family: ClientFamily) -> None:
    assert family is family_of(user_agent)
