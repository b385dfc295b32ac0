"""How a user can confirm their identity: password, passkey or identity provider."""

from typing import Any

from anyio import to_thread
from starlette.requests import Request

from seaway.callers.caller import Caller
from seaway.http.parts import parts_of
from seaway.sign_in import external_identities, passkeys, second_factors
from seaway.sign_in.identity_providers import LoginProtocol
from seaway.site import Site


async def methods_of(request: Request, by: Caller) -> dict[str, Any]:
    """Return how this user can confirm: `confirming_providers` may report the last authentication."""
    parts = parts_of(request)
    has_proof, has_passkeys, names = await to_thread.run_sync(_proofs, parts.site, by)
    providers = [provider for provider in parts.external_login.providers if provider.name in names]
    return {
        "has_proof": has_proof,
        "has_passkeys": has_passkeys,
        "confirming_providers": [provider for provider in providers if provider.dialect is LoginProtocol.OPENID],
        "providers": providers,
    }


def _proofs(site: Site, by: Caller) -> tuple[bool, bool, set[str]]:
    assert by.user_id is not None
    with site.database.read() as tx:
        names = {identity.provider for identity in external_identities.of_user(tx, by.user_id)}
        return second_factors.can_confirm(tx, by.user_id), bool(passkeys.of_user(tx, by.user_id)), names
