"""Password and second factors of whoever asks; only a person changes them, a short while after a proof."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.accounts import recovery, resetting, second_factors, totp
from seaway.accounts.passwords import MAX_CHARS, MIN_CHARS
from seaway.accounts.permissions import SiteAction, require_site
from seaway.api.v1.asking import Asked, Call
from seaway.api.v1.shapes import Given, Moment, Shown
from seaway.clock import moment

router = APIRouter(tags=["account"])


class PasswordGiven(Given):
    """Another password."""

    password: Annotated[str, Field(min_length=MIN_CHARS, max_length=MAX_CHARS)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "tangerine ladder 7 fathoms"}]})


class SecondFactors(Shown):
    """What you have besides the password."""

    codes: bool = Field(description="Whether an app shows codes for you.")
    passkeys: int
    recovery_codes: int = Field(description="How many are left.")
    ends_at: Moment | None = Field(description="When an admin's word will take all of them away; null for never.")


class Seed(Shown):
    """What an app needs to show codes; it is in this answer and nowhere else."""

    seed: str = Field(examples=["JBSWY3DPEHPK3PXP"])
    uri: str = Field(description="The same as an address, for a QR code.", examples=["otpauth://totp/..."])


class Code(Given):
    """What the app shows now."""

    code: Annotated[str, Field(min_length=6, max_length=20)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class RecoveryCodes(Shown):
    """Codes for the day on which the phone is gone. Each is good once, and nobody can see them again."""

    recovery_codes: list[str] = Field(description="Empty where you have some already.", examples=[["1abcd-efgh-jkmn"]])


@router.put("/me/password", operation_id="setPassword", status_code=204)
async def set_password(call: Asked, given: PasswordGiven) -> None:
    """Set another password; every other browser is signed out. For a person, signed in just now."""
    _require_person(call)
    await resetting.change(call.house.accounts, call.by, given.password)


@router.get("/me/second-factors", operation_id="getSecondFactors")
def get(call: Asked) -> SecondFactors:
    """What you have besides the password."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    with call.read() as tx:
        found = second_factors.of_user(tx, call.by.user_id or 0)
        ends_at_ms = second_factors.ends_at(tx, call.by.user_id or 0)
    return SecondFactors(
        codes=found.has_totp,
        passkeys=found.passkeys,
        recovery_codes=found.recovery_codes,
        ends_at=moment(ends_at_ms),
    )


@router.post("/me/totp", operation_id="beginCodes")
def begin_codes(call: Asked) -> Seed:
    """Begin with an app for codes: a seed, which counts once its first code is confirmed. For a person, signed in just now."""
    _require_person(call)
    made = totp.begin(call.house.accounts, call.by)
    return Seed(seed=made.seed, uri=made.uri)


@router.post("/me/totp/confirm", operation_id="confirmCodes")
async def confirm_codes(call: Asked, given: Code) -> RecoveryCodes:
    """The first code of the app: from now on it is asked for. Recovery codes come with the first second factor."""
    _require_person(call)
    return RecoveryCodes(recovery_codes=await totp.confirm(call.house.accounts, call.by, given.code))


@router.delete("/me/totp", operation_id="removeCodes", status_code=204)
def remove_codes(call: Asked) -> None:
    """Ask for no codes of an app any more; for a person, signed in just now."""
    _require_person(call)
    totp.remove(call.house.accounts, call.by)


@router.post("/me/recovery-codes", operation_id="renewRecoveryCodes")
async def renew_recovery_codes(call: Asked) -> RecoveryCodes:
    """New recovery codes; the old ones are good for nothing. For a person, signed in just now."""
    _require_person(call)
    return RecoveryCodes(recovery_codes=await recovery.renew(call.house.accounts, call.by))


@router.delete("/me/second-factor-reset", operation_id="keepSecondFactors", status_code=204)
def keep(call: Asked) -> None:
    """Stop what an admin was asked for: your second factors stay."""
    _require_person(call)
    with call.write_own() as tx:
        second_factors.stop_reset(call.house.accounts, tx, call.now_ms, call.by, call.by.user_id or 0)


def _require_person(call: Call) -> None:
    require_site(call.by, SiteAction.CHANGE_ACCOUNT)
