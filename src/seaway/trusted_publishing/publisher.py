"""
A publisher and its settings, each described once: for rows, the API, the pages and the commands.

The fields and conditions of each kind of issuer are described in `issuer_kinds`.
"""

from typing import Literal

from pydantic import ConfigDict, Field, computed_field

from seaway.models import InputModel, MomentMs, without_defaults
from seaway.trusted_publishing.issuer_kinds import registry
from seaway.trusted_publishing.issuer_kinds.issuer_kind import Criteria, GateValue

Texts = dict[str, str]

_FIELDS = " ".join(
    f"{kind.name}: {', '.join(field.name for field in kind.fields)}." for kind in registry.KINDS.values()
)


class PublisherSettings(InputModel):
    """Conditions and permissions of a publisher: all of them for a new one, only the given ones for a change."""

    # White space is copied with values; no name, id or ref begins or ends with it.
    model_config = ConfigDict(str_strip_whitespace=True)

    fields: Texts = Field(
        default={},
        description=f"Required claims of its tokens. {_FIELDS} Others: the claims in the rules of the issuer.",
        max_length=32,
    )
    pinned: Texts | None = Field(
        default=None, description="Ids that are already known, such as owner_id and repository_id.", max_length=10
    )
    conditions: dict[str, GateValue] = Field(
        default={}, description="Other conditions; an empty value, or false, removes one.", max_length=10
    )
    mode: Literal["READ", "READ_WRITE", "READ_WRITE_DELETE"] = "READ_WRITE"
    packages: list[str] = Field(
        default=[], description="Package name patterns, as for keys; empty for all.", max_length=100
    )
    exchanges: int | None = Field(
        default=None, description="How often one token can be exchanged; null for the default of the issuer."
    )
    enabled: bool = True


class Publisher(PublisherSettings):
    """A trusted publisher."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra=without_defaults,
        json_schema_serialization_defaults_required=True,
    )

    id: int
    channel_id: int = Field(exclude=True)
    channel: str
    kind: str = Field(description="github, gitlab, google, buildkite, circleci or generic.")
    issuer: str = Field(
        description="The issuer of its tokens.", examples=["https://token.actions.githubusercontent.com"]
    )
    pinned: Texts = Field(
        description="Ids that must not change: looked up, or from the first token and shown after an upload."
    )
    exchanges: int = Field(description="How often one token can be exchanged.")
    unseen_pins: Texts = Field(exclude=True)  # ids from an exchanged token that has not uploaded yet
    created_by: str | None
    # The user who added it is disabled, so the owner should check whether it is still needed.
    is_orphaned: bool = Field(exclude=True)
    created_at_ms: MomentMs = Field(serialization_alias="created_at")
    used_at_ms: MomentMs | None = Field(serialization_alias="used_at", description="The time of its last upload.")
    environment_hint_at_ms: int | None = Field(exclude=True)

    @computed_field(examples=["acme/tools, release.yml"])  # type: ignore[prop-decorator]
    @property
    def name(self) -> str:
        """Display name: the repository and the workflow file, or the account."""
        is_of_repository = self.kind in ("github", "gitlab")
        return f"{self.subject}, {self.fields['workflow']}" if is_of_repository else self.subject

    @property
    def subject(self) -> str:
        """The repository, project or account that the publisher trusts."""
        fields = self.fields
        if self.kind == "google":
            return fields["email"]
        if self.kind == "github":
            return f"{fields['owner']}/{fields['repository']}"
        if self.kind == "gitlab":
            return f"{fields['namespace']}/{fields['project']}"
        return "/".join(value for value in fields.values() if value)

    @property
    def criteria(self) -> Criteria:
        """Requirements for a token, including pinned ids that the channel owner is not allowed to see."""
        return Criteria(self.fields, {**self.pinned, **self.unseen_pins}, self.conditions)

    def with_changes(self, given: PublisherSettings) -> PublisherSettings:
        """Return the settings after a change; fields and conditions are changed by name. Pins are only the given ones."""
        kept = {name: getattr(self, name) for name in PublisherSettings.model_fields}
        changed = {name: getattr(given, name) for name in given.model_fields_set}
        return PublisherSettings.model_construct(
            **{
                **kept,
                **changed,
                "fields": {**self.fields, **given.fields},
                "pinned": given.pinned,
                "conditions": {**self.conditions, **given.conditions},
            }
        )
