"""
Token exchange of trusted publishing, called by pixi, rattler-build and rattler in a workflow.

    POST   /api/oidc/mint_token    {"token": "..."} -> the publish token as the whole body, as clients expect
    DELETE /api/oidc/token         revoke the token that authenticates the request

Error bodies are one line of JSON, {"code", "message"}, because clients print the whole body.
"""

import re

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from seaway import secret_tokens, strict_json
from seaway.callers.caller import Caller
from seaway.errors import BadCredential, TooLarge
from seaway.http import credentials, problems
from seaway.http.bodies import read_body
from seaway.http.caller import caller_of
from seaway.http.parts import RequestParts, parts_of
from seaway.serving.caller_identification import Accepted
from seaway.trusted_publishing import tokens
from seaway.trusted_publishing.exchange import exchange
from seaway.trusted_publishing.refusals import Code, TokenRefused

MAX_BODY_BYTES = 48 * 1024
_JSON = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)


async def mint_token(request: Request) -> Response:
    """Exchange a workflow's OIDC token for a publish token."""
    request.scope[problems.RESPONSE_BUILDER] = _error_response
    parts = parts_of(request)
    token = _token_in(await _body(request))
    address = credentials.client_ip(request)
    secret = await to_thread.run_sync(
        lambda: exchange(parts.exchanging, token, address=address), limiter=parts.exchanging.slots
    )
    return PlainTextResponse(secret)


async def revoke_token(request: Request) -> Response:
    """Revoke the token that authenticates the request."""
    request.scope[problems.RESPONSE_BUILDER] = _error_response
    parts = parts_of(request)
    await to_thread.run_sync(_revoke, parts, await caller_of(request, Accepted.WORKFLOW))
    return Response(status_code=204)


def _revoke(parts: RequestParts, by: Caller) -> None:
    if by.token_id is None:
        raise BadCredential("The token to revoke is missing.", "Send it as a bearer token.")
    with parts.site.database.write_unlocked() as tx:
        tokens.revoke(tx, parts.site.clock.now_ms(), by, by.token_id)


async def _body(request: Request) -> bytes:
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise _malformed("The Content-Type must be application/json.", 415)
    try:
        return await read_body(request, MAX_BODY_BYTES)
    except TooLarge as error:
        raise _malformed(error.message, 413) from None


def _token_in(body: bytes) -> str:
    try:
        value = strict_json.decode(body)
    except strict_json.NotStrict:
        raise _malformed("The body is not valid JSON in UTF-8 with unique keys.") from None
    token = value.get("token") if isinstance(value, dict) else None
    if not isinstance(token, str):
        raise _malformed('The body is not of the form {"token": "..."}.')
    return token


def _malformed(message: str, status: int | None = None) -> TokenRefused:
    return TokenRefused(Code.MALFORMED_REQUEST, message, status=status)


def _error_response(error: Exception, request: Request) -> Response:
    """Return the JSON response for an error."""
    if isinstance(error, TokenRefused):
        headers = {"Retry-After": "10"} if error.status == Code.ISSUER_UNAVAILABLE.status else {}
        code, message, status = error.code, error.message, error.status
    else:
        problem = problems.problem_of(error, request)
        code, message, status = problem.code, f"{problem.message} {problem.hint}".strip(), problem.status
        headers = dict(problem.headers)
    body = {"code": code, "message": secret_tokens.mask(message)[: problems.MAX_SENTENCE_CHARS]}
    return JSONResponse(body, status, headers)
