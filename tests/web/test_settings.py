"""Channel pages: creation, settings, members, keys, publishers, transfer, deletion; and the pages of groups."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from itertools import count
from typing import TypeVar

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from seaway import audit
from seaway.audit import Actor, Event, NewEntry
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, groups, invitations, members, notices, quotas, transfers
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.clock import HOUR_MS
from seaway.errors import NotFound
from seaway.keys import api_keys
from seaway.publishing.logos import NewLogo
from seaway.server.wiring import Seaway
from seaway.storage.disk_reserve import Reserve
from seaway.users import users
from seaway.web.audit_log_list import PER_PAGE
from tests.support import images
from tests.support import issuer as issuer_tokens
from tests.support.clock import ManualClock
from tests.support.mail import emails_to
from tests.support.publishing_app import Trust
from tests.support.sites import Factory
from tests.web.conftest import new_user
from tests.web.http_browser import SITE, HttpBrowser

T = TypeVar("T")

_numbers = count(1)


class Owner(HttpBrowser):
    """A browser that opens the page of a form before it submits the form."""

    def on(self, page: str, end: str = "", **fields: str) -> httpx.Response:
        self.get(page)
        return self.send(page + end, **fields)


@pytest.fixture
def channel(shared: Seaway, ada: str) -> str:
    """A private channel owned by ada."""
    return Factory(shared).channel(f"settings-{next(_numbers)}", owner=ada, public=False)


@pytest.fixture
def owner(shared: Seaway, portal: BlockingPortal, ada: str, channel: str) -> Owner:
    browser = Owner(shared, portal, f"2001:db8:5e77:{next(_numbers):x}::1")
    browser.sign_in(ada)
    return browser


def test_new_channel_is_private_by_default(shared: Seaway, browser: HttpBrowser, ada: str) -> None:
    """Its creator becomes the owner and is redirected to it."""
    browser.sign_in(ada)
    name = f"made-{next(_numbers)}"
    assert "checked" in browser.get("/channels/new").text.partition('value="private"')[2][:40]
    response = browser.send("/channels/new", name=name.upper(), description="For ships.", visibility="private")
    assert (303, f"/channels/{name}") == (response.status_code, response.headers["location"])
    with shared.site.database.read() as tx:
        created = channels.get(tx, name)
    assert (ada, "For ships.", False) == (created.owner, created.description, created.is_public)


def test_unavailable_channel_name_is_refused(browser: HttpBrowser, ada: str, channel: str) -> None:
    """The form shows the reason and keeps its values; the check while typing shows only the availability."""
    browser.sign_in(ada)
    browser.get("/channels/new")
    for name in (channel, "api", "no good"):
        response = browser.send("/channels/new", name=name, description="<b>kept</b>", visibility="public")
        assert 422 == response.status_code
        assert "&lt;b&gt;kept&lt;/b&gt;" in response.text
        shown = browser.get("/channels/new/free", params={"name": name}).text
        assert ("Not a channel name" if " " in name else "Not available") in shown
        browser.get("/channels/new")
    assert ">Available<" in browser.get("/channels/new/free", params={"name": f"free-{next(_numbers)}"}).text


def test_new_channel_form_shows_all_errors_at_their_fields(browser: HttpBrowser, ada: str) -> None:
    browser.sign_in(ada)
    browser.get("/channels/new")
    fields = {
        "name": "no good",
        "description": "a bell \a",
        "visibility": "public",
        "logo_address": "https://x.example/y",
    }
    response = browser.send("/channels/new", **fields)
    assert 422 == response.status_code
    for field in ("name", "description", "logo_address"):
        assert f'id="{field}-error"' in response.text
        assert fields[field] in response.text
    assert "checked" in response.text.partition('value="public"')[2][:40]
    assert '<details class="mt-4 more" open>' in response.text


def test_user_without_verified_email_sees_that_before_the_form(browser: HttpBrowser) -> None:
    """The page has a button for another email instead of a form that would be refused."""
    name = f"early-{next(_numbers)}"
    browser.sign_up(name, f"{name}@example.com")
    page = browser.get("/channels/new").text
    assert "Verify your email address first" in page
    assert f'name="address" value="{name}@example.com"' in page
    assert 'action="/channels/new"' not in page
    refused = browser.send("/channels/new", name="early")
    assert 403 == refused.status_code
    assert "Verify your email address first" in refused.text


def test_availability_check_is_rate_limited(browser: HttpBrowser, ada: str) -> None:
    """After a hundred checks in an hour the check returns nothing."""
    browser.sign_in(ada)
    responses = [browser.get("/channels/new/free", params={"name": "api"}).text for _ in range(101)]
    assert "Not available" in responses[99]
    assert "" == responses[100].strip()


def test_related_channels_are_set_and_shown(shared: Seaway, owner: Owner, channel: str) -> None:
    """They have a separate form, which keeps refused values, and are shown beside the install lines."""
    page, name = f"/channels/{channel}/settings", f"under-{channel}"
    Factory(shared).channel(name)
    owner.get(page)
    fields = {"description": "", "visibility": "public", "allows_v3": "false", "v3_message": "Use\r\npixi."}
    assert 303 == owner.on(page, "", **fields).status_code
    owner.get(page)
    assert 400 == owner.on(page, "/relations", base="nothing-here", overrides=name).status_code
    assert "There is no channel" in owner.shown
    assert 'value="nothing-here"' in owner.shown
    assert 303 == owner.on(page, "/relations", base="", overrides=name).status_code
    with shared.site.database.read() as tx:
        settings = channels.get(tx, channel)
    assert (False, "Use\npixi.", "", name) == (
        settings.allows_v3,
        settings.v3_message,
        settings.base,
        settings.overrides,
    )
    owner.get(f"/channels/{channel}")
    assert f"in this order: {channel}, {name}" in owner.shown


def test_general_settings_are_changed(shared: Seaway, owner: Owner, channel: str) -> None:
    """Description, visibility and lookalikes; a refused form keeps its values and changes nothing."""
    owner.get(f"/channels/{channel}/settings")
    fields = {"description": "# Robots\r\n\r\nand more", "visibility": "public", "refuses_lookalikes": "true"}
    assert 303 == owner.on(f"/channels/{channel}/settings", "", **fields).status_code
    with shared.site.database.read() as tx:
        settings = channels.get(tx, channel)
    assert ("# Robots\n\nand more", True, True) == (
        settings.description,
        settings.is_public,
        settings.refuses_lookalikes,
    )
    assert (
        422 == owner.on(f"/channels/{channel}/settings", "", description="x" * 5_000, visibility="private").status_code
    )
    assert "x" * 100 in owner.shown
    with shared.site.database.read() as tx:
        assert channels.get(tx, channel).is_public


def logo_of(seaway: Seaway, channel: str) -> str:
    with seaway.site.database.read() as tx:
        return channels.get(tx, channel).logo_path


def test_logo_is_uploaded_shown_and_removed(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str
) -> None:
    """The logo is on the pages of the channel, for users who can see the channel."""
    page = f"/channels/{channel}/settings"
    assert f'src="/channels/{channel}/logo/' not in owner.get(page).text
    assert 303 == owner.send_file(page + "/logo", "logo", images.png()).status_code
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
    other_user = new_browser()
    hidden, unknown = other_user.get(path), other_user.get(path.replace(channel, "x" * len(channel)))
    assert 404 == hidden.status_code
    assert hidden.text == unknown.text
    owner.get(page)
    assert 303 == owner.send(page + "/logo", none="1").status_code
    assert "" == logo_of(shared, channel)
    assert 404 == owner.get(path).status_code


def test_logo_of_a_public_channel_is_immutable(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser]
) -> None:
    """The URL contains the hash of the content, so caches can keep it; other URLs return 404."""
    name = f"made-{next(_numbers)}"
    owner.get("/channels/new")
    sent = {"name": name, "description": "", "visibility": "public"}
    assert 303 == owner.send_file("/channels/new", "logo", images.png(), **sent).status_code
    path = logo_of(shared, name)
    assert "public, max-age=31536000, immutable" == new_browser().get(path).headers["cache-control"]
    for wrong in ("0" * 64 + ".png", "x.png", path.rpartition("/")[2].upper(), path.rpartition("/")[2][:-4]):
        assert 404 == new_browser().get(f"/channels/{name}/logo/{wrong}").status_code


@pytest.mark.parametrize(
    ("content", "fields", "status", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, 422, "SVG is not accepted"),
        (bytes(600 * 1024), {}, 413, "512 KiB"),
        (b"", {}, 400, "No logo is selected"),
        (b"", {"logo_address": "https://evil.example/x.png"}, 422, "Only GitHub avatars"),
    ],
)
def test_refused_logo_keeps_the_form(
    shared: Seaway, owner: Owner, channel: str, content: bytes, fields: dict[str, str], status: int, message: str
) -> None:
    """The form shows the reason and keeps its values; a new channel is not created."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    response = owner.send_file(page + "/logo", "logo", content, **fields)
    assert status == response.status_code
    assert message in response.text
    assert fields.get("logo_address", "") in response.text
    assert "" == logo_of(shared, channel)
    if not content and not fields:
        return
    owner.get("/channels/new")
    sent = {"name": f"never-{channel}", "description": "words", "visibility": "public", **fields}
    response = owner.send_file("/channels/new", "logo", content, **sent)
    assert status == response.status_code
    assert "words" in response.text
    with shared.site.database.read() as tx, pytest.raises(NotFound):
        channels.get(tx, f"never-{channel}")


