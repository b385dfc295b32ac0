"""The caller's external identities. Linking another one is possible only in a browser, by signing in there."""

from fastapi import APIRouter
from pydantic import Field

from seaway.api.v1.api_request import ApiRequestDep, Id
from seaway.api.v1.schemas import Moment, Page, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.sign_in import external_identities, external_login

router = APIRouter(tags=["account"])


class ExternalIdentity(ResponseBody):
    """An account at an identity provider that signs you in to this site."""

    id: int
    provider: str = Field(examples=["github"])
    login: str = Field(description="The name of the external account when it was last used.")
    linked_at: Moment = Field(validation_alias="created_at_ms")
    used_at: Moment


@router.get("/me/identities", operation_id="listIdentities")
def list_identities(call: ApiRequestDep) -> Page[ExternalIdentity]:
    """List your external identities, oldest first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        return single_page(
            [
                ExternalIdentity.model_validate(identity)
                for identity in external_identities.of_user(tx, call.by.user_id or 0)
            ]
        )


@router.delete("/me/identities/{identity}", operation_id="unlinkIdentity", status_code=204)
def unlink_identity(call: ApiRequestDep, identity: Id) -> None:
    """Unlink an external identity, unless it is the last sign-in method. Requires a recent sign-in."""
    external_login.unlink(call.parts.external_login, call.by, identity)
