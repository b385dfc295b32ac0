"""HTTP responses of index documents and files: conditions, ranges, caching, encodings (RFC 9110, 9111)."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import BinaryIO

from anyio import to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from seaway.http.channel_request import ChannelRequest
from seaway.metric_events import DeliveryMethod
from seaway.serving.blob_cache import SMALL_BYTES, BlobCache
from seaway.serving.channel_response import CachePolicy, ChannelResponse
from seaway.serving.response_cache import CachedResponse
from seaway.storage.blobs import BlobStore, DamagedBlob, read_whole

_CHUNK_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_YEAR_SECONDS = 31_536_000
# A presigned URL is used at once, and a download that has started goes on after it expired. Short, since it needs no key.
REDIRECT_SECONDS = 300

EXPOSED_HEADERS = "ETag, Content-Length, Content-Range, Accept-Ranges, Seaway-Revision"
# Internal nginx location of the store (docs/operate/nginx.md); no channel name starts with an underscore.
_X_ACCEL_PREFIX = "/_seaway/store/"
# Request header by which a reverse proxy announces X-Accel-Redirect support (docs/operate/nginx.md). Requests without
# it, such as those that bypass the proxy, get the bytes from this server.
ACCEL_HEADER = b"seaway-x-accel"

RawHeaders = tuple[tuple[bytes, bytes], ...]

_RANGES = (b"accept-ranges", b"bytes")
_NO_BODY = (b"content-length", b"0")


@dataclass(frozen=True, slots=True)
class FileDelivery:
    """How response bodies are delivered: from which store, how long cached, and by redirect or reverse proxy."""

    blobs: BlobStore
    index_max_age: int
    redirects: bool  # to presigned URLs
    uses_x_accel: bool = False
    small_blobs: BlobCache = field(default_factory=BlobCache)


@dataclass(frozen=True, slots=True)
class _Part:
    """Range of a blob to send, with status and headers."""

    status: int
    headers: RawHeaders
    way: DeliveryMethod | None
    start: int
    end: int


class RawResponse:
    """ASGI response with raw headers."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes = b"", way: DeliveryMethod | None = None) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.way = way  # how a package file is delivered; None if the response contains none
        self.file_id: int | None = None  # set if this response counts as a download of the package file
        self.length = len(body)  # bytes sent by this server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class _StreamResponse(RawResponse):
    """Large blob, or a range of one, read and sent in chunks."""

    def __init__(self, part: _Part, file: BinaryIO) -> None:
        super().__init__(part.status, part.headers, way=part.way)
        self._file, self.length = file, part.end - part.start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = StreamingResponse(_stream(self._file, self.length), self.status)
        response.raw_headers = list(self.headers)
        await response(scope, receive, send)


@dataclass(slots=True)
class _Headers:
    """Headers of a response, built once and cached with it."""

    etag: str
    headers: RawHeaders
    media_type: tuple[bytes, bytes]
    whole: RawHeaders
    is_there: bool = False  # the blob was found in the store; needed where the proxy reads it


async def respond(request: ChannelRequest, cached_response: CachedResponse, delivery: FileDelivery) -> RawResponse:
    """
    Return the response. Raise FileNotFoundError if the blob was swept after the response was found: resolve it again.

    `DamagedBlob`, a subclass, is raised for damage that is cheap to detect: a wrong size, or a wrong hash of a small
    file that would be cached in memory, where it would outlive its repair.
    """
    response, cached = cached_response.response, _headers_for(cached_response, delivery)
    if _etag_matches(request.header(b"if-none-match"), cached.etag):
        return RawResponse(304, cached.headers)
    wanted = _wanted_range(request, response, cached.etag)
    if wanted == _UNSATISFIABLE:
        return RawResponse(416, (*cached.headers, _RANGES, (b"content-range", b"bytes */%d" % response.size), _NO_BODY))
    if wanted is None:
        status, headers, start, end = 200, cached.whole, 0, response.size
    else:
        start, end = wanted
        status, headers = 206, _of_part(cached, response, start, end)
    if request.method == "HEAD":
        return RawResponse(status, headers)
    way = (DeliveryMethod.WHOLE if wanted is None else DeliveryMethod.PART) if response.is_package else None
    if response.content is not None:
        return RawResponse(status, headers, response.content[start:end], way)
    elsewhere = await _delivered_elsewhere(request, response, cached, delivery)
    raw_response = elsewhere or await _from_store(response, delivery, _Part(status, headers, way, start, end))
    if start == 0:  # later ranges belong to a download that was already counted
        raw_response.file_id = response.file_id
    return raw_response


async def _from_store(response: ChannelResponse, delivery: FileDelivery, part: _Part) -> RawResponse:
    if response.size <= SMALL_BYTES:
        content = await _small_content(response, delivery)
        return RawResponse(part.status, part.headers, content[part.start : part.end], part.way)
    return _StreamResponse(part, await to_thread.run_sync(delivery.blobs.open, response.blob_key, part.start))