def test_multipart_form_is_limited(owner: Owner, channel: str) -> None:
    """Oversized fields, too many fields, malformed forms and wrong tokens are refused."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    token = owner.token
    same_origin = {"Sec-Fetch-Site": "same-origin", "Origin": SITE}

    def status_of(content: bytes, content_type: str = "multipart/form-data; boundary=b") -> int:
        headers = same_origin | {"Content-Type": content_type}
        return owner.request("POST", page + "/logo", content=content, headers=headers).status_code

    def field(name: str, value: bytes) -> bytes:
        return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)

    with_token = field("csrf_token", token.encode())
    assert 413 == status_of(with_token + field("x", b"x" * 70_000) + b"--b--\r\n")
    assert 413 == status_of(with_token + b"".join(field(f"f{number}", b"") for number in range(2_100)) + b"--b--\r\n")
    assert 413 == status_of(
        with_token + b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + bytes(17 << 20)
    )
    assert 400 == status_of(with_token + field("x", b"\xff") + b"--b--\r\n")
    assert 400 == status_of(with_token + field("x", b"a\0b") + b"--b--\r\n")
    assert 400 == status_of(with_token)
    assert 400 == status_of(b"nonsense")
    assert 400 == status_of(with_token, "multipart/form-data")
    assert 403 == status_of(field("csrf_token", b"guessed") + b"--b--\r\n")


def test_notices_are_posted_and_removed(shared: Seaway, owner: Owner, channel: str) -> None:
    """Posted by the owner, shown to clients, removed."""
    page = f"/channels/{channel}/settings"
    owner.get(page)
    assert 303 == owner.on(page, "/notices", message="Move on", level="warning", days="7").status_code
    assert "Move on" in owner.get(page).text
    with shared.site.database.read() as tx:
        (notice,) = notices.current(tx, shared.site.clock.now_ms(), channels.get(tx, channel).id)
    assert 303 == owner.on(page, "/notices/remove", notice=str(notice.id)).status_code
    assert "The notice &#34;Move on&#34; was withdrawn." in owner.get(page).text
    assert "Move on" not in owner.get(page).text
    assert 404 == owner.on(page, "/notices/remove", notice="x").status_code
    owner.get(page)
    assert 422 == owner.on(page, "/notices", message="Move on", level="loud", days="7").status_code


def test_members_are_added_changed_and_removed(shared: Seaway, owner: Owner, channel: str) -> None:
    """A user is added by name at once; unknown users and the role owner are refused."""
    user, page = new_user(shared), f"/channels/{channel}/settings/members"
    owner.get(page)
    assert 303 == owner.on(page, "", who=user, role="viewer").status_code
    assert Role.VIEWER is role_of(shared, channel, user)
    assert 303 == owner.on(page, "/role", who=user, role="contributor").status_code
    assert Role.CONTRIBUTOR is role_of(shared, channel, user)
    assert user in owner.get(page).text
    assert 303 == owner.on(page, "/remove", who=user).status_code
    assert role_of(shared, channel, user) is None
    for name, role, status in (("unknown-user", "viewer", 404), (user, "owner", 422)):
        owner.get(page)
        assert status == owner.on(page, "", who=name, role=role).status_code
        assert role_of(shared, channel, user) is None


def test_page_and_api_refuse_the_same_fault_with_the_same_sentence(
    shared: Seaway, owner: Owner, ada: str, channel: str
) -> None:
    """A form is validated by the model of the API."""
    page = f"/channels/{channel}/settings/members"
    owner.get(page)
    shown = owner.on(page, "", who="bob", role="owner").text
    headers = {"Authorization": f"Bearer {Factory(shared).key(ada)}"}
    said = owner.request(
        "PUT", f"/api/v1/channels/{channel}/members/bob", json={"role": "owner"}, headers=headers
    ).json()

    assert "role: Choose viewer or contributor." == said["message"]
    assert f"<span>{said['message'].removeprefix('role: ')}</span>" in unescape(shown)  # at the field


def test_emails_to_an_invited_address_are_limited(owner: Owner, channel: str) -> None:
    """The page counts like the API."""
    page, address = f"/channels/{channel}/settings/members", f"guest-{next(_numbers)}@example.com"
    owner.get(page)
    statuses = [owner.on(page, "", who=address, role="viewer").status_code for _ in range(4)]

    assert [303, 303, 303, 429] == statuses


def test_email_address_is_invited(shared: Seaway, owner: Owner, channel: str) -> None:
    """An email address without an account gets an invitation, which the owner can resend and withdraw."""
    page = f"/channels/{channel}/settings/members"
    owner.get(page)
    assert 303 == owner.on(page, "", who="grace@example.com", role="viewer").status_code
    number = owner.get(page).text.partition('name="invitation" value="')[2].partition('"')[0]
    assert "grace@example.com" in owner.shown
    base = f"/channels/{channel}/settings/invitations"
    assert 303 == owner.send(f"{base}/resend", invitation=number).status_code
    assert "sent to grace@example.com again, with a new link" in owner.get(page).text
    number = owner.get(page).text.partition('name="invitation" value="')[2].partition('"')[0]
    assert 303 == owner.send(f"{base}/withdraw", invitation=number).status_code
    assert "The invitation to grace@example.com was withdrawn." in owner.get(page).text
    assert "grace@example.com" not in owner.get(page).text


def undo(browser: HttpBrowser) -> httpx.Response:
    """Press the Undo button in the message of the page that was opened last."""
    form = browser.shown.partition("data-message")[2].partition("</form>")[0]
    action = re.search(r'action="([^"]+)"', form)
    assert action is not None
    found = re.findall(r'name="([^"]+)" value="([^"]*)"', form)
    fields = {name: unescape(value) for name, value in found} | {"csrf_token": browser.token}
    return browser.send(action[1], **fields)


def test_changes_of_members_are_reported_and_undone(shared: Seaway, owner: Owner, channel: str, ada: str) -> None:
    """Each message names the member and the role; Undo restores the state before."""
    page, user, crew = f"/channels/{channel}/settings/members", new_user(shared), f"crew-{next(_numbers)}"
    with shared.site.database.write_site() as tx:
        groups.add(tx, shared.site.clock.now_ms(), OPERATOR, crew, users.get(tx, ada))
    owner.on(page, "", who=user.upper(), role="viewer")
    assert f"{user} was added as a viewer." in owner.get(page).text
    owner.on(page, "/role", who=user, role="contributor")
    assert f"{user} is now a contributor." in owner.get(page).text
    assert 303 == undo(owner).status_code
    assert Role.VIEWER is role_of(shared, channel, user)
    owner.on(page, "/remove", who=user)
    assert f"{user} was removed from {channel}." in owner.get(page).text
    assert 303 == undo(owner).status_code
    assert Role.VIEWER is role_of(shared, channel, user)
    owner.on(page, "", who=crew, role="viewer")
    assert f"The group {crew} was added as a viewer." in owner.get(page).text
    assert 303 == undo(owner).status_code
    assert f"The group {crew} was removed from {channel}." in owner.get(page).text
    owner.on(page, "", who=f"new-{next(_numbers)}@example.com", role="viewer")
    assert "An invitation to become a viewer was sent to new-" in owner.get(page).text
    assert 'href="#invitations"' in owner.shown.partition("data-message")[2][:900]


@pytest.mark.parametrize("kind", ["user", "group"])
def test_adding_a_member_again_changes_the_role(
    shared: Seaway, owner: Owner, channel: str, ada: str, kind: str
) -> None:
    """Undo restores the old role; the same role again changes nothing, so there is nothing to undo."""
    page, user, crew = f"/channels/{channel}/settings/members", new_user(shared), f"crew-{next(_numbers)}"
    with shared.site.database.write_site() as tx:
        groups.add(tx, shared.site.clock.now_ms(), OPERATOR, crew, users.get(tx, ada))
    name, described = (user, user) if kind == "user" else (crew, f"The group {crew}")
    owner.on(page, "", who=name, role="viewer")
    owner.on(page, "", who=name, role="contributor")
    assert f"{described} is now a contributor." in owner.get(page).text
    assert 303 == undo(owner).status_code
    assert f"{described} is now a viewer." in owner.get(page).text
    owner.on(page, "", who=name, role="viewer")
    assert f"{described} is already a viewer." in owner.get(page).text
    assert ">Undo<" not in owner.shown


def test_unknown_member_is_an_error_at_the_field(shared: Seaway, owner: Owner, channel: str) -> None:
    """With what was typed, and without a hint for the command line; the role is checked, too."""
    page = f"/channels/{channel}/settings/members"
    for name, sentence in (("nobody-here", "There is no user or group named"), ("no@address", "email address")):
        assert owner.on(page, "", who=name, role="viewer").status_code in (400, 404, 422)
        field = owner.shown.partition('id="who"')[2].partition("</div>\n")[0]
        assert f'value="{name}"' in field[:100]
        assert 'aria-invalid="true"' in field
        assert sentence in owner.shown.partition('id="who-error"')[2][:800]
        assert "seaway user" not in owner.shown
        assert 'value="viewer" selected' in owner.shown


def test_single_error_is_shown_once(owner: Owner, channel: str) -> None:
    """At its field, which has the focus; above the form if the page does not have the field."""
    base = f"/channels/{channel}/settings"
    for end, act, field, fields in (
        ("/members", "", "who", {"who": "nobody-here", "role": "viewer"}),
        ("/danger", "/delete", "name", {"name": "another"}),
    ):
        owner.on(base + end, act, **fields)
        sentence = owner.shown.partition(f'id="{field}-error"')[2].partition("<span>")[2].partition("</span>")[0]
        assert sentence
        assert (1, 0) == (owner.shown.count(sentence), owner.shown.count("notice bad"))
        assert "autofocus" in owner.shown.partition(f'id="{field}"')[2].partition(">")[0]
    owner.on(f"{base}/members", "/role", who="nobody-here", role="viewer")
    assert "There is no user named" in owner.shown.partition("notice bad")[2]


def test_list_of_members_is_filtered_without_javascript(shared: Seaway, owner: Owner, channel: str) -> None:
    user = Factory(shared).member(channel, new_user(shared), Role.VIEWER)
    page = f"/channels/{channel}/settings/members"
    assert user in owner.get(page, params={"filter": user[:4].upper()}).text
    text = owner.get(page, params={"filter": "zzz"}).text
    assert 'No member has "zzz" in the name.' in text
    assert f'data-text="{user}"' not in text


def test_suggestions_of_groups_are_the_callers(shared: Seaway, owner: Owner, ada: str) -> None:
    """Only groups that the caller can add to a channel, and only where groups can be chosen."""
    number = next(_numbers)
    with shared.site.database.write_site() as tx:
        now_ms = shared.site.clock.now_ms()
        groups.add(tx, now_ms, OPERATOR, f"watch-{number}-mine", users.get(tx, ada))
        groups.add(tx, now_ms, OPERATOR, f"watch-{number}-other", users.get(tx, "operator-of-it"))
    typed = {"q": f"watch-{number}"}
    shown = owner.get("/account/user-names", params=typed | {"groups": "1"}).text
    assert (True, False) == ("-mine" in shown, "-other" in shown)
    assert "-mine" not in owner.get("/account/user-names", params=typed).text


def role_of(seaway: Seaway, channel: str, user: str) -> Role | None:
    with seaway.site.database.read() as tx:
        return members.role_of(tx, channels.get(tx, channel).id, users.get(tx, user).id)


def test_user_names_are_completed(shared: Seaway, owner: Owner) -> None:
    """By a prefix of at least two letters; SQL wildcards match nothing."""
    user = Factory(shared).user("zoe-the-completed")
    assert f'data-value="{user}"' in owner.get("/account/user-names", params={"q": user[:-1]}).text
    for typed in ("a", "", "%%", "__"):
        assert "option" not in owner.get("/account/user-names", params={"q": typed}).text


def test_channel_keys_page_shows_only_the_callers_keys(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str, ada: str
) -> None:
    """Keys for the channel are created and revoked there; the owner does not see the keys of other members."""
    page, factory = f"/channels/{channel}/settings/keys", Factory(shared)
    member = new_user(shared)
    factory.member(channel, member, Role.CONTRIBUTOR)
    member_key = factory.key(member, only=[channel])
    shown = owner.get(page).text
    assert member not in shown
    assert member_key not in shown
    name = f"ship {next(_numbers)}"
    assert 422 == owner.send(page, name=name, mode="READ", days="1000").status_code
    assert f'value="{name}"' in owner.shown
    created = owner.send(page, name=name, mode="READ", days="7")
    secret = re.search(r"swy-u-[0-9A-Za-z]{42}", created.text)
    assert secret is not None
    assert factory.caller_of_key(secret[0]).channel_ids == frozenset({channel_id(shared, channel)})
    assert secret[0] not in owner.get(page).text
    asked = owner.send(page + "/revoke", name=name)
    assert (200, True, True) == (asked.status_code, "never used" in asked.text, "in all channels" in asked.text)
    assert name in owner.get(page).text
    owner.send(page + "/revoke", name=name)
    assert 303 == owner.send(page + "/revoke", name=name, confirmed=owner.hidden("confirmed")).status_code
    assert f"The key {name} was revoked." in owner.get(page).text
    assert name not in owner.get(page).text
    assert 404 == owner.send(page + "/revoke", name="key 0 of another user").status_code

    guest = new_browser()
    guest.sign_in(member)
    shown = guest.get(page).text
    assert "key 0" in shown
    assert 303 == guest.send(page + "/revoke", name="key 0", confirmed="yes").status_code
    with shared.site.database.read() as tx:
        assert api_keys.caller_of(tx, member_key, shared.site.clock.now_ms()) is None


def channel_id(seaway: Seaway, channel: str) -> int:
    with seaway.site.database.read() as tx:
        return channels.get(tx, channel).id


def test_trusted_publishers_are_added_and_removed(owner: Owner, channel: str) -> None:
    """The lines to paste contain the URL of the site and the channel; a refused form keeps its values."""
    page = f"/channels/{channel}/settings/publishers"
    text = owner.get(page).text
    assert f"--channel {channel} \\\n" in text
    fields = {"issuer": "github", "owner": "octo", "repository": "ship", "workflow": "release.yml"}
    more = {"mode": "READ_WRITE", "patterns": "ship-*", "allowed_refs": "refs/tags/v*"}
    assert 303 == owner.on(page, "", **fields, **more).status_code
    text = owner.get(page).text
    assert "octo/ship, release.yml can now publish to" in text
    assert "<dt>Workflow</dt><dd>release.yml</dd>" in text
    assert "ship-*" in text
    number = text.partition('name="publisher" value="')[2].partition('"')[0]
    assert 303 == owner.on(page, "/remove", publisher=number).status_code
    assert "The publisher octo/ship, release.yml was removed." in owner.get(page).text
    assert 303 == undo(owner).status_code
    text = owner.get(page).text
    assert 'href="#snippet-title"' in text.partition("data-message")[2][:900]
    assert all(part in text for part in ("octo/ship", "ship-*", "refs/tags/v*"))
    number = text.partition('name="publisher" value="')[2].partition('"')[0]
    owner.on(page, "/remove", publisher=number)
    owner.get(page)
    assert "octo/ship" not in owner.get(page).text
    refused = owner.on(page, "", **(fields | {"workflow": "a/b.yml"}), mode="READ_WRITE")
    assert 400 == refused.status_code
    assert 'value="octo"' in refused.text
    several = owner.on(page, "", issuer="github", owner="-", repository="a b", workflow="x.txt", mode="READ_WRITE")
    assert 400 == several.status_code
    assert "<strong>Nothing was changed.</strong>" in several.text
    for field, value in (("owner", "-"), ("repository", "a b"), ("workflow", "x.txt")):
        assert f'id="{field}-error"' in several.text
        assert f'name="{field}" type="text" value="{value}"' in several.text
    for issuer, label in (("gitlab", "Namespace"), ("google", "Service account")):
        assert label in owner.get(page, params={"issuer": issuer}).text


def test_token_is_tested_on_the_page(shared: Seaway, owner: Owner, channel: str) -> None:
    """The page shows the result of each check, and keeps the pasted token; nothing is exchanged."""
    page, now_s = f"/channels/{channel}/settings/publishers", shared.site.clock.now_ms() // 1000
    Trust(shared).keys("github", "key-1")
    Trust(shared).trust(channel, "github", {"owner": "acme", "repository": "tools", "workflow": "release.yml"})
    token = issuer_tokens.token(issuer_tokens.github(now_s))
    text = owner.on(page, "/test", token=token).text
    assert "This token would be accepted" in text
    assert f">{token}</textarea>" in text
    other = issuer_tokens.github(now_s, workflow_ref="acme/tools/.github/workflows/other.yml@refs/heads/main")
    text = owner.on(page, "/test", token=issuer_tokens.token(other)).text
    assert "This token would be refused" in text
    assert "Must be <code>release.yml</code>; the token has <code>acme/tools/.github/workflows/other.yml" in text
    assert "does not have three parts" in owner.on(page, "/test", token="abc").text
    assert (True, False) == ("need a token in the right format" in owner.shown, "Not checked." in owner.shown)


def test_upload_rules_are_changed(shared: Seaway, owner: Owner, channel: str) -> None:
    """Publishers only, and required attestations."""
    page = f"/channels/{channel}/settings/publishers"
    owner.get(page)
    assert 303 == owner.on(page, "/rules", only_publishers="true", attestations="required").status_code
    with shared.site.database.read() as tx:
        settings = channels.get(tx, channel)
    assert (True, "required") == (settings.only_publishers, settings.attestations.value)


def test_log_page_shows_the_change_and_its_address(owner: Owner, channel: str) -> None:
    """With the network of the caller's IP address."""
    owner.get(f"/channels/{channel}/settings")
    owner.on(f"/channels/{channel}/settings", "", description="changed", visibility="private")
    text = owner.get(f"/channels/{channel}/settings/log").text
    assert "channel.changed" in text
    assert owner.address.rpartition(":")[0] in text
    assert 200 == owner.get(f"/channels/{channel}/settings/log", params={"before": "1"}).status_code


