"""The caller's account, credential, sessions and command-line tools."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, Id
from seaway.api.v1.keys import ModeName
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, TextOrNull, single_page
from seaway.callers.caller import CredentialKind
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import Malformed
from seaway.oauth import grants
from seaway.sign_in import account_deletion, sessions
from seaway.users import users
from seaway.users.users import MAX_DISPLAY_NAME

router = APIRouter(tags=["account"])


class Credential(ResponseBody):
    """The credential of the request."""

    kind: str = Field(
        validation_alias="credential",
        description="A browser session, an API key, or a command-line tool.",
        json_schema_extra={
            "enum": [kind.value for kind in (CredentialKind.PERSON, CredentialKind.KEY, CredentialKind.TOOL)]
        },
    )
    mode: ModeName
    key: TextOrNull = Field(validation_alias="key_name", description="The name of the key; null for other credentials.")
    expires_at: Moment | None


class Account(ResponseBody):
    """Your account."""

    name: str = Field(examples=["ada"])
    display_name: str
    email: str | None
    admin: bool
    created_at: Moment
    credential: Credential


class AccountUpdate(RequestBody):
    """Fields to change; omitted fields stay unchanged."""

    display_name: str | None = Field(None, max_length=MAX_DISPLAY_NAME)

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Ada Lovelace"}]})


Confirm = Annotated[str, Query(description="Your user name, to confirm.", max_length=39)]


@router.get("/me", operation_id="getAccount")
def get_account(call: ApiRequestDep) -> Account:
    """Return your account and the credential of this request."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        return Account.model_validate({**asdict(users.get(tx, call.by.name)), "credential": call.by})


@router.patch("/me", operation_id="changeAccount")
def change_account(call: ApiRequestDep, given: AccountUpdate) -> Account:
    """Change your display name; omitted fields stay unchanged. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        if given.display_name is not None:
            users.set_display_name(tx, call.now_ms, call.by, call.by.name, given.display_name)
        return Account.model_validate({**asdict(users.get(tx, call.by.name)), "credential": call.by})


@router.delete("/me", operation_id="deleteAccount", status_code=204)
def delete_account(call: ApiRequestDep, confirm: Confirm) -> None:
    """Delete your account with its keys, sessions and tools; you must not own a channel. Requires a recent sign-in."""
    require_site(call.by, SiteAction.REMOVE_ACCOUNT)
    if confirm != call.by.name:
        raise Malformed("`confirm` is not the name of this account.", f"Send confirm={call.by.name} to delete it.")
    with call.read() as tx:
        user = users.get(tx, call.by.name)
    account_deletion.remove(call.parts.accounts, call.by, user)


class Session(ResponseBody):
    """A browser session."""

    id: int
    started_at: Moment = Field(validation_alias="created_at_ms")
    seen_at: Moment
    address: str
    agent: str = Field(description="The User-Agent of the browser.")
    current: bool = Field(description="Whether it is the session of this request.")


class Tool(ResponseBody):
    """A logged-in command-line tool."""

    id: int
    tool: str = Field(validation_alias="client_id", examples=["pixi"])
    mode: ModeName
    logged_in_at: Moment = Field(validation_alias="created_at_ms")
    used_at: Moment
    address: str


@router.get("/me/sessions", operation_id="listSessions")
def list_sessions(call: ApiRequestDep) -> Page[Session]:
    """List your browser sessions, most recently used first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = sessions.of_user(tx, call.by.user_id or 0, call.now_ms)
    return single_page(
        [Session.model_validate({**asdict(one), "current": one.id == call.by.session_id}) for one in found]
    )


@router.delete("/me/sessions/{session}", operation_id="endSession", status_code=204)
def end_session(call: ApiRequestDep, session: Id) -> None:
    """Sign out one of your browsers. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        sessions.end_own(tx, call.now_ms, call.by, session)


@router.delete("/me/sessions", operation_id="endOtherSessions", status_code=204)
def end_other_sessions(call: ApiRequestDep) -> None:
    """Sign out all your other browsers. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        sessions.end_others_of(tx, call.now_ms, call.by)


@router.get("/me/tools", operation_id="listTools")
def list_tools(call: ApiRequestDep) -> Page[Tool]:
    """List your logged-in command-line tools (`pixi auth login --oauth`), newest first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        return single_page(
            [Tool.model_validate(grant) for grant in grants.of_user(tx, call.by.user_id or 0, call.now_ms)]
        )


@router.delete("/me/tools/{tool}", operation_id="logOutTool", status_code=204)
def log_out_tool(call: ApiRequestDep, tool: Id) -> None:
    """Log out a command-line tool. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        grants.revoke(call.parts.accounts.database, tx, call.now_ms, call.by, call.by.user_id or 0, tool)
