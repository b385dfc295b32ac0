"""A server with users, channels and packages, and the list of its pages."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import insert

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, groups, invitations, members, quotas, transfers
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.clock import DAY_MS
from seaway.database.tables import jobs, totp
from seaway.packages import removal
from seaway.packages.sweep import sweep
from seaway.publishing.logos import NewLogo
from seaway.server.wiring import Seaway
from seaway.sign_in import passwords, second_factors, user_access, user_invitations
from seaway.trusted_publishing import issuers, publishers
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.users import emails, users
from tests.browser import demo_packages
from tests.support import images, sites
from tests.support.packages import conda, index_json, paths_json
from tests.support.requests import upload
from tests.support.server import Server, serving
from tests.support.sites import Factory

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "tangerine ladder 7 fathoms"
HOSTILE = "<img src=//evil.example/x onerror=alert(1)><script>alert(2)</script>\"'>{{7*7}}"
LONG = f"gripper-firmware-{demo_packages.LONG_VERSION}-{demo_packages.LONG_BUILD}.conda"
EDITOR = "/channels/robots/packages/pixi-editor/files/noarch/pixi-editor-2.0.0-h4616a5c_0.conda"


PUBLISHERS = {
    "github": {"owner": "octo-org", "repository": "calculate-pi", "workflow": "release.yml", "environment": "release"},
    "gitlab": {"namespace": "acme/team", "project": "tools"},
    "google": {"email": "builder@acme.iam.gserviceaccount.com", "sub": "113774264463038321964"},
}


@dataclass(frozen=True)
class DemoPage:
    """A page of the demo site, opened anonymously or signed in."""

    name: str
    path: str
    signed_in: bool = False


PAGES = (
    DemoPage("front", "/"),
    DemoPage("channel", "/channels/robots"),
    DemoPage("channel-searched", "/channels/robots?q=nothing-like-it&sort=updated"),
    DemoPage("channel-hostile", "/channels/hostile"),
    DemoPage("channel-large", "/channels/tide-tables"),
    DemoPage("channel-filtered", "/channels/tide-tables?q=tide&subdir=linux-64&sort=downloads"),
    DemoPage("channels", "/channels"),
    DemoPage("package", "/channels/robots/packages/gripper"),
    DemoPage("package-real", "/channels/robots/packages/pixi-editor?of=2.0.0&days=365"),
    DemoPage("package-clients", "/channels/robots/packages/gripper?by=client&days=90"),
    DemoPage("statistics", "/channels/robots/statistics?by=package"),
    DemoPage("statistics-year", "/channels/robots/statistics?by=client&days=365"),
    DemoPage("statistics-private", "/channels/deep-sea/statistics", signed_in=True),
    DemoPage("package-attested", "/channels/robots/packages/calibration"),
    DemoPage("package-builds", "/channels/robots/packages/force-sensor"),
    DemoPage("package-yanked", "/channels/robots/packages/legacy-driver"),
    DemoPage("package-long-builds", "/channels/robots/packages/gripper-firmware"),
    DemoPage("dependents", "/channels/robots/packages/gripper/dependents"),
    DemoPage("package-hostile", "/channels/hostile/packages/evil"),
    DemoPage("package-long", f"/channels/robots/packages/{demo_packages.LONG_NAME}"),
    DemoPage(
        "file-long", f"/channels/robots/packages/{demo_packages.LONG_NAME}/files/noarch/{demo_packages.LONG.name}"
    ),
    DemoPage("search-long", "/search?q=inverse"),
    DemoPage("file", "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda"),
    DemoPage(
        "file-compared",
        "/channels/robots/packages/gripper/files/noarch/gripper-2.0-h1_0.conda?against=noarch/gripper-1.0-h1_0.conda",
    ),
    DemoPage("file-real", EDITOR),
    DemoPage("file-real-compared", f"{EDITOR}?against=noarch/pixi-editor-1.0.0-h4616a5c_0.conda"),
    DemoPage("file-attested", "/channels/robots/packages/calibration/files/noarch/calibration-1.4.2-h1_0.conda"),
    DemoPage("file-long", f"/channels/robots/packages/gripper-firmware/files/linux-64/{LONG}"),
    DemoPage("file-hostile", "/channels/hostile/packages/evil/files/noarch/evil-1.0-h1_0.conda"),
    DemoPage("search", "/search?q=gripper"),
    DemoPage("search-how", "/search"),
    DemoPage("search-many", "/search?q=tide"),
    DemoPage("search-spec", "/search?q=gripper+%3E%3D2"),
    DemoPage("search-nothing", "/search?q=nothing-like-it"),
    DemoPage("docs", "/docs"),
    DemoPage("docs-publishing", "/docs/use/trusted-publishing"),
    DemoPage("docs-settings", "/docs/operate/settings"),
    DemoPage("docs-architecture", "/docs/ARCHITECTURE"),
    DemoPage("style", "/style"),
    DemoPage("signin", "/signin"),
    DemoPage("signup", "/signup"),
    DemoPage("signup-sent", "/signup/sent"),
    DemoPage("verify-over", "/verify/swy-ln-over"),
    DemoPage("reset", "/reset"),
    DemoPage("reset-sent", "/reset/sent"),
    DemoPage("not-found", "/channels/no-such-channel"),
    DemoPage("front-signed-in", "/", signed_in=True),
    DemoPage("home", "/home", signed_in=True),
    DemoPage("channel-private", "/channels/deep-sea", signed_in=True),
    DemoPage("channels-mine", "/channels", signed_in=True),
    DemoPage("file-mine", "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda", signed_in=True),
    DemoPage("package-mine", "/channels/robots/packages/gripper?done=yank&count=2", signed_in=True),
    DemoPage("package-builds-mine", "/channels/robots/packages/force-sensor", signed_in=True),
    DemoPage("package-long-mine", "/channels/robots/packages/gripper-firmware", signed_in=True),
    DemoPage(
        "file-correction",
        "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda/correction",
        signed_in=True,
    ),
    DemoPage("confirm", "/confirm?next=/account/keys", signed_in=True),
    DemoPage("channel-new", "/channels/new", signed_in=True),
    DemoPage("settings", "/channels/robots/settings", signed_in=True),
    DemoPage("settings-members", "/channels/robots/settings/members", signed_in=True),
    DemoPage("settings-publishers", "/channels/robots/settings/publishers", signed_in=True),
    DemoPage(
        "settings-log-filtered", "/channels/robots/settings/log?action=file.uploaded&file=gripper", signed_in=True
    ),
    DemoPage("settings-publishers-google", "/channels/robots/settings/publishers?issuer=google", signed_in=True),
    DemoPage("settings-keys", "/channels/robots/settings/keys", signed_in=True),
    DemoPage("settings-upload", "/channels/robots/settings/upload", signed_in=True),
    DemoPage("settings-log", "/channels/robots/settings/log", signed_in=True),
    DemoPage("settings-danger", "/channels/robots/settings/danger", signed_in=True),
    DemoPage("account", "/account", signed_in=True),
    DemoPage("account-keys", "/account/keys", signed_in=True),
    DemoPage("account-emails", "/account/emails", signed_in=True),
    DemoPage("account-security", "/account/security", signed_in=True),
    DemoPage("account-sessions", "/account/sessions", signed_in=True),
    DemoPage("account-groups", "/account/groups", signed_in=True),
    DemoPage("account-offers", "/account/offers", signed_in=True),
    DemoPage("account-identities", "/account/identities", signed_in=True),
    DemoPage("device", "/device", signed_in=True),
    DemoPage("account-tools", "/account/tools", signed_in=True),
    DemoPage("admin", "/admin", signed_in=True),
    DemoPage("admin-users", "/admin/users", signed_in=True),
    DemoPage("admin-users-none", "/admin/users?q=nobody-like-that&state=admin", signed_in=True),
    DemoPage("admin-invite", "/admin/users/invite", signed_in=True),
    DemoPage("admin-user-invited", "/admin/users/dora", signed_in=True),
    DemoPage("admin-user-disable", "/admin/users/hopper/disable", signed_in=True),
    DemoPage("admin-user-delete", "/admin/users/hopper/delete", signed_in=True),
    DemoPage("admin-user-delete-owner", "/admin/users/grace/delete", signed_in=True),
    DemoPage("admin-user", "/admin/users/grace", signed_in=True),
    DemoPage("admin-user-me", "/admin/users/ada", signed_in=True),
    DemoPage("admin-channels", "/admin/channels", signed_in=True),
    DemoPage("admin-channel", "/admin/channels/robots", signed_in=True),
    DemoPage("admin-channels-filtered", "/admin/channels?over=1&sort=size", signed_in=True),
    DemoPage("admin-channel-delete", "/admin/channels/robots/delete", signed_in=True),
    DemoPage("admin-storage", "/admin/storage", signed_in=True),
    DemoPage("admin-jobs", "/admin/jobs", signed_in=True),
    DemoPage("admin-jobs-waiting", "/admin/jobs?state=ready", signed_in=True),
    DemoPage("admin-issuers", "/admin/issuers", signed_in=True),
    DemoPage("admin-issuer", "/admin/issuers/forge", signed_in=True),
    DemoPage("admin-issuer-remove", "/admin/issuers/forge/remove", signed_in=True),
    DemoPage("invite-over", "/invite/swy-ln-over"),
    DemoPage("admin-log", "/admin/log", signed_in=True),
)


@dataclass(frozen=True)
class DemoSite:
    """A running server, the same site opened in this process, and a browser."""

    server: Server
    seaway: Seaway
    address: str
    browser: Browser

    def context(self, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> BrowserContext:
        """A new browser profile."""
        return self.browser.new_context(
            base_url=self.address,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )

    def sign_in(self, page: Page, name: str = "ada") -> None:
        """Sign in on the sign-in page."""
        page.goto("/signin")
        page.get_by_label("User name or email address").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/home")


@contextmanager
def running_demo_site(folder: Path) -> Iterator[DemoSite]:
    """Start a server with demo data, and a browser."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"  # not an IP address: passkeys need a domain name
    with serving(folder, examiners=1, port=port, public_url=address) as server:
        seaway = sites.build(folder, public_url=address)
        _add_content(server, seaway)
        demo_packages.publish_attested(seaway, "robots")
        _add_admin_content(Factory(seaway))  # last: its quota is smaller than the channel
        demo_packages.add_year_of_downloads(seaway)
        demo_packages.add_year_of_storage(seaway)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
            yield DemoSite(server, seaway, address, browser)
            browser.close()
        seaway.close()


