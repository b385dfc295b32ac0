"""User administration, for site admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import DEFAULT_LIMIT, After, ApiRequestDep, Limit, SearchText
from seaway.api.v1.members import UserName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import Malformed
from seaway.sign_in import account_deletion, site_admin, user_invitations
from seaway.users import users

router = APIRouter(tags=["administration"])

Confirm = Annotated[str, Query(description="The name of the user, to confirm.", max_length=39)]


class User(ResponseBody):
    """An account."""

    name: str = Field(examples=["ada"])
    display_name: str
    email: str | None
    admin: bool
    verified: bool = Field(description="Whether an email address is verified, or there is none to verify.")
    created_at: Moment
    signed_in_at: Moment | None = Field(description="Last sign-in in a browser.")
    disabled_at: Moment | None


class UserInvite(RequestBody):
    """A user to invite."""

    name: str = Field(max_length=39)
    email: str = Field(max_length=254)
    admin: bool = False

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ada", "email": "ada@example.com"}]})


class UserUpdate(RequestBody):
    """Fields to change; omitted fields stay unchanged."""

    disabled: bool | None = Field(
        None, description="Sessions, keys and command-line tools of a disabled account stop working at once."
    )
    admin: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"disabled": True}]})


class SecondFactorReset(ResponseBody):
    """A pending reset of second factors."""

    at: Moment = Field(description="When the second factors will be removed.")


@router.get("/users", operation_id="listUsers")
def list_users(call: ApiRequestDep, q: SearchText = "", after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[User]:
    """List user accounts by name. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = users.all_users(tx, q, after=after, limit=limit + 1)
    return page(found, limit, User.model_validate, lambda user: user.name)


@router.post("/users", operation_id="inviteUser", status_code=201)
def invite_user(call: ApiRequestDep, given: UserInvite) -> User:
    """
    Create an account and send an email with a link that sets its password; it works once and expires in a week.

    Site admins only; requires a recent sign-in. Works even if sign-up is closed.
    """
    with call.write_site() as tx:
        return User.model_validate(
            user_invitations.invite(
                call.parts.accounts, tx, call.now_ms, call.by, given.name, given.email, is_admin=given.admin
            )
        )


@router.post("/users/{user}/invitation", operation_id="sendUserInvitation", status_code=204)
def send_user_invitation(call: ApiRequestDep, user: UserName) -> None:
    """
    Send the invitation again to a user who has not accepted it; the link in the earlier email stops working.

    Site admins only; requires a recent sign-in.
    """
    with call.write_site() as tx:
        user_invitations.send_again(call.parts.accounts, tx, call.now_ms, call.by, user)


@router.get("/users/{user}", operation_id="getUser")
def get_user(call: ApiRequestDep, user: UserName) -> User:
    """Return a user account. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        return User.model_validate(users.get(tx, user))


@router.patch("/users/{user}", operation_id="changeUser")
def change_user(call: ApiRequestDep, user: UserName, given: UserUpdate) -> User:
    """
    Disable or enable another user's account, or grant or revoke its admin rights.

    Site admins only; requires a recent sign-in.
    """
    with call.write_site() as tx:
        if given.disabled is not None:
            site_admin.set_disabled(tx, call.now_ms, call.by, user, disabled=given.disabled)
        if given.admin is not None:
            site_admin.set_admin(tx, call.now_ms, call.by, user, is_admin=given.admin)
        return User.model_validate(users.get(tx, user))


@router.delete("/users/{user}", operation_id="deleteUser", status_code=204)
def delete_user(call: ApiRequestDep, user: UserName, confirm: Confirm) -> None:
    """
    Delete another user's account with its keys, sessions and tools; the user must not own a channel.

    Site admins only; requires a recent sign-in. The name is reserved for a year.
    """
    require_site(call.by, SiteAction.CHANGE_SITE)
    if confirm != user:
        raise Malformed("The typed name does not match; nothing was deleted.", f"Type {user} to confirm.", field="name")
    with call.read() as tx:
        found = users.get(tx, user)
    account_deletion.remove(call.parts.accounts, call.by, found)


@router.post("/users/{user}/second-factor-reset", operation_id="requestSecondFactorReset")
def request_second_factor_reset(call: ApiRequestDep, user: UserName) -> SecondFactorReset:
    """
    Schedule the removal of another user's lost second factors in 72 hours.

    Site admins only; requires a recent sign-in.

    The user is notified at once, and can cancel the reset if they can still sign in.
    """
    with call.write_site() as tx:
        return SecondFactorReset.model_validate(
            {"at": site_admin.schedule_factor_reset(call.parts.accounts, tx, call.now_ms, call.by, user)}
        )


@router.delete("/users/{user}/second-factor-reset", operation_id="cancelSecondFactorReset", status_code=204)
def cancel_second_factor_reset(call: ApiRequestDep, user: UserName) -> None:
    """Cancel a pending reset of second factors. Site admins only; requires a recent sign-in."""
    with call.write_site() as tx:
        site_admin.cancel_factor_reset(call.parts.accounts, tx, call.now_ms, call.by, user)
