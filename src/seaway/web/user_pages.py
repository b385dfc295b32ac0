"""Shared code of the pages for signed-in users: the sign-in check, forms with an error, the client's data."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Principal
from seaway.errors import BadCredential, NotAllowed, NotConfirmed, SeawayError
from seaway.http import credentials, problems
from seaway.http.caller import principal_of
from seaway.http.next_page import local, with_next
from seaway.http.parts import House
from seaway.http.site_url import site_url_of
from seaway.sign_in.parts import Accounts
from seaway.sign_in.password_sign_in import Client
from seaway.web.problem_pages import wants_page
from seaway.web.rendering import page, see

Handler = Callable[[Request], Awaitable[Response]]
PersonHandler = Callable[[Request, Principal], Awaitable[Response]]


def for_person(handler: PersonHandler) -> Handler:
    """Require a signed-in user; redirect browsers to /signin, or to /confirm if a recent confirmation is required."""

    @wraps(handler)
    async def wrapped(request: Request) -> Response:
        by = await principal_of(request)
        if not by.is_person:
            return _not_signed_in(request, by)
        try:
            return await handler(request, by)
        except NotConfirmed:
            if not wants_page(request):
                raise
            return see(with_next("/confirm", _page_of(request)))

    return wrapped


def refused(
    request: Request, template: str, error: SeawayError, *, for_anyone: bool = False, **values: Any
) -> Response:
    """Show the form again with the error; the status and Retry-After follow from the error."""
    problems.note(error)
    status, headers = problems.status_of(error), problems.retry_after(error)
    return page(request, template, status=status, headers=headers, for_anyone=for_anyone, problem=error, **values)


def accounts_of(request: Request) -> Accounts:
    """Return the parts that the accounts package uses."""
    parts: House = request.app.state.house
    return parts.accounts


def client_of(request: Request) -> Client:
    """Return the IP address and user agent of the client."""
    return Client(credentials.address_of(request), request.headers.get("user-agent", ""))


def _not_signed_in(request: Request, by: Principal) -> Response:
    if not by.is_anonymous:
        raise NotAllowed("This requires a user who is signed in.", "Sign in with a browser and try again.")
    if request.method == "GET" and wants_page(request):
        return see(with_next("/signin", _here(request)))
    raise BadCredential("You are not signed in, or your session has ended.", "Sign in and try again.")


def _page_of(request: Request) -> str:
    """Return the page that contains the submitted form, by its Referer header; without one, the section's page."""
    if request.method == "GET":
        return _here(request)
    origin, _, path = request.headers.get("referer", "").partition(site_url_of(request) + "/")
    return local(f"/{path}") if path and not origin else "/".join(request.url.path.split("/")[:3])


def _here(request: Request) -> str:
    """Return the path with its query, which holds the authorization request of a command-line tool."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
