"""How the routes of site admins are asked by the table of permissions."""

from collections.abc import Iterable

from tests.http.asks import Ask, Stage, builds


@builds("PATCH /api/v1/users/{user}")
def _shutting_an_account(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/users/{stage.site.people.user(stage.site.new_name('other'))}", json={"disabled": True})


@builds("PATCH /api/v1/channels/{channel}/quota")
def _limiting_a_channel(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/quota", json={"quota": 10**12})


@builds("PATCH /api/v1/users/{user}/quota")
def _limiting_a_user(stage: Stage, _who: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/users/{stage.users['viewer']}/quota", json={"quota": None})
