"""A channel and its settings by the pages: made, described, shared, entrusted, given away, deleted."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TypeVar

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, invitations, members, notices, transfers
from seaway.channels.roles import Role
from seaway.clock import HOUR_MS
from seaway.errors import NotFound
from seaway.keys import api_keys
from seaway.publishing.logos import NewLogo
from seaway.server.wiring import Seaway
from seaway.storage.disk_reserve import Reserve
from seaway.users import users
from tests.support import pictures
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.mail import letters_to
from tests.web.conftest import new_user
from tests.web.visitor import SITE, Visitor

T = TypeVar("T")

_numbers = count(1)


class Owner(Visitor):
    """Whoever sends a form has opened the page that it stands on."""

    def on(self, page: str, end: str = "", **fields: str) -> httpx.Response:
        self.get(page)
        return self.send(page + end, **fields)


@pytest.fixture
def channel(shared: Seaway, ada: str) -> str:
    """A private channel of ada's."""
    return People(shared).channel(f"settings-{next(_numbers)}", owner=ada, public=False)


@pytest.fixture
def owner(shared: Seaway, portal: BlockingPortal, ada: str, channel: str) -> Owner:
    visitor = Owner(shared, portal, f"2001:db8:5e77:{next(_numbers):x}::1")
    visitor.sign_in(ada)
    return visitor


def test_a_new_channel(shared: Seaway, visitor: Visitor, ada: str) -> None:
    """Private unless said otherwise; its maker owns it, and is led to it."""
    visitor.sign_in(ada)
    name = f"made-{next(_numbers)}"
    assert "checked" in visitor.get("/channels/new").text.partition('value="private"')[2][:40]
    answer = visitor.send("/channels/new", name=name.upper(), description="For ships.", visibility="private")
    assert (303, f"/channels/{name}") == (answer.status_code, answer.headers["location"])
    with shared.database.read() as tx:
        made = channels.get(tx, name)
    assert (ada, "For ships.", False) == (made.owner, made.description, made.is_public)


def test_a_name_that_cannot_be_had(visitor: Visitor, ada: str, channel: str) -> None:
    """The form comes back with the reason and with what was typed; while typing, only whether it is free is told."""
    visitor.sign_in(ada)
    visitor.get("/channels/new")
    for name in (channel, "api", "no good"):
        answer = visitor.send("/channels/new", name=name, description="<b>kept</b>", visibility="public")
        assert 422 == answer.status_code
        assert "&lt;b&gt;kept&lt;/b&gt;" in answer.text
        assert "is not available" in visitor.get("/channels/new/free", params={"name": name}).text
        visitor.get("/channels/new")
    assert "is available" in visitor.get("/channels/new/free", params={"name": f"free-{next(_numbers)}"}).text


def test_who_asks_too_often_can_go_on_typing(visitor: Visitor, ada: str) -> None:
    """Names can be tried a hundred times an hour; then the field says nothing, and the form still works."""
    visitor.sign_in(ada)
    answers = [visitor.get("/channels/new/free", params={"name": "api"}).text for _ in range(101)]
    assert "is not available" in answers[99]
    assert "" == answers[100].strip()


def test_related_channels(shared: Seaway, owner: Owner, channel: str) -> None:
    """They are set by a form of their own, kept in it when refused, and shown beside the lines for tools."""
    page, name = f"/channels/{channel}/settings", f"under-{channel}"
    People(shared).channel(name)
    owner.get(page)
    fields = {"description": "", "visibility": "public", "refuses_v3": "on", "v3_message": "Use\r\npixi."}
    assert 303 == owner.on(page, "", **fields).status_code
    owner.get(page)
    assert 400 == owner.on(page, "/relations", base="nothing-here", overrides=name).status_code
    assert "There is no channel" in owner.shown
    assert 'value="nothing-here"' in owner.shown
    assert 303 == owner.on(page, "/relations", base="", overrides=name).status_code
    with shared.database.read() as tx:
        found = channels.get(tx, channel)
    assert (False, "Use\npixi.", "", name) == (found.allows_v3, found.v3_message, found.base, found.overrides)
    owner.get(f"/channels/{channel}")
    assert f"in this order: {channel}, {name}" in owner.shown


