"""The upload log: who uploaded which file and how, for channel owners and site admins."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from seaway.api.v1.api_request import DEFAULT_LIMIT, After, ApiRequestDep, ChannelName, Limit
from seaway.api.v1.schemas import Page, ResponseBody, id_cursor, page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.channels import upload_log
from seaway.channels.roles import Action
from seaway.errors import Invalid

router = APIRouter(tags=["audit"])

OfName = Annotated[str, Query(description="The name of a channel, or of one that was deleted.", max_length=128)]


class Upload(ResponseBody):
    """An upload, with the fields of `seaway uploads export --json`, from which `hash` is computed."""

    channel_id: int = Field(description="Never reused, even for a new channel of the same name.")
    number: int = Field(description="Position in the upload log of the channel, from 1.")
    at: int = Field(description="Milliseconds since 1970, UTC.")
    channel: str
    subdir: str
    file_name: str
    size: int
    sha256: str
    replaced_sha256: str | None = Field(description="The overwritten file; null if there was none.")
    attestations_sha256: str | None
    principal: str = Field(description="The uploader, as text.", examples=["ada (key ci)"])
    user_id: int | None
    key_id: int | None
    publisher_id: int | None
    issuer: str = Field(description="The token issuer of a workflow; empty for users, as are `repository` to `run`.")
    repository: str
    workflow: str
    commit: str
    run: str
    address: str
    previous: str = Field(description="The `hash` of the previous upload to the channel, or 64 zeros.")
    hash: str = Field(description="The sha256 of all other fields as compact JSON with sorted keys.")


@router.get("/channels/{channel}/upload-log", operation_id="listChannelUploads")
def list_channel_uploads(
    call: ApiRequestDep, channel: ChannelName, after: After = "", limit: Limit = DEFAULT_LIMIT
) -> Page[Upload]:
    """List all uploads to a channel, oldest first, without those to a deleted channel of the same name. Owner only."""
    start = id_cursor(after) or 0
    with call.read() as tx:
        access = call.require(tx, Action.MANAGE, channel)
        found = upload_log.of_channel(tx, access.channel_id, after=start, limit=limit + 1)
    return page(found, limit, _shown, lambda row: row["number"])


@router.get("/upload-log", operation_id="listUploads")
def list_uploads(call: ApiRequestDep, channel: OfName, after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[Upload]:
    """List all uploads to all channels that ever had this name, oldest first. Site admins only; requires a session."""
    start = _parse_cursor(after)
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = upload_log.of_name(tx, channel, after=start, limit=limit + 1)
    return page(found, limit, _shown, lambda row: f"{row['channel_id']}.{row['number']}")


def _parse_cursor(after: str) -> tuple[int, int]:
    if not after:
        return 0, 0
    channel_id, dot, number = after.partition(".")
    if not dot or not channel_id or not number:
        raise Invalid("`after` is not a valid cursor.", "Send `next` of the previous response unchanged, or omit it.")
    return id_cursor(channel_id) or 0, id_cursor(number) or 0


def _shown(row: dict[str, Any]) -> Upload:
    return Upload(**row)
