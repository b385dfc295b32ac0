"""Making a channel: a name that is free, a description, who may read it."""

from dataclasses import dataclass

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import users
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.accounts.throttle import Rate, take
from seaway.channels import channels
from seaway.channels.permissions import require_site, require_verified
from seaway.channels.roles import SiteAction
from seaway.errors import NotConfirmed, SeawayError, TooMany
from seaway.http.forms import form_of
from seaway.web.asking import accounts_of, for_person, refused
from seaway.web.shell import page, see


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form; private unless somebody says otherwise."""

    name: str = ""
    description: str = ""
    visibility: str = "private"


@for_person
async def show(request: Request, _by: Principal) -> Response:
    """The form."""
    return page(request, "new_channel.html", problem=None, typed=Typed())


@for_person
async def add(request: Request, by: Principal) -> Response:
    """Make the channel and lead to it."""
    form = await form_of(request)
    description = form.text("description").replace("\r\n", "\n")
    typed = Typed(form.text("name").lower()[:200], description, form.text("visibility"))
    try:
        await to_thread.run_sync(_add, accounts_of(request), by, typed)
    except NotConfirmed:
        raise
    except SeawayError as error:
        return refused(request, "new_channel.html", error, typed=typed)
    return see(f"/channels/{typed.name}")


@for_person
async def availability(request: Request, by: Principal) -> Response:
    """Whether a name is free, while it is typed; why not is not told."""
    name = request.query_params.get("name", "").strip().lower()[:200]
    said = await to_thread.run_sync(_is_free, accounts_of(request), by, name) if name else None
    return page(request, "name_free.html", name=name, is_free=said)


def _add(house: Accounts, by: Principal, typed: Typed) -> None:
    require_verified(by)
    take(house.database, house.clock.now_ms(), Rate.CHANNEL_ADD, str(by.user_id))
    with house.database.write() as tx:
        channels.add(
            tx,
            house.clock.now_ms(),
            by,
            typed.name,
            users.get(tx, by.name),
            description=typed.description,
            logo_url="",
            is_public=typed.visibility == "public",
        )


def _is_free(house: Accounts, by: Principal, name: str) -> bool | None:
    """None when it was asked too often: typing must go on, and the form itself tells."""
    require_site(by, SiteAction.ADD_CHANNEL)
    try:
        take(house.database, house.clock.now_ms(), Rate.CHANNEL_NAME, str(by.user_id))
    except TooMany:
        return None
    with house.database.read() as tx:
        return channels.is_free(tx, house.clock.now_ms(), by, name)
