"""Issuers of workflow tokens: register, enable, disable, remove, set keys."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.trusted_publishing import issuer_states, issuers
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.web.admin.admin_pages import change, for_admin, require_recent_confirmation, show
from seaway.web.channel_pages import parts_of

_LIST = "/admin/issuers"
Act = Callable[[Caller, str, Form, Tx, int], object]


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show all issuers, and a form to register one."""
    return await show(request, call, "issuers", partial(_look_at_all, Form([])))


@for_admin
async def add(request: Request, call: RequestContext) -> Response:
    """Register an issuer."""
    form = await form_of(request)
    require_recent_confirmation(call.by)

    def register(tx: Tx, now_ms: int) -> None:
        issuers.add(
            tx, now_ms, call.by, form.text("name"),
            kind=form.text("kind"), issuer=form.text("address"), rules=form.text("rules"),
        )  # fmt: skip

    return await change(
        request, call, "issuers", partial(_look_at_all, form), register, then=f"{_LIST}/{form.text('name')}"
    )


@for_admin
async def look(request: Request, call: RequestContext) -> Response:
    """Show one issuer and its keys."""
    return await show(request, call, "issuer", partial(_look, request.path_params["issuer"], ""))


@for_admin
async def act(request: Request, call: RequestContext) -> Response:
    """Enable, disable or remove an issuer, or set or fetch its keys."""
    name, act_name = request.path_params["issuer"], request.path_params["act"]
    chosen = _ACTS.get(act_name)
    if chosen is None:
        raise NotFound("This page does not exist.", "Check the URL.")
    require_recent_confirmation(call.by)
    form = await form_of(request)
    then = _LIST if act_name == "remove" else f"{_LIST}/{name}"
    response = await change(
        request,
        call,
        "issuer",
        partial(_look, name, form.exact("keys")),
        partial(chosen, call.by, name, form),
        then=then,
    )
    if act_name == "fetch":
        await to_thread.run_sync(_fetch, request, name)
    return response


def _look_at_all(typed: Form, tx: Tx) -> Mapping[str, Any]:
    return {"issuers": issuer_states.states(tx), "kinds": [(kind, kind) for kind in registry.NAMES], "typed": typed}


def _look(name: str, typed: str, tx: Tx) -> Mapping[str, Any]:
    return {"state": issuer_states.state(tx, name), "typed": typed}


def _fetch(request: Request, name: str) -> None:
    parts = parts_of(request)
    with parts.site.database.read() as tx:
        issuer = issuers.get(tx, name)
    parts.exchanging.key_sets.refresh(issuer.key_source)


def _enable(by: Caller, name: str, _form: Form, tx: Tx, now_ms: int) -> None:
    issuers.set_enabled(tx, now_ms, by, name, enabled=True)


def _disable(by: Caller, name: str, _form: Form, tx: Tx, now_ms: int) -> None:
    issuers.set_enabled(tx, now_ms, by, name, enabled=False)


def _remove(by: Caller, name: str, _form: Form, tx: Tx, now_ms: int) -> None:
    issuers.remove(tx, now_ms, by, name)


def _give_keys(by: Caller, name: str, form: Form, tx: Tx, now_ms: int) -> None:
    issuers.set_static_keys(tx, now_ms, by, name, form.text("keys"))


def _fetch_again(by: Caller, name: str, _form: Form, tx: Tx, now_ms: int) -> None:
    issuers.set_static_keys(tx, now_ms, by, name, None)


_ACTS: Mapping[str, Act] = {
    "enable": _enable,
    "disable": _disable,
    "remove": _remove,
    "keys": _give_keys,
    "fetch": _fetch_again,
}
