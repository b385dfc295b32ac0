"""
Upload, delete and yank by the protocol of prefix.dev, used by pixi, rattler-build and rattler.

    POST   /api/v1/upload/{channel}[?force=true]        multipart with `file` first, or the raw bytes
    DELETE /api/v1/delete/{channel}/{subdir}/{file}
    POST   /api/v1/yank/{channel}/{subdir}/{file}       hide from solvers, keep downloadable;
                                                        ?reason=TEXT, or {"reason": "TEXT"} as the body
    POST   /api/v1/unyank/{channel}/{subdir}/{file}

Response bodies are one plain sentence: clients show the first 512 characters.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial
from urllib.parse import parse_qsl

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.callers.site_permissions import needs_credential
from seaway.channels import channels
from seaway.channels.channels import is_possible_name
from seaway.channels.roles import Action
from seaway.errors import Malformed, NotFound
from seaway.http import paths, problems
from seaway.http.bodies import MULTIPART_OVERHEAD_BYTES, body_of, min_file_size, read, read_body
from seaway.http.caller import caller_of
from seaway.http.multipart import MultipartReader, Part
from seaway.http.parts import parts_of
from seaway.packages import removal
from seaway.publishing.publish import Published, publish
from seaway.serving.caller_identification import Accepted
from seaway.site import Site

_ATTESTATION_BYTES = 256 * 1024
_FORM = "application/x-www-form-urlencoded"
_YANK_BYTES = 16 * 1024
_PREFIX_SEGMENTS = 3  # api, v1, upload


async def upload(request: Request) -> Response:
    """Receive one package file."""
    parts = parts_of(request)
    by = await _authenticated_caller(request)
    channel = _channel_of(request)
    limit = parts.publishing.upload_limit
    incoming: _MultipartIncoming | _RawIncoming
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        min_size = min_file_size(request, limit, wrapping=MULTIPART_OVERHEAD_BYTES)
        incoming = await _MultipartIncoming.open(request)
    else:
        min_size = min_file_size(request, limit, wrapping=0)
        incoming = _RawIncoming(request)
    force = request.query_params.get("force", "").lower() in ("true", "1")
    published = await publish(parts.publishing, channel, incoming, by=by, force=force, min_size=min_size)
    return problems.text(
        _success_sentence(published),
        200 if published.replaced or published.repeated else 201,
        _revision_header(published.revision),
    )


async def delete(request: Request) -> Response:
    """Delete a file permanently."""
    return await _change(request, removal.delete, "was deleted")


async def yank(request: Request) -> Response:
    """Yank a file."""
    parts = parts_of(request)
    by = await _authenticated_caller(request)
    # Before the body, so that callers without access learn nothing from its errors.
    await to_thread.run_sync(_require_readable, parts.site, by, _file_of(request)[0])
    return await _change(request, partial(removal.yank, reason=await _reason_of(request)), "was yanked")


async def unyank(request: Request) -> Response:
    """Unyank a file."""
    return await _change(request, removal.unyank, "is listed again")


class _Yank(msgspec.Struct):
    reason: str | None = None


async def _reason_of(request: Request) -> str:
    """Return the reason of a yank, from the query, a JSON body or a form."""
    content = await read_body(request, _YANK_BYTES, hint=f"Use at most {removal.MAX_REASON} characters for the reason.")
    try:
        if request.headers.get("content-type", "").startswith(_FORM) and not content.lstrip().startswith(b"{"):
            in_body = dict(parse_qsl(content.decode())).get("reason", "")
        else:
            in_body = (msgspec.json.decode(content, type=_Yank).reason if content else None) or ""
    except (msgspec.MsgspecError, ValueError):
        raise Malformed("The body is not a JSON object with a reason.", 'Send {"reason": "TEXT"}.') from None
    return removal.checked_reason(in_body or request.query_params.get("reason", ""))


async def _change(request: Request, act: Callable[[Site, Caller, str, str, str], int], what: str) -> Response:
    parts = parts_of(request)
    by = await _authenticated_caller(request)
    channel, subdir, file_name = _file_of(request)
    revision = await to_thread.run_sync(act, parts.site, by, channel, subdir, file_name)
    return problems.text(f"{channel}/{subdir}/{file_name} {what}.", 200, _revision_header(revision))


def _file_of(request: Request) -> tuple[str, str, str]:
    segments = paths.segments(request.scope)
    if segments is None or len(segments) != _PREFIX_SEGMENTS + 3:
        raise NotFound("This page does not exist.", "The URL must end in CHANNEL/SUBDIR/FILE.")
    channel, subdir, file_name = segments[_PREFIX_SEGMENTS:]
    return channel, subdir, file_name


def _require_readable(site: Site, by: Caller, channel: str) -> None:
    with site.database.read() as tx:
        channels.require(tx, by, Action.READ, channel)


async def _authenticated_caller(request: Request) -> Caller:
    """Return the caller; requires a key in the Authorization header and ignores keys in the path."""
    by = await caller_of(request, Accepted.BEARER)
    if by.is_anonymous:
        raise needs_credential()
    return by


def _channel_of(request: Request) -> str:
    segments = paths.segments(request.scope)
    names = () if segments is None else segments[_PREFIX_SEGMENTS:]
    if len(names) == 1 and is_possible_name(names[0].lower()) and names[0] != names[0].lower():
        raise NotFound("There is no such channel.", "Channel names are in lower case.")
    if len(names) != 1 or not is_possible_name(names[0]):
        # pixi publish sends the last segment of the channel's URL, rattler-build sends all of them.
        raise NotFound(
            "There is no such channel.",
            "The channel URL is the server URL and one name, without a trailing slash.",
        )
    return names[0]


def _success_sentence(published: Published) -> str:
    outcome = "replaced" if published.replaced else "is in the channel"
    if published.repeated:
        outcome = "was uploaded before with the same contents"
    sentence = f"{published.channel}/{published.subdir}/{published.file_name} {outcome}, revision {published.revision}."
    return " ".join([sentence, *(f"Warning: {warning}" for warning in published.warnings)])


def _revision_header(revision: int) -> dict[str, str]:
    return {"Seaway-Revision": str(revision)}


class _RawIncoming:
    """Upload with the file as the body; its name and hash are in headers."""

    def __init__(self, request: Request) -> None:
        name = request.headers.get("x-file-name")
        if not name:
            raise Malformed("The file name is missing.", "Send it in the X-File-Name header.")
        self.file_name = name
        self.announced_sha256 = request.headers.get("x-file-sha256")
        self._request = request

    def chunks(self) -> AsyncIterator[bytes]:
        return body_of(self._request)

    async def finish(self) -> None:
        return None


class _MultipartIncoming:
    """Multipart upload: the file is the first part, optionally followed by an attestation."""

    def __init__(self, reader: MultipartReader, part: Part, request: Request) -> None:
        header_name = part.headers.get("x-file-name") or request.headers.get("x-file-name")
        if not (header_name or part.file_name) or (header_name and part.file_name and header_name != part.file_name):
            raise Malformed(
                "The file name is missing or ambiguous.",
                "Send one file name, in the part or in the X-File-Name header.",
            )
        self.file_name = header_name or part.file_name or ""
        self.announced_sha256 = part.headers.get("x-file-sha256") or request.headers.get("x-file-sha256")
        self._reader = reader

    @classmethod
    async def open(cls, request: Request) -> "_MultipartIncoming":
        """Read the head of the first part."""
        reader = MultipartReader(request.headers["content-type"], body_of(request))
        part = await reader.next_part()
        if part is None or part.name != "file":
            raise Malformed("The first part of the upload is not the file.", "Send it first, as the part named `file`.")
        return cls(reader, part, request)

    def chunks(self) -> AsyncIterator[bytes]:
        return self._reader.content()

    async def finish(self) -> bytes | None:
        part = await self._reader.next_part()
        if part is None:
            return None
        if part.name != "attestation":
            raise Malformed(
                f"The upload has an unexpected part named {part.name[:40]!a}.",
                "Send one `file`, optionally followed by one `attestation`.",
            )
        content = self._reader.content()
        attestation = await read(content, _ATTESTATION_BYTES, what="attestation", hint="Send one bundle.")
        if await self._reader.next_part() is not None:
            raise Malformed("The upload has a part after the attestation.", "Send one file and one attestation only.")
        return attestation