def test_general_settings(shared: Seaway, owner: Owner, channel: str) -> None:
    """Description, visibility and what counts as a lookalike."""
    owner.get(f"/channels/{channel}/settings")
    fields = {"description": "# Robots\r\n\r\nand more", "visibility": "public", "refuses_lookalikes": "on"}
    assert 303 == owner.on(f"/channels/{channel}/settings", "", **fields).status_code
    with shared.database.read() as tx:
        found = channels.get(tx, channel)
    assert ("# Robots\n\nand more", True, True) == (found.description, found.is_public, found.refuses_lookalikes)
    assert (
        400 == owner.on(f"/channels/{channel}/settings", "", description="x" * 5_000, visibility="private").status_code
    )
    assert "x" * 100 in owner.shown
    with shared.database.read() as tx:
        assert channels.get(tx, channel).is_public


def logo_of(seaway: Seaway, channel: str) -> str:
    with seaway.database.read() as tx:
        return channels.get(tx, channel).logo_path


def test_a_logo_is_sent_shown_and_taken_away(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str
) -> None:
    """A picture from the page of settings stands on the pages of the channel, for who may see them."""
    page = f"/channels/{channel}/settings"
    assert f'src="/channels/{channel}/logo/' not in owner.get(page).text
    assert 303 == owner.send_file(page + "/logo", "logo", pictures.png()).status_code
    path = logo_of(shared, channel)
    for shown in (page, f"/channels/{channel}", "/channels"):
        assert f'src="{path}"' in owner.get(shown).text
    picture = owner.get(path)
    assert (200, "image/png") == (picture.status_code, picture.headers["content-type"])
    assert picture.content.startswith(b"\x89PNG")
    assert "private, no-cache" == picture.headers["cache-control"]
    assert "nosniff" == picture.headers["x-content-type-options"]
    assert "sandbox" in picture.headers["content-security-policy"]
    assert 304 == owner.get(path, headers={"If-None-Match": picture.headers["etag"]}).status_code
    stranger = visit()
    hidden, unknown = stranger.get(path), stranger.get(path.replace(channel, "x" * len(channel)))
    assert 404 == hidden.status_code
    assert hidden.text == unknown.text
    owner.get(page)
    assert 303 == owner.send(page + "/logo", none="1").status_code
    assert "" == logo_of(shared, channel)
    assert 404 == owner.get(path).status_code


def test_the_logo_of_a_public_channel_is_kept_for_good(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor]
) -> None:
    """Its address says its content, so whoever has it need not ask again; another address is nobody's."""
    name = f"made-{next(_numbers)}"
    owner.get("/channels/new")
    sent = {"name": name, "description": "", "visibility": "public"}
    assert 303 == owner.send_file("/channels/new", "logo", pictures.png(), **sent).status_code
    path = logo_of(shared, name)
    assert "public, max-age=31536000, immutable" == visit().get(path).headers["cache-control"]
    for wrong in ("0" * 64 + ".png", "x.png", path.rpartition("/")[2].upper(), path.rpartition("/")[2][:-4]):
        assert 404 == visit().get(f"/channels/{name}/logo/{wrong}").status_code


@pytest.mark.parametrize(
    ("content", "fields", "status", "said"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, 422, "SVG is not accepted"),
        (bytes(600 * 1024), {}, 413, "512 KiB"),
        (b"", {}, 400, "No logo is selected"),
        (b"", {"logo_address": "https://evil.example/x.png"}, 422, "Only GitHub avatars"),
    ],
)
def test_a_picture_that_is_not_taken(
    shared: Seaway, owner: Owner, channel: str, content: bytes, fields: dict[str, str], status: int, said: str
) -> None:
    """The form says why, and holds the address that was typed; a new channel is not made with it."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    answer = owner.send_file(page + "/logo", "logo", content, **fields)
    assert status == answer.status_code
    assert said in answer.text
    assert fields.get("logo_address", "") in answer.text
    assert "" == logo_of(shared, channel)
    if not content and not fields:
        return
    owner.get("/channels/new")
    sent = {"name": f"never-{channel}", "description": "words", "visibility": "public", **fields}
    answer = owner.send_file("/channels/new", "logo", content, **sent)
    assert status == answer.status_code
    assert "words" in answer.text
    with shared.database.read() as tx, pytest.raises(NotFound):
        channels.get(tx, f"never-{channel}")


def test_a_form_with_a_file_is_read_within_limits(owner: Owner, channel: str) -> None:
    """Too much of anything is refused, as is what is no form, or not ours."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    token = owner.token
    said = {"Sec-Fetch-Site": "same-origin", "Origin": SITE}

    def answer(content: bytes, content_type: str = "multipart/form-data; boundary=b") -> int:
        headers = said | {"Content-Type": content_type}
        return owner.ask("POST", page + "/logo", content=content, headers=headers).status_code

    def field(name: str, value: bytes) -> bytes:
        return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)

    ours = field("csrf_token", token.encode())
    assert 413 == answer(ours + field("x", b"x" * 70_000) + b"--b--\r\n")
    assert 413 == answer(ours + b"".join(field(f"f{number}", b"") for number in range(2_100)) + b"--b--\r\n")
    assert 413 == answer(
        ours + b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + bytes(17 << 20)
    )
    assert 400 == answer(ours + field("x", b"\xff") + b"--b--\r\n")
    assert 400 == answer(ours + field("x", b"a\0b") + b"--b--\r\n")
    assert 400 == answer(ours)
    assert 400 == answer(b"nonsense")
    assert 400 == answer(ours, "multipart/form-data")
    assert 403 == answer(field("csrf_token", b"guessed") + b"--b--\r\n")


