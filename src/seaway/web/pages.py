"""The first pages: what is here, and the lines to paste."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts.principal import Principal
from seaway.channels import channels, permissions
from seaway.channels.channels import Channel
from seaway.channels.permissions import Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Database
from seaway.errors import NotFound
from seaway.http.house import House
from seaway.http.identity import principal_of
from seaway.packages import catalogue
from seaway.packages.catalogue import PackageSummary
from seaway.web.shell import page


async def front(request: Request) -> Response:
    """What this is, and the channels that the asker may see."""
    by = await principal_of(request)
    shown = await to_thread.run_sync(_channels, _database(request), by)
    return page(request, "front.html", channels=shown)


async def channel(request: Request) -> Response:
    """One channel; one that the asker may not read looks like none."""
    by = await principal_of(request)
    found = await to_thread.run_sync(_visible_channel, _database(request), by, request.path_params["channel"])
    if found is None:
        raise NotFound(
            "There is no such channel, or it is private.", "If you are a member of it, sign in and open it again."
        )
    shown, packages = found
    return page(request, "channel.html", channel=shown, packages=packages)


def _channels(database: Database, by: Principal) -> list[Channel]:
    with database.read() as tx:
        return channels.visible_to(tx, by)


def _visible_channel(database: Database, by: Principal, name: str) -> tuple[Channel, list[PackageSummary]] | None:
    with database.read() as tx:
        access = channels.access_of(tx, name, by)
        if access is None or permissions.decide(by, Action.READ, access) is not Verdict.ALLOWED:
            return None
        return channels.get(tx, name), catalogue.list_packages(tx, access.channel_id)


def _database(request: Request) -> Database:
    house: House = request.app.state.house
    return house.reading.database