def test_log_names_keys_and_sizes(shared: Seaway, owner: Owner, channel: str) -> None:
    with shared.site.database.write_site() as tx:
        now_ms = shared.site.clock.now_ms()
        quotas.set_of_channel(tx, now_ms, OPERATOR, channel, 1_000_000_000)
        audit.write(tx, now_ms, Actor("hopper (key key 0)"), Event.PUBLISHER_REMOVED, channel=channel, publisher=71)
    text = unescape(owner.get(f"/channels/{channel}/settings/log").text)
    assert "quota: 1.0 GB" in text
    assert 'hopper (key "key 0")' in text
    assert "publisher: 71<" not in text


def test_transfer_offer_changes_nothing_until_accepted(shared: Seaway, owner: Owner, channel: str, ada: str) -> None:
    """The owner can cancel the offer."""
    user, page = new_user(shared), f"/channels/{channel}/settings/danger"
    assert "you are the only member" in owner.get(page).text
    Factory(shared).member(channel, user, Role.VIEWER)
    owner.get(page)
    assert 303 == owner.on(page, "/offer", to=user).status_code
    assert user in owner.get(page).text
    with shared.site.database.read() as tx:
        assert ada == channels.get(tx, channel).owner
    assert 303 == owner.on(page, "/cancel").status_code
    with shared.site.database.read() as tx:
        assert [] == transfers.pending_for(tx, shared.site.clock.now_ms(), users.get(tx, user).id)


