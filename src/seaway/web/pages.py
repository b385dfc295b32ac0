"""The first pages: what is here, and the lines to paste."""

from pathlib import Path

from anyio import to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from seaway.accounts.principal import ANONYMOUS
from seaway.channels import channels, permissions
from seaway.channels.channels import Channel
from seaway.channels.permissions import Verdict
from seaway.channels.roles import Action
from seaway.database.engine import Database
from seaway.http.house import House
from seaway.packages import catalogue
from seaway.packages.catalogue import PackageSummary

_HERE = Path(__file__).parent
_STYLE = (_HERE / "static" / "seaway.css").read_bytes()
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
)


async def front(request: Request) -> Response:
    """The public channels."""
    shown = await to_thread.run_sync(_public_channels, _database(request))
    return _page("front.html", channels=shown, site=_site(request))


async def channel(request: Request) -> Response:
    """One public channel; a private one looks like none until there are sessions to show it to."""
    found = await to_thread.run_sync(_visible_channel, _database(request), request.path_params["channel"])
    if found is None:
        return _page("nothing.html", status=404, site=_site(request))
    shown, packages = found
    return _page("channel.html", channel=shown, packages=packages, site=_site(request))


async def style(_request: Request) -> Response:
    """The style sheet of the pages."""
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


def _public_channels(database: Database) -> list[Channel]:
    with database.read() as tx:
        return channels.visible_to(tx, ANONYMOUS)


def _visible_channel(database: Database, name: str) -> tuple[Channel, list[PackageSummary]] | None:
    with database.read() as tx:
        access = channels.access_of(tx, name, ANONYMOUS)
        if access is None or permissions.decide(ANONYMOUS, Action.READ, access) is not Verdict.ALLOWED:
            return None
        return channels.get(tx, name), catalogue.list_packages(tx, access.channel_id)


def _database(request: Request) -> Database:
    house: House = request.app.state.house
    return house.reading.database


def _site(request: Request) -> str:
    house: House = request.app.state.house
    return house.site_url


def _page(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    content = _templates.get_template(template).render(values)
    return HTMLResponse(content, status, headers={"Content-Security-Policy": _CSP})
