"""Shared code of the pages for signed-in users: the sign-in check, forms with an error, the client's data."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.errors import BadCredential, ConfirmationRequired, NotAllowed, SeawayError
from seaway.http import credentials, problems
from seaway.http.next_page import with_next
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext, context_of
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.password_sign_in import BrowserInfo
from seaway.web.page_message import Message
from seaway.web.rendering import page, redirect, redirect_with_message, wants_page

T = TypeVar("T")

# The message about an action, with or without an Undo button, or a function of its result that returns it.
Report = str | Message | Callable[[T], str | Message]
Handler = Callable[[Request], Awaitable[Response]]
UserHandler = Callable[[Request, RequestContext], Awaitable[Response]]


def for_user(handler: UserHandler) -> Handler:
    """
    Require a signed-in user; redirect browsers to /signin, or to /confirm if a recent confirmation is required.

    A form that was sent is not lost: the error page keeps it (`kept_form`).
    """

    @wraps(handler)
    async def wrapped(request: Request) -> Response:
        call = await context_of(request)
        if not call.by.is_person:
            return _not_signed_in(request, call.by)
        try:
            return await handler(request, call)
        except ConfirmationRequired:
            if request.method != "GET" or not wants_page(request):
                raise
            return redirect(with_next("/confirm", _here(request)))

    return wrapped


async def submit(
    request: Request,
    work: Callable[[], T],
    then: str,
    template: str,
    read_values: Callable[[], Mapping[str, Any]],
    *,
    message: Report[T],
    **typed: Any,
) -> Response:
    """
    Do the work of a form in a thread and redirect; if it is refused, show the form again with the reason.

    `message` reports the action on the next page. `read_values` returns the values of the template, besides the `typed`
    ones; its own errors mean that the caller cannot see the page any more.
    """
    try:
        result = await to_thread.run_sync(work)
    except ConfirmationRequired:
        raise
    except SeawayError as error:
        found = await to_thread.run_sync(read_values)
        return show_refusal(request, template, error, **{**found, **typed})
    return redirect_with_message(request, then, message(result) if callable(message) else message)


def show_refusal(
    request: Request, template: str, error: SeawayError, *, for_anyone: bool = False, **values: Any
) -> Response:
    """Show the form again with the error, except `ConfirmationRequired`; status and Retry-After follow from the error."""
    if isinstance(error, ConfirmationRequired):
        raise error
    problems.log_cause(error)
    status, headers = problems.status_of(error), problems.retry_after(error)
    return page(request, template, status=status, headers=headers, for_anyone=for_anyone, problem=error, **values)


def accounts_of(request: Request) -> AccountParts:
    """Return the parts that the accounts package uses."""
    return parts_of(request).accounts


def client_of(request: Request) -> BrowserInfo:
    """Return the IP address and user agent of the client."""
    return BrowserInfo(credentials.client_ip(request), request.headers.get("user-agent", ""))


def _not_signed_in(request: Request, by: Caller) -> Response:
    if not by.is_anonymous:
        raise NotAllowed("This requires a user who is signed in.", "Sign in with a browser and try again.")
    if request.method == "GET" and wants_page(request):
        return redirect(with_next("/signin", _here(request)))
    raise BadCredential("You are not signed in, or your session has ended.", "Sign in and try again.")


def _here(request: Request) -> str:
    """Return the path with its query, which holds the authorization request of a command-line tool."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
