"""
What the pages of site admins share.

1. To everybody but a site admin who is signed in there is nothing: the answer is that of a path that means nothing.
2. A change needs a proof of a short while ago, and is done in one transaction. What is refused is said on the page.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Principal
from seaway.database.engine import Tx
from seaway.errors import BadCredential, NotConfirmed, NotFound, SeawayError
from seaway.http.house import House
from seaway.http.identity import principal_of
from seaway.web.asking import Handler, PersonHandler, for_person, refused
from seaway.web.looking import house_of
from seaway.web.shell import page, see

Look = Callable[[Tx], Mapping[str, Any]]
ON_A_PAGE = 50


def for_admin(handler: PersonHandler) -> Handler:
    """A page of site admins."""
    for_whoever_is_in = for_person(handler)

    @wraps(handler)
    async def answer(request: Request) -> Response:
        by = await principal_of(request)
        if not (by.is_person and by.is_admin):
            raise NotFound("This page does not exist.", "Check the URL.")
        require_site(by, SiteAction.ADMINISTER)
        return await for_whoever_is_in(request)

    return answer


async def show(request: Request, template: str, look: Look) -> Response:
    """The page."""
    found = await to_thread.run_sync(_read, house_of(request), look)
    return page(request, f"admin/{template}.html", problem=None, **found)


async def do(
    request: Request,
    template: str,
    look: Look,
    act: Callable[[Tx, int], object],
    *,
    then: str,
    within: AbstractContextManager[Tx] | None = None,
) -> Response:
    """
    Do what the form asks for and go on to `then`; if that is refused, the page with the reason above it.

    `within` is the transaction; None: one that locks the site.
    """
    house = house_of(request)
    try:
        await to_thread.run_sync(_write, house, act, within or house.reading.database.write_site())
    except (NotConfirmed, BadCredential, NotFound):
        raise
    except SeawayError as error:
        found = await to_thread.run_sync(_read, house, look)
        return refused(request, f"admin/{template}.html", error, **found)
    return see(then)


def after_of(request: Request, most: int = 128) -> str:
    """The name behind which a page of a list begins."""
    return request.query_params.get("after", "")[:most]


def must_be_fresh(by: Principal) -> None:
    """Ask for the proof before anything else is said of a form."""
    require_site(by, SiteAction.CHANGE_SITE)


def _read(house: House, look: Look) -> Mapping[str, Any]:
    with house.reading.database.read() as tx:
        return look(tx)


def _write(house: House, act: Callable[[Tx, int], object], within: AbstractContextManager[Tx]) -> None:
    with within as tx:
        act(tx, house.reading.clock.now_ms())