def test_channel_deletion_needs_the_typed_name(shared: Seaway, owner: Owner, channel: str) -> None:
    page = f"/channels/{channel}/settings/danger"
    owner.get(page)
    assert 400 == owner.on(page, "/delete", name="another").status_code
    assert 200 == owner.get(page).status_code
    assert 303 == owner.on(page, "/delete", name=channel).status_code
    assert 404 == owner.get(page).status_code


class CountingReserve(Reserve):
    """A disk reserve that counts its uses."""

    def __init__(self) -> None:
        self.times = 0

    def retry_with_reserve(self, act: Callable[[], T]) -> T:
        self.times += 1
        return act()


@pytest.mark.parametrize("route", ["page", "API"])
def test_channel_deletion_can_use_the_disk_reserve(
    shared: Seaway, portal: BlockingPortal, ada: str, channel: str, route: str
) -> None:
    """On a full disk, deletion frees space, so it can use the reserved space (storage.reserve 2)."""
    reserve = CountingReserve()
    site = replace(shared.site, reserve=reserve)
    full = replace(shared, request_parts=replace(shared.request_parts, site=site))
    owner = Owner(full, portal, f"2001:db8:5e77:{next(_numbers):x}::1")
    owner.sign_in(ada)
    if route == "page":
        assert 303 == owner.on(f"/channels/{channel}/settings/danger", "/delete", name=channel).status_code
    else:
        owner.get(f"/channels/{channel}/settings/danger")
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": SITE, "X-CSRF-Token": owner.token}
        response = owner.request("DELETE", f"/api/v1/channels/{channel}", params={"confirm": channel}, headers=headers)
        assert 204 == response.status_code
    assert 1 == reserve.times
    assert 404 == owner.get(f"/channels/{channel}").status_code


