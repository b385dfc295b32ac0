"""Requests of the permission table: channels, members, groups and settings."""

from collections.abc import Iterable
from typing import Any

from seaway.callers.caller import OPERATOR, Caller, CredentialKind
from seaway.channels import channels, invitations, notices, transfers
from seaway.channels.notices import Level
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.keys import api_keys
from seaway.publishing.logos import NewLogo
from seaway.users import users
from tests.http.matrix_requests import Ask, Stage, builds, form, user_of
from tests.support import images
from tests.support.requests import bearer


@builds("POST /api/v1/channels")
def _adding_a_channel(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/channels", json={"name": stage.site.new_name("made")})


@builds("PATCH /api/v1/channels/{channel}")
def _changing_a_channel(stage: Stage, caller: str) -> Iterable[Ask]:
    description = f"changed by {caller}"

    def check(done: bool) -> None:
        response = stage.http.get(f"/api/v1/channels/{stage.channel}", headers=bearer(stage.secrets["owner"]))
        assert (response.json()["description"] == description) is done

    yield Ask(f"/api/v1/channels/{stage.channel}", json={"description": description}, check=check)


@builds("PATCH /api/v1/channels/{channel} #restrict")
def _restricting_a_channel(stage: Stage, _caller: str) -> Iterable[Ask]:
    for change in (
        {"public": not stage.is_public},
        {"only_publishers": True},
        {"attestations": "required"},
        {"attestations": "off", "description": "words"},
    ):
        channel = stage.new_channel()

        def check(done: bool, channel: str = channel, change: dict[str, Any] = change) -> None:
            response = stage.http.get(f"/api/v1/channels/{channel}", headers=bearer(stage.secrets["owner"])).json()
            assert {key: response[key] == value for key, value in change.items()} == dict.fromkeys(change, done)

        yield Ask(f"/api/v1/channels/{channel}", json=change, check=check, about=channel)


@builds("PUT /api/v1/channels/{channel}/relations")
def _relating_a_channel(stage: Stage, _caller: str) -> Iterable[Ask]:
    base = stage.new_channel()

    def check(done: bool) -> None:
        response = stage.http.get(f"/api/v1/channels/{stage.channel}", headers=bearer(stage.secrets["owner"]))
        assert (response.json()["base"] == base) is done

    yield Ask(f"/api/v1/channels/{stage.channel}/relations", json={"base": base}, check=check)


@builds("PUT /api/v1/channels/{channel}/members/{user}")
def _adding_a_member(stage: Stage, _caller: str) -> Iterable[Ask]:
    user = stage.site.factory.user(stage.site.new_name("newcomer"))
    yield Ask(f"/api/v1/channels/{stage.channel}/members/{user}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/members/{user}")
def _removing_a_member(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/members/{stage.new_member()}")


@builds("PUT /api/v1/channels/{channel}/groups/{group}")
def _adding_a_group_of_members(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/groups/{stage.group()}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/groups/{group}")
def _removing_a_group_of_members(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/groups/{stage.group(in_channel=True)}")


@builds("POST /api/v1/channels/{channel}/leave")
def _leaving_a_channel(stage: Stage, caller: str) -> Iterable[Ask]:
    def check(done: bool) -> None:
        if done:
            role = Role.VIEWER if caller == "viewer" else Role.CONTRIBUTOR
            stage.site.factory.member(stage.channel, stage.users[caller], role)

    yield Ask(f"/api/v1/channels/{stage.channel}/leave", check=check)


@builds("POST /api/v1/groups")
def _adding_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask("/api/v1/groups", json={"name": stage.site.new_name("group")})


@builds("PATCH /api/v1/groups/{group}")
def _changing_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}", json={"description": "another"})


@builds("DELETE /api/v1/groups/{group}")
def _removing_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}")


@builds("POST /api/v1/groups/{group}/leave")
def _leaving_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}/leave")


@builds("PUT /api/v1/groups/{group}/members/{user}")
def _adding_to_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}/members/{stage.users['stranger']}", json={"manager": False})


