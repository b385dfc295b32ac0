"""Index documents, shards and package files, at `/NAME/...` and `/t/<key>/NAME/...`."""

from functools import lru_cache

import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from seaway.channels.channels import is_possible_name
from seaway.errors import NotFound, Unavailable
from seaway.http import credentials, paths
from seaway.http.channel_request import ChannelRequest, encodings
from seaway.http.channel_responses import EXPOSED_HEADERS, respond
from seaway.http.cookies import Cookies
from seaway.http.parts import parts_of
from seaway.packages.damaged_blobs import BlobProblem, refusal
from seaway.serving.channel_response import ChannelResponse
from seaway.serving.resolve import forget_document, resolve_cached
from seaway.serving.response_cache import CacheKey
from seaway.storage.blobs import DamagedBlob

log = structlog.get_logger()

_KEY_PREFIX = "t"
_TRIES = 3
_CACHED_REQUESTS = 4_096
_MAX_CACHED_CHARS = 512  # longer requests are not cached (characters): anonymous callers choose them


async def read(request: Request) -> ASGIApp:
    """Serve GET and HEAD requests for files of a channel."""
    channel_request = ChannelRequest(request.scope)
    parts = parts_of(request)
    # Solvers send no cookie: parse cookies only if there are any.
    session = "" if channel_request.header(b"cookie") is None else Cookies.of_site(parts.site.url).session_of(request)
    key = _cache_key_of(channel_request, session)
    if not key.path or key.path == ("",):
        return _channel_root(request, key.channel)
    lost: tuple[ChannelResponse, FileNotFoundError] | None = None
    for _ in range(_TRIES):
        try:
            cached_response = await resolve_cached(parts.reading, key)
        except FileNotFoundError:
            continue  # the document was replaced after it was resolved, or its blob is missing: resolve again
        try:
            raw_response = await respond(channel_request, cached_response, parts.delivery)
        except FileNotFoundError as error:  # overwritten or rebuilt, and swept, after it was resolved, or missing
            lost = cached_response.response, error
            await to_thread.run_sync(forget_document, parts.reading, cached_response.response)
            continue
        if raw_response.way is not None:
            parts.counts.download(raw_response.way, raw_response.length)
            if raw_response.file_id is not None:
                parts.usage_counter.count_download(raw_response.file_id, channel_request.header(b"user-agent"))
        if cached_response.key_id is not None:
            parts.usage_counter.count_key_use(cached_response.key_id, credentials.client_ip(request))
        return raw_response
    raise _unreadable(key, lost)


def _unreadable(key: CacheKey, lost: tuple[ChannelResponse, FileNotFoundError] | None) -> Unavailable:
    """Return the error after the last attempt; log a package file whose blob is missing or damaged."""
    if lost is None or not lost[0].is_package:
        return Unavailable("The file is being replaced.", "Try again in a moment.")
    response, error = lost
    problem = BlobProblem.DAMAGED if isinstance(error, DamagedBlob) else BlobProblem.MISSING
    log.error("blob.unreadable", sha256=response.etag, problem=problem.value, file="/".join((key.channel, *key.path)))
    return refusal(key.path[-1], problem)


async def preflight(_request: Request) -> Response:
    """Respond to a CORS preflight; the response is the same for every path, so that it reveals nothing."""
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": "Range, If-None-Match, If-Range, Cache-Control, X-Expected-Sha256",
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
            "Access-Control-Max-Age": "86400",
        },
    )


def _cache_key_of(channel_request: ChannelRequest, session: str) -> CacheKey:
    parts = (
        channel_request.raw_path,
        channel_request.authorizations,
        channel_request.header(b"accept-encoding") or "",
        session,
    )
    is_long = len(channel_request.raw_path) + len(parts[2]) + len(session) + sum(map(len, parts[1])) > _MAX_CACHED_CHARS
    return _parse(*parts) if is_long else _parse_cached(*parts)


def _parse(path: bytes, authorizations: tuple[str, ...], accept_encoding: str, session: str) -> CacheKey:
    """Parse a request into its secrets, the channel, the path in the channel and the accepted encodings."""
    segments = paths.split(path)
    if segments is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    in_path = ""
    if segments[0] == _KEY_PREFIX:
        if len(segments) < 3:
            raise NotFound("This page does not exist.", "Check the URL.")
        in_path, segments = segments[1], segments[2:]
    channel, *within = segments
    if not is_possible_name(channel):
        hint = "Channel names are in lower case." if is_possible_name(channel.lower()) else "Check the URL."
        raise NotFound("This page does not exist.", hint)
    return CacheKey(
        credentials.secrets_of(authorizations, session, in_path=in_path),
        channel,
        tuple(within),
        encodings(accept_encoding),
    )


# Parsing depends on nothing else, and solvers repeat the same requests. `lru_cache` does not keep exceptions.
_parse_cached = lru_cache(_CACHED_REQUESTS)(_parse)


def _channel_root(request: Request, channel: str) -> Response:
    """Handle `/NAME` itself: redirect browsers to the page of the channel, whether it exists or not."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/channels/{channel}", status_code=303)
    raise NotFound("This page does not exist.", "The index is at CHANNEL/SUBDIR/repodata.json.")