def test_deletion_needs_a_recent_confirmation(owner: Owner, channel: str, shared_clock: ManualClock) -> None:
    page = f"/channels/{channel}/settings/danger"
    owner.get(page)
    shared_clock.move(HOUR_MS)
    response = owner.send(f"{page}/delete", name=channel)
    assert (403, True) == (response.status_code, "Confirm access" in response.text)
    assert 200 == owner.get(page).status_code


def test_settings_are_hidden_from_users_without_permission(
    shared: Seaway, new_browser: Callable[[], HttpBrowser], channel: str
) -> None:
    """Users without access get the same 404 as for an unknown channel; contributors see only the upload page."""
    other_user, contributor = new_user(shared), new_user(shared)
    Factory(shared).member(channel, contributor, Role.CONTRIBUTOR)
    for user, expected in ((other_user, {404}), (contributor, {200, 403})):
        browser = new_browser()
        browser.sign_in(user)
        ends = ("", "/members", "/publishers", "/upload", "/log", "/danger")
        responses = {end: browser.get(f"/channels/{channel}/settings{end}") for end in ends}
        assert expected == {response.status_code for response in responses.values()}
        assert (200 in expected) == (responses["/upload"].status_code == 200)
        unknown = browser.get("/channels/unknown-channel/settings/members")
        if user == other_user:
            assert unknown.status_code == responses["/members"].status_code
            assert unknown.text.replace("unknown-channel", channel) == responses["/members"].text


