"""
API keys: created for a purpose, with a secret that is shown once.

1. Only a signed-in user with a verified email address and a recent confirmation can create a key.
2. The secret is only in the response to the form that created the key, never in a URL or a cookie.
"""

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import keys as keys_api
from seaway.api.v1.keys import KeyCreate, KeyWithSecret
from seaway.callers.caller import Mode
from seaway.callers.site_permissions import SiteAction, require_site, require_verified
from seaway.channels import channels
from seaway.clock import DAY_MS
from seaway.errors import ConfirmationRequired, SeawayError, check_all
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.keys import account_keys
from seaway.keys.account_keys import DEFAULT_DAYS
from seaway.keys.api_keys import Key
from seaway.web.action_confirmation import Confirmation
from seaway.web.rendering import ago, page, redirect_with_message
from seaway.web.user_pages import for_user, show_refusal

_PAGE = "/account/keys"
EXPIRES_SOON_MS = 14 * DAY_MS

MODES = (
    (Mode.READ, "Read", "Install from private channels."),
    (Mode.READ_WRITE, "Read and publish", "Also upload and yank. Recommended for CI."),
    (Mode.READ_WRITE_DELETE, "Read, publish and delete", "Also delete and overwrite files."),
    (Mode.MANAGE, "Manage", "Also manage members, publishers and settings of channels."),
)


class KeyState(Enum):
    """State of a key, with the look of its tag."""

    label: str
    look: str

    ACTIVE = "Active", "good"
    EXPIRES_SOON = "Expires soon", "warn"
    EXPIRED = "Expired", ""
    REVOKED = "Revoked", "bad"

    def __init__(self, label: str, look: str) -> None:
        self.label, self.look = label, look

    @property
    def is_over(self) -> bool:
        """Return whether the key no longer works."""
        return self in (KeyState.EXPIRED, KeyState.REVOKED)


@dataclass(frozen=True, slots=True)
class KeyForm:
    """Values of the form for a new key."""

    name: str = ""
    mode: str = Mode.READ_WRITE.name
    only: bool = False
    channels: tuple[str, ...] = ()
    packages: str = ""
    days: int = DEFAULT_DAYS


@for_user
async def show(request: Request, call: RequestContext) -> Response:
    """Show the user's keys, and a form to create one."""
    values = await to_thread.run_sync(_read_values, call)
    return page(request, "account/keys.html", problem=None, typed=KeyForm(), created_key=None, **values)


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Create a key, and show its secret."""
    typed = key_form_of(await form_of(request))
    try:
        key = await to_thread.run_sync(create_key, call, typed)
    except ConfirmationRequired:
        raise
    except SeawayError as error:
        values = await to_thread.run_sync(_read_values, call)
        return show_refusal(request, "account/keys.html", error, typed=typed, created_key=None, **values)
    values = await to_thread.run_sync(_read_values, call)
    return page(request, "account/keys.html", problem=None, typed=KeyForm(), created_key=key, **values)


@for_user
async def revoke(request: Request, call: RequestContext) -> Response:
    """Revoke a key, after confirmation. It stays in the list, so that users can see what it was."""
    form = await form_of(request)
    name = form.exact("name")
    if not form.is_set("confirmed"):
        return await confirm_revocation(request, call, name, back=_PAGE)
    await to_thread.run_sync(revoke_key, call, name)
    return redirect_with_message(request, _PAGE, f"The key {name} was revoked. It no longer works.")


@for_user
async def delete(request: Request, call: RequestContext) -> Response:
    """Delete an expired or revoked key from the list."""
    name = (await form_of(request)).exact("name")
    await to_thread.run_sync(_delete, call, name)
    return redirect_with_message(request, _PAGE, f"The key {name} was deleted.")


def state_of(key: Key, now_ms: int) -> KeyState:
    """Return the state of a key at this moment."""
    if key.revoked_at_ms is not None:
        return KeyState.REVOKED
    if key.expires_at_ms is None or key.expires_at_ms > now_ms + EXPIRES_SOON_MS:
        return KeyState.ACTIVE
    return KeyState.EXPIRES_SOON if key.expires_at_ms > now_ms else KeyState.EXPIRED


def key_form_of(form: Form, *, only: str | None = None) -> KeyForm:
    """Return the values of the form; on a channel's page, `only` is the one channel that the key is for."""
    return KeyForm(
        name=form.text("name")[:200],
        mode=form.text("mode"),
        only=only is not None or form.text("for") == "only",
        channels=tuple(form.all("channel")) if only is None else (only,),
        packages=form.text("packages")[:4_000],
        days=form.number("days"),
    )


def _read_values(call: RequestContext) -> dict[str, Any]:
    with call.read() as tx:
        channel_names = [channel.name for channel, _ in channels.with_role_of(tx, call.by.user_id or 0)]
        all_keys = account_keys.list_all(tx, call.by)
    now_ms = call.now_ms
    all_keys.sort(key=lambda key: (state_of(key, now_ms).is_over, -key.created_at_ms, -key.id))
    return {"keys": all_keys, "channels": channel_names, "modes": MODES, "state_of": state_of}


def create_key(call: RequestContext, typed: KeyForm) -> KeyWithSecret:
    """Create the key that the form describes; raise one error for all fields that are refused."""
    channel_names = list(typed.channels) if typed.only else None
    packages = typed.packages.replace(",", " ").split()
    given = {
        "name": typed.name,
        "mode": typed.mode,
        "channels": channel_names,
        "packages": packages,
        "days": typed.days,
    }

    def check() -> None:
        with call.read() as tx:
            account_keys.check_new(
                tx, call.by, typed.name,
                channel_names=channel_names, patterns=packages, days=typed.days, rules=call.parts.key_rules,
            )  # fmt: skip

    require_site(call.by, SiteAction.OPEN_ACCOUNT)
    require_verified(call.by)
    check_all(check, partial(KeyCreate.parse, given))
    return keys_api.create_key(call, KeyCreate.parse(given))


async def confirm_revocation(request: Request, call: RequestContext, name: str, *, back: str) -> Response:
    """Show when the key was last used, and what revoking it does; the form posts to the same path."""
    key = await to_thread.run_sync(_key, call, name)
    source = f" from {key.used_from}" if key.used_from else ""
    used = (
        "It was never used."
        if key.used_at_ms is None
        else f"It was last used {ago(key.used_at_ms, call.now_ms)}{source}."
    )
    confirmation = Confirmation(
        question=f"Revoke the key {key.name}?",
        effects=[
            used,
            "It stops working immediately, in all channels.",
            "This cannot be undone. Tools that still need access need a new key.",
        ],
        button="Revoke key",
        back=back,
        action=request.url.path,
        hidden={"name": key.name, "confirmed": "yes"},
    )
    return page(request, "confirm_action.html", confirmation=confirmation)


def _key(call: RequestContext, name: str) -> Key:
    with call.read() as tx:
        return account_keys.get(tx, call.by, name)


def revoke_key(call: RequestContext, name: str) -> None:
    """Revoke one of the caller's keys."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        account_keys.revoke(tx, call.now_ms, call.by, name)


def _delete(call: RequestContext, name: str) -> None:
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        account_keys.remove(tx, call.now_ms, call.by, name)