def test_notices(shared: Seaway, owner: Owner, channel: str) -> None:
    """Written by the owner, read by clients, taken back."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    assert 303 == owner.on(page, "/notices", message="Move on", level="warning", days="7").status_code
    assert "Move on" in owner.get(page).text
    with shared.database.read() as tx:
        (notice,) = notices.current(tx, shared.clock.now_ms(), channels.get(tx, channel).id)
    assert 303 == owner.on(page, "/notices/remove", notice=str(notice.id)).status_code
    assert "Move on" not in owner.get(page).text
    assert 404 == owner.on(page, "/notices/remove", notice="x").status_code
    owner.get(page)
    assert 400 == owner.on(page, "/notices", message="Move on", level="loud", days="7").status_code


def test_members(shared: Seaway, owner: Owner, channel: str) -> None:
    """A user by name at once, with a role that can be changed and taken."""
    user, page = new_user(shared), f"/channels/{channel}/settings/members"
    owner.get(page)
    assert 303 == owner.on(page, "", who=user, role="viewer").status_code
    assert Role.VIEWER is role_of(shared, channel, user)
    assert 303 == owner.on(page, "/role", who=user, role="contributor").status_code
    assert Role.CONTRIBUTOR is role_of(shared, channel, user)
    assert user in owner.get(page).text
    assert 303 == owner.on(page, "/remove", who=user).status_code
    assert role_of(shared, channel, user) is None
    for who, role in (("nobody-of-that-name", "viewer"), (user, "owner")):
        owner.get(page)
        answer = owner.on(page, "", who=who, role=role)
        assert answer.status_code in (400, 404)
        assert role_of(shared, channel, user) is None


def test_an_address_gets_an_invitation(shared: Seaway, owner: Owner, channel: str) -> None:
    """Whoever has no account here is asked by letter; the owner sees that, and can take it back."""
    page = f"/channels/{channel}/settings/members"
    owner.get(page)
    assert 303 == owner.on(page, "", who="grace@example.com", role="viewer").status_code
    number = owner.get(page).text.partition('name="invitation" value="')[2].partition('"')[0]
    assert "grace@example.com" in owner.shown
    base = f"/channels/{channel}/settings/invitations"
    assert 303 == owner.send(f"{base}/resend", invitation=number).status_code
    number = owner.get(page).text.partition('name="invitation" value="')[2].partition('"')[0]
    assert 303 == owner.send(f"{base}/withdraw", invitation=number).status_code
    assert "grace@example.com" not in owner.get(page).text


def role_of(seaway: Seaway, channel: str, user: str) -> Role | None:
    with seaway.database.read() as tx:
        return members.role_of(tx, channels.get(tx, channel).id, users.get(tx, user).id)


def test_users_are_found_while_their_name_is_typed(shared: Seaway, owner: Owner) -> None:
    """By the beginning of the name, from two letters on; what is typed stands for nothing but itself."""
    user = new_user(shared)
    assert f'value="{user}"' in owner.get("/account/user-names", params={"who": user[:-1]}).text
    for nothing in ("a", "", "%%", "__"):
        assert "option" not in owner.get("/account/user-names", params={"who": nothing}).text


def test_keys(shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str, ada: str) -> None:
    """One's own are created for the channel and revoked there; its owner sees none of other members."""
    page, people = f"/channels/{channel}/settings/keys", People(shared)
    member = new_user(shared)
    people.member(channel, member, Role.CONTRIBUTOR)
    theirs = people.key(member, only=[channel])
    shown = owner.get(page).text
    assert member not in shown
    assert theirs not in shown
    name = f"ship {next(_numbers)}"
    assert 400 == owner.send(page, name=name, mode="READ", days="1000").status_code
    assert f'value="{name}"' in owner.shown
    made = owner.send(page, name=name, mode="READ", days="7")
    secret = re.search(r"swy-u-[0-9A-Za-z]{42}", made.text)
    assert secret is not None
    assert people.by_key(secret[0]).channel_ids == frozenset({channel_id(shared, channel)})
    assert secret[0] not in owner.get(page).text
    assert 303 == owner.send(page + "/revoke", name=name).status_code
    assert name not in owner.get(page).text
    assert 404 == owner.send(page + "/revoke", name="key 0 of somebody").status_code

    guest = visit()
    guest.sign_in(member)
    shown = guest.get(page).text
    assert "key 0" in shown
    assert 303 == guest.send(page + "/revoke", name="key 0").status_code
    with shared.database.read() as tx:
        assert api_keys.caller_of(tx, theirs, shared.clock.now_ms()) is None


