"""Form to correct the published metadata of a file, and to restore the original."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts.principal import Principal
from seaway.channels import channels
from seaway.channels.channels import Channel
from seaway.channels.roles import Action
from seaway.conda.corrections import FIELDS
from seaway.database.engine import Tx
from seaway.errors import BadCredential, NotFound, SeawayError
from seaway.http.forms import form_of
from seaway.packages import corrections, files
from seaway.packages.files import File
from seaway.web import done
from seaway.web.asking import for_person, refused
from seaway.web.looking import house_of, look
from seaway.web.shell import page, see

_LISTS = ("depends", "constrains")


@dataclass(frozen=True, slots=True)
class _Found:
    channel: Channel
    file: File


@for_person
async def show(request: Request, _by: Principal) -> Response:
    """Show the form with the current values."""
    found = await _find(request)
    return page(request, "correction.html", problem=None, **_values(found, _present(found.file.record)))


@for_person
async def change(request: Request, by: Principal) -> Response:
    """Apply the changes of the form; if they are refused, show the form as it was sent."""
    form, found = await form_of(request), await _find(request)
    typed = {name: form.exact(name) for name in (*FIELDS, "reason")}
    changes = _changes(found.file.record, typed)
    names = request.path_params
    try:
        await to_thread.run_sync(
            lambda: corrections.correct(
                house_of(request).removing,
                by,
                names["channel"],
                names["subdir"],
                names["file"],
                changes,
                typed["reason"],
            )
        )
    except (BadCredential, NotFound):
        raise
    except SeawayError as error:
        return refused(request, "correction.html", error, **_values(found, typed))
    return see(done.marked(_file_page(request), "correct", 1))


@for_person
async def remove(request: Request, by: Principal) -> Response:
    """Restore the original metadata."""
    names, parts = request.path_params, house_of(request).removing
    await form_of(request)
    await to_thread.run_sync(corrections.restore, parts, by, names["channel"], names["subdir"], names["file"])
    return see(done.marked(_file_page(request), "restore", 1))


async def _find(request: Request) -> _Found:
    names = request.path_params

    def find(tx: Tx, by: Principal) -> _Found:
        access = channels.require(tx, by, Action.CORRECT, names["channel"])
        found = files.get(tx, access.channel_id, names["subdir"], names["file"])
        return _Found(channels.get(tx, names["channel"]), found)

    return await look(request, find)


def _values(found: _Found, typed: Mapping[str, str]) -> dict[str, Any]:
    return {"channel": found.channel, "file": found.file, "summary": found.file.summary, "typed": typed}


def _present(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a record for the fields of the form: lists with one entry per line."""
    texts = {name: "\n".join(record.get(name) or []) for name in _LISTS}
    return {**texts, **{name: record.get(name) or "" for name in FIELDS if name not in _LISTS}, "reason": ""}


def _changes(record: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields whose text differs from the current one."""
    present = _present(record)
    entries = {name: [line.strip() for line in typed[name].splitlines() if line.strip()] for name in _LISTS}
    texts = {name: " ".join(typed[name].split()) for name in FIELDS if name not in _LISTS}
    same = {**{name: present[name].splitlines() for name in _LISTS}, **{name: present[name] for name in texts}}
    return {name: value for name, value in {**entries, **texts}.items() if value != same[name]}


def _file_page(request: Request) -> str:
    return request.url.path.partition("/correction")[0]
