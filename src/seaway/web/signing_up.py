"""The pages for a new account, and what the links of its letters open."""

from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.accounts import first_account, links, signing_up
from seaway.accounts.links import Link, Purpose
from seaway.accounts.parts import Accounts
from seaway.errors import NameTaken, NotFound, SeawayError, WeakPassword
from seaway.http.forms import form_of
from seaway.http.identity import check_own_form, person_beside, principal_of
from seaway.web.asking import accounts_of, client_of, refused
from seaway.web.shell import page, see


async def show(request: Request) -> Response:
    """Make an account."""
    if (await principal_of(request)).is_person:
        return see("/account")
    return _form(request, None, {"name": "", "address": ""})


async def sign_up(request: Request) -> Response:
    """The same answer for a new address and for a known one (`signing_up`)."""
    await check_own_form(request)
    form = await form_of(request)
    name, address = form.text("name").lower(), form.text("address")
    try:
        await signing_up.sign_up(
            accounts_of(request), name, address, form.exact("password"), client=client_of(request).address
        )
    except SeawayError as error:
        return _form(request, error, {"name": name[:60], "address": address[:254]})
    return see("/signup/sent")


async def sent(request: Request) -> Response:
    """A letter is on its way."""
    await principal_of(request)
    return page(request, "sent.html", what="verify")


async def show_verify(request: Request) -> Response:
    """The link of a letter: a button, since scanners of mail open every link."""
    await principal_of(request)
    secret = request.path_params["secret"]
    link, was_used = await to_thread.run_sync(_look, accounts_of(request), Purpose.VERIFY, secret)
    return page(request, "verify.html", status=_status(link, was_used), for_anyone=True, link=link, was_used=was_used)


async def verify(request: Request) -> Response:
    """The button."""
    await check_own_form(request)
    person = await person_beside(request)
    keep = None if person is None else person.session_id
    work = partial(
        signing_up.verify,
        accounts_of(request),
        request.path_params["secret"],
        client=client_of(request).address,
        keep=keep,
    )
    try:
        await to_thread.run_sync(work)
    except SeawayError:
        return await show_verify(request)
    return page(request, "verified.html")


async def show_first(request: Request) -> Response:
    """The link that `serve` prints while nobody has an account."""
    await principal_of(request)
    await to_thread.run_sync(first_account.look, accounts_of(request), request.path_params["secret"])
    return page(request, "first_account.html", for_anyone=True, problem=None, name="", address="", faults={})


async def make_first(request: Request) -> Response:
    """The account of who looks after this Seaway."""
    await check_own_form(request)
    form = await form_of(request)
    name, address = form.text("name").lower(), form.text("address")
    secret, client = request.path_params["secret"], client_of(request).address
    try:
        await first_account.make(accounts_of(request), secret, name, address, form.exact("password"), client=client)
    except NotFound:
        raise
    except SeawayError as error:
        told = {"name": name[:60], "address": address[:254], "faults": {_field_of(error): error.sentence}}
        return refused(request, "first_account.html", error, for_anyone=True, **told)
    return see("/signin")


def _form(request: Request, problem: SeawayError | None, values: dict[str, str]) -> Response:
    policy = accounts_of(request).policy
    told: dict[str, Any] = values | {
        "faults": {} if problem is None else {_field_of(problem): problem.sentence},
        "is_open": policy.sign_up_open,
        "domains": sorted(policy.email_domains),
    }
    if problem is None:
        return page(request, "signup.html", for_anyone=True, problem=None, **told)
    return refused(request, "signup.html", problem, for_anyone=True, **told)


def _field_of(problem: SeawayError) -> str:
    if isinstance(problem, NameTaken):
        return "name"
    if isinstance(problem, WeakPassword):
        return "password"
    return "address" if problem.code == "malformed" else ""


def _look(house: Accounts, purpose: Purpose, secret: str) -> tuple[Link | None, bool]:
    with house.database.read() as tx:
        return links.look(tx, house.clock.now_ms(), purpose, secret), links.was_used(tx, purpose, secret)


def _status(link: Link | None, was_used: bool) -> int:
    return 200 if link is not None or was_used else 404
