"""No secret of any kind appears in the server log, wherever it is in a request (case 35)."""

import pytest

from seaway import secret_tokens
from tests.conftest import Site
from tests.support.requests import bearer, exchange, wait_until

PATHS = (
    "/verify/{}",
    "/reset/{}",
    "/first-account/{}",
    "/invitations/{}",
    "/t/{}/channel/noarch/repodata.json",
    "/signin?next=/verify/{}",
    "/account/{}",
    "/api/v1/invitations/{}",
    "/{}",
)


@pytest.mark.parametrize("kind", secret_tokens.KeyKind, ids=lambda kind: kind.name.lower())
def test_secrets_of_all_kinds_are_not_logged(site: Site, kind: secret_tokens.KeyKind) -> None:
    """In paths, queries and headers; unknown secrets too, because they can be valid ones with a typing error."""
    secret = secret_tokens.new_key(kind)
    for path in PATHS:
        exchange(site.server.address, "GET", path.format(secret), bearer(secret))
        exchange(site.server.address, "POST", path.format(secret), {"Cookie": f"seaway_session={secret}"})
    last = site.new_name("last")
    exchange(site.server.address, "GET", f"/{last}/x")
    wait_until(lambda: any(last in line for line in site.server.log))
    log = "".join(site.server.log)
    assert f"/verify/swy-{kind.value}-***" in log
    assert secret.rpartition("-")[2] not in log
