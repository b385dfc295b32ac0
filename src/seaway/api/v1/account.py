"""Whoever asks: which account it is, and what the credential gives."""

from fastapi import APIRouter
from pydantic import Field

from seaway.accounts import users
from seaway.accounts.principal import Carrier
from seaway.api.v1.asking import Asked
from seaway.api.v1.keys import ModeName
from seaway.api.v1.shapes import Moment, Shown
from seaway.channels import permissions
from seaway.channels.roles import SiteAction
from seaway.clock import moment

router = APIRouter(tags=["account"])


class Credential(Shown):
    """What the request was signed with."""

    kind: str = Field(
        description="A browser, an API key, or a tool that you logged in.",
        json_schema_extra={"enum": [kind.value for kind in (Carrier.PERSON, Carrier.KEY, Carrier.TOOL)]},
    )
    mode: ModeName
    key: str | None = Field(description="The name of the key.")
    expires_at: Moment | None


class Account(Shown):
    """An account, for whom it belongs to."""

    name: str = Field(examples=["ada"])
    display_name: str
    email: str | None
    admin: bool
    created_at: Moment
    credential: Credential


@router.get("/me", operation_id="getAccount")
def get_account(call: Asked) -> Account:
    """Your account, and what this credential is good for."""
    permissions.require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        user = users.get(tx, call.by.name)
    return Account(
        name=user.name,
        display_name=user.display_name,
        email=user.email,
        admin=user.is_admin,
        created_at=moment(user.created_at_ms),
        credential=Credential(
            kind=call.by.carrier.value,
            mode=call.by.mode.name,
            key=call.by.key_name or None,
            expires_at=moment(call.by.expires_at_ms),
        ),
    )
