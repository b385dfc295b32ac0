"""Yank, unyank and delete many files, a version or a package at once."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.schemas import RequestBody, ResponseBody
from seaway.http.request_context import RequestContext
from seaway.packages import removal
from seaway.packages.removal import FileAction, Selection

router = APIRouter(tags=["packages"])

_Path = Annotated[str, Field(max_length=250)]


class FileSelection(RequestBody):
    """The chosen files: either `files`, or `package`, optionally narrowed by `version` and `subdir`."""

    files: list[_Path] = Field(
        default=[],
        max_length=removal.MAX_NAMED,
        description="Files as SUBDIR/FILE.",
        examples=[["noarch/demo-1.0-h1_0.conda"]],
    )
    package: str | None = Field(default=None, description="All files of this package.", min_length=1, max_length=64)
    version: str | None = Field(default=None, description="Only files of this version.", min_length=1, max_length=64)
    subdir: str | None = Field(default=None, description="Only files of this platform.", min_length=1, max_length=32)


class FilesToYank(FileSelection):
    """The chosen files, and the reason."""

    reason: str = Field(
        default="", description="Shown on the pages of the files.", max_length=removal.MAX_REASON, examples=["broken"]
    )


class FileChangeResult(ResponseBody):
    """The result for all chosen files."""

    files: list[str] = Field(description="The files that changed.", examples=[["noarch/demo-1.0-h1_0.conda"]])
    unchanged: int = Field(description="Number of chosen files that were already in this state.")
    revisions: dict[str, int] = Field(
        description="The revision of each platform that contains the change.", examples=[{"noarch": 7}]
    )


@router.post("/channels/{channel}/files/yank", operation_id="yankFiles")
def yank_files(call: ApiRequestDep, channel: ChannelName, given: FilesToYank) -> FileChangeResult:
    """Yank files: all of them, or none if one is missing or you cannot yank it."""
    return change_files(call, channel, FileAction.YANK, _selection(given), given.reason)


@router.post("/channels/{channel}/files/unyank", operation_id="unyankFiles")
def unyank_files(call: ApiRequestDep, channel: ChannelName, given: FileSelection) -> FileChangeResult:
    """Unyank files: all of them, or none."""
    return change_files(call, channel, FileAction.UNYANK, _selection(given))


@router.post("/channels/{channel}/files/delete", operation_id="deleteFiles")
def delete_files(call: ApiRequestDep, channel: ChannelName, given: FileSelection) -> FileChangeResult:
    """Permanently delete files: all of them, or none if one is missing or you cannot delete it."""
    return change_files(call, channel, FileAction.DELETE, _selection(given))


def change_files(
    call: RequestContext, channel: str, act: FileAction, selection: Selection, reason: str = ""
) -> FileChangeResult:
    """Change the selected files; return the response body."""
    done = removal.change(call.parts.removing, call.by, channel, act, selection, reason=reason)
    return FileChangeResult(files=list(done.files), unchanged=done.unchanged, revisions=done.revisions)


def _selection(given: FileSelection) -> Selection:
    return removal.select_files(files=given.files, package=given.package, version=given.version, subdir=given.subdir)