def test_invitation_is_accepted_with_its_link(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str
) -> None:
    """Opening the link does not use it up; a caller without a session is sent to sign in and back."""
    secret = invited(shared, channel)
    user, browser = new_user(shared), new_browser()
    text = browser.get(f"/invitations/{secret}").text
    assert f"/signin?next=/invitations/{secret}" in text
    sign_up = re.search(r'href="(/signup\?address=guest[^"]+)"', text)
    assert sign_up
    assert 'type="email" value="guest-' in browser.get(unescape(sign_up[1])).text
    browser.sign_in(user)
    browser.get(f"/invitations/{secret}")
    response = browser.send(f"/invitations/{secret}/accept")
    assert (303, f"/channels/{channel}") == (response.status_code, response.headers["location"])
    assert Role.VIEWER is role_of(shared, channel, user)
    assert 404 == browser.get(f"/invitations/{secret}").status_code


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (None, "You joined {} as a contributor."),
        (Role.VIEWER, "You are now a contributor of {}."),
        (Role.CONTRIBUTOR, "You are already a contributor of {}."),
        (Role.OWNER, "You are already the owner of {}."),
    ],
)
def test_accepting_an_invitation_reports_the_role_afterwards(
    shared: Seaway,
    owner: Owner,
    ada: str,
    new_browser: Callable[[], HttpBrowser],
    channel: str,
    before: Role | None,
    sentence: str,
) -> None:
    """Accepting never lowers a role."""
    user, browser = ada if before is Role.OWNER else new_user(shared), new_browser()
    if before in (Role.VIEWER, Role.CONTRIBUTOR):
        Factory(shared).member(channel, user, before)
    secret = invited(shared, channel, Role.CONTRIBUTOR)
    browser.sign_in(user)
    browser.get(f"/invitations/{secret}")
    browser.send(f"/invitations/{secret}/accept")
    assert sentence.format(channel) in browser.get("/account").text
    assert (before if before is Role.OWNER else Role.CONTRIBUTOR) is role_of(shared, channel, user)