def new_user(seaway: Seaway, name: str, *, admin: bool = False) -> str:
    """Create a user with a verified email address and the password `PASSWORD`; return the name."""
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        users.add(
            tx,
            now_ms,
            OPERATOR,
            name,
            email=f"{name}@example.com",
            password_hash=passwords.hash_new(PASSWORD),
            is_admin=admin,
        )
    return name


def _add_admin_content(factory: Factory) -> None:
    """Add what only site admins see: another user, quotas, an issuer, failed jobs, a sweep."""
    seaway = factory.seaway
    grace = new_user(seaway, "grace")
    factory.channel("grace-notes", owner=grace)
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        users.set_display_name(tx, now_ms, OPERATOR, grace, "Grace Murray Hopper")
        tx.execute(insert(totp).values(user_id=users.get(tx, grace).id, seed=b"", confirmed_at=now_ms, last_step=0))
        second_factors.request_reset(seaway.request_parts.accounts, tx, now_ms, OPERATOR, users.get(tx, grace).id)
        user_access.set_disabled(tx, now_ms, OPERATOR, grace, disabled=True)
        quotas.set_of_user(tx, now_ms, OPERATOR, grace, 20 * 10**9)
        quotas.set_of_channel(tx, now_ms, OPERATOR, "robots", 10**9)
        quotas.set_of_channel(tx, now_ms, OPERATOR, "hostile", 500)
        issuers.add(tx, now_ms, OPERATOR, "forge", kind="gitlab", issuer="https://gitlab.example.com")
        for number in range(2):
            cause = "socket.create_connection: [Errno 111] Connection refused. " * 5
            error = f"ConnectionRefusedError: mail.example.com:587 refused the connection {HOSTILE} {cause}"
            values = {
                "kind": "send-email",
                "args": "{}",
                "state": "failed",
                "attempt": 10,
                "created_at": now_ms - number,
            }
            tx.execute(insert(jobs).values(**values, run_at=now_ms, error=error))
        parts = seaway.request_parts.accounts
        user_invitations.invite(parts, tx, now_ms, OPERATOR, "dora", "dora.the-explorer@shipping.example.com")
    sweep(seaway.site, seaway.pairing, max_percent=100)


