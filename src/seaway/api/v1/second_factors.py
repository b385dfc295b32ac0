"""The caller's password and second factors. Changes require a session with a recent sign-in."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep
from seaway.api.v1.schemas import Moment, RequestBody, ResponseBody
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.clock import format_time
from seaway.http.request_context import RequestContext
from seaway.sign_in import password_reset, recovery, second_factors, totp
from seaway.sign_in.passwords import MAX_CHARS, MIN_CHARS

router = APIRouter(tags=["account"])


class PasswordUpdate(RequestBody):
    """A new password."""

    password: Annotated[str, Field(min_length=MIN_CHARS, max_length=MAX_CHARS)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "tangerine ladder 7 fathoms"}]})


class SecondFactors(ResponseBody):
    """Your second factors."""

    codes: bool = Field(description="Whether an authenticator app is set up.")
    passkeys: int
    recovery_codes: int = Field(description="Number of unused recovery codes.")
    ends_at: Moment | None = Field(
        description="When a reset by a site admin will remove all second factors; null if none is pending."
    )


class TotpSecret(ResponseBody):
    """The secret of an authenticator app, shown only in this response."""

    seed: str = Field(examples=["JBSWY3DPEHPK3PXP"])
    uri: str = Field(description="The same as a URI, for a QR code.", examples=["otpauth://totp/..."])


class TotpCode(RequestBody):
    """The current code of the authenticator app."""

    code: Annotated[str, Field(min_length=6, max_length=20)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class RecoveryCodes(ResponseBody):
    """Single-use codes that replace a lost second factor, shown only in this response."""

    recovery_codes: list[str] = Field(
        description="Empty if you already have recovery codes.", examples=[["1abcd-efgh-jkmn"]]
    )


@router.put("/me/password", operation_id="setPassword", status_code=204)
async def set_password(call: ApiRequestDep, given: PasswordUpdate) -> None:
    """Set a new password and sign out all other browsers. Requires a recent sign-in."""
    _require_session(call)
    await password_reset.change(call.parts.accounts, call.by, given.password)


@router.get("/me/second-factors", operation_id="getSecondFactors")
def get_second_factors(call: ApiRequestDep) -> SecondFactors:
    """Return your second factors."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = second_factors.of_user(tx, call.by.user_id or 0)
        ends_at_ms = second_factors.ends_at(tx, call.by.user_id or 0)
    return SecondFactors(
        codes=found.has_totp,
        passkeys=found.passkeys,
        recovery_codes=found.recovery_codes,
        ends_at=format_time(ends_at_ms),
    )


@router.post("/me/totp", operation_id="setUpAuthenticatorApp")
def set_up_authenticator_app(call: ApiRequestDep) -> TotpSecret:
    """Create a secret for an authenticator app, which takes effect when confirmed. Requires a recent sign-in."""
    _require_session(call)
    made = totp.begin(call.parts.accounts, call.by)
    return TotpSecret(seed=made.seed, uri=made.uri)


@router.post("/me/totp/confirm", operation_id="confirmAuthenticatorApp")
async def confirm_authenticator_app(call: ApiRequestDep, given: TotpCode) -> RecoveryCodes:
    """
    Confirm the authenticator app with a code; sign-ins require a code from now on.

    If it is your first second factor, the response contains your recovery codes.
    """
    _require_session(call)
    return RecoveryCodes(recovery_codes=await totp.confirm(call.parts.accounts, call.by, given.code))


@router.delete("/me/totp", operation_id="removeAuthenticatorApp", status_code=204)
def remove_authenticator_app(call: ApiRequestDep) -> None:
    """Remove the authenticator app. Requires a recent sign-in."""
    _require_session(call)
    totp.remove(call.parts.accounts, call.by)


@router.post("/me/recovery-codes", operation_id="renewRecoveryCodes")
async def renew_recovery_codes(call: ApiRequestDep) -> RecoveryCodes:
    """Replace your recovery codes; the old ones become invalid. Requires a recent sign-in."""
    _require_session(call)
    return RecoveryCodes(recovery_codes=await recovery.renew(call.parts.accounts, call.by))


@router.delete("/me/second-factor-reset", operation_id="cancelOwnSecondFactorReset", status_code=204)
def cancel_second_factor_reset(call: ApiRequestDep) -> None:
    """Cancel a pending reset of your second factors. Requires a session."""
    with call.write_user(SiteAction.CHANGE_ACCOUNT) as tx:
        second_factors.cancel_reset(call.parts.accounts, tx, call.now_ms, call.by, call.by.user_id or 0)


def _require_session(call: RequestContext) -> None:
    require_site(call.by, SiteAction.CHANGE_ACCOUNT)
