"""API keys of whoever asks."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from seaway.accounts import keys
from seaway.accounts.keys import Key
from seaway.accounts.principal import Mode
from seaway.api.v1.asking import Asked
from seaway.api.v1.shapes import Moment, Page, Shown, whole
from seaway.channels import permissions
from seaway.channels.roles import SiteAction
from seaway.clock import moment

router = APIRouter(tags=["keys"])

ModeName = Annotated[str, Field(json_schema_extra={"enum": list(Mode.__members__)})]


class KeyShown(Shown):
    """A key, without its secret, which is shown once."""

    id: int
    name: str = Field(examples=["ci"])
    mode: ModeName
    channels: list[str] | None = Field(description="The channels that it is good for; null for all of yours.")
    packages: list[str] = Field(
        description="Only packages of these names may be written with it, `*` at the end standing for anything; empty for all."
    )
    created_at: Moment
    expires_at: Moment | None
    used_at: Moment | None
    used_from: str = Field(description="The address that it was last used from.")
    revoked_at: Moment | None


@router.get("/keys", operation_id="listKeys")
def list_keys(call: Asked) -> Page[KeyShown]:
    """Your keys by name, revoked ones too."""
    permissions.require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = keys.all_keys(tx, call.by.user_id or 0)
    return whole([_shown(key) for key in found])


def _shown(key: Key) -> KeyShown:
    return KeyShown(
        id=key.id,
        name=key.name,
        mode=key.mode.name,
        channels=None if key.channels is None else list(key.channels),
        packages=list(key.patterns),
        created_at=moment(key.created_at_ms),
        expires_at=moment(key.expires_at_ms),
        used_at=moment(key.used_at_ms),
        used_from=key.used_from,
        revoked_at=moment(key.revoked_at_ms),
    )
