"""Trusted publishers of a channel, and what to paste into their workflows."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller, Mode
from seaway.channels.roles import Action
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.trusted_publishing import issuers, publisher_changes, publishers, workflow_snippets
from seaway.trusted_publishing.exchange import TokenExchange
from seaway.trusted_publishing.issuer_kinds.issuer_kind import GateValue, IssuerKind
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.web.settings.setting_fields import fields_of, save
from seaway.web.settings.settings_pages import SettingsContext, SettingsPage, change, change_without_transaction, show
from seaway.web.user_pages import for_user

MODES = (
    (Mode.READ_WRITE.name, "Publish", "Upload and yank. Recommended."),
    (Mode.READ.name, "Read", "Install from this channel if it is private."),
    (Mode.READ_WRITE_DELETE.name, "Publish and delete", "Also overwrite and delete files."),
)
_SNIPPETS: Mapping[str, Callable[[str, str, str], str]] = {
    "github": workflow_snippets.github,
    "gitlab": workflow_snippets.gitlab,
    "google": workflow_snippets.google,
}


def _read_values(chosen: str, context: SettingsContext) -> Mapping[str, Any]:
    usable = [issuer for issuer in issuers.all_issuers(context.tx) if issuer.is_enabled]
    issuer = next((candidate for candidate in usable if candidate.name == chosen), usable[0] if usable else None)
    return {
        "publishers": publishers.in_channel(context.tx, context.channel_id),
        "issuers": usable,
        "issuer": issuer,
        "modes": MODES,
        "fields": fields_of("publishers"),
        "typed_settings": None,
        "snippet": "" if issuer is None else _snippet(context, issuer.kind.name),
        "typed": Form([]),
        "findings": {},
    }


def _snippet(context: SettingsContext, kind: str) -> str:
    write = _SNIPPETS.get(kind)
    exchanging = context.parts.exchanging
    return "" if write is None else write(context.site, exchanging.audience, context.channel)


def _section(chosen: str) -> SettingsPage:
    return SettingsPage("publishers", Action.MANAGE, partial(_read_values, chosen))


@for_user
async def view(request: Request, call: RequestContext) -> Response:
    """Show the page, with the form for one issuer."""
    findings = await to_thread.run_sync(
        _findings, request.app.state.parts.exchanging, call.by, request.path_params["channel"]
    )
    return await show(request, call, _section(request.query_params.get("issuer", "")), findings=findings)


def _findings(parts: TokenExchange, by: Caller, channel: str) -> Mapping[int, str]:
    with parts.site.database.read() as tx:
        listed, known = publishers.list_for_owner(tx, by, channel), issuers.all_issuers(tx)
    found = parts.repository_ids.findings(listed, known)
    return {number: finding.value for number, finding in found.items()}


@for_user
async def add(request: Request, call: RequestContext) -> Response:
    """Add a trusted publisher."""
    form = await form_of(request)
    name = form.text("issuer")
    channel = request.path_params["channel"]
    act = partial(_add, channel, name, form)
    section = _section(name)
    return await change_without_transaction(
        request, call, section, act, then=f"{section.address(channel)}?issuer={name}", typed=form
    )


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove a trusted publisher."""
    return await change(
        request, call, _section(""), partial(_remove, await form_of(request)), requires=publishers.require_can_change
    )


@for_user
async def change_rules(request: Request, call: RequestContext) -> Response:
    """Set which uploads the channel accepts."""
    return await save(request, call, _section(""), "publishers")


def _settings(kind: IssuerKind, form: Form) -> PublisherSettings:
    return PublisherSettings.parse(
        {
            "fields": {field.name: form.text(field.name) for field in kind.fields},
            "conditions": {gate.name: _gate(form, gate.name, gate.is_list, gate.is_switch) for gate in kind.gates},
            "mode": form.text("mode"),
            "packages": _split(form.text("patterns")),
        }
    )


def _gate(form: Form, name: str, is_list: bool, is_switch: bool) -> GateValue:
    if is_switch:
        return form.is_set(name)
    return _split(form.text(name)) if is_list else form.text(name)


def _split(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _add(channel: str, issuer: str, form: Form, call: RequestContext) -> None:
    with call.read() as tx:
        kind = issuers.get(tx, issuer).kind
    publisher_changes.add(call.parts.exchanging, call.by, channel, issuer, _settings(kind, form))


def _remove(form: Form, context: SettingsContext) -> None:
    number = form.text("publisher")
    publishers.remove(
        context.tx,
        context.now_ms,
        context.by,
        context.parts.accounts.outbox,
        context.channel,
        int(number) if number.isdecimal() and len(number) < 16 else 0,
    )