async def _delivered_elsewhere(
    request: ChannelRequest, response: ChannelResponse, cached: _Headers, delivery: FileDelivery
) -> RawResponse | None:
    """Return a response without a body if a redirect or the reverse proxy delivers the bytes, else None."""
    if response.is_package and delivery.redirects:
        url = await to_thread.run_sync(_signed_url, request, response, delivery.blobs)
        return None if url is None else _redirect(response, url)
    if not delivery.uses_x_accel or response.content_encoding or request.header(ACCEL_HEADER) is None:
        return None
    if not cached.is_there:
        # Checked once: these headers are dropped at the next commit, and until then no sweep deletes the blob.
        await to_thread.run_sync(_require_blob, delivery.blobs, response)
        cached.is_there = True
    accel_redirect = (b"x-accel-redirect", f"{_X_ACCEL_PREFIX}{response.blob_key}".encode())
    # The proxy handles ranges and sets Accept-Ranges.
    return RawResponse(
        200,
        (*cached.headers, cached.media_type, accel_redirect, _NO_BODY),
        way=DeliveryMethod.PROXY if response.is_package else None,
    )


def _require_blob(blobs: BlobStore, response: ChannelResponse) -> None:
    found = blobs.stat(response.blob_key)
    if found is None:
        raise FileNotFoundError(response.blob_key)
    if found.size != response.size:
        raise DamagedBlob(response.blob_key)


def _signed_url(request: ChannelRequest, response: ChannelResponse, blobs: BlobStore) -> str | None:
    """
    Return a presigned URL of the blob; it is short-lived, since it works without a key.

    Return None for requests to `/t/<key>/...`: rattler sends that URL to the bucket as `Referer`, and buckets log it.
    """
    if str(request.scope["path"]).startswith("/t/"):
        return None
    return blobs.signed_url(response.blob_key, REDIRECT_SECONDS)


def _redirect(response: ChannelResponse, url: str) -> RawResponse:
    """Return a redirect. Clients do not send credentials to the other host, and repeat the Range header there."""
    headers = {"Location": url, "ETag": f'"{response.etag}"', "Content-Length": "0"}
    if response.is_public:
        headers["Access-Control-Allow-Origin"] = "*"
    return RawResponse(302, _raw(headers), way=DeliveryMethod.REDIRECT)


async def _small_content(response: ChannelResponse, delivery: FileDelivery) -> bytes:
    content = delivery.small_blobs.get(response.blob_key)
    if content is None:
        content = await to_thread.run_sync(read_whole, delivery.blobs, response.blob_key)
        delivery.small_blobs[response.blob_key] = content
    return content


async def _stream(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    with file:
        while size > 0:
            chunk = await to_thread.run_sync(file.read, min(_CHUNK_BYTES, size))
            if not chunk:
                raise OSError("a blob is shorter than its row says")
            size -= len(chunk)
            yield chunk


def _headers_for(cached_response: CachedResponse, delivery: FileDelivery) -> _Headers:
    if not isinstance(cached_response.rendered, _Headers):
        cached_response.rendered = _make_headers(cached_response.response, delivery.index_max_age)
    return cached_response.rendered


def _make_headers(response: ChannelResponse, index_max_age: int) -> _Headers:
    headers = _raw(_headers(response, index_max_age))
    media_type = (b"content-type", response.media_type.encode())
    whole = (*headers, media_type, _RANGES, (b"content-length", b"%d" % response.size))
    return _Headers(f'"{response.etag}"', headers, media_type, whole)


def _raw(headers: dict[str, str]) -> RawHeaders:
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())


def _headers(response: ChannelResponse, index_max_age: int) -> dict[str, str]:
    headers = {
        "ETag": f'"{response.etag}"',
        "Cache-Control": _cache_control(response, index_max_age),
    }
    if response.is_public:
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    if response.varies_by_encoding:  # `server.request_middleware` adds Vary by credentials to every private response
        headers["Vary"] = "Accept-Encoding"
    if response.content_encoding:
        headers["Content-Encoding"] = response.content_encoding
    if response.revision is not None:
        headers["Seaway-Revision"] = str(response.revision)
    if response.is_package:
        # An uploaded file may be HTML or a script: browsers must not display or run it on this origin.
        headers["Content-Disposition"] = "attachment"
        headers["Content-Security-Policy"] = "sandbox"
    return headers


def _of_part(cached: _Headers, response: ChannelResponse, start: int, end: int) -> RawHeaders:
    content_range = (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, response.size))
    return (*cached.headers, cached.media_type, _RANGES, (b"content-length", b"%d" % (end - start)), content_range)


def _cache_control(response: ChannelResponse, index_max_age: int) -> str:
    scope = "public" if response.is_public else "private"
    match response.keep:
        case CachePolicy.IMMUTABLE:
            return f"{scope}, max-age={_YEAR_SECONDS}, immutable"
        case CachePolicy.NEVER:
            return f"{scope}, max-age=0, must-revalidate"
        case CachePolicy.REVALIDATE:
            return f"{scope}, max-age={index_max_age}, must-revalidate"


def _etag_matches(condition: str | None, etag: str) -> bool:
    """Compare If-None-Match weakly; If-Modified-Since is ignored, since no Last-Modified is sent."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag in tags


_UNSATISFIABLE = (-1, -1)


def _wanted_range(request: ChannelRequest, response: ChannelResponse, etag: str) -> tuple[int, int] | None:
    """Return the requested range as (start, end); None for the whole file, including unsupported range requests."""
    header = request.header(b"range")
    if header is None or response.content_encoding or request.method != "GET":  # RFC 9110, 14.2
        return None
    condition = request.header(b"if-range")
    if condition is not None and condition.strip() != etag:
        return None
    match = _RANGE.fullmatch(header.strip().lower().replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(response.size - int(match[2]), 0), response.size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else response.size, response.size)
        if match[2] and int(match[2]) < int(match[1]):
            return None  # a malformed range is ignored (RFC 9110, 14.2)
    return (start, end) if start < end else _UNSATISFIABLE
