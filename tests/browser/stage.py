"""A server with people and channels on it, and the list of its pages."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import insert

from seaway.callers.caller import OPERATOR
from seaway.channels import channels, quotas
from seaway.channels.channel import ChannelSettings
from seaway.channels.roles import Role
from seaway.database.tables import jobs, totp
from seaway.packages.sweep import sweep
from seaway.publishing.logos import NewLogo
from seaway.server.wiring import Seaway
from seaway.sign_in import passwords, second_factors, user_access
from seaway.trusted_publishing import issuers
from seaway.users import emails, users
from tests.browser import real
from tests.support import images, sites
from tests.support.packages import conda, index_json, paths_json
from tests.support.requests import upload
from tests.support.server import Server, serving
from tests.support.sites import Factory

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "tangerine ladder 7 fathoms"
HOSTILE = "<img src=//evil.example/x onerror=alert(1)><script>alert(2)</script>\"'>{{7*7}}"
EDITOR = "/channels/robots/packages/pixi-editor/files/noarch/pixi-editor-2.0.0-h4616a5c_0.conda"


@dataclass(frozen=True)
class Shot:
    """A page, and whether one is signed in on it."""

    name: str
    path: str
    signed_in: bool = False


PAGES = (
    Shot("front", "/"),
    Shot("channel", "/channels/robots"),
    Shot("channel-searched", "/channels/robots?q=nothing-like-it&sort=updated"),
    Shot("channel-hostile", "/channels/hostile"),
    Shot("channels", "/channels"),
    Shot("package", "/channels/robots/packages/gripper"),
    Shot("package-real", "/channels/robots/packages/pixi-editor?of=2.0.0&days=365"),
    Shot("package-attested", "/channels/robots/packages/calibration"),
    Shot("package-hostile", "/channels/hostile/packages/evil"),
    Shot("file", "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda"),
    Shot(
        "file-compared",
        "/channels/robots/packages/gripper/files/noarch/gripper-2.0-h1_0.conda?against=noarch/gripper-1.0-h1_0.conda",
    ),
    Shot("file-real", EDITOR),
    Shot("file-real-compared", f"{EDITOR}?against=noarch/pixi-editor-1.0.0-h4616a5c_0.conda"),
    Shot("file-attested", "/channels/robots/packages/calibration/files/noarch/calibration-1.4.2-h1_0.conda"),
    Shot("file-hostile", "/channels/hostile/packages/evil/files/noarch/evil-1.0-h1_0.conda"),
    Shot("search", "/search?q=gripper"),
    Shot("search-how", "/search"),
    Shot("search-nothing", "/search?q=nothing-like-it"),
    Shot("docs", "/docs"),
    Shot("docs-publishing", "/docs/use/trusted-publishing"),
    Shot("docs-settings", "/docs/operate/settings"),
    Shot("docs-architecture", "/docs/ARCHITECTURE"),
    Shot("signin", "/signin"),
    Shot("signup", "/signup"),
    Shot("signup-sent", "/signup/sent"),
    Shot("verify-over", "/verify/swy-ln-over"),
    Shot("reset", "/reset"),
    Shot("reset-sent", "/reset/sent"),
    Shot("not-found", "/channels/no-such-channel"),
    Shot("front-signed-in", "/", signed_in=True),
    Shot("channel-private", "/channels/deep-sea", signed_in=True),
    Shot("channels-mine", "/channels", signed_in=True),
    Shot("file-mine", "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda", signed_in=True),
    Shot("package-mine", "/channels/robots/packages/gripper?done=yank&count=2", signed_in=True),
    Shot(
        "file-correction",
        "/channels/robots/packages/gripper/files/noarch/gripper-1.0-h1_0.conda/correction",
        signed_in=True,
    ),
    Shot("confirm", "/confirm?next=/account/keys", signed_in=True),
    Shot("channel-new", "/channels/new", signed_in=True),
    Shot("settings", "/channels/robots/settings", signed_in=True),
    Shot("settings-members", "/channels/robots/settings/members", signed_in=True),
    Shot("settings-publishers", "/channels/robots/settings/publishers", signed_in=True),
    Shot("settings-publishers-google", "/channels/robots/settings/publishers?issuer=google", signed_in=True),
    Shot("settings-keys", "/channels/robots/settings/keys", signed_in=True),
    Shot("settings-upload", "/channels/robots/settings/upload", signed_in=True),
    Shot("settings-log", "/channels/robots/settings/log", signed_in=True),
    Shot("settings-danger", "/channels/robots/settings/danger", signed_in=True),
    Shot("account", "/account", signed_in=True),
    Shot("account-keys", "/account/keys", signed_in=True),
    Shot("account-emails", "/account/emails", signed_in=True),
    Shot("account-security", "/account/security", signed_in=True),
    Shot("account-sessions", "/account/sessions", signed_in=True),
    Shot("account-groups", "/account/groups", signed_in=True),
    Shot("account-offers", "/account/offers", signed_in=True),
    Shot("account-identities", "/account/identities", signed_in=True),
    Shot("device", "/device", signed_in=True),
    Shot("account-tools", "/account/tools", signed_in=True),
    Shot("admin-users", "/admin/users", signed_in=True),
    Shot("admin-user", "/admin/users/grace", signed_in=True),
    Shot("admin-user-me", "/admin/users/ada", signed_in=True),
    Shot("admin-channels", "/admin/channels", signed_in=True),
    Shot("admin-channel", "/admin/channels/robots", signed_in=True),
    Shot("admin-storage", "/admin/storage", signed_in=True),
    Shot("admin-jobs", "/admin/jobs", signed_in=True),
    Shot("admin-jobs-waiting", "/admin/jobs?state=ready", signed_in=True),
    Shot("admin-issuers", "/admin/issuers", signed_in=True),
    Shot("admin-issuer", "/admin/issuers/forge", signed_in=True),
    Shot("admin-log", "/admin/log", signed_in=True),
)


@dataclass(frozen=True)
class Stand:
    """A running server, its store opened beside it, and a browser."""

    server: Server
    beside: Seaway
    address: str
    browser: Browser

    def context(self, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> BrowserContext:
        """A browser of one person."""
        return self.browser.new_context(
            base_url=self.address,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )

    def sign_in(self, page: Page, name: str = "ada") -> None:
        """By the page for it."""
        page.goto("/signin")
        page.get_by_label("User name or email address").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/account")


@contextmanager
def standing(folder: Path) -> Iterator[Stand]:
    """Everything that the pages show, on a server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"  # a name: passkeys are bound to one
    with serving(folder, examiners=1, port=port, public_url=address) as server:
        beside = sites.build(folder, public_url=address)
        _furnish(server, beside)
        real.attest(beside, "robots")
        _furnish_site(Factory(beside))  # last, since it leaves the channel no room
        real.fetch_for_a_year(beside)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
            yield Stand(server, beside, address, browser)
            browser.close()
        beside.close()


