"""
Trusted publishers of a channel, what to paste into their workflows, and a test of a token of a job.

A tested token is in the request and in the response to it only.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from seaway.callers.caller import Caller, Mode
from seaway.channels.roles import Action
from seaway.errors import Malformed, TooManyRequests, at_field
from seaway.http.page_forms import Form, form_of
from seaway.http.request_context import RequestContext
from seaway.trusted_publishing import issuers, publisher_changes, publishers, token_test, workflow_snippets
from seaway.trusted_publishing.exchange import TokenExchange
from seaway.trusted_publishing.issuer_kinds.issuer_kind import GateValue, IssuerKind
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.token_test import TokenReport
from seaway.web.account import keys
from seaway.web.page_message import Message, Undo
from seaway.web.settings.setting_fields import fields_of, save
from seaway.web.settings.settings_pages import (
    SettingsContext,
    SettingsPage,
    change,
    change_without_transaction,
    read_values,
    show,
)
from seaway.web.user_pages import for_user, show_refusal

MODES = [choice for choice in keys.MODES if choice[0] is not Mode.MANAGE]
_ABLE = {
    Mode.READ.name: "read",
    Mode.READ_WRITE.name: "publish to",
    Mode.READ_WRITE_DELETE.name: "publish to and delete from",
}
_SNIPPETS: Mapping[str, Callable[[str, str, str], str]] = {
    "github": workflow_snippets.github,
    "gitlab": workflow_snippets.gitlab,
    "google": workflow_snippets.google,
}


def _read_values(chosen: str, context: SettingsContext) -> Mapping[str, Any]:
    known = issuers.all_issuers(context.tx)
    usable = [issuer for issuer in known if issuer.is_enabled]
    issuer = next((candidate for candidate in usable if candidate.name == chosen), usable[0] if usable else None)
    return {
        "publishers": publishers.in_channel(context.tx, context.channel_id),
        "issuers": usable,
        "issuer": issuer,
        "modes": MODES,
        "labels": {issuer.issuer: issuer.kind.label for issuer in known},
        "condition_labels": {
            (issuer.kind.name, gate.name): gate.label for issuer in known for gate in issuer.kind.gates
        },
        "is_refused": False,
        "fields": fields_of("publishers"),
        "typed_settings": None,
        "snippet": "" if issuer is None else _snippet(context, issuer.kind.name),
        "typed": Form([]),
        "findings": {},
        "report": None,
        "typed_token": "",
        "audience": context.parts.exchanging.audience,
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
    then = f"{section.address(channel)}?issuer={name}"
    return await change_without_transaction(
        request, call, section, act, message=_added, then=then, typed=form, is_refused=True
    )


def _added(publisher: Publisher) -> Message:
    text = f"{publisher.name} can now {_ABLE[publisher.mode]} {publisher.channel} without a stored secret."
    return Message(text, link=("Workflow snippet", "#snippet-title") if publisher.kind in _SNIPPETS else None)


@for_user
async def remove(request: Request, call: RequestContext) -> Response:
    """Remove a trusted publisher."""
    acting = partial(_remove, await form_of(request))
    section = _section("")
    return await change(
        request, call, section, acting, message=lambda message: message, requires=publishers.require_can_change
    )


@for_user
async def test(request: Request, call: RequestContext) -> Response:
    """Show whether a pasted token would be accepted, check by check."""
    form = await form_of(request)
    text = form.text("token")
    section = _section(form.text("issuer"))
    parts, channel = call.parts.exchanging, request.path_params["channel"]
    act = partial(_report, parts, call.by, channel, text)
    try:
        report = await to_thread.run_sync(act, limiter=parts.slots)
    except TooManyRequests as error:
        values = await to_thread.run_sync(read_values, request, call, section)
        return show_refusal(request, section.template, error, **{**values, "typed_token": text})
    return await show(request, call, section, report=report, typed_token=text)


def _report(parts: TokenExchange, by: Caller, channel: str, text: str) -> TokenReport:
    return at_field("token", partial(token_test.report_on, parts, by, channel, text))


@for_user
async def change_rules(request: Request, call: RequestContext) -> Response:
    """Set which uploads the channel accepts."""
    return await save(request, call, _section(""), "publishers", message="The upload rules were saved.")


def _settings(kind: IssuerKind, form: Form) -> PublisherSettings:
    if form.is_set("removed"):
        return _removed_settings(form.text("removed"))
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


def _add(channel: str, issuer: str, form: Form, call: RequestContext) -> Publisher:
    with call.read() as tx:
        kind = issuers.get(tx, issuer).kind
    return publisher_changes.add(call.parts.exchanging, call.by, channel, issuer, _settings(kind, form))


def _remove(form: Form, context: SettingsContext) -> Message:
    """Remove a publisher; Undo sends its settings to the form that adds one, which checks everything again."""
    outbox, number, tx = context.parts.accounts.outbox, form.number("publisher"), context.tx
    publisher = publishers.remove(tx, context.now_ms, context.by, outbox, context.channel, number)
    issuer = issuers.find(tx, publisher.issuer)
    text = f"The publisher {publisher.name} was removed. Its workflow can no longer publish to {publisher.channel}."
    if issuer is None:
        return Message(text)
    settings = publisher.model_dump_json(include=set(PublisherSettings.model_fields))
    action = _section("").address(context.channel)
    return Message(text, Undo(action, {"issuer": [issuer.name], "removed": [settings]}))


def _removed_settings(text: str) -> PublisherSettings:
    try:
        return PublisherSettings.parse(msgspec.json.decode(text, type=dict[str, Any]))
    except msgspec.MsgspecError:
        raise Malformed("The settings of the removed publisher cannot be read.", "Add it with the form.") from None
