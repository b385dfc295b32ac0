"""The addresses of one's account."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import emails, signing_up
from seaway.accounts.emails import Email
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.errors import SeawayError
from seaway.http.forms import form_of
from seaway.web.asking import accounts_of, client_of, for_person, refused
from seaway.web.shell import page


@for_person
async def show(request: Request, by: Principal) -> Response:
    """All of them, the primary one first."""
    found = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/emails.html", problem=None, emails=found, written_to="")


@for_person
async def write_again(request: Request, by: Principal) -> Response:
    """Another letter to an address that is not verified."""
    house = accounts_of(request)
    address = (await form_of(request)).text("address")
    work = partial(signing_up.write_again, house, by, address, client=client_of(request).address)
    found = await to_thread.run_sync(_look, house, by)
    try:
        await to_thread.run_sync(work)
    except SeawayError as error:
        return refused(request, "account/emails.html", error, emails=found, written_to="")
    known = next((one.address for one in found if one.address == address), "")
    return page(request, "account/emails.html", problem=None, emails=found, written_to=known)


def _look(house: Accounts, by: Principal) -> list[Email]:
    assert by.user_id is not None
    with house.database.read() as tx:
        return emails.of_user(tx, by.user_id)
