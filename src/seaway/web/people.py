"""Names of users while one is typed, as options of a field."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import people
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.principal import Principal
from seaway.errors import TooMany
from seaway.web.asking import accounts_of, for_person
from seaway.web.shell import page


@for_person
async def options(request: Request, by: Principal) -> Response:
    """The users whose names begin as what was typed; none for who asks too often, since typing must go on."""
    require_site(by, SiteAction.FIND_USERS)
    house = accounts_of(request)
    wanted = next(iter(request.query_params.values()), "")[:40]
    try:
        names = await to_thread.run_sync(people.find, house.database, house.clock.now_ms(), str(by.user_id), wanted)
    except TooMany:
        names = []
    return page(request, "people.html", names=names)
