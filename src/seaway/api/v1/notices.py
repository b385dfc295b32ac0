"""Notices of a channel, shown to its users by clients (CEP 6)."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ANONYMOUS_ALLOWED, ApiRequestDep, ChannelName, Id
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.channels import notices
from seaway.channels.notices import MAX_DAYS, MAX_MESSAGE, Level
from seaway.channels.roles import Action
from seaway.clock import DAY_MS

router = APIRouter(tags=["notices"])

LevelName = Annotated[str, Field(json_schema_extra={"enum": [level.value for level in Level]})]


class Notice(ResponseBody):
    """A notice."""

    id: int
    level: LevelName
    message: str
    created_at: Moment
    expires_at: Moment


class NoticeCreate(RequestBody):
    """A notice to post."""

    level: Literal["info", "warning", "critical"] = "info"
    message: str = Field(min_length=1, max_length=MAX_MESSAGE)
    days: int = Field(30, description="Number of days until it expires.", ge=1, le=MAX_DAYS)

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Moved to robots-2.", "days": 30}]})


@router.get("/channels/{channel}/notices", operation_id="listNotices", openapi_extra=ANONYMOUS_ALLOWED)
def list_notices(call: ApiRequestDep, channel: ChannelName) -> Page[Notice]:
    """List the current notices of a channel, newest first."""
    with call.read() as tx:
        return single_page(
            [Notice.model_validate(notice) for notice in notices.list_current(tx, call.now_ms, call.by, channel)]
        )


@router.post("/channels/{channel}/notices", operation_id="postNotice", status_code=201)
def post_notice(call: ApiRequestDep, channel: ChannelName, given: NoticeCreate) -> Notice:
    """Post a notice."""
    now_ms = call.now_ms
    with call.write_channel(channel, Action.MANAGE) as tx:
        return Notice.model_validate(
            notices.add(
                tx, now_ms, call.by, channel, Level(given.level), given.message,
                expires_at_ms=now_ms + given.days * DAY_MS,
            )
        )  # fmt: skip


@router.delete("/channels/{channel}/notices/{notice}", operation_id="withdrawNotice", status_code=204)
def withdraw_notice(call: ApiRequestDep, channel: ChannelName, notice: Id) -> None:
    """Withdraw a notice."""
    with call.write_channel(channel, Action.MANAGE) as tx:
        notices.remove(tx, call.now_ms, call.by, channel, notice)
