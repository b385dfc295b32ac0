"""Trusted publishers of a channel: CI workflows that can publish without a stored secret."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.caller import Mode
from seaway.clock import format_time
from seaway.trusted_publishing import publisher_changes, publishers
from seaway.trusted_publishing.publishers import Draft

router = APIRouter(tags=["publishers"])

PublisherId = Annotated[int, Path(description="The `id` from a response.", ge=1, le=2**53)]
GivenMode = Literal["READ", "READ_WRITE", "READ_WRITE_DELETE"]
Texts = dict[str, str]
Conditions = dict[str, bool | str | list[str]]


class Publisher(ResponseBody):
    """A trusted publisher."""

    id: int
    name: str = Field(examples=["acme/tools, release.yml"])
    kind: str = Field(description="github, gitlab, google, buildkite, circleci or generic.")
    issuer: str = Field(
        description="The issuer of its tokens.", examples=["https://token.actions.githubusercontent.com"]
    )
    fields: Texts = Field(description="Required claims of its tokens.")
    pinned: Texts = Field(
        description="Ids that must not change: looked up, or from the first token and shown after an upload."
    )
    conditions: Conditions
    mode: str
    packages: list[str] = Field(description="Package name patterns, as for keys; empty for all.")
    exchanges: int = Field(description="How often one token can be exchanged.")
    enabled: bool
    created_by: str | None
    created_at: Moment
    used_at: Moment | None = Field(description="The time of its last upload.")


class PublisherCreate(RequestBody):
    """A workflow to trust."""

    issuer: str = Field(
        description="The name of the issuer: github, gitlab, google or a registered one.", max_length=40
    )
    fields: Texts = Field(
        description="github: owner, repository, workflow, environment. gitlab: namespace, project, workflow, "
        "environment. google: email, sub. Others: the claims in the rules of the issuer.",
        max_length=20,
    )
    pinned: Texts | None = Field(None, description="Known ids, such as owner_id and repository_id.", max_length=10)
    conditions: Conditions = Field({}, max_length=10)
    mode: GivenMode = "READ_WRITE"
    packages: list[str] = Field([], max_length=100)
    exchanges: int | None = None
    enabled: bool = True

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "issuer": "github",
                    "fields": {
                        "owner": "acme",
                        "repository": "tools",
                        "workflow": "release.yml",
                        "environment": "release",
                    },
                    "conditions": {"allowed_refs": ["refs/tags/v*"]},
                }
            ]
        }
    )


class PublisherUpdate(RequestBody):
    """Fields to change; omitted fields stay unchanged. Changing the workflow removes its pinned ids."""

    fields: Texts | None = Field(None, max_length=20)
    pinned: Texts | None = Field(None, max_length=10)
    conditions: Conditions | None = Field(None, max_length=10)
    mode: GivenMode | None = None
    packages: list[str] | None = Field(None, max_length=100)
    exchanges: int | None = None
    enabled: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})


@router.get("/channels/{channel}/publishers", operation_id="listPublishers")
def list_publishers(call: ApiRequestDep, channel: ChannelName) -> Page[Publisher]:
    """List the publishers of a channel, oldest first. Only for callers who can change them."""
    with call.read() as tx:
        found = publishers.list_for_owner(tx, call.by, channel)
    return single_page([_shown(publisher) for publisher in found])


@router.post("/channels/{channel}/publishers", operation_id="addPublisher", status_code=201)
def add_publisher(call: ApiRequestDep, channel: ChannelName, given: PublisherCreate) -> Publisher:
    """Add a trusted publisher. The id of the repository owner is looked up at GitHub, if it responds."""
    draft = Draft(
        matched=given.fields,
        gates=given.conditions,
        pins=given.pinned,
        mode=Mode[given.mode],
        patterns=given.packages,
        exchanges=given.exchanges,
        is_enabled=given.enabled,
    )
    return _shown(publisher_changes.add(call.parts.exchanging, call.by, channel, given.issuer, draft))


@router.patch("/channels/{channel}/publishers/{publisher}", operation_id="changePublisher")
def change_publisher(
    call: ApiRequestDep, channel: ChannelName, publisher: PublisherId, given: PublisherUpdate
) -> Publisher:
    """Change a publisher. If the workflow changes, the id of the repository owner is looked up again."""
    apply_change = partial(_changed, given)
    return _shown(publisher_changes.change(call.parts.exchanging, call.by, channel, publisher, apply_change))


@router.delete("/channels/{channel}/publishers/{publisher}", operation_id="removePublisher", status_code=204)
def remove_publisher(call: ApiRequestDep, channel: ChannelName, publisher: PublisherId) -> None:
    """Remove a trusted publisher; its tokens become invalid at once."""
    with call.write_channel(channel, publishers.require_can_change) as tx:
        publishers.remove(tx, call.now_ms, call.by, call.parts.accounts.outbox, channel, publisher)


def _changed(given: PublisherUpdate, draft: Draft) -> Draft:
    return Draft(
        matched={**draft.matched, **(given.fields or {})},
        gates=draft.gates if given.conditions is None else given.conditions,
        pins=given.pinned,
        mode=draft.mode if given.mode is None else Mode[given.mode],
        patterns=draft.patterns if given.packages is None else given.packages,
        exchanges=draft.exchanges if given.exchanges is None else given.exchanges,
        is_enabled=draft.is_enabled if given.enabled is None else given.enabled,
    )


def _shown(publisher: publishers.Publisher) -> Publisher:
    return Publisher(
        id=publisher.id,
        name=publisher.name,
        kind=publisher.kind,
        issuer=publisher.issuer,
        fields=dict(publisher.criteria.matched),
        pinned=publisher.shown_pins,
        conditions=dict(publisher.criteria.gates),
        mode=publisher.mode.name,
        packages=list(publisher.patterns),
        exchanges=publisher.exchanges,
        enabled=publisher.is_enabled,
        created_by=publisher.created_by,
        created_at=format_time(publisher.created_at_ms),
        used_at=format_time(publisher.used_at_ms),
    )
