"""
The caller's keys with access to a channel.

The secret of a new key is only in the response to the form, as in `web.account.keys`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Principal
from seaway.channels import channels
from seaway.channels.roles import Action
from seaway.http.page_forms import form_of
from seaway.http.parts import House
from seaway.keys import account_keys, channel_keys
from seaway.keys.api_keys import Key
from seaway.web.account.keys import MODES, Typed, made, typed_in
from seaway.web.settings.settings_pages import Scene, Section, do_apart, show
from seaway.web.user_pages import for_person


def _look(scene: Scene) -> Mapping[str, Any]:
    tx, now_ms, by, channel = scene.tx, scene.now_ms, scene.by, scene.channel
    return {
        "own": channel_keys.of_oneself(tx, now_ms, by, channel),
        "modes": MODES,
        "typed": Typed(),
        "made": None,
        "secret": "",
    }


SECTION = Section("keys", Action.SEE_MEMBERS, _look)


@for_person
async def look(request: Request, by: Principal) -> Response:
    """Show the page."""
    return await show(request, by, SECTION)


@for_person
async def add(request: Request, by: Principal) -> Response:
    """Create a key for this channel only, and show its secret."""
    typed = typed_in(await form_of(request), only=request.path_params["channel"])
    done: list[tuple[Key, str]] = []
    response = await do_apart(request, by, SECTION, partial(_add, done, typed), typed=typed)
    if not done:
        return response
    key, secret = done[0]
    return await show(request, by, SECTION, made=key, secret=secret)


@for_person
async def revoke(request: Request, by: Principal) -> Response:
    """Revoke one of the caller's keys, in all channels; its next request is refused."""
    channel, name = request.path_params["channel"], (await form_of(request)).exact("name")
    return await do_apart(request, by, SECTION, partial(_revoke, channel, name))


def _add(done: list[tuple[Key, str]], typed: Typed, parts: House, by: Principal) -> None:
    (channel,) = typed.channels
    assert by.user_id is not None
    with parts.accounts.database.write_user(by.user_id) as tx:
        channels.require(tx, by, SECTION.action, channel)
        found = made(tx, parts.accounts.clock.now_ms(), by, typed, parts.key_rules)
    done.append(found)


def _revoke(channel: str, name: str, parts: House, by: Principal) -> None:
    assert by.user_id is not None
    with parts.accounts.database.write_user(by.user_id) as tx:
        channels.require(tx, by, SECTION.action, channel)
        account_keys.revoke(tx, parts.accounts.clock.now_ms(), by, name)
