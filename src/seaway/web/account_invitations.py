"""Page of the link in an invitation: the invited user chooses a password and is signed in."""

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.errors import NotFound, SeawayError
from seaway.http.caller import caller_of, check_anonymous_form
from seaway.http.page_forms import form_of
from seaway.sign_in import user_invitations
from seaway.sign_in.user_invitations import AlreadyAccepted
from seaway.web.link_over import link_over
from seaway.web.rendering import page
from seaway.web.sign_in_pages import continue_sign_in
from seaway.web.sign_up_pages import begin_session
from seaway.web.user_pages import accounts_of, client_of, show_refusal


async def show(request: Request) -> Response:
    """Show the form for a password; opening the link changes nothing, since mail scanners open every link."""
    await caller_of(request)
    try:
        link, user = await to_thread.run_sync(
            user_invitations.find, accounts_of(request).site, request.path_params["secret"]
        )
    except NotFound as error:
        return _over(request, error)
    return page(request, "invited.html", for_anyone=True, problem=None, name=user.name, address=link.address)


async def accept(request: Request) -> Response:
    """Set the password, verify the address and sign in."""
    await check_anonymous_form(request)
    accounts, secret, client = accounts_of(request), request.path_params["secret"], client_of(request)
    password = (await form_of(request)).exact("password")
    try:
        user = await user_invitations.accept(accounts, secret, password, client=client.address)
    except NotFound as error:
        return _over(request, error)
    except SeawayError as error:
        link, user = await to_thread.run_sync(user_invitations.find, accounts.site, secret)
        values = {"name": user.name, "address": link.address}
        return show_refusal(request, "invited.html", error, for_anyone=True, **values)
    found = await to_thread.run_sync(begin_session, accounts.site, user.id, client)
    return await continue_sign_in(request, found, "/")


def _over(request: Request, error: NotFound) -> Response:
    if isinstance(error, AlreadyAccepted):
        return link_over(request, error, "Sign in", "/signin")
    if accounts_of(request).policy.sign_up_open:
        return link_over(request, error, "Create an account", "/signup")
    return link_over(request, error, "Home page", "/")