def new_user(beside: Seaway, name: str, *, admin: bool = False) -> str:
    """Somebody with a verified address and the usual password."""
    now_ms = beside.clock.now_ms()
    with beside.database.write_site() as tx:
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


def _furnish_site(factory: Factory) -> None:
    """What only site admins see: another user, limits, an issuer, work that failed, a sweep."""
    beside = factory.seaway
    grace = new_user(beside, "grace")
    factory.channel("grace-notes", owner=grace)
    now_ms = beside.clock.now_ms()
    with beside.database.write_site() as tx:
        users.set_display_name(tx, now_ms, OPERATOR, grace, "Grace Murray Hopper")
        tx.execute(insert(totp).values(user_id=users.get(tx, grace).id, seed=b"", confirmed_at=now_ms, last_step=0))
        second_factors.request_reset(beside.request_parts.accounts, tx, now_ms, OPERATOR, users.get(tx, grace).id)
        user_access.set_disabled(tx, now_ms, OPERATOR, grace, disabled=True)
        quotas.set_of_user(tx, now_ms, OPERATOR, grace, 20 * 10**9)
        quotas.set_of_channel(tx, now_ms, OPERATOR, "robots", 10**9)
        quotas.set_of_channel(tx, now_ms, OPERATOR, "hostile", 500)
        issuers.add(tx, now_ms, OPERATOR, "forge", kind="gitlab", issuer="https://gitlab.example.com")
        for number in range(2):
            error = f"ConnectionRefusedError: mail.example.com:587 refused the connection {HOSTILE}"
            values = {
                "kind": "send-email",
                "args": "{}",
                "state": "failed",
                "attempt": 10,
                "created_at": now_ms - number,
            }
            tx.execute(insert(jobs).values(**values, run_at=now_ms, error=error))
    sweep(beside.sweeping)


def _furnish(server: Server, beside: Seaway) -> None:
    factory = Factory(beside)
    ada = new_user(beside, "ada", admin=True)
    for name, public, description in (
        ("robots", True, "Motion planning, drivers and simulators for the arms in hall 3."),
        ("tide-tables", True, "Harmonic constants of 2,000 ports, and the code that reads them."),
        ("deep-sea", False, "Instruments of the cruise M214. Not published before the paper."),
        ("hostile", True, HOSTILE),
    ):
        factory.channel(name, owner=ada, public=public)
        with beside.database.write_site() as tx:
            channels.change(tx, beside.clock.now_ms(), OPERATOR, name, ChannelSettings(description=description))
    beside.request_parts.logos.put(OPERATOR, "robots", NewLogo(images.sample_logo()))
    for user in ("hopper", "turing"):
        factory.member("robots", user, Role.CONTRIBUTOR)
        factory.key(user, only=["robots"])
    key = factory.key(ada)
    factory.key(ada, only=["robots"], days=3)
    factory.key(ada, days=-1)
    with beside.database.write_site() as tx:
        emails.add(tx, beside.clock.now_ms(), users.get(tx, ada).id, "ada@elsewhere.example", verified=False)
    with server.client() as client:
        for name, summary in real.SUMMARIES.items():
            assert upload(client, "robots", conda(index_json(name), about={"summary": summary}), key).status_code == 201
        for file in real.real_files():
            assert upload(client, "robots", file, key).status_code == 201
        newer = index_json("gripper", "2.0", depends=["arm-driver >=1"], license="BSD-3-Clause")
        assert (
            upload(client, "robots", conda(newer, about={"summary": real.SUMMARIES["gripper"]}), key).status_code == 201
        )
        about = {
            "summary": HOSTILE,
            "description": HOSTILE,
            "home": f"https://evil.example/{HOSTILE}",
            "license": HOSTILE,
        }
        files = {f"share/{HOSTILE}".replace("/", "_"): b""}
        evil = conda(index_json("evil", license=HOSTILE), about=about, files=files, paths=paths_json(files))
        assert upload(client, "hostile", evil, key).status_code == 201