def channel_id(seaway: Seaway, channel: str) -> int:
    with seaway.database.read() as tx:
        return channels.get(tx, channel).id


def test_trusted_publishers(owner: Owner, channel: str) -> None:
    """A workflow is entrusted by its form, listed, and removed; the lines to paste name this host and channel."""
    page = f"/channels/{channel}/settings/publishers"
    text = owner.get(page).text
    assert f"--url https://conda.example.com --channel {channel}" in text
    fields = {"issuer": "github", "owner": "octo", "repository": "ship", "workflow": "release.yml"}
    more = {"mode": "READ_WRITE", "patterns": "ship-*", "allowed_refs": "refs/tags/v*"}
    assert 303 == owner.on(page, "", **fields, **more).status_code
    text = owner.get(page).text
    assert "octo/ship, release.yml" in text
    assert "ship-*" in text
    number = text.partition('name="publisher" value="')[2].partition('"')[0]
    assert 303 == owner.on(page, "/remove", publisher=number).status_code
    assert "octo/ship" not in owner.get(page).text
    refused = owner.on(page, "", **(fields | {"workflow": "a/b.yml"}), mode="READ_WRITE")
    assert 400 == refused.status_code
    assert 'value="octo"' in refused.text
    for issuer, asked in (("gitlab", "Namespace"), ("google", "Service account")):
        assert asked in owner.get(page, params={"issuer": issuer}).text


def test_what_the_channel_takes(shared: Seaway, owner: Owner, channel: str) -> None:
    """The two switches of trusted publishing."""
    page = f"/channels/{channel}/settings/publishers"
    owner.get(page)
    assert 303 == owner.on(page, "/rules", only_publishers="on", attestations="required").status_code
    with shared.database.read() as tx:
        found = channels.get(tx, channel)
    assert (True, "required") == (found.only_publishers, found.attestations.value)


def test_the_log(owner: Owner, channel: str) -> None:
    """What was done stands there, with who did it."""
    owner.get(f"/channels/{channel}/settings")
    owner.on(f"/channels/{channel}/settings", "", description="changed", visibility="private")
    text = owner.get(f"/channels/{channel}/settings/log").text
    assert "channel.changed" in text
    assert owner.address.rpartition(":")[0] in text
    assert 200 == owner.get(f"/channels/{channel}/settings/log", params={"before": "1"}).status_code


def test_an_offer(shared: Seaway, owner: Owner, channel: str, ada: str) -> None:
    """Until it is accepted nothing changes, and it can be taken back."""
    user, page = new_user(shared), f"/channels/{channel}/settings/danger"
    assert "you are the only member" in owner.get(page).text
    People(shared).member(channel, user, Role.VIEWER)
    owner.get(page)
    assert 303 == owner.on(page, "/offer", to=user).status_code
    assert user in owner.get(page).text
    with shared.database.read() as tx:
        assert ada == channels.get(tx, channel).owner
    assert 303 == owner.on(page, "/cancel").status_code
    with shared.database.read() as tx:
        assert [] == transfers.pending_for(tx, shared.clock.now_ms(), users.get(tx, user).id)


