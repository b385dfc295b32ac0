"""
Whatever the description of the API allows, and what it does not: no answer is a failure of ours, and every answer is
of a form that the description names.
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
from tests.support import house
from tests.support.house import People
from tests.support.packages import conda
from tests.support.requests import bearer, upload
from tests.support.server import serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
CALM = list(HealthCheck)
# A body may be too large before it is too long.
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}})

OPERATIONS = {
    operation.label: operation
    for result in schemathesis.openapi.from_dict(openapi(), config=CONFIG).get_all_operations()
    if (operation := result.ok())
}


@dataclass(frozen=True)
class Asker:
    """Somebody who asks, and what there is for them: requests that are right are about that."""

    address: str
    headers: dict[str, str]
    known: dict[str, str]


@pytest.fixture(scope="module")
def asker(site: Site) -> Asker:
    """A user with a channel, a package and a key of the widest mode, at the server that all tests share."""
    user = site.people.user(site.new_name("asker"))
    headers, known = _furnished(site.people, site.server.address, user, site.new_name())
    return Asker(site.server.address, headers, known)


# Each asked a few times costs a minute of processor time: the usual tests take every fourth, the slow ones the others.
SAMPLED = [
    pytest.param(operation, marks=() if number % 4 == 0 else pytest.mark.slow)
    for number, operation in enumerate(OPERATIONS)
]


def test_a_schema_has_one_plain_name() -> None:
    names = openapi()["components"]["schemas"]
    assert not [name for name in names if "__" in name or name.endswith(("Given", "Shown", "Made"))]


@pytest.mark.parametrize("operation", SAMPLED)
def test_a_few_requests_of_each_kind(asker: Asker, operation: str) -> None:
    """With a key, at the server that all tests share."""
    ask(operation, asker, examples=3)


@pytest.fixture(scope="module")
def admins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asker, ...]]:
    """A server of its own, and the ways in which its admin may ask it."""
    folder = tmp_path_factory.mktemp("described")
    with serving(folder, examiners=1) as server:
        beside = house.build(folder)
        people = People(beside)
        keyed, known = _furnished(people, server.address, people.user("ada", admin=True), "robots")
        with beside.database.write_site() as tx:
            secret = sessions.start(tx, beside.clock.now_ms(), users.get(tx, "ada").id, address="", agent="")
        signed_in = {
            "Cookie": f"seaway_session={secret}",
            "X-CSRF-Token": sessions.csrf_token(secret),
            "Sec-Fetch-Site": "same-origin",
        }
        yield tuple(Asker(server.address, headers, known) for headers in (keyed, signed_in, {}))
        beside.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("number", [0, 1, 2], ids=["by key", "signed in", "as nobody"])
def test_many_requests_of_each_kind(admins: tuple[Asker, ...], operation: str, number: int) -> None:
    """At a server of its own, where an admin may do everything."""
    ask(operation, admins[number], examples=40)


def ask(operation: str, asker: Asker, *, examples: int) -> None:
    """Send requests that the description allows, and such as it does not, and look at the answers."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(max_examples=examples, deadline=None, suppress_health_check=CALM, derandomize=True, database=None)
        @given(case=OPERATIONS[operation].as_strategy(generation_mode=mode), mode=st.just(mode))
        def send(case: schemathesis.Case, mode: GenerationMode) -> None:
            if mode is GenerationMode.POSITIVE:
                case.path_parameters.update(
                    {name: asker.known[name] for name in case.path_parameters if name in asker.known}
                )
            case.call_and_validate(base_url=asker.address + PREFIX, headers=asker.headers, checks=CHECKS)

        try:
            send()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, "every operation can be asked as it is described"


def _furnished(people: People, address: str, user: str, channel: str) -> tuple[dict[str, str], dict[str, str]]:
    """The credentials of a user, and a channel and a group of theirs with something in each."""
    people.channel(channel, owner=user)
    people.member(channel, "mate", Role.VIEWER)
    with people.seaway.database.write_site() as tx:
        groups.add(tx, people.seaway.clock.now_ms(), OPERATOR, f"{user}-crew", users.get(tx, user))
    key = people.key(user, mode=Mode.MANAGE)
    with httpx.Client(base_url=address) as client:
        assert 201 == upload(client, channel, conda(), key).status_code
    there = {"channel": channel, "package": "demo", "subdir": "noarch", "file": "demo-1.0-h1_0.conda"}
    return bearer(key), {**there, "user": "mate", "group": f"{user}-crew"}
