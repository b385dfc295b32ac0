"""Error responses: the only module that maps errors to status codes and texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from seaway import errors, os_errors, secret_tokens
from seaway.conda.refusals import Refused

log = structlog.get_logger()

RESPONSE_BUILDER = "seaway.problems"  # scope key of the function that builds error responses; default `response_for`

MAX_SENTENCE_CHARS = 512  # characters of a body that rattler's clients show

_STATUS: dict[type[errors.SeawayError], int] = {
    errors.Malformed: 400,
    errors.BadCredential: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.TooSlow: 408,
    errors.FileExists: 409,
    errors.Conflict: 409,
    errors.WrongOffset: 409,
    errors.TooLarge: 413,
    errors.UnsupportedContentEncoding: 415,
    errors.Invalid: 422,
    Refused: 422,
    errors.NameTaken: 422,
    errors.WeakPassword: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}

# An unusable file name is a bad request, not a bad package.
_BAD_NAME_STATUS = 400
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """Content of an error response, independent of its format."""

    status: int
    code: str
    message: str
    hint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def response_for(error: Exception, request: Request) -> Response:
    """Return the plain-text error response: message and hint, with the headers that the status requires."""
    return plain_response(problem_of(error, request))


def plain_response(problem: Problem) -> Response:
    """Return a problem as plain text."""
    return text(f"{problem.message} {problem.hint}".strip(), problem.status, dict(problem.headers))


def json_response_for(error: Exception, request: Request) -> Response:
    """Return the JSON error response: `{"code", "message", "hint"}`."""
    problem = problem_of(error, request)
    body = {
        "code": problem.code,
        "message": secret_tokens.mask(problem.message),
        "hint": secret_tokens.mask(problem.hint),
    }
    return JSONResponse(body, problem.status, dict(problem.headers))


def problem_of(error: Exception, request: Request) -> Problem:
    """Return the problem to report for an error; details of unexpected errors go to the log only."""
    # FastAPI turns any failure to read a body into a 400, which clients do not retry.
    error = os_errors.as_unavailable(error.__cause__ if isinstance(error, HTTPException) else error) or error
    if isinstance(error, HTTPException):
        return _routing_problem(error, request)
    if not isinstance(error, errors.SeawayError):
        log.error("request.failed", method=request.method, path=secret_tokens.mask(request.url.path), exc_info=error)
        return Problem(500, "internal", "Internal server error.", "Try again later; the server log has the details.")
    log_cause(error)
    status = status_of(error)
    return Problem(status, error.code, error.message, error.hint, _headers(error, status))


def log_cause(error: errors.SeawayError) -> None:
    """Log the cause of an `Unavailable` error, which the client does not see."""
    if isinstance(error, errors.Unavailable) and error.cause:
        log.warning("request.unavailable", error=error.message, cause=error.cause)


def retry_after(error: errors.SeawayError) -> dict[str, str]:
    """Return the Retry-After header of an error, if retrying can help."""
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {"Retry-After": str(_RETRY_AFTER_SECONDS)} if status_of(error) == 503 else {}


def _headers(error: errors.SeawayError, status: int) -> dict[str, str]:
    headers = retry_after(error)
    if status == 401:
        # The same realm everywhere: naming the channel would reveal that it exists.
        headers["WWW-Authenticate"] = 'Bearer realm="seaway"'
    if status == 415:
        headers["Accept-Encoding"] = "identity"  # RFC 9110, 15.5.16
    if status == 408:
        headers["Connection"] = "close"
    return headers


def _routing_problem(error: HTTPException, request: Request) -> Problem:
    """Return the problem for a request that no route handles."""
    if error.status_code == 405:
        message = f"{request.method} is not allowed for this URL."
        return Problem(405, "method-not-allowed", message, "Check the method and the URL.", error.headers or {})
    return Problem(error.status_code, errors.NotFound.code, "This page does not exist.", "Check the URL.")


def status_of(error: errors.SeawayError) -> int:
    """Return the HTTP status code of an error."""
    if isinstance(error, Refused) and error.code == "bad-file-name":
        return _BAD_NAME_STATUS
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def text(sentence: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """Return a plain-text response with a sentence as `shown`."""
    return PlainTextResponse(shown(sentence), status, headers)


def shown(sentence: str) -> str:
    """Return a sentence as clients see it: keys masked, at most `MAX_SENTENCE_CHARS` characters."""
    masked = secret_tokens.mask(sentence)
    return masked if len(masked) <= MAX_SENTENCE_CHARS else masked[: MAX_SENTENCE_CHARS - 1] + "…"
