"""Token issuers of trusted publishing, for site admins."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AliasPath, ConfigDict, Field

from seaway.api.v1.api_request import ApiRequestDep
from seaway.api.v1.schemas import Moment, Page, RequestBody, ResponseBody, single_page
from seaway.callers.site_permissions import SiteAction, require_site
from seaway.http.request_context import RequestContext
from seaway.trusted_publishing import issuer_states, issuers
from seaway.trusted_publishing.issuers import MAX_ISSUER, MAX_NAME

router = APIRouter(tags=["administration"])

IssuerName = Annotated[str, Path(description="The name of an issuer.", examples=["github"], max_length=MAX_NAME)]


class Issuer(ResponseBody):
    """An issuer, with the state of its keys."""

    name: str = Field(validation_alias=AliasPath("issuer", "name"), examples=["forge"])
    kind: str = Field(validation_alias=AliasPath("issuer", "kind", "name"), examples=["gitlab"])
    issuer: str = Field(
        validation_alias=AliasPath("issuer", "issuer"),
        description="The `iss` claim of its tokens.",
        examples=["https://gitlab.example.com"],
    )
    enabled: bool = Field(validation_alias=AliasPath("issuer", "is_enabled"))
    built_in: bool = Field(validation_alias=AliasPath("issuer", "is_builtin"))
    static_keys: bool = Field(
        validation_alias="has_static_keys", description="Whether keys set by an admin replace fetched ones."
    )
    keys: list[str] = Field(description="The ids of its keys.")
    fetched_at: Moment | None
    error: str = Field(description="Why the last fetch of its keys failed; empty if it succeeded.")
    publishers: int = Field(description="Number of publishers that use it.")


class IssuerCreate(RequestBody):
    """An issuer to register."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    issuer: str = Field(description="The exact `iss` claim of its tokens.", max_length=MAX_ISSUER)
    kind: Literal["github", "gitlab", "google", "buildkite", "circleci", "generic"]
    rules: dict[str, Any] | None = Field(None, description="How to read tokens; for kind `generic`.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "forge", "issuer": "https://gitlab.example.com", "kind": "gitlab"}]}
    )


class IssuerUpdate(RequestBody):
    """Fields to change."""

    enabled: bool

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})


class IssuerKeysUpdate(RequestBody):
    """Keys to use instead of fetched ones."""

    keys: list[dict[str, Any]] = Field(description="Keys of the issuer's JSON Web Key Set.", max_length=100)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"keys": [{"kty": "RSA", "kid": "1", "n": "...", "e": "AQAB"}]}]}
    )


@router.get("/issuers", operation_id="listIssuers")
def list_issuers(call: ApiRequestDep) -> Page[Issuer]:
    """List all issuers, built-in ones first. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    with call.read() as tx:
        return single_page([Issuer.model_validate(state) for state in issuer_states.states(tx)])


@router.get("/issuers/{issuer}", operation_id="getIssuer")
def get_issuer(call: ApiRequestDep, issuer: IssuerName) -> Issuer:
    """Return an issuer. Site admins only; requires a session."""
    require_site(call.by, SiteAction.ADMINISTER)
    return _found(call, issuer)


@router.post("/issuers", operation_id="registerIssuer", status_code=201)
def register_issuer(call: ApiRequestDep, given: IssuerCreate) -> Issuer:
    """Register an issuer. Site admins only; requires a recent sign-in."""
    rules = "" if given.rules is None else json.dumps(given.rules)
    with call.write_site() as tx:
        issuers.add(tx, call.now_ms, call.by, given.name, kind=given.kind, issuer=given.issuer, rules=rules)
    return _found(call, given.name)


@router.patch("/issuers/{issuer}", operation_id="changeIssuer")
def change_issuer(call: ApiRequestDep, issuer: IssuerName, given: IssuerUpdate) -> Issuer:
    """
    Enable or disable an issuer. Site admins only; requires a recent sign-in.

    While it is disabled, publish tokens that were exchanged for its tokens are invalid.
    """
    with call.write_site() as tx:
        issuers.set_enabled(tx, call.now_ms, call.by, issuer, enabled=given.enabled)
    return _found(call, issuer)


@router.delete("/issuers/{issuer}", operation_id="removeIssuer", status_code=204)
def remove_issuer(call: ApiRequestDep, issuer: IssuerName) -> None:
    """Remove an issuer; its publishers stay but match no token. Site admins only; requires a recent sign-in."""
    with call.write_site() as tx:
        issuers.remove(tx, call.now_ms, call.by, issuer)


@router.put("/issuers/{issuer}/keys", operation_id="setIssuerKeys")
def set_issuer_keys(call: ApiRequestDep, issuer: IssuerName, given: IssuerKeysUpdate) -> Issuer:
    """Use these keys instead of fetched ones. Site admins only; requires a recent sign-in."""
    with call.write_site() as tx:
        issuers.set_static_keys(tx, call.now_ms, call.by, issuer, json.dumps({"keys": given.keys}))
    return _found(call, issuer)


@router.post("/issuers/{issuer}/keys/fetch", operation_id="fetchIssuerKeys")
def fetch_issuer_keys(call: ApiRequestDep, issuer: IssuerName) -> Issuer:
    """
    Fetch the keys of an issuer. Site admins only; requires a recent sign-in.

    Keys set by an admin are no longer used once others were fetched. If the fetch fails, `error` of the response says
    why.
    """
    require_site(call.by, SiteAction.CHANGE_SITE)
    with call.read() as tx:
        found = issuers.get(tx, issuer)
    fetched = call.parts.exchanging.key_sets.refresh(replace(found, static_keys=None).key_source)
    if fetched.error:
        return _found(call, issuer).model_copy(update={"error": fetched.error})
    if found.static_keys is not None:
        with call.write_site() as tx:
            issuers.set_static_keys(tx, call.now_ms, call.by, issuer, None)
    return _found(call, issuer)


def _found(call: RequestContext, name: str) -> Issuer:
    with call.read() as tx:
        return Issuer.model_validate(issuer_states.state(tx, name))
