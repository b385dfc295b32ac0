"""Issuers of workflow tokens: register, enable, disable, remove, set keys."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import issuers as issuers_api
from seaway.api.v1.issuers import IssuerUpdate
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.trusted_publishing import issuer_states, issuers
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.web.admin.admin_pages import change, for_admin, require_recent_confirmation, show

_LIST = "/admin/issuers"
Act = Callable[[RequestContext, str, Form], object]


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show all issuers, and a form to register one."""
    return await show(request, call, "issuers", partial(_look_at_all, Form([])))


@for_admin
async def add(request: Request, call: RequestContext) -> Response:
    """Register an issuer."""
    form = await form_of(request)
    require_recent_confirmation(call.by)

    def register() -> None:
        with call.write_site() as tx:
            issuers.add(
                tx, call.now_ms, call.by, form.text("name"),
                kind=form.text("kind"), issuer=form.text("address"), rules=form.text("rules"),
            )  # fmt: skip

    return await change(
        request, call, "issuers", partial(_look_at_all, form), register, then=f"{_LIST}/{form.text('name')}"
    )


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one issuer and its keys."""
    return await show(request, call, "issuer", partial(_read_values, request.path_params["issuer"], ""))


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
    read_values = partial(_read_values, name, form.exact("keys"))
    return await change(request, call, "issuer", read_values, partial(chosen, call, name, form), then=then)


def _look_at_all(typed: Form, tx: Tx) -> Mapping[str, Any]:
    return {"issuers": issuer_states.states(tx), "kinds": [(kind, kind) for kind in registry.NAMES], "typed": typed}


def _read_values(name: str, typed: str, tx: Tx) -> Mapping[str, Any]:
    return {"state": issuer_states.state(tx, name), "typed": typed}


def _set_enabled(call: RequestContext, name: str, _form: Form, *, enabled: bool) -> None:
    issuers_api.change_issuer(call, name, IssuerUpdate(enabled=enabled))


def _remove(call: RequestContext, name: str, _form: Form) -> None:
    issuers_api.remove_issuer(call, name)


def _set_keys(call: RequestContext, name: str, form: Form) -> None:
    with call.write_site() as tx:
        issuers.set_static_keys(tx, call.now_ms, call.by, name, form.text("keys"))


def _fetch(call: RequestContext, name: str, _form: Form) -> None:
    issuers_api.fetch_issuer_keys(call, name)


_ACTS: Mapping[str, Act] = {
    "enable": partial(_set_enabled, enabled=True),
    "disable": partial(_set_enabled, enabled=False),
    "remove": _remove,
    "keys": _set_keys,
    "fetch": _fetch,
}
