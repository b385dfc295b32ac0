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
from seaway.users import emails, users
from tests.http.matrix_requests import MatrixContext, RouteRequest, builds, form, user_of
from tests.support import images
from tests.support.requests import bearer


@builds("POST /api/v1/channels")
def _adding_a_channel(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/channels", json={"name": context.site.new_name("made")})


@builds("PATCH /api/v1/channels/{channel}")
def _changing_a_channel(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    description = f"changed by {caller}"

    def check(done: bool) -> None:
        response = context.http.get(f"/api/v1/channels/{context.channel}", headers=bearer(context.secrets["owner"]))
        assert (response.json()["description"] == description) is done

    yield RouteRequest(f"/api/v1/channels/{context.channel}", json={"description": description}, check=check)


@builds("PATCH /api/v1/channels/{channel} #restrict")
def _restricting_a_channel(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    for change in (
        {"public": not context.is_public},
        {"only_publishers": True},
        {"attestations": "required"},
        {"attestations": "off", "description": "words"},
    ):
        channel = context.new_channel()

        def check(done: bool, channel: str = channel, change: dict[str, Any] = change) -> None:
            response = context.http.get(f"/api/v1/channels/{channel}", headers=bearer(context.secrets["owner"])).json()
            assert {key: response[key] == value for key, value in change.items()} == dict.fromkeys(change, done)

        yield RouteRequest(f"/api/v1/channels/{channel}", json=change, check=check, channel=channel)


@builds("PUT /api/v1/channels/{channel}/relations")
def _relating_a_channel(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    base = context.new_channel()

    def check(done: bool) -> None:
        response = context.http.get(f"/api/v1/channels/{context.channel}", headers=bearer(context.secrets["owner"]))
        assert (response.json()["base"] == base) is done

    yield RouteRequest(f"/api/v1/channels/{context.channel}/relations", json={"base": base}, check=check)


@builds("PUT /api/v1/channels/{channel}/members/{user}")
def _adding_a_member(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    user = context.site.factory.user(context.site.new_name("newcomer"))
    yield RouteRequest(f"/api/v1/channels/{context.channel}/members/{user}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/members/{user}")
def _removing_a_member(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/members/{context.new_member()}")


@builds("PUT /api/v1/channels/{channel}/groups/{group}")
def _adding_a_group_of_members(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/groups/{context.group()}", json={"role": "viewer"})


@builds("DELETE /api/v1/channels/{channel}/groups/{group}")
def _removing_a_group_of_members(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/groups/{context.group(in_channel=True)}")


@builds("POST /api/v1/channels/{channel}/leave")
def _leaving_a_channel(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    def check(done: bool) -> None:
        if done:
            role = Role.VIEWER if caller == "viewer" else Role.CONTRIBUTOR
            context.site.factory.member(context.channel, context.users[caller], role)

    yield RouteRequest(f"/api/v1/channels/{context.channel}/leave", check=check)


@builds("POST /api/v1/groups")
def _adding_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest("/api/v1/groups", json={"name": context.site.new_name("group")})


@builds("PATCH /api/v1/groups/{group}")
def _changing_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/groups/{context.group()}", json={"description": "another"})


@builds("DELETE /api/v1/groups/{group}")
def _removing_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/groups/{context.group()}")


@builds("POST /api/v1/groups/{group}/leave")
def _leaving_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/groups/{context.group()}/leave")


@builds("PUT /api/v1/groups/{group}/members/{user}")
def _adding_to_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/groups/{context.group()}/members/{context.users['nonmember']}", json={"manager": False}
    )


@builds("DELETE /api/v1/groups/{group}/members/{user}")
def _removing_from_a_group(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/groups/{context.group()}/members/{context.users['contrib']}")


@builds("DELETE /api/v1/channels/{channel}")
def _removing_a_channel(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    channel = context.new_channel()

    def check(done: bool) -> None:
        with context.site.factory.seaway.site.database.read() as tx:
            assert (channels.access_of(tx, channel, OPERATOR) is None) is done

    yield RouteRequest(f"/api/v1/channels/{channel}", params={"confirm": channel}, channel=channel, check=check)


@builds("GET /api/v1/channel-names/{channel}")
def _checking_a_channel_name(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """An available name. That taken names are visible is the only exception to hiding private channels."""
    yield RouteRequest(f"/api/v1/channel-names/{context.site.new_name('free')}")


@builds("POST /api/v1/channels/{channel}/invitations")
def _sending_an_invitation(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(
        f"/api/v1/channels/{context.channel}/invitations", json={"address": f"{context.site.new_name('m')}@example.com"}
    )


def _new_invitation(context: MatrixContext, channel: str) -> tuple[int, str]:
    """Create an invitation; return its id and secret."""
    factory = context.site.factory
    with factory.seaway.site.database.write_site() as tx:
        address = f"{context.site.new_name('m')}@example.com"
        invitation, secret = invitations.invite(
            tx, factory.seaway.site.clock.now_ms(), OPERATOR, channel, address, Role.VIEWER, outbox=None
        )
    return invitation.id, secret


@builds("POST /api/v1/channels/{channel}/invitations/{invitation}/resend")
def _resending_an_invitation(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    invitation_id, _ = _new_invitation(context, context.channel)
    yield RouteRequest(f"/api/v1/channels/{context.channel}/invitations/{invitation_id}/resend")


@builds("DELETE /api/v1/channels/{channel}/invitations/{invitation}")
def _withdrawing_an_invitation(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    invitation_id, _ = _new_invitation(context, context.channel)
    yield RouteRequest(f"/api/v1/channels/{context.channel}/invitations/{invitation_id}")


@builds("POST /api/v1/invitations/response")
def _accepting_an_invitation(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    _, secret = _new_invitation(context, context.new_channel())
    yield RouteRequest("/api/v1/invitations/response", json={"secret": secret, "response": "accept"})


@builds("POST /api/v1/invitations/{invitation}/response")
def _accepting_an_addressed_invitation(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    """An invitation to the verified email address of the contributor."""
    channel, factory = context.new_channel(), context.site.factory
    address = f"{context.site.new_name('m')}@example.com"
    with factory.seaway.site.database.write_site() as tx:
        now_ms = factory.seaway.site.clock.now_ms()
        emails.add(tx, now_ms, users.get(tx, context.users["contrib"]).id, address, verified=True)
        invitation, _ = invitations.invite(tx, now_ms, OPERATOR, channel, address, Role.VIEWER, outbox=None)
    yield RouteRequest(f"/api/v1/invitations/{invitation.id}/response", json={"response": "accept"})


def _offered_channel(context: MatrixContext) -> str:
    """Create a channel whose owner offers it to the contributor."""
    factory, channel = context.site.factory, context.new_channel()
    with factory.seaway.site.database.write_site() as tx:
        now_ms = factory.seaway.site.clock.now_ms()
        owner = users.get(tx, context.users["owner"])
        by = Caller(owner.name, owner.id, CredentialKind.PERSON, is_fresh=True)
        transfers.offer(tx, now_ms, by, channel, context.users["contrib"])
    return channel


@builds("POST /api/v1/channels/{channel}/transfer")
def _offering_a_transfer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    channel = context.new_channel()
    yield RouteRequest(
        f"/api/v1/channels/{channel}/transfer", json={"to_user": context.users["contrib"]}, channel=channel
    )


@builds("DELETE /api/v1/channels/{channel}/transfer")
def _canceling_a_transfer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    channel = _offered_channel(context)
    yield RouteRequest(f"/api/v1/channels/{channel}/transfer", channel=channel)


@builds("POST /api/v1/channels/{channel}/transfer/response")
def _accepting_a_transfer(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    channel = _offered_channel(context)
    yield RouteRequest(f"/api/v1/channels/{channel}/transfer/response", json={"response": "accept"}, channel=channel)


@builds("POST /api/v1/channels/{channel}/notices")
def _adding_a_notice(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield RouteRequest(f"/api/v1/channels/{context.channel}/notices", json={"message": "Hello"})


@builds("DELETE /api/v1/channels/{channel}/notices/{notice}")
def _removing_a_notice(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    factory, channel = context.site.factory, context.new_channel()
    with factory.seaway.site.database.write_site() as tx:
        now_ms = factory.seaway.site.clock.now_ms()
        notice = notices.add(tx, now_ms, OPERATOR, channel, Level.INFO, "Hello", expires_at_ms=now_ms + DAY_MS)
    yield RouteRequest(f"/api/v1/channels/{channel}/notices/{notice.id}", channel=channel)


@builds("POST /channels/{channel}/settings")
def _changing_settings_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    visibility = "public" if context.is_public else "private"
    yield form(f"/channels/{context.channel}/settings", description="words", visibility=visibility)


@builds("POST /channels/{channel}/settings #restrict")
def _restricting_a_channel_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    visibility = "private" if context.is_public else "public"
    yield form(f"/channels/{context.new_channel()}/settings", description="words", visibility=visibility)


@builds("POST /channels/{channel}/settings/publishers/rules #restrict")
def _restricting_uploads_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(
        f"/channels/{context.new_channel()}/settings/publishers/rules", only_publishers="true", attestations="optional"
    )


@builds("POST /channels/{channel}/settings/relations")
def _relating_a_channel_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/relations", base=context.new_channel())


@builds("POST /channels/{channel}/settings/logo")
def _changing_a_logo_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/logo", none="1")


@builds("PUT /api/v1/channels/{channel}/logo")
def _putting_a_logo(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    before = _logo_path(context)

    def check(done: bool) -> None:
        assert (_logo_path(context) != before) is done

    # A different color for each caller, so that a refused change would be visible if it were made.
    content = images.png(color=(len(caller), context.is_public, sum(caller.encode()) % 256))
    yield RouteRequest(f"/api/v1/channels/{context.channel}/logo", content=content, check=check)


@builds("GET /channels/{channel}/logo/{name}", "HEAD /channels/{channel}/logo/{name}")
def _logo(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    if not _logo_path(context):
        context.site.factory.seaway.request_parts.logos.put(OPERATOR, context.channel, NewLogo(images.png()))
    yield RouteRequest(_logo_path(context))


def _logo_path(context: MatrixContext) -> str:
    """Return the path of the channel logo, or an empty string."""
    with context.site.factory.seaway.site.database.read() as tx:
        return channels.get(tx, context.channel).logo_path


@builds("POST /channels/{channel}/settings/keys")
def _creating_a_key_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    fields = {"name": context.site.new_name("key"), "mode": "READ", "days": "7"}
    yield form(f"/channels/{context.channel}/settings/keys", **fields)


@builds("POST /channels/{channel}/settings/keys/revoke")
def _revoking_a_key_by_page(context: MatrixContext, caller: str) -> Iterable[RouteRequest]:
    context.site.factory.key(user_of(context, caller))
    with context.site.factory.seaway.site.database.read() as tx:
        name = api_keys.all_keys(tx, users.get(tx, user_of(context, caller)).id)[-1].name
    yield form(f"/channels/{context.channel}/settings/keys/revoke", name=name, confirmed="yes")


@builds("POST /channels/{channel}/settings/notices")
def _adding_a_notice_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/notices", message="words", level="info", days="1")


@builds("POST /channels/{channel}/settings/members")
def _adding_a_member_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    user = context.site.factory.user(context.site.new_name("newcomer"))
    yield form(f"/channels/{context.channel}/settings/members", who=user, role="viewer")


@builds("POST /channels/{channel}/settings/members/remove")
def _removing_a_member_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.channel}/settings/members/remove", who=context.new_member())


@builds("POST /channels/{channel}/settings/danger/offer")
def _offering_a_transfer_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    yield form(f"/channels/{context.new_channel()}/settings/danger/offer", to=context.users["contrib"])


@builds("POST /channels/{channel}/settings/danger/delete")
def _deleting_a_channel_by_page(context: MatrixContext, _caller: str) -> Iterable[RouteRequest]:
    name = context.new_channel()
    yield form(f"/channels/{name}/settings/danger/delete", name=name)
