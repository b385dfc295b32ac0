"""
A channel and its settings, each described once: for rows, the API, the pages and the commands.

1. A setting is a column of `channels` with the same name, and has the default of a new channel.
2. Limits apply to what is sent. Stored values are not validated again, so that a lower limit never makes a channel
   unreadable.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, computed_field

from seaway.conda.metadata import has_controls
from seaway.errors import Invalid
from seaway.models import InputModel, MomentMs, without_defaults
from seaway.search_terms import fold

MAX_DESCRIPTION = 4_000
MAX_V3_MESSAGE = 8_192  # bytes (CEP 48)


class Attestations(Enum):
    """Whether a channel accepts or requires attestations of uploaded files."""

    OFF = "off"  # not accepted
    OPTIONAL = "optional"  # verified if present
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Label:
    """Label of a setting on a settings page; of a yes-or-no setting, of a box that is checked unless it is the default."""

    text: str
    page: str = "general"
    is_permanent: bool = False  # it cannot be changed back to the default


def _checked_description(text: Any) -> Any:
    if isinstance(text, str) and (
        len(text) > MAX_DESCRIPTION or not text.replace("\n", "").replace("\t", "").isprintable()
    ):
        raise Invalid(
            f"A description can have at most {MAX_DESCRIPTION:,} printable characters.",
            "Shorten it, or remove control characters.",
            field="description",
        )
    return text


def _checked_v3_message(text: Any) -> Any:
    if isinstance(text, str) and len(text.encode()) > MAX_V3_MESSAGE:
        sentence = f"The message about v3 packages is longer than {MAX_V3_MESSAGE:,} bytes."
        raise Invalid(sentence, "Shorten it.", field="v3_message")
    if isinstance(text, str) and has_controls(text.replace("\n", "")):
        sentence = "The message about v3 packages contains a control character, such as a tab."
        raise Invalid(sentence, "Remove it.", field="v3_message")
    return text


Description = Annotated[
    str,
    BeforeValidator(_checked_description),
    Field(
        description="What the channel contains and who it is for. Shown on the channel page. Supports Markdown.",
        max_length=MAX_DESCRIPTION,
        examples=["Our robots."],
    ),
    Label("Description"),
]
Public = Annotated[bool, Field(description="Whether anyone can read it; otherwise only its members can.")]


class ChannelSettings(InputModel):
    """Settings of a channel. All of them in a new channel; in a change, those that were given."""

    description: Description = ""
    is_public: Public = Field(default=False, alias="public")
    refuses_lookalikes: Annotated[bool, Label("Refuse new packages with a name that looks like an existing one")] = (
        Field(
            default=False,
            description="Refuses new packages whose name looks like an existing one, for example a_b when a-b exists, "
            "or a name that differs only in case. Otherwise the upload gets a warning.",
        )
    )
    allows_overwrite: Annotated[bool, Label("Never overwrite files", is_permanent=True)] = Field(
        default=True,
        description="If files cannot be overwritten, a file name never gets different contents, even after the file is "
        "deleted, so caches can keep files for a year. This cannot be undone: overwriting cannot be allowed again, and "
        "if the channel is deleted, its name cannot be used for a year.",
    )
    allows_v3: Annotated[bool, Label("Refuse packages for repodata v3")] = Field(
        default=True,
        description="Packages for repodata v3 (CEP 48) use extras, flags or conditional dependencies. Older clients do "
        "not see them.",
    )
    v3_message: Annotated[
        str, BeforeValidator(_checked_v3_message), Label("Message about packages for repodata v3")
    ] = Field(
        default="",
        description="Clients that do not see packages for repodata v3 can show this message (CEP 48), for example to "
        "name the client version that is needed. Empty for none.",
        max_length=MAX_V3_MESSAGE,
    )
    only_publishers: Annotated[bool, Label("Only trusted publishers can upload", "publishers")] = Field(
        default=False,
        description="Uploads must come from trusted publishers. Uploads with API keys or on this site are refused, for "
        "every role.",
    )
    attestations: Annotated[Attestations, Label("Attestations", "publishers")] = Field(
        default=Attestations.OPTIONAL,
        description="Attestations of files. Off: none are accepted. Optional: verified if one is sent. Required: uploads without one are "
        "refused.",
        strict=False,
    )

    def columns(self, *, only_given: bool = False) -> dict[str, Any]:
        """Return the values as in the table `channels`, by column."""
        return self.model_dump(mode="json", include=set(ChannelSettings.model_fields), exclude_unset=only_given)


def stored(columns: dict[str, Any]) -> dict[str, Any]:
    """Return values of settings as they are written to the table `channels`: with the description to search in."""
    folded = {"folded_description": fold(columns["description"])} if "description" in columns else {}
    return {**columns, **folded}


class _Named(InputModel):
    """The fields that come first."""

    id: int = Field(exclude=True)
    name: str = Field(examples=["robots"])
    owner: str = Field(examples=["ada"])


class Channel(ChannelSettings, _Named):
    """A channel."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        validate_by_name=True,
        json_schema_extra=without_defaults,
        json_schema_serialization_defaults_required=True,
    )

    logo_sha256: bytes | None = Field(exclude=True)
    base: str = Field(description="The channel with priority over this one (CEP 42); empty for none.")
    overrides: str = Field(
        description="The fallback channel for packages that this one does not have (CEP 42); empty for none."
    )
    package_count: int = Field(serialization_alias="packages")
    created_at_ms: MomentMs = Field(serialization_alias="created_at")

    @computed_field(alias="logo", description="Path of its logo on this host, a PNG; empty for none.")  # type: ignore[prop-decorator]
    @property
    def logo_path(self) -> str:
        """Return the URL path of the logo, which contains its sha256; empty if there is none."""
        return f"/channels/{self.name}/logo/{self.logo_sha256.hex()}.png" if self.logo_sha256 else ""
