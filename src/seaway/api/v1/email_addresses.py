"""The caller's email addresses. Changes require a session, and most of them a recent sign-in."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep, Id
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.errors import NotFound
from seaway.http.request_context import RequestContext
from seaway.sign_in import email_addresses, sign_up
from seaway.users import emails
from seaway.users.emails import MAX_CHARS, Email

router = APIRouter(tags=["account"])


class EmailAddress(ResponseBody):
    """One of your email addresses."""

    id: int
    address: str = Field(examples=["ada@example.com"])
    primary: bool = Field(description="Whether emails are sent to it.")
    added_at: Moment
    verified_at: Moment | None = Field(description="When it was verified by the link in the email; null if unverified.")


class EmailAddressCreate(RequestBody):
    """An email address to add."""

    address: Annotated[str, Field(min_length=3, max_length=MAX_CHARS)]

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "ada@example.com"}]})


@router.get("/me/addresses", operation_id="listAddresses")
def list_addresses(call: ApiRequestDep) -> Page[EmailAddress]:
    """List your email addresses, primary first."""
    require_site(call.by, SiteAction.READ_ACCOUNT)
    return single_page([EmailAddress.model_validate(email) for email in _of_caller(call)])


@router.post("/me/addresses", operation_id="addAddress", status_code=201)
def add_address(call: ApiRequestDep, given: EmailAddressCreate) -> EmailAddress:
    """Add an email address and send a verification email to it. Requires a recent sign-in."""
    email_addresses.add(call.parts.accounts, call.by, given.address)
    address = emails.normalize(given.address)
    return next(EmailAddress.model_validate(email) for email in _of_caller(call) if email.address == address)


@router.delete("/me/addresses/{address}", operation_id="removeAddress", status_code=204)
def remove_address(call: ApiRequestDep, address: Id) -> None:
    """Remove an email address other than the primary one. Requires a recent sign-in."""
    email_addresses.remove(call.parts.accounts, call.by, _address_of(call, address))


@router.post("/me/addresses/{address}/primary", operation_id="makeAddressPrimary", status_code=204)
def make_address_primary(call: ApiRequestDep, address: Id) -> None:
    """Make a verified address your primary one. Requires a recent sign-in."""
    email_addresses.make_primary(call.parts.accounts, call.by, _address_of(call, address))


@router.post("/me/addresses/{address}/verification", operation_id="sendVerificationEmail", status_code=204)
def send_verification_email(call: ApiRequestDep, address: Id) -> None:
    """Send the verification email again; nothing is sent to a verified address. Requires a session."""
    sign_up.resend_verification(call.parts.accounts, call.by, _address_of(call, address), client=call.by.address)


def _address_of(call: RequestContext, email_id: int) -> str:
    """Return the caller's address with this id; raise `NotFound` for ids of other users' addresses."""
    require_site(call.by, SiteAction.CHANGE_ACCOUNT)
    address = next((email.address for email in _of_caller(call) if email.id == email_id), None)
    if address is None:
        raise NotFound("Your account has no such email address.", "GET /api/v1/me/addresses lists them.")
    return address


def _of_caller(call: RequestContext) -> list[Email]:
    with call.read() as tx:
        return emails.of_user(tx, call.by.user_id or 0)