def test_deleting_needs_the_name_typed(shared: Seaway, owner: Owner, channel: str) -> None:
    """A slip deletes nothing."""
    page = f"/channels/{channel}/settings/danger"
    owner.get(page)
    assert 400 == owner.on(page, "/delete", name="another").status_code
    assert 200 == owner.get(page).status_code
    assert 303 == owner.on(page, "/delete", name=channel).status_code
    assert 404 == owner.get(page).status_code


class Noted(Reserve):
    """A reserve that notes what is done with its room."""

    def __init__(self) -> None:
        self.times = 0

    def retry_with_reserve(self, act: Callable[[], T]) -> T:
        self.times += 1
        return act()


@pytest.mark.parametrize("way", ["page", "API"])
def test_a_channel_can_be_deleted_on_a_full_disk(
    shared: Seaway, portal: BlockingPortal, ada: str, channel: str, way: str
) -> None:
    """Deletion makes room, so it may use the room that is kept for it (storage.reserve 2)."""
    reserve = Noted()
    removing = replace(shared.request_parts.removing, reserve=reserve)
    full = replace(shared, request_parts=replace(shared.request_parts, removing=removing))
    owner = Owner(full, portal, f"2001:db8:5e77:{next(_numbers):x}::1")
    owner.sign_in(ada)
    if way == "page":
        assert 303 == owner.on(f"/channels/{channel}/settings/danger", "/delete", name=channel).status_code
    else:
        owner.get(f"/channels/{channel}/settings/danger")
        said = {"Sec-Fetch-Site": "same-origin", "Origin": SITE, "X-CSRF-Token": owner.token}
        answer = owner.ask("DELETE", f"/api/v1/channels/{channel}", params={"confirm": channel}, headers=said)
        assert 204 == answer.status_code
    assert 1 == reserve.times
    assert 404 == owner.get(f"/channels/{channel}").status_code


def test_grave_things_need_a_fresh_proof(owner: Owner, channel: str, turned: TurnedClock) -> None:
    """Who signed in a while ago is led to prove it again, and back to where they were."""
    page = f"/channels/{channel}/settings/danger"
    owner.get(page)
    turned.move(HOUR_MS)
    answer = owner.send(f"{page}/delete", name=channel, headers={"Referer": f"https://conda.example.com{page}"})
    assert (303, f"/confirm?next={page}") == (answer.status_code, answer.headers["location"])
    owner.get(page)
    elsewhere = owner.send(f"{page}/delete", name=channel, headers={"Referer": f"https://evil.example{page}"})
    assert f"/confirm?next=/channels/{channel}" == elsewhere.headers["location"]
    assert 200 == owner.get(page).status_code


def test_who_may_not_sees_nothing(shared: Seaway, visit: Callable[[], Visitor], channel: str) -> None:
    """A stranger gets what a name gets that nobody has; a contributor only the page to upload."""
    stranger, contributor = new_user(shared), new_user(shared)
    People(shared).member(channel, contributor, Role.CONTRIBUTOR)
    for user, expected in ((stranger, {404}), (contributor, {200, 403})):
        browser = visit()
        browser.sign_in(user)
        ends = ("", "/members", "/publishers", "/upload", "/log", "/danger")
        answers = {end: browser.get(f"/channels/{channel}/settings{end}") for end in ends}
        assert expected == {answer.status_code for answer in answers.values()}
        assert (200 in expected) == (answers["/upload"].status_code == 200)
        unknown = browser.get("/channels/nobody-has-this/settings/members")
        if user == stranger:
            assert unknown.status_code == answers["/members"].status_code
            assert unknown.text.replace("nobody-has-this", channel) == answers["/members"].text


def test_an_invitation_is_accepted_by_its_link(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str
) -> None:
    """Opening it uses nothing up; who has no session is led to sign in and back; then they are a member."""
    secret = invited(shared, channel)
    user, browser = new_user(shared), visit()
    text = browser.get(f"/invitations/{secret}").text
    assert f"/signin?next=/invitations/{secret}" in text
    browser.sign_in(user)
    browser.get(f"/invitations/{secret}")
    answer = browser.send(f"/invitations/{secret}/accept")
    assert (303, f"/channels/{channel}") == (answer.status_code, answer.headers["location"])
    assert Role.VIEWER is role_of(shared, channel, user)
    assert 404 == browser.get(f"/invitations/{secret}").status_code