def _add_pending(seaway: Seaway, user: str) -> None:
    """Add an invitation and an offer that a user has not answered."""
    factory, now_ms = Factory(seaway), seaway.site.clock.now_ms()
    owner = factory.signed_in(new_user(seaway, "bathurst"))
    for channel in ("moorings", "lighthouses"):
        factory.channel(channel, owner=owner.name, public=False)
    factory.member("lighthouses", user, Role.CONTRIBUTOR)
    with seaway.site.database.write_site() as tx:
        invitations.invite(tx, now_ms, owner, "moorings", f"{user}@example.com", Role.CONTRIBUTOR, outbox=None)
        transfers.offer(tx, now_ms, owner, "lighthouses", user)


def _add_content(server: Server, seaway: Seaway) -> None:
    factory = Factory(seaway)
    ada = new_user(seaway, "ada", admin=True)
    for name, public, description in (
        ("robots", True, "Motion planning, drivers and simulators for the arms in hall 3."),
        ("tide-tables", True, "Harmonic constants of 2,000 ports, and the code that reads them."),
        ("deep-sea", False, "Instruments of the cruise M214. Not published before the paper."),
        ("hostile", True, HOSTILE),
    ):
        factory.channel(name, owner=ada, public=public)
        with seaway.site.database.write_site() as tx:
            channels.change(tx, seaway.site.clock.now_ms(), OPERATOR, name, ChannelSettings(description=description))
    seaway.request_parts.logos.put(OPERATOR, "robots", NewLogo(images.sample_logo()))
    with seaway.site.database.write_site() as tx:
        now_ms, outbox = seaway.site.clock.now_ms(), seaway.request_parts.accounts.outbox
        groups.add(tx, now_ms, OPERATOR, "night-watch", users.get(tx, ada))
        members.put_group(tx, now_ms, OPERATOR, "robots", "night-watch", Role.VIEWER)
        invitations.invite(tx, now_ms, OPERATOR, "robots", "lovelace@example.com", Role.CONTRIBUTOR, outbox=None)
        invitations.invite(tx, now_ms - 9 * DAY_MS, OPERATOR, "robots", "babbage@example.com", Role.VIEWER, outbox=None)
        for issuer, fields in PUBLISHERS.items():
            publishers.add(tx, now_ms, OPERATOR, outbox, "robots", issuer, PublisherSettings(fields=fields))
    for user in ("hopper", "turing"):
        factory.member("robots", user, Role.CONTRIBUTOR)
        factory.key(user, only=["robots"])
    _add_pending(seaway, ada)
    key = factory.key(ada)
    factory.key(ada, only=["robots"], days=3)
    factory.key(ada, days=-1)
    with seaway.site.database.write_site() as tx:
        emails.add(tx, seaway.site.clock.now_ms(), users.get(tx, ada).id, "ada@elsewhere.example", verified=False)
    with server.client() as client:
        for name, summary in demo_packages.SUMMARIES.items():
            assert upload(client, "robots", conda(index_json(name), about={"summary": summary}), key).status_code == 201
        for file in (*demo_packages.real_files(), *demo_packages.files_in_many_builds(), demo_packages.LONG):
            response = upload(client, "robots", file, key)
            assert response.status_code == 201, response.text
        removal.yank(seaway.site, OPERATOR, "robots", "noarch", "legacy-driver-0.3-h1_0.conda", reason="Burns motors.")
        newer = index_json("gripper", "2.0", depends=["arm-driver >=1"], license="BSD-3-Clause")
        assert (
            upload(
                client, "robots", conda(newer, about={"summary": demo_packages.SUMMARIES["gripper"]}), key
            ).status_code
            == 201
        )
        for file in demo_packages.tide_tables():
            assert upload(client, "tide-tables", file, key).status_code == 201
        about = {
            "summary": HOSTILE,
            "description": HOSTILE,
            "home": f"https://evil.example/{HOSTILE}",
            "license": HOSTILE,
        }
        files = {f"share/{HOSTILE}".replace("/", "_"): b""}
        evil = conda(index_json("evil", license=HOSTILE), about=about, files=files, paths=paths_json(files))
        assert upload(client, "hostile", evil, key).status_code == 201
