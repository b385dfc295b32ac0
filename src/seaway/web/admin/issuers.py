"""Issuers of workflow tokens: register, enable, disable, remove, set keys."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway.api.v1 import issuers as issuers_api
from seaway.api.v1.issuers import IssuerUpdate
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.search_terms import fold, search_terms
from seaway.trusted_publishing import issuer_states, issuers
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.trusted_publishing.issuer_states import IssuerState
from seaway.web.action_confirmation import Confirmation
from seaway.web.admin.admin_pages import change, for_admin, require_recent_confirmation, show
from seaway.web.admin.listing import option_of, query_of, text_of
from seaway.web.page_message import Message

_LIST = "/admin/issuers"
_CONFIRMED = ("disable", "remove")
_MESSAGES = {
    "enable": "The issuer {} is enabled. Its workflows can publish again.",
    "disable": "The issuer {} is disabled. Its publish tokens are rejected.",
    "remove": "The issuer {} was removed.",
    "keys": "The keys of {} were set. None are fetched until you choose Fetch keys now.",
}
Act = Callable[[RequestContext, str, Form], Message | None]


class _State(Enum):
    ANY = ""
    ENABLED = "enabled"
    DISABLED = "disabled"
    FAILED = "failed"


_STATES = (
    (_State.ANY, "All issuers"),
    (_State.ENABLED, "Enabled"),
    (_State.DISABLED, "Disabled"),
    (_State.FAILED, "Keys not fetched"),
)


@for_admin
async def listing(request: Request, call: RequestContext) -> Response:
    """Show the issuers that match the filters, and a form to register one."""
    return await show(request, call, "issuers", partial(_look_at_all, request, Form([])))


@for_admin
async def add(request: Request, call: RequestContext) -> Response:
    """Register an issuer."""
    form = await form_of(request)
    require_recent_confirmation(call.by)

    name = form.text("name")

    def register() -> None:
        with call.write_site() as tx:
            issuers.add(
                tx, call.now_ms, call.by, name,
                kind=form.text("kind"), issuer=form.text("issuer"), rules=form.text("rules"),
            )  # fmt: skip

    message = f"The issuer {name} was added. Channel owners can choose it now."
    read_values = partial(_look_at_all, request, form)
    return await change(request, call, "issuers", read_values, register, then=f"{_LIST}/{name}", message=message)


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show one issuer and its keys."""
    return await show(request, call, "issuer", partial(_read_values, request.path_params["issuer"], ""))


@for_admin
async def confirm(request: Request, call: RequestContext) -> Response:
    """Show what disabling or removing an issuer does, and the button that confirms it."""
    if request.path_params["act"] not in _CONFIRMED:
        raise NotFound("This page does not exist.", "Check the URL.")
    require_recent_confirmation(call.by)
    return await show(request, call, "confirm", partial(_confirmation, request))


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
    work = partial(chosen, call, name, form)

    def message(result: Message | None) -> str | Message:
        return result or _MESSAGES[act_name].format(name)

    if act_name in _CONFIRMED:
        return await change(request, call, "confirm", partial(_confirmation, request), work, then=then, message=message)
    read_values = partial(_read_values, name, form.exact("keys"))
    return await change(request, call, "issuer", read_values, work, then=then, message=message)


def _look_at_all(request: Request, typed: Form, tx: Tx) -> Mapping[str, Any]:
    words, state = text_of(request, "q"), option_of(request, "state", _State.ANY)
    every = issuer_states.states(tx)
    return {
        "issuers": [one for one in every if _matches(one, words, state)],
        "total": len(every),
        "query": query_of(request, "q", "state"),
        "words": words,
        "states": [(option.value, label) for option, label in _STATES],
        "state": state.value,
        "kinds": [(kind, kind) for kind in registry.NAMES],
        "typed": typed,
    }


def _matches(one: IssuerState, words: str, state: _State) -> bool:
    text = fold(f"{one.issuer.name} {one.issuer.issuer} {one.issuer.kind.label}")
    is_in_state = {
        _State.ANY: True,
        _State.ENABLED: one.issuer.is_enabled,
        _State.DISABLED: not one.issuer.is_enabled,
        _State.FAILED: bool(one.error),
    }[state]
    return is_in_state and all(word in text for word in search_terms(words))


def _confirmation(request: Request, tx: Tx) -> Mapping[str, Confirmation]:
    name, is_removal = request.path_params["issuer"], request.path_params["act"] == "remove"
    state = issuer_states.state(tx, name)
    used_by = f"{counted(state.publishers, 'trusted publisher')} {'uses' if state.publishers == 1 else 'use'} {name}."
    stop = "Its publish tokens are rejected immediately, and its workflows can no longer publish."
    rest = (
        "The publishers stay in their channels but no longer match any token. Its keys and rules are deleted."
        if is_removal
        else "The publishers stay, and work again when the issuer is enabled."
    )
    return {
        "confirmation": Confirmation(
            question=f"{'Remove' if is_removal else 'Disable'} the issuer {name}?",
            effects=[used_by, stop, rest],
            button="Remove issuer" if is_removal else "Disable issuer",
            back=f"{_LIST}/{name}",
            action=request.url.path,
            refused="Built-in issuers cannot be removed. Disable it instead."
            if is_removal and state.issuer.is_builtin
            else "",
        )
    }


def _read_values(name: str, typed: str, tx: Tx) -> Mapping[str, Any]:
    return {"state": issuer_states.state(tx, name), "typed": typed}


def _set_enabled(call: RequestContext, name: str, _form: Form, *, enabled: bool) -> None:
    issuers_api.change_issuer(call, name, IssuerUpdate(enabled=enabled))


def _remove(call: RequestContext, name: str, _form: Form) -> None:
    issuers_api.remove_issuer(call, name)


def _set_keys(call: RequestContext, name: str, form: Form) -> None:
    with call.write_site() as tx:
        issuers.set_static_keys(tx, call.now_ms, call.by, name, form.text("keys"))


def _fetch(call: RequestContext, name: str, _form: Form) -> Message:
    found = issuers_api.fetch_issuer_keys(call, name)
    if not found.error:
        return Message(f"The keys of {name} were fetched.")
    used = " The keys that an admin set are still used." if found.static_keys else ""
    return Message(f"The keys of {name} were not fetched: {found.error}.{used}", is_change=False)


_ACTS: Mapping[str, Act] = {
    "enable": partial(_set_enabled, enabled=True),
    "disable": partial(_set_enabled, enabled=False),
    "remove": _remove,
    "keys": _set_keys,
    "fetch": _fetch,
}