def test_owner_is_not_invited(shared: Seaway, owner: Owner, ada: str, channel: str) -> None:
    """Addresses of other members are not revealed."""
    page, member = f"/channels/{channel}/settings/members", new_user(shared)
    Factory(shared).member(channel, member, Role.CONTRIBUTOR)
    refused = owner.on(page, "", who=f"{ada.upper()}@example.com", role="viewer")
    assert (409, True) == (refused.status_code, f"belongs to the owner of {channel}." in refused.text)
    assert 'id="who-error"' in refused.text
    assert 303 == owner.on(page, "", who=f"{member}@example.com", role="viewer").status_code


def test_removing_a_missing_logo_reports_no_change(owner: Owner, channel: str) -> None:
    page = f"/channels/{channel}/settings"
    owner.on(page, "/logo", none="1")
    shown = owner.get(page).text
    assert ("The channel has no logo." in shown, "The logo was removed." in shown) == (True, False)


@pytest.mark.parametrize("field", ["description", "v3_message"])
def test_control_characters_are_reported_at_the_field(owner: Owner, channel: str, field: str) -> None:
    refused = owner.on(f"/channels/{channel}/settings", "", **{field: "Ships\x07"})
    assert (422, True) == (refused.status_code, f'id="{field}-error"' in refused.text)


def test_invitation_shows_the_logo_of_public_channels_only(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str
) -> None:
    """The invited user is not a member yet, so a private channel shows its initials."""
    shared.request_parts.logos.put(OPERATOR, channel, NewLogo(images.png()))
    link = f"/invitations/{invited(shared, channel)}"
    assert "/logo/" not in new_browser().get(link).text
    with shared.site.database.write_site() as tx:
        channels.change(tx, shared.site.clock.now_ms(), OPERATOR, channel, ChannelSettings(public=True))
    assert logo_of(shared, channel) in new_browser().get(link).text


def test_invitation_is_declined_without_an_account(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str
) -> None:
    """Only with the form of the page, so that a link on another site declines nothing."""
    secret, browser = invited(shared, channel), new_browser()
    assert 403 == browser.send(f"/invitations/{secret}/decline").status_code
    browser.get(f"/invitations/{secret}")
    assert 303 == browser.send(f"/invitations/{secret}/decline").status_code
    assert 404 == browser.get(f"/invitations/{secret}").status_code


def invited(seaway: Seaway, channel: str, role: Role = Role.VIEWER) -> str:
    with seaway.site.database.write_site() as tx:
        now_ms = seaway.site.clock.now_ms()
        _, secret = invitations.invite(
            tx, now_ms, OPERATOR, channel, f"guest-{next(_numbers)}@example.com", role, outbox=None
        )
    return secret


@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_transfer_offer_is_accepted_or_declined(
    shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser], channel: str, ada: str, decision: str
) -> None:
    """The recipient sees the channel among the offers and decides there."""
    user, browser = new_user(shared), new_browser()
    Factory(shared).member(channel, user, Role.VIEWER)
    owner.on(f"/channels/{channel}/settings/danger", "/offer", to=user)
    browser.sign_in(user)
    assert channel in browser.get("/account/offers").text
    assert 303 == browser.send(f"/account/offers/{decision}", channel=channel).status_code
    sentence = f"You own {channel} now." if decision == "accept" else f"You declined the ownership of {channel}."
    assert sentence in browser.get("/account/offers").text
    assert channel not in browser.get("/account/offers").text
    with shared.site.database.read() as tx:
        assert (user if decision == "accept" else ada) == channels.get(tx, channel).owner


