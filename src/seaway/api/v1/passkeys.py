"""The caller's passkeys. Changes require a session, and all but renaming require a recent sign-in."""

import json
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, Id
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.http.request_context import RequestContext
from seaway.sign_in import passkeys, recovery
from seaway.sign_in.passkeys import MAX_NAME

router = APIRouter(tags=["account"])

Name = Annotated[str, Field(description="For example the device that stores it.", min_length=1, max_length=MAX_NAME)]


class Passkey(ResponseBody):
    """One of your passkeys."""

    id: int
    name: str = Field(examples=["my phone"])
    added_at: Moment = Field(validation_alias="created_at_ms")
    used_at: Moment | None


class PasskeyWithRecoveryCodes(Passkey):
    """An added passkey."""

    recovery_codes: list[str] = Field(description="Created with the first second factor, shown only in this response.")


class PasskeyOptions(ResponseBody):
    """Options for creating a passkey in a browser."""

    public_key: dict[str, Any] = Field(
        description="For `PublicKeyCredential.parseCreationOptionsFromJSON`, then `navigator.credentials.create`."
    )


class PasskeyCreate(RequestBody):
    """A passkey that a browser created."""

    name: Name
    credential: dict[str, Any] = Field(description="`toJSON()` of the created credential.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "my phone",
                    "credential": {
                        "id": "...",
                        "rawId": "...",
                        "type": "public-key",
                        "response": {"clientDataJSON": "...", "attestationObject": "..."},
                    },
                }
            ]
        }
    )


class PasskeyUpdate(RequestBody):
    """The new name of a passkey."""

    name: Name

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "my old phone"}]})


@router.get("/me/passkeys", operation_id="listPasskeys")
def list_passkeys(call: ApiRequestDep) -> Page[Passkey]:
    """List your passkeys, oldest first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        return single_page([Passkey.model_validate(passkey) for passkey in passkeys.of_user(tx, call.by.user_id or 0)])


@router.post("/me/passkeys/options", operation_id="getPasskeyOptions")
def get_passkey_options(call: ApiRequestDep) -> PasskeyOptions:
    """First step: return options, valid for five minutes, for creating a passkey on a page of this site."""
    _require_session(call)
    return PasskeyOptions(public_key=json.loads(passkeys.creation_options(call.parts.accounts, call.by)))


@router.post("/me/passkeys", operation_id="addPasskey", status_code=201)
async def add_passkey(call: ApiRequestDep, given: PasskeyCreate) -> PasskeyWithRecoveryCodes:
    """Second step: add the passkey that the browser created. Requires a recent sign-in."""
    _require_session(call)
    credential = json.dumps(given.credential)
    passkey = await to_thread.run_sync(passkeys.add, call.parts.accounts, call.by, credential, given.name)
    recovery_codes = await recovery.make_first(call.parts.accounts, call.by)
    return PasskeyWithRecoveryCodes(**Passkey.model_validate(passkey).model_dump(), recovery_codes=recovery_codes)


@router.patch("/me/passkeys/{passkey}", operation_id="renamePasskey")
def rename_passkey(call: ApiRequestDep, passkey: Id, given: PasskeyUpdate) -> Passkey:
    """Rename a passkey. Requires a session."""
    _require_session(call)
    return Passkey.model_validate(passkeys.rename(call.parts.accounts, call.by, passkey, given.name))


@router.delete("/me/passkeys/{passkey}", operation_id="removePasskey", status_code=204)
def remove_passkey(call: ApiRequestDep, passkey: Id) -> None:
    """Remove a passkey from your account. Requires a recent sign-in."""
    _require_session(call)
    passkeys.remove(call.parts.accounts, call.by, passkey)


def _require_session(call: RequestContext) -> None:
    require_site(call.by, SiteAction.CHANGE_ACCOUNT)
