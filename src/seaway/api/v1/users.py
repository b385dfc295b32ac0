"""The accounts of the site, for its admins."""

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.accounts import users
from seaway.accounts.permissions import SiteAction, require_site
from seaway.accounts.users import User
from seaway.api.v1.asking import DEFAULT_LIMIT, After, Asked, Limit, Words
from seaway.api.v1.members import UserName
from seaway.api.v1.shapes import Given, Moment, Page, Shown, page
from seaway.channels import administration
from seaway.clock import moment

router = APIRouter(tags=["administration"])


class UserShown(Shown):
    """An account."""

    name: str = Field(examples=["ada"])
    display_name: str
    email: str | None
    admin: bool
    created_at: Moment
    disabled_at: Moment | None


class UserChange(Given):
    """What is to be another; what is left out stays."""

    disabled: bool | None = Field(None, description="Whether it is shut: its sessions, keys and tools stop at once.")
    admin: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"disabled": True}]})


class ResetShown(Shown):
    """When the second factors of an account will be gone."""

    at: Moment


@router.get("/users", operation_id="listUsers")
def list_users(call: Asked, q: Words = "", after: After = "", limit: Limit = DEFAULT_LIMIT) -> Page[UserShown]:
    """Accounts that have all of the words, by name; for site admins who are signed in."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        found = users.all_users(tx, q, after=after, limit=limit + 1)
    return page(found, limit, _shown, lambda user: user.name)


@router.get("/users/{user}", operation_id="getUser")
def get(call: Asked, user: UserName) -> UserShown:
    """One account; for site admins who are signed in."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        return _shown(users.get(tx, user))


@router.patch("/users/{user}", operation_id="changeUser")
def change(call: Asked, user: UserName, given: UserChange) -> UserShown:
    """Shut an account or open it again, make it site admin or take that back; for another admin, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_site() as tx:
        if given.disabled is not None:
            administration.set_disabled(tx, call.now_ms, call.by, user, disabled=given.disabled)
        if given.admin is not None:
            administration.set_admin(tx, call.now_ms, call.by, user, is_admin=given.admin)
        return _shown(users.get(tx, user))


@router.post("/users/{user}/second-factor-reset", operation_id="askForSecondFactorReset")
def ask_reset(call: Asked, user: UserName) -> ResetShown:
    """
    Have the second factors of somebody who lost them taken away, in 72 hours; for another admin, signed in just now.

    The user is told at once, and can stop it as long as they still sign in.
    """
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_site() as tx:
        return ResetShown(at=moment(administration.ask_reset(call.house.accounts, tx, call.now_ms, call.by, user)))


@router.delete("/users/{user}/second-factor-reset", operation_id="stopSecondFactorReset", status_code=204)
def stop_reset(call: Asked, user: UserName) -> None:
    """Stop it; for a site admin, signed in just now."""
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.write_site() as tx:
        administration.stop_reset(call.house.accounts, tx, call.now_ms, call.by, user)


def _shown(user: User) -> UserShown:
    return UserShown(
        name=user.name,
        display_name=user.display_name,
        email=user.email,
        admin=user.is_admin,
        created_at=moment(user.created_at_ms),
        disabled_at=moment(user.disabled_at_ms),
    )
