"""
Keep a form that was refused for a reason outside its fields on a page, which sends it again.

The session had ended, the user had signed in again, or a recent confirmation was required.

1. Only a form that a page of this site sent is kept, so that another site cannot make a user send its form.
2. The browser sends a kept form to its own URL with the CSRF token of the current session, so everything is checked
   again.
3. It is sent without another click only if the user who saw it is the one who is signed in now.
4. Files are not kept: the page says so.
5. A form for callers who are not signed in is not kept: it reports a refusal itself, and may contain a password.
6. A form that carries a kept one (the confirmation, `/continue`) is refused without losing it; the proof is not kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.errors import BadCredential, ConfirmationRequired, NotFound, OutdatedForm, SeawayError
from seaway.http import caller
from seaway.http.next_page import local_path
from seaway.http.page_forms import Form, carries_form, form_of
from seaway.sign_in import sessions
from seaway.web import confirmation
from seaway.web.rendering import page, redirect, wants_page

_PREFIX = "kept:"
_ACTION, _USER = "kept-action", "kept-user"
_CARRIERS = ("/confirm", "/confirm/passkey", "/continue")
_NOT_KEPT = ("/signout", "/confirm", "/verify/")  # their forms have nothing to keep, or a proof


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form to send again: its URL, its fields and the name of the user who saw it, if known."""

    action: str
    fields: tuple[tuple[str, str], ...]
    user: str = ""
    had_file: bool = False

    @property
    def hidden_fields(self) -> Iterable[tuple[str, str]]:
        """Fields that keep this form in another one."""
        yield _ACTION, self.action
        yield _USER, self.user
        for name, value in self.fields:
            yield f"{_PREFIX}{name}", value


def kept_in(form: Form) -> KeptForm | None:
    """Return the form that is kept in the hidden fields of another one, or None."""
    if _ACTION not in form:
        return None
    fields = ((name.removeprefix(_PREFIX), value) for name, value in form.pairs if name.startswith(_PREFIX))
    return KeptForm(local_path(form.exact(_ACTION)), tuple(fields), form.text(_USER))


async def page_for(request: Request, error: Exception, plain: Response) -> Response | None:
    """Return a page that keeps the form of a refused request, or None if the error is not of this kind."""
    by = caller.identified_caller(request)
    if not _is_kept(request, error, by):
        return None
    kept = _form_to_keep(request, await form_of(request), by)
    if kept is None:
        return None
    caller.check_same_origin(request)
    if isinstance(error, ConfirmationRequired):
        values = await confirmation.methods_of(request, by)
        return page(request, "confirm.html", status=403, problem=None, next_path="/", kept=kept, **values)
    return _show(request, kept, plain.status_code, await caller.signed_in_user(request))


@carries_form
async def send_again(request: Request) -> Response:
    """Continue with a kept form, if the user is signed in by now."""
    await caller.check_anonymous_form(request)
    kept = kept_in(await form_of(request))
    if kept is None:
        return redirect("/")
    user = await caller.signed_in_user(request)
    if user is None:
        return _show(request, kept, 401, None, is_repeated=True)
    return sending_page(request, kept, user, caller.csrf_token_for(request))


async def signed_in(request: Request) -> Response:
    """Tell a user who signed in in a new tab to return to the one with the form."""
    await caller.caller_of(request)
    return page(request, "form_waits.html")


def sending_page(request: Request, kept: KeptForm, user: Caller, token: str) -> Response:
    """Show a page that sends the form with this CSRF token; by itself if the user is the one who saw the form."""
    return page(request, "send_again.html", kept=kept, token=token, user=user.name, at_once=kept.user == user.name)


def token_of(secret: str) -> str:
    """Return the CSRF token of a session that the response begins."""
    return sessions.csrf_token(secret)


def _is_kept(request: Request, error: Exception, by: Caller) -> bool:
    if request.method != "POST" or not wants_page(request) or "authorization" in request.headers:
        return False
    if isinstance(error, ConfirmationRequired | OutdatedForm):
        return True
    # Pages that anonymous callers cannot see say that they do not exist, also when the session has ended.
    has_ended = by.is_anonymous and bool(caller.cookies_of(request).session_of(request))
    return by.is_anonymous and (isinstance(error, BadCredential) or (has_ended and isinstance(error, NotFound)))


def _form_to_keep(request: Request, form: Form, by: Caller) -> KeptForm | None:
    path = request.url.path
    if path in _CARRIERS:
        return kept_in(form)
    if caller.is_anonymous_form(request) or path.startswith(_NOT_KEPT):
        return None
    fields = tuple((name, value) for name, value in form.pairs if name != caller.TOKEN_FIELD)
    return KeptForm(path, fields, by.name if by.is_person else "", bool(form.file) or form.streamed is not None)


def _show(request: Request, kept: KeptForm, status: int, user: Caller | None, *, is_repeated: bool = False) -> Response:
    problem: SeawayError | None = None
    if is_repeated:
        problem = BadCredential("You are not signed in yet.", "Use the other tab to sign in, then continue here.")
    shown = kept if user is None else KeptForm(kept.action, kept.fields, user.name, kept.had_file)
    values: dict[str, Any] = {"kept": shown, "user": "" if user is None else user.name}
    return page(request, "kept_form.html", status=status, for_anyone=True, problem=problem, **values)