def test_group_is_managed_on_its_pages(shared: Seaway, owner: Owner, ada: str) -> None:
    """Creation, members, managers, emails, deletion; the last manager cannot leave."""
    name, user = f"crew-{next(_numbers)}", new_user(shared)
    response = owner.on("/account/groups", "", name=name, description="The night watch")
    page = f"/account/groups/{name}"
    assert page == response.headers["location"]
    assert 303 == owner.on(page, "", user=user).status_code
    assert f"{user} was added to {name}." in owner.get(page).text
    assert 303 == owner.on(page, "", user=user, manager="on").status_code
    assert f"{user} is now a manager of {name}." in owner.get(page).text
    owner.on(page, "", user=user, manager="on")
    assert f"{user} is already a manager of {name}." in owner.get(page).text
    refused = owner.on(page, "", user="nobody-here", manager="on")
    assert (422, True) == (refused.status_code, 'id="user-error"' in refused.text)
    assert "There is no user named nobody-here. Check the spelling." in refused.text
    assert 'value="nobody-here"' in refused.text
    assert "The night watch" in owner.get("/account/groups").text
    assert 303 == owner.on(page, "/remove", user=user).status_code
    assert f"{user} was removed from {name}." in owner.get(page).text
    assert user not in owner.get(page).text
    assert [f"You are now in the group {name}"] == [
        email["Subject"] for email in emails_to(shared, f"{user}@example.com") if "group" in email["Subject"]
    ]
    assert 409 == owner.on(page, "/leave").status_code
    assert 422 == owner.on("/account/groups", "", name=name).status_code
    assert 303 == owner.on(page, "/delete").status_code
    assert f"The group {name} was deleted." in owner.get("/account/groups").text
    assert name not in owner.get("/account/groups").text


def test_adding_a_member_of_a_group_again_changes_nothing(shared: Seaway, owner: Owner) -> None:
    """Only the button of a member takes the manager right away; the form without its box does not."""
    name, user = f"crew-{next(_numbers)}", new_user(shared)
    owner.on("/account/groups", "", name=name)
    page = f"/account/groups/{name}"
    owner.on(page, "", user=user)
    owner.on(page, "", user=user)
    assert f"{user} is already in {name}." in owner.get(page).text
    owner.on(page, "", user=user, manager="on")
    for fields in ({}, {"manager": "on"}):
        owner.on(page, "", user=user, **fields)
        assert f"{user} is already {'a manager of' if fields else 'in'} {name}." in owner.get(page).text
    with shared.site.database.read() as tx:
        assert [True, True] == [member.is_manager for member in groups.get(tx, OPERATOR, name)[1]]
    assert '<input type="hidden" name="manager" value="off">' in owner.get(page).text
    owner.on(page, "", user=user, manager="off")
    assert f"{user} is no longer a manager of {name}." in owner.get(page).text


def test_group_page_is_for_members_only(shared: Seaway, owner: Owner, new_browser: Callable[[], HttpBrowser]) -> None:
    """Other users get 403, and members without the manager role cannot change the group."""
    name, user = f"crew-{next(_numbers)}", new_user(shared)
    owner.on("/account/groups", "", name=name)
    browser = new_browser()
    browser.sign_in(user)
    assert 403 == browser.get(f"/account/groups/{name}").status_code
    owner.on(f"/account/groups/{name}", "", user=user)
    assert "Add a user" not in browser.get(f"/account/groups/{name}").text
    assert 403 == browser.send(f"/account/groups/{name}/delete").status_code
    browser.get(f"/account/groups/{name}")
    assert 303 == browser.send(f"/account/groups/{name}/leave").status_code


def test_log_is_filtered_and_paging_keeps_the_filters(shared: Seaway, owner: Owner, channel: str, ada: str) -> None:
    """By query parameters, which a form without JavaScript sends too; hashes are folded away."""
    now_ms, page = shared.site.clock.now_ms(), f"/channels/{channel}/settings/log"
    uploads = [
        NewEntry(now_ms, Actor("hopper (key ci)"), Event.FILE_UPLOADED, channel, f"noarch/lib-1.0-{number}.conda", {"sha256": "ab" * 32})
        for number in range(PER_PAGE + 1)
    ]  # fmt: skip
    with shared.site.database.write_site() as tx:
        audit.write_all(tx, uploads)
        audit.write(tx, now_ms, Actor(ada), Event.MEMBER_ADDED, channel=channel, target="turing")
    shown = owner.get(page, params={"person": "hopper", "file": "lib"}).text
    assert "turing" not in shown
    assert "File uploaded<code" in shown
    assert re.search(r"<details[^>]*>\s*<summary>sha256</summary>[^~]*?<code>(ab){32}</code>", shown)
    older = re.search(r'href="([^"]+)" rel="next"', shown)
    assert older is not None
    assert "person=hopper&amp;file=lib&amp;before=" in older[1]
    assert "noarch/lib-1.0-0.conda" in owner.get(unescape(older[1])).text
    assert "turing" in owner.get(page, params={"action": "member.added"}).text
    assert "No entries match these filters" in owner.get(page, params={"file": "no-such-package"}).text