@builds("DELETE /api/v1/groups/{group}/members/{user}")
def _removing_from_a_group(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/groups/{stage.group()}/members/{stage.users['contrib']}")


@builds("DELETE /api/v1/channels/{channel}")
def _removing_a_channel(stage: Stage, _caller: str) -> Iterable[Ask]:
    channel = stage.new_channel()

    def check(done: bool) -> None:
        with stage.site.factory.seaway.database.read() as tx:
            assert (channels.access_of(tx, channel, OPERATOR) is None) is done

    yield Ask(f"/api/v1/channels/{channel}", params={"confirm": channel}, about=channel, check=check)


@builds("GET /api/v1/channel-names/{channel}")
def _checking_a_channel_name(stage: Stage, _caller: str) -> Iterable[Ask]:
    """An available name. That taken names are visible is the only exception to hiding private channels."""
    yield Ask(f"/api/v1/channel-names/{stage.site.new_name('free')}")


@builds("POST /api/v1/channels/{channel}/invitations")
def _sending_an_invitation(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(
        f"/api/v1/channels/{stage.channel}/invitations", json={"address": f"{stage.site.new_name('m')}@example.com"}
    )


def _new_invitation(stage: Stage, channel: str) -> tuple[int, str]:
    """Create an invitation; return its id and secret."""
    factory = stage.site.factory
    with factory.seaway.database.write_site() as tx:
        address = f"{stage.site.new_name('m')}@example.com"
        invitation, secret = invitations.invite(
            tx, factory.seaway.clock.now_ms(), OPERATOR, channel, address, Role.VIEWER, notifier=None
        )
    return invitation.id, secret


@builds("POST /api/v1/channels/{channel}/invitations/{invitation}/resend")
def _resending_an_invitation(stage: Stage, _caller: str) -> Iterable[Ask]:
    invitation_id, _ = _new_invitation(stage, stage.channel)
    yield Ask(f"/api/v1/channels/{stage.channel}/invitations/{invitation_id}/resend")


@builds("DELETE /api/v1/channels/{channel}/invitations/{invitation}")
def _withdrawing_an_invitation(stage: Stage, _caller: str) -> Iterable[Ask]:
    invitation_id, _ = _new_invitation(stage, stage.channel)
    yield Ask(f"/api/v1/channels/{stage.channel}/invitations/{invitation_id}")


@builds("POST /api/v1/invitations/response")
def _accepting_an_invitation(stage: Stage, _caller: str) -> Iterable[Ask]:
    _, secret = _new_invitation(stage, stage.new_channel())
    yield Ask("/api/v1/invitations/response", json={"secret": secret, "response": "accept"})


def _offered_channel(stage: Stage) -> str:
    """Create a channel whose owner offers it to the contributor."""
    factory, channel = stage.site.factory, stage.new_channel()
    with factory.seaway.database.write_site() as tx:
        now_ms = factory.seaway.clock.now_ms()
        owner = users.get(tx, stage.users["owner"])
        by = Caller(owner.name, owner.id, CredentialKind.PERSON, is_fresh=True)
        transfers.offer(tx, now_ms, by, channel, stage.users["contrib"])
    return channel


@builds("POST /api/v1/channels/{channel}/transfer")
def _offering_a_transfer(stage: Stage, _caller: str) -> Iterable[Ask]:
    channel = stage.new_channel()
    yield Ask(f"/api/v1/channels/{channel}/transfer", json={"to_user": stage.users["contrib"]}, about=channel)


@builds("DELETE /api/v1/channels/{channel}/transfer")
def _canceling_a_transfer(stage: Stage, _caller: str) -> Iterable[Ask]:
    channel = _offered_channel(stage)
    yield Ask(f"/api/v1/channels/{channel}/transfer", about=channel)


@builds("POST /api/v1/channels/{channel}/transfer/response")
def _accepting_a_transfer(stage: Stage, _caller: str) -> Iterable[Ask]:
    channel = _offered_channel(stage)
    yield Ask(f"/api/v1/channels/{channel}/transfer/response", json={"response": "accept"}, about=channel)


@builds("POST /api/v1/channels/{channel}/notices")
def _adding_a_notice(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield Ask(f"/api/v1/channels/{stage.channel}/notices", json={"message": "Hello"})


@builds("DELETE /api/v1/channels/{channel}/notices/{notice}")
def _removing_a_notice(stage: Stage, _caller: str) -> Iterable[Ask]:
    factory, channel = stage.site.factory, stage.new_channel()
    with factory.seaway.database.write_site() as tx:
        now_ms = factory.seaway.clock.now_ms()
        notice = notices.add(tx, now_ms, OPERATOR, channel, Level.INFO, "Hello", expires_at_ms=now_ms + DAY_MS)
    yield Ask(f"/api/v1/channels/{channel}/notices/{notice.id}", about=channel)


@builds("POST /channels/{channel}/settings")
def _changing_settings_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    visibility = "public" if stage.is_public else "private"
    yield form(f"/channels/{stage.channel}/settings", description="words", visibility=visibility)


@builds("POST /channels/{channel}/settings #restrict")
def _restricting_a_channel_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    visibility = "private" if stage.is_public else "public"
    yield form(f"/channels/{stage.new_channel()}/settings", description="words", visibility=visibility)


@builds("POST /channels/{channel}/settings/publishers/rules #restrict")
def _restricting_uploads_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(
        f"/channels/{stage.new_channel()}/settings/publishers/rules", only_publishers="true", attestations="optional"
    )


@builds("POST /channels/{channel}/settings/relations")
def _relating_a_channel_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.channel}/settings/relations", base=stage.new_channel())


@builds("POST /channels/{channel}/settings/logo")
def _changing_a_logo_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.channel}/settings/logo", none="1")


@builds("PUT /api/v1/channels/{channel}/logo")
def _putting_a_logo(stage: Stage, caller: str) -> Iterable[Ask]:
    before = _logo_path(stage)

    def check(done: bool) -> None:
        assert (_logo_path(stage) != before) is done

    # A different color for each caller, so that a refused change would be visible if it were made.
    content = images.png(color=(len(caller), stage.is_public, sum(caller.encode()) % 256))
    yield Ask(f"/api/v1/channels/{stage.channel}/logo", content=content, check=check)


@builds("GET /channels/{channel}/logo/{name}", "HEAD /channels/{channel}/logo/{name}")
def _logo(stage: Stage, _caller: str) -> Iterable[Ask]:
    if not _logo_path(stage):
        stage.site.factory.seaway.request_parts.logos.put(OPERATOR, stage.channel, NewLogo(images.png()))
    yield Ask(_logo_path(stage))


def _logo_path(stage: Stage) -> str:
    """Return the path of the channel logo, or an empty string."""
    with stage.site.factory.seaway.database.read() as tx:
        return channels.get(tx, stage.channel).logo_path


@builds("POST /channels/{channel}/settings/keys")
def _creating_a_key_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    fields = {"name": stage.site.new_name("key"), "mode": "READ", "days": "7"}
    yield form(f"/channels/{stage.channel}/settings/keys", **fields)


@builds("POST /channels/{channel}/settings/keys/revoke")
def _revoking_a_key_by_page(stage: Stage, caller: str) -> Iterable[Ask]:
    stage.site.factory.key(user_of(stage, caller))
    with stage.site.factory.seaway.database.read() as tx:
        name = api_keys.all_keys(tx, users.get(tx, user_of(stage, caller)).id)[-1].name
    yield form(f"/channels/{stage.channel}/settings/keys/revoke", name=name)


@builds("POST /channels/{channel}/settings/notices")
def _adding_a_notice_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.channel}/settings/notices", message="words", level="info", days="1")


@builds("POST /channels/{channel}/settings/members")
def _adding_a_member_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    user = stage.site.factory.user(stage.site.new_name("newcomer"))
    yield form(f"/channels/{stage.channel}/settings/members", who=user, role="viewer")


@builds("POST /channels/{channel}/settings/members/remove")
def _removing_a_member_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.channel}/settings/members/remove", who=stage.new_member())


@builds("POST /channels/{channel}/settings/danger/offer")
def _offering_a_transfer_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    yield form(f"/channels/{stage.new_channel()}/settings/danger/offer", to=stage.users["contrib"])


@builds("POST /channels/{channel}/settings/danger/delete")
def _deleting_a_channel_by_page(stage: Stage, _caller: str) -> Iterable[Ask]:
    name = stage.new_channel()
    yield form(f"/channels/{name}/settings/danger/delete", name=name)
