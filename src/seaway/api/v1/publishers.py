"""Trusted publishers of a channel: CI workflows that can publish without a stored secret."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName
from seaway.api.v1.schemas import Page, RequestBody, ResponseBody, single_page
from seaway.models import without_defaults
from seaway.oidc.jwt import MAX_TOKEN
from seaway.trusted_publishing import publisher_changes, publishers, token_test
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings

router = APIRouter(tags=["publishers"])

PublisherId = Annotated[int, Path(description="The `id` from a response.", ge=1, le=2**53)]


class PublisherCreate(PublisherSettings):
    """A workflow to trust."""

    issuer: str = Field(
        description="The name of the issuer: github, gitlab, google or a registered one.", max_length=40
    )

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


class PublisherUpdate(PublisherSettings):
    """Fields to change; omitted ones stay unchanged. Changing the workflow removes its pinned ids."""

    model_config = ConfigDict(json_schema_extra=without_defaults)


class TokenTest(RequestBody):
    """A token of a CI job to test."""

    token: str = Field(description="The token that the issuer gave to the job.", max_length=MAX_TOKEN)


class CheckResult(ResponseBody):
    """The result of one check."""

    name: str = Field(examples=["Signature"])
    is_passed: bool | None = Field(description="Null if it was not made, because an earlier one failed.")
    text: str = Field(examples=["Made with a key of the issuer."])


class Comparison(ResponseBody):
    """A requirement of a publisher, and what the token has."""

    label: str = Field(examples=["Repository"])
    wanted: str = Field(description="Empty for a pinned id, which is not shown.")
    found: str
    is_met: bool


class PublisherResult(ResponseBody):
    """A publisher of the channel, and how the token compares to it."""

    publisher: Publisher
    is_match: bool
    comparisons: list[Comparison]


class TokenReport(ResponseBody):
    """Whether a token would be accepted, and why not."""

    checks: list[CheckResult]
    publishers: list[PublisherResult] = Field(description="The publishers with the issuer of the token.")
    accepted: Publisher | None = Field(description="The publisher that accepts the token; null if none does.")


@router.get("/channels/{channel}/publishers", operation_id="listPublishers")
def list_publishers(call: ApiRequestDep, channel: ChannelName) -> Page[Publisher]:
    """List the publishers of a channel, oldest first. Only for callers who can change them."""
    with call.read() as tx:
        return single_page(publishers.list_for_owner(tx, call.by, channel))


@router.post("/channels/{channel}/publishers", operation_id="addPublisher", status_code=201)
def add_publisher(call: ApiRequestDep, channel: ChannelName, given: PublisherCreate) -> Publisher:
    """Add a trusted publisher. The id of the repository owner is looked up at GitHub, if it responds."""
    return publisher_changes.add(call.parts.exchanging, call.by, channel, given.issuer, given)


@router.patch("/channels/{channel}/publishers/{publisher}", operation_id="changePublisher")
def change_publisher(
    call: ApiRequestDep, channel: ChannelName, publisher: PublisherId, given: PublisherUpdate
) -> Publisher:
    """Change a publisher. If the workflow changes, the id of the repository owner is looked up again."""
    return publisher_changes.change(call.parts.exchanging, call.by, channel, publisher, given)


@router.delete("/channels/{channel}/publishers/{publisher}", operation_id="removePublisher", status_code=204)
def remove_publisher(call: ApiRequestDep, channel: ChannelName, publisher: PublisherId) -> None:
    """Remove a trusted publisher; its tokens become invalid at once."""
    with call.write_channel(channel, publishers.require_can_change) as tx:
        publishers.remove(tx, call.now_ms, call.by, call.parts.accounts.outbox, channel, publisher)


@router.post("/channels/{channel}/publishers/test", operation_id="testToken")
def test_token(call: ApiRequestDep, channel: ChannelName, given: TokenTest) -> TokenReport:
    """Test whether a token of a CI job would be accepted for a channel. It is not exchanged, stored or logged."""
    return TokenReport.model_validate(token_test.report_on(call.parts.exchanging, call.by, channel, given.token))
