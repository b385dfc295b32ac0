"""The audit log: of a channel for its owner, and of the site for admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import DEFAULT_LIMIT, After, ApiRequestDep, ChannelName, Limit
from seaway.api.v1.schemas import Moment, Page, ResponseBody, id_cursor, page
from seaway.audit import log
from seaway.audit.log import MAX_FILTER, LogFilter
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels.roles import Action

router = APIRouter(tags=["audit"])

Person = Annotated[
    str, Query(description="Entries of this user, or of a workflow as `actor` names it.", max_length=MAX_FILTER)
]
ActionCode = Annotated[str, Query(description="Entries with this `action`.", max_length=MAX_FILTER)]
OfChannel = Annotated[str, Query(description="Entries of this channel.", max_length=MAX_FILTER)]
OfFile = Annotated[
    str,
    Query(description="Entries of this package or file; a file with or without its subdir.", max_length=MAX_FILTER),
]


class AuditEntry(ResponseBody):
    """An audit log entry."""

    at: Moment
    actor: str = Field(examples=["ada (key ci)"])
    address: str = Field(description="IP address of the request.")
    action: str = Field(examples=["file.uploaded"])
    channel: str
    target: str
    detail: dict[str, Any]


@router.get("/channels/{channel}/audit", operation_id="listChannelAuditLog")
def list_channel_audit_log(
    call: ApiRequestDep,
    channel: ChannelName,
    person: Person = "",
    action: ActionCode = "",
    file: OfFile = "",
    after: After = "",
    limit: Limit = DEFAULT_LIMIT,
) -> Page[AuditEntry]:
    """List the audit log of a channel, newest first. Owner only."""
    before, where = id_cursor(after), LogFilter(person=person, action=action, file=file)
    with call.read() as tx:
        call.require(tx, Action.MANAGE, channel)
        found = log.of_channel(tx, channel, before=before, limit=limit + 1, where=where)
    return page(found, limit, AuditEntry.model_validate, lambda entry: entry.id)


@router.get("/audit", operation_id="listAuditLog")
def list_audit_log(
    call: ApiRequestDep,
    person: Person = "",
    action: ActionCode = "",
    channel: OfChannel = "",
    file: OfFile = "",
    after: After = "",
    limit: Limit = DEFAULT_LIMIT,
) -> Page[AuditEntry]:
    """List the audit log of the site, newest first. Site admins only; requires a session."""
    before = id_cursor(after)
    where = LogFilter(person=person, action=action, channel=channel, file=file)
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = log.of_all(tx, before=before, limit=limit + 1, where=where)
    return page(found, limit, AuditEntry.model_validate, lambda entry: entry.id)
