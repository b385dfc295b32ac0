"""Correct the published metadata of a file, and restore the original."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.packages import FileName, MetadataCorrection, Subdir
from seaway.api.v1.schemas import RequestBody, ResponseBody
from seaway.channels.roles import Action
from seaway.packages import files, metadata_corrections
from seaway.packages.removal import MAX_REASON

router = APIRouter(tags=["packages"])


class MetadataCorrectionUpdate(RequestBody):
    """The fields to change; omitted fields stay unchanged. An empty value removes a field."""

    depends: list[str] | None = Field(default=None, examples=[["numpy <2"]])
    constrains: list[str] | None = None
    license: str | None = None
    track_features: str | list[str] | None = Field(default=None, description="A space-separated string, or a list.")
    reason: str = Field(description="Shown on the page of the file.", max_length=MAX_REASON, examples=["wrong pin"])


class CorrectionResult(ResponseBody):
    """The correction, and the revision that contains it."""

    correction: MetadataCorrection | None = Field(description="Null when every field has its original value again.")
    revision: int = Field(description="The revision of the platform that contains the correction.")
    warnings: list[str]


@router.patch("/channels/{channel}/files/{subdir}/{file}/correction", operation_id="correctFile")
def correct_file(
    call: ApiRequestDep, channel: ChannelName, subdir: Subdir, file: FileName, given: MetadataCorrectionUpdate
) -> CorrectionResult:
    """Correct the metadata of a published file in repodata; the file itself does not change."""
    changes: dict[str, Any] = given.model_dump(exclude={"reason"}, exclude_none=True)
    done = metadata_corrections.correct(call.parts.removing, call.by, channel, subdir, file, changes, given.reason)
    with call.read() as tx:
        found = files.get(tx, call.require(tx, Action.READ, channel).channel_id, subdir, file)
    return CorrectionResult.model_validate(
        {"correction": found.correction, "revision": done.revision, "warnings": done.warnings}
    )


@router.delete(
    "/channels/{channel}/files/{subdir}/{file}/correction",
    operation_id="removeCorrection",
    status_code=204,
    response_class=Response,
)
def remove_correction(call: ApiRequestDep, channel: ChannelName, subdir: Subdir, file: FileName) -> None:
    """Restore the original metadata of a file."""
    metadata_corrections.restore(call.parts.removing, call.by, channel, subdir, file)
