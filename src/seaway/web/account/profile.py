"""Who one is here."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import emails, users
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.channels import channels
from seaway.errors import SeawayError
from seaway.http.forms import form_of
from seaway.web.asking import accounts_of, for_person, refused
from seaway.web.shell import page, see


@for_person
async def show(request: Request, by: Principal) -> Response:
    """Names, channels, and what is still to do."""
    values = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/profile.html", problem=None, **values)


@for_person
async def change(request: Request, by: Principal) -> Response:
    """The name that others read."""
    house = accounts_of(request)
    typed = (await form_of(request)).text("display_name")
    try:
        await to_thread.run_sync(_rename, house, by, typed)
    except SeawayError as error:
        values = await to_thread.run_sync(_look, house, by)
        return refused(request, "account/profile.html", error, **values)
    return see("/account")


def _look(house: Accounts, by: Principal) -> dict[str, object]:
    assert by.user_id is not None
    with house.database.read() as tx:
        return {
            "user": users.by_id(tx, by.user_id),
            "channels": channels.of_user(tx, by.user_id),
            "addresses": emails.of_user(tx, by.user_id),
        }


def _rename(house: Accounts, by: Principal, typed: str) -> None:
    with house.database.write() as tx:
        users.set_display_name(tx, house.clock.now_ms(), by, by.name, typed)
