"""
Resumable uploads by the tus protocol (tus 1.0.0: core, creation, termination, expiration).

    POST   /api/v1/uploads/{channel}    Upload-Length, Upload-Metadata (filename, sha256?, force?) -> Location
    HEAD   /api/v1/uploads/{id}         Upload-Offset: the number of bytes received
    PATCH  /api/v1/uploads/{id}         bytes from Upload-Offset on; the last ones publish the file
    DELETE /api/v1/uploads/{id}         cancel the upload

Refusals have the same status and message as those of uploads in one request. Once the file is published, responses have
the headers `Seaway-Revision`, `Seaway-Path`, `Seaway-Outcome` (`published`, `replaced`, or `repeated` if the same
uploader had uploaded the same file) and, for warnings, `Seaway-Warning`. If the file name exists (409), `Seaway-Path`
names the file, and `Seaway-Existing` is `same` if it has the same bytes, `replaceable` if it has others and the caller
can replace it with `force`, and otherwise `different`.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.callers.site_permissions import needs_credential
from seaway.channels.channels import is_possible_name
from seaway.errors import FileExists, Malformed, NotAllowed, NotFound
from seaway.http import problems
from seaway.http.bodies import body_of
from seaway.http.caller import caller_of
from seaway.http.parts import parts_of
from seaway.publishing import resumable
from seaway.publishing.resumable import ResumableRequest, ResumableUpload

VERSION = "1.0.0"
_EXTENSIONS = "creation,termination,expiration"
_BODY_TYPE = "application/offset+octet-stream"
_METADATA_BYTES = 4_096
_MAX_DIGITS = 15
_VERSION_HEADER = {"Tus-Resumable": VERSION}


async def options(request: Request) -> Response:
    """Return the supported protocol version and extensions; independent of the channel."""
    parts = parts_of(request)
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(parts.publishing.upload_limit),
    }
    return _response(204, headers)


def _checks_version(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Check the protocol version of the request and send it in all responses, including errors."""

    async def handle(request: Request) -> Response:
        if request.headers.get("tus-resumable") != VERSION:
            return problems.text(
                f"This server supports tus {VERSION}. Send the header Tus-Resumable: {VERSION}.",
                412,
                {"Tus-Version": VERSION, **_VERSION_HEADER},
            )
        request.scope[problems.RESPONSE_BUILDER] = _error_response
        return await handler(request)

    return handle


def _error_response(error: Exception, request: Request) -> Response:
    response = problems.response_for(error, request)
    response.headers.update(_VERSION_HEADER)
    if isinstance(error, FileExists):
        response.headers.update(_existing_file_headers(error))
    return response


def _existing_file_headers(error: FileExists) -> dict[str, str]:
    relation = "same" if error.is_same else "replaceable" if error.can_replace else "different"
    return {"Seaway-Path": f"/{error.path}", "Seaway-Existing": relation}


@_checks_version
async def begin(request: Request) -> Response:
    """Begin the upload of one file."""
    parts = parts_of(request)
    by = await _user(request)
    resumable_request = _parse_upload(request)
    upload = await resumable.begin(parts.publishing, resumable_request, by=by)
    return _response(201, {"Location": f"/api/v1/uploads/{upload.id}", **_upload_headers(upload)})


@_checks_version
async def get_offset(request: Request) -> Response:
    """Return the offset of an upload."""
    parts = parts_of(request)
    by = await _user(request)
    upload = await to_thread.run_sync(resumable.get, parts.site, request.path_params["id"], by)
    return _response(200, {"Upload-Length": str(upload.request.length), **_upload_headers(upload)})


@_checks_version
async def append(request: Request) -> Response:
    """Append bytes to an upload."""
    if request.headers.get("content-type") != _BODY_TYPE:
        return problems.text(f"The Content-Type must be {_BODY_TYPE}.", 415, _VERSION_HEADER)
    parts = parts_of(request)
    by = await _user(request)
    offset = _number(request, "upload-offset")
    announced = _number(request, "content-length") if "content-length" in request.headers else None
    upload = await resumable.append(
        parts.publishing, request.path_params["id"], offset, body_of(request), by=by, announced=announced
    )
    return _response(204, _upload_headers(upload))


@_checks_version
async def cancel(request: Request) -> Response:
    """Cancel an upload."""
    parts = parts_of(request)
    by = await _user(request)
    await to_thread.run_sync(resumable.cancel, parts.site, request.path_params["id"], by)
    return _response(204, {})


async def _user(request: Request) -> Caller:
    by = await caller_of(request)
    if by.is_anonymous:
        raise needs_credential()
    if by.user_id is None:
        raise NotAllowed(f"{by.name} cannot use resumable uploads.", "Upload the file in one request.")
    return by


def _parse_upload(request: Request) -> ResumableRequest:
    channel = request.path_params["channel"]
    if not is_possible_name(channel):
        raise NotFound("There is no such channel.", "Check its name.")
    metadata = _parse_metadata(request.headers.get("upload-metadata", ""))
    if "filename" not in metadata:
        raise Malformed("The file name is missing.", "Send it as filename in Upload-Metadata.")
    return ResumableRequest(
        channel=channel,
        file_name=metadata["filename"],
        length=_number(request, "upload-length"),
        sha256=metadata.get("sha256"),
        force=metadata.get("force", "") in ("true", "1"),
    )


def _parse_metadata(header: str) -> dict[str, str]:
    """Parse comma-separated pairs of a name and a base64 value."""
    if len(header) > _METADATA_BYTES:
        raise Malformed("Upload-Metadata is too long.", f"Send at most {_METADATA_BYTES:,} bytes.")
    metadata: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            decoded = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Malformed(
                f"The value of {name[:40]!a} in Upload-Metadata is not base64-encoded UTF-8.", "Encode it."
            ) from None
        if name in metadata:
            raise Malformed(f"Upload-Metadata contains {name[:40]!a} more than once.", "Send it once.")
        metadata[name] = decoded
    return metadata


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header, "")
    if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
        raise Malformed(f"The header {header.title()} is missing or invalid.", "Send it as a number of bytes.")
    return int(value)


def _upload_headers(upload: ResumableUpload) -> dict[str, str]:
    headers = {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": formatdate(upload.expires_at_ms / 1000, usegmt=True),
    }
    if upload.published is not None:
        file = upload.published
        headers["Seaway-Revision"] = str(file.revision)
        headers["Seaway-Path"] = f"/{file.channel}/{file.subdir}/{file.file_name}"
        headers["Seaway-Outcome"] = file.outcome
        headers |= {"Seaway-Warning": " ".join(file.warnings)} if file.warnings else {}
    return headers


def _response(status: int, headers: dict[str, str]) -> Response:
    return Response(status_code=status, headers={**_VERSION_HEADER, **headers})
