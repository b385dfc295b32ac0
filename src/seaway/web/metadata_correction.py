"""Form to correct the published metadata of a file, and to restore the original."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1.corrections import MetadataCorrectionUpdate, correct_file, remove_correction
from seaway.callers.caller import Caller
from seaway.channels import channels
from seaway.channels.channel import Channel
from seaway.channels.roles import Action
from seaway.conda.corrections import FIELDS
from seaway.database.engine import Tx
from seaway.errors import BadCredential, NotFound, SeawayError
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.packages.files import File
from seaway.web.channel_pages import read_for_caller
from seaway.web.file import file_of_path
from seaway.web.rendering import page, redirect_with_message
from seaway.web.user_pages import for_user, show_refusal

_LISTS = ("depends", "constrains")


@for_user
async def show(request: Request, _call: RequestContext) -> Response:
    """Show the form with the current values."""
    channel, file = await _find(request)
    present = _present(file.record)
    shown = {name: _fingerprint(name, present[name]) for name in FIELDS}
    return page(request, "correction.html", problem=None, **_values(channel, file, present, shown))


@for_user
async def change(request: Request, call: RequestContext) -> Response:
    """Apply the changes of the form; if they are refused, show the form again as it was sent."""
    form = await form_of(request)
    channel, file = await _find(request)
    typed = {name: form.exact(name) for name in (*FIELDS, "reason")}
    shown = {name: form.exact(f"shown_{name}") for name in FIELDS}
    names, given = request.path_params, {**_changes(form, shown), "reason": typed["reason"]}
    try:
        update = MetadataCorrectionUpdate.parse(given)
        await to_thread.run_sync(correct_file, call, names["channel"], names["subdir"], names["file"], update)
    except (BadCredential, NotFound):
        raise
    except SeawayError as error:
        return show_refusal(request, "correction.html", error, **_values(channel, file, typed, shown))
    return redirect_with_message(request, _file_page(request), f"The metadata of {names['file']} was corrected.")


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Restore the original metadata."""
    names = request.path_params
    await form_of(request)
    await _find(request)
    await to_thread.run_sync(remove_correction, call, names["channel"], names["subdir"], names["file"])
    return redirect_with_message(
        request, _file_page(request), f"The original metadata of {names['file']} was restored."
    )


async def _find(request: Request) -> tuple[Channel, File]:
    names = request.path_params

    def find(tx: Tx, by: Caller) -> tuple[Channel, File]:
        access = channels.require(tx, by, Action.CORRECT, names["channel"])
        return channels.get(tx, names["channel"]), file_of_path(tx, access.channel_id, request)

    return await read_for_caller(request, find)


def _values(channel: Channel, file: File, typed: Mapping[str, str], shown: Mapping[str, str]) -> dict[str, Any]:
    return {"channel": channel, "summary": file.summary, "typed": typed, "shown": shown}


def _present(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a record for the fields of the form: lists with one entry per line."""
    texts = {name: "\n".join(record.get(name) or []) for name in _LISTS}
    return {**texts, **{name: record.get(name) or "" for name in FIELDS if name not in _LISTS}, "reason": ""}


def _changes(form: Form, shown: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the fields that differ from what the form showed.

    The current record is not used: another user may have corrected it since, and an untouched field is not a change.
    """
    typed = {name: form.exact(name) for name in FIELDS if form.is_set(name)}
    return {name: _value(name, text) for name, text in typed.items() if _fingerprint(name, text) != shown[name]}


def _value(name: str, text: str) -> list[str] | str:
    """Parse the text of a field, without insignificant whitespace."""
    if name in _LISTS:
        return [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(text.split())


def _fingerprint(name: str, text: str) -> str:
    """Return a hash of a field's value. Sending the value itself twice could make the form too large."""
    return hashlib.sha256(msgspec.json.encode(_value(name, text))).hexdigest()


def _file_page(request: Request) -> str:
    return request.url.path.partition("/correction")[0]
