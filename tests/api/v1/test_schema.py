"""
Requests that the API description allows, and requests that it does not: no response is a server error, and every
response matches the description.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from seaway.api.v1.app import PREFIX, openapi
from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import groups
from seaway.channels.roles import Role
from seaway.sign_in import sessions
from seaway.users import users
from tests.conftest import Site
from tests.support import sites
from tests.support.packages import conda
from tests.support.requests import bearer, upload
from tests.support.server import serving
from tests.support.sites import Factory

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ALL_HEALTH_CHECKS = list(HealthCheck)
# A body can exceed the byte limit before a member exceeds its length limit.
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}})

OPERATIONS = {
    operation.label: operation
    for result in schemathesis.openapi.from_dict(openapi(), config=CONFIG).get_all_operations()
    if (operation := result.ok())
}


@dataclass(frozen=True)
class ApiCaller:
    """A caller, and the names of things that exist for it; valid requests use them as path parameters."""

    url: str
    headers: dict[str, str]
    known: dict[str, str]


@pytest.fixture(scope="module")
def caller(site: Site) -> ApiCaller:
    """A user of the shared server with a channel, a package and a MANAGE key."""
    user = site.factory.user(site.new_name("asker"))
    headers, known = _create_channel_and_group(site.factory, site.server.address, user, site.new_name())
    return ApiCaller(site.server.address, headers, known)


# A few requests of each operation take a minute of processor time: default tests run every fourth, slow ones the rest.
SAMPLED = [
    pytest.param(operation, marks=() if number % 4 == 0 else pytest.mark.slow)
    for number, operation in enumerate(OPERATIONS)
]


def test_schema_names_are_plain() -> None:
    names = openapi()["components"]["schemas"]
    assert not [name for name in names if "__" in name or name.endswith(("Given", "Shown", "Made"))]


@pytest.mark.parametrize("operation", SAMPLED)
def test_few_requests_of_each_operation(caller: ApiCaller, operation: str) -> None:
    """With a key, on the shared server."""
    send_requests(operation, caller, examples=3)


@pytest.fixture(scope="module")
def admin_callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiCaller, ...]]:
    """A separate server, and its admin with a key, with a session, and an anonymous caller."""
    folder = tmp_path_factory.mktemp("described")
    with serving(folder, examiners=1) as server:
        seaway = sites.build(folder)
        factory = Factory(seaway)
        key_headers, known = _create_channel_and_group(
            factory, server.address, factory.user("ada", admin=True), "robots"
        )
        with seaway.site.database.write_site() as tx:
            secret = sessions.start(tx, seaway.site.clock.now_ms(), users.get(tx, "ada").id, address="", agent="")
        session_headers = {
            "Cookie": f"seaway_session={secret}",
            "X-CSRF-Token": sessions.csrf_token(secret),
            "Sec-Fetch-Site": "same-origin",
        }
        yield tuple(ApiCaller(server.address, headers, known) for headers in (key_headers, session_headers, {}))
        seaway.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("number", [0, 1, 2], ids=["key", "session", "anonymous"])
def test_many_requests_of_each_operation(admin_callers: tuple[ApiCaller, ...], operation: str, number: int) -> None:
    """On a separate server, where an admin can do everything."""
    send_requests(operation, admin_callers[number], examples=40)


def send_requests(operation: str, caller: ApiCaller, *, examples: int) -> None:
    """Send requests that the description allows, and requests that it does not, and check the responses."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=ALL_HEALTH_CHECKS,
            derandomize=True,
            database=None,
        )
        @given(case=OPERATIONS[operation].as_strategy(generation_mode=mode), mode=st.just(mode))
        def send(case: schemathesis.Case, mode: GenerationMode) -> None:
            if mode is GenerationMode.POSITIVE:
                case.path_parameters.update(
                    {name: caller.known[name] for name in case.path_parameters if name in caller.known}
                )
            case.call_and_validate(base_url=caller.url + PREFIX, headers=caller.headers, checks=CHECKS)

        try:
            send()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, "every operation has valid requests"


def _create_channel_and_group(
    factory: Factory, url: str, user: str, channel: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Create a channel and a group for the user; return the key's headers and the names for path parameters."""
    factory.channel(channel, owner=user)
    factory.member(channel, "mate", Role.VIEWER)
    with factory.seaway.site.database.write_site() as tx:
        groups.add(tx, factory.seaway.site.clock.now_ms(), OPERATOR, f"{user}-crew", users.get(tx, user))
    key = factory.key(user, mode=Mode.MANAGE)
    with httpx.Client(base_url=url) as client:
        assert 201 == upload(client, channel, conda(), key).status_code
    path_parameters = {"channel": channel, "package": "demo", "subdir": "noarch", "file": "demo-1.0-h1_0.conda"}
    return bearer(key), {**path_parameters, "user": "mate", "group": f"{user}-crew"}
