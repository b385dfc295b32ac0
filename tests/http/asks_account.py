"""How the routes of one's own account, and of quotas, are asked by the table of permissions."""

from collections.abc import Iterable

from seaway.accounts import emails, users
from tests.http.asks import Ask, Stage, builds, user_of


@builds("GET /api/v1/people")
def _finding_people(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/people", params={"name": stage.users["owner"][:3]})


@builds("PATCH /api/v1/me")
def _renaming(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me", json={"display_name": "Another"})


@builds("DELETE /api/v1/me")
def _ending_an_account(stage: Stage, who: str) -> Iterable[Ask]:
    """Of somebody who owns a channel, so that they are all there for the next row."""
    user = user_of(stage, who)
    stage.site.new_channel(owner=user)
    yield Ask("/api/v1/me", params={"confirm": user})


@builds("POST /api/v1/me/addresses")
def _adding_an_address(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/addresses", json={"address": f"{stage.site.new_name('m')}@example.com"})


def _address_of(stage: Stage, user: str) -> int:
    """The number of a new address, not the primary one; nor verified, since changes of such end the other sessions in the table."""
    seaway, address = stage.site.people.seaway, f"{stage.site.new_name('m')}@example.com"
    with seaway.database.write() as tx:
        user_id = users.get(tx, user).id
        emails.add(tx, seaway.clock.now_ms(), user_id, f"first-{address}", verified=True)
        emails.add(tx, seaway.clock.now_ms(), user_id, address, verified=False)
        return next(email.id for email in emails.of_user(tx, user_id) if email.address == address)


@builds("DELETE /api/v1/me/addresses/{address}")
def _removing_an_address(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_address_of(stage, user_of(stage, who))}")


@builds("DELETE /api/v1/me/addresses/{address} #another's")
def _removing_the_address_of_another(stage: Stage, _who: str) -> Iterable[Ask]:
    other = stage.site.people.user(stage.site.new_name("other"))
    yield Ask(f"/api/v1/me/addresses/{_address_of(stage, other)}")


@builds("POST /api/v1/me/addresses/{address}/primary")
def _preferring_an_address(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_address_of(stage, user_of(stage, who))}/primary")


@builds("POST /api/v1/me/addresses/{address}/letter")
def _writing_again(stage: Stage, who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/me/addresses/{_address_of(stage, user_of(stage, who))}/letter")


@builds("DELETE /api/v1/me/identities/{identity}")
def _unlinking_nothing(_stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask("/api/v1/me/identities/1000000")


@builds("PATCH /api/v1/channels/{channel}/quota")
def _limiting_a_channel(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/quota", json={"quota": 10**12})


@builds("PATCH /api/v1/users/{user}/quota")
def _limiting_a_user(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/users/{stage.users['viewer']}/quota", json={"quota": None})