def test_an_invitation_shows_the_logo_to_who_may_see_it(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str
) -> None:
    """That of a public channel; of a private one its initials, since who is invited is no member yet."""
    shared.request_parts.logos.put(OPERATOR, channel, NewLogo(pictures.png()))
    link = f"/invitations/{invited(shared, channel)}"
    assert "/logo/" not in visit().get(link).text
    with shared.database.write_site() as tx:
        channels.change(tx, shared.clock.now_ms(), OPERATOR, channel, is_public=True)
    assert logo_of(shared, channel) in visit().get(link).text


def test_an_invitation_is_declined_without_an_account(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str
) -> None:
    """By the page only, so that a link in another page declines nothing."""
    secret, browser = invited(shared, channel), visit()
    assert 403 == browser.send(f"/invitations/{secret}/decline").status_code
    browser.get(f"/invitations/{secret}")
    assert 303 == browser.send(f"/invitations/{secret}/decline").status_code
    assert 404 == browser.get(f"/invitations/{secret}").status_code


def invited(seaway: Seaway, channel: str) -> str:
    with seaway.database.write_site() as tx:
        now_ms = seaway.clock.now_ms()
        _, secret = invitations.invite(
            tx, now_ms, OPERATOR, channel, f"guest-{next(_numbers)}@example.com", Role.VIEWER, notifier=None
        )
    return secret


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_an_offer_is_answered(
    shared: Seaway, owner: Owner, visit: Callable[[], Visitor], channel: str, ada: str, answer: str
) -> None:
    """Who is offered a channel sees it among their offers, and answers there."""
    user, browser = new_user(shared), visit()
    People(shared).member(channel, user, Role.VIEWER)
    owner.on(f"/channels/{channel}/settings/danger", "/offer", to=user)
    browser.sign_in(user)
    assert channel in browser.get("/account/offers").text
    assert 303 == browser.send(f"/account/offers/{answer}", channel=channel).status_code
    assert channel not in browser.get("/account/offers").text
    with shared.database.read() as tx:
        assert (user if answer == "accept" else ada) == channels.get(tx, channel).owner


def test_a_group_by_its_pages(shared: Seaway, owner: Owner, ada: str) -> None:
    """Made, filled, managed, emptied, deleted; what is refused is said on the page."""
    name, user = f"crew-{next(_numbers)}", new_user(shared)
    answer = owner.on("/account/groups", "", name=name, description="The night watch")
    page = f"/account/groups/{name}"
    assert page == answer.headers["location"]
    assert 303 == owner.on(page, "", who=user).status_code
    assert user in owner.get(page).text
    assert 303 == owner.on(page, "", who=user, manager="on").status_code
    assert "The night watch" in owner.get("/account/groups").text
    assert 303 == owner.on(page, "/remove", who=user).status_code
    assert user not in owner.get(page).text
    assert [f"You are now in the group {name}"] == [
        letter["Subject"] for letter in letters_to(shared, f"{user}@example.com") if "group" in letter["Subject"]
    ]
    assert 409 == owner.on(page, "/leave").status_code
    assert 422 == owner.on("/account/groups", "", name=name).status_code
    assert 303 == owner.on(page, "/delete").status_code
    assert name not in owner.get("/account/groups").text


def test_a_group_is_for_those_in_it(shared: Seaway, owner: Owner, visit: Callable[[], Visitor]) -> None:
    """Others do not look into it, and who is in it changes nothing."""
    name, user = f"crew-{next(_numbers)}", new_user(shared)
    owner.on("/account/groups", "", name=name)
    browser = visit()
    browser.sign_in(user)
    assert 403 == browser.get(f"/account/groups/{name}").status_code
    owner.on(f"/account/groups/{name}", "", who=user)
    assert "Add a user" not in browser.get(f"/account/groups/{name}").text
    assert 403 == browser.send(f"/account/groups/{name}/delete").status_code
    browser.get(f"/account/groups/{name}")
    assert 303 == browser.send(f"/account/groups/{name}/leave").status_code
