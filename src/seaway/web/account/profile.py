"""Who one is here."""

from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import emails, users
from seaway.accounts.parts import Accounts
from seaway.accounts.principal import Principal
from seaway.channels import channels
from seaway.web.asking import accounts_of, for_person
from seaway.web.shell import page


@for_person
async def show(request: Request, by: Principal) -> Response:
    """Names, channels, and what is still to do."""
    values = await to_thread.run_sync(_look, accounts_of(request), by)
    return page(request, "account/profile.html", **values)


def _look(house: Accounts, by: Principal) -> dict[str, Any]:
    assert by.user_id is not None
    with house.database.read() as tx:
        return {
            "user": users.by_id(tx, by.user_id),
            "channels": channels.of_user(tx, by.user_id),
            "addresses": emails.of_user(tx, by.user_id),
        }
