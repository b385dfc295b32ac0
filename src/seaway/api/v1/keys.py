"""The caller's API keys."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, ChannelName, Id
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.caller import Mode
from seaway.callers.site_permissions import SiteAction
from seaway.clock import format_time
from seaway.database.engine import Tx
from seaway.errors import NotFound
from seaway.http.request_context import RequestContext
from seaway.keys import account_keys, api_keys, channel_keys
from seaway.keys.account_keys import DEFAULT_DAYS, MAX_DAYS
from seaway.keys.api_keys import MAX_NAME, MAX_PATTERNS

router = APIRouter(tags=["keys"])

ModeName = Annotated[str, Field(json_schema_extra={"enum": list(Mode.__members__)})]


class Key(ResponseBody):
    """An API key, without its secret."""

    id: int
    name: str = Field(examples=["ci"])
    mode: ModeName
    channels: list[str] | None = Field(description="The channels that it grants access to; null for all of yours.")
    packages: list[str] = Field(
        description="Names of packages that it can write, with `*` at the end as a wildcard; empty for all."
    )
    created_at: Moment
    expires_at: Moment | None
    used_at: Moment | None
    used_from: str = Field(description="The IP address that last used it.")
    revoked_at: Moment | None


class KeyWithSecret(Key):
    """A created API key."""

    key: str = Field(description="The secret, shown only in this response.", examples=["swy-u-..."])


class KeyCreate(RequestBody):
    """An API key to create."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    mode: Literal["READ", "READ_WRITE", "READ_WRITE_DELETE", "MANAGE"] = "READ_WRITE"
    channels: list[Annotated[str, Field(max_length=128)]] | None = Field(
        None, description="The channels that it grants access to; null for all of yours.", max_length=100
    )
    packages: list[Annotated[str, Field(max_length=65)]] = Field(
        [],
        description="Names of packages that it can write, with `*` at the end as a wildcard; empty for all.",
        max_length=MAX_PATTERNS,
    )
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = Field(
        DEFAULT_DAYS, description="Days until it expires; null for a key that never expires, if the site allows it."
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ci", "channels": ["robots"], "days": 90}]})


class ChannelKey(ResponseBody):
    """One of your keys with access to a channel."""

    name: str = Field(examples=["ci"])
    mode: ModeName
    all_channels: bool = Field(description="Whether it grants access to all of your channels.")
    packages: list[str] = Field(description="Names of packages that it can write; empty for all.")
    created_at: Moment
    expires_at: Moment | None
    used_at: Moment | None = Field(description="When it was last used, in any channel.")


@router.get("/channels/{channel}/keys", operation_id="listChannelKeys")
def list_channel_keys(call: ApiRequestDep, channel: ChannelName) -> Page[ChannelKey]:
    """List your valid keys with access to a channel that you belong to. Keys of other members are never shown."""
    with call.read() as tx:
        return single_page([_channel_key(key) for key in channel_keys.of_caller(tx, call.now_ms, call.by, channel)])


@router.get("/keys", operation_id="listKeys")
def list_keys(call: ApiRequestDep) -> Page[Key]:
    """List your keys by name, including revoked ones."""
    with call.read() as tx:
        return single_page([key_of(key) for key in account_keys.list_all(tx, call.by)])


@router.post("/keys", operation_id="createKey", status_code=201)
def create_key(call: ApiRequestDep, given: KeyCreate) -> KeyWithSecret:
    """Create a key; its secret is shown only in this response. Requires a recent sign-in."""
    with call.write_user(SiteAction.OPEN_ACCOUNT) as tx:
        key, secret = account_keys.add(
            tx, call.now_ms, call.by, given.name,
            mode=Mode[given.mode], channel_names=given.channels, patterns=given.packages, days=given.days,
            rules=call.parts.key_rules,
        )  # fmt: skip
    return key_with_secret(key, secret)


@router.post("/keys/{key}/revoke", operation_id="revokeKey")
def revoke_key(call: ApiRequestDep, key: Id) -> Key:
    """Revoke a key, effective immediately; it stays in the list. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        return key_of(account_keys.revoke(tx, call.now_ms, call.by, _name_of(tx, call, key)))


@router.delete("/keys/{key}", operation_id="removeKey", status_code=204)
def remove_key(call: ApiRequestDep, key: Id) -> None:
    """Revoke a key and remove it from the list; its name becomes available. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        account_keys.remove(tx, call.now_ms, call.by, _name_of(tx, call, key))


def _name_of(tx: Tx, call: RequestContext, key_id: int) -> str:
    """Return the name of the caller's key with this id; raise `NotFound` for ids of other users' keys."""
    name = next((key.name for key in account_keys.list_all(tx, call.by) if key.id == key_id), None)
    if name is None:
        raise NotFound("You have no such key.", "GET /api/v1/keys lists them.")
    return name


def key_with_secret(key: api_keys.Key, secret: str) -> KeyWithSecret:
    """Return the response body for a created key."""
    return KeyWithSecret(**key_of(key).model_dump(), key=secret)


def key_of(key: api_keys.Key) -> Key:
    """Return the response body for a key."""
    return Key(
        id=key.id,
        name=key.name,
        mode=key.mode.name,
        channels=None if key.channels is None else list(key.channels),
        packages=list(key.patterns),
        created_at=format_time(key.created_at_ms),
        expires_at=format_time(key.expires_at_ms),
        used_at=format_time(key.used_at_ms),
        used_from=key.used_from,
        revoked_at=format_time(key.revoked_at_ms),
    )


def _channel_key(key: channel_keys.ChannelKey) -> ChannelKey:
    return ChannelKey(
        name=key.name,
        mode=key.mode.name,
        all_channels=key.for_all_channels,
        packages=list(key.patterns),
        created_at=format_time(key.created_at_ms),
        expires_at=format_time(key.expires_at_ms),
        used_at=format_time(key.used_at_ms),
    )
