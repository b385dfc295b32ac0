"""What the site's policy makes of somebody who is signed in: whether they are taken for verified, and what they lack."""

from dataclasses import replace

from sqlalchemy import exists, select

from seaway.accounts import second_factors
from seaway.accounts.policy import Policy, SecondFactorFor
from seaway.accounts.principal import Carrier, Principal
from seaway.database.engine import Tx
from seaway.database.tables import members


def judged(tx: Tx, policy: Policy, principal: Principal) -> Principal:
    """The same person, as the policy sees them now; keys and tools were made by who had what was asked for."""
    if principal.carrier is not Carrier.PERSON or principal.user_id is None:
        return principal
    return replace(
        principal,
        is_verified=principal.is_verified or not policy.require_verification,
        lacks_second_factor=_must_have(tx, policy, principal.user_id)
        and not second_factors.of_user(tx, principal.user_id).any,
    )


def _must_have(tx: Tx, policy: Policy, user_id: int) -> bool:
    if policy.second_factor_for is SecondFactorFor.OWNERS:
        owns = exists().where(members.c.user_id == user_id, members.c.role == "owner")
        return bool(tx.execute(select(owns)).scalar())
    return policy.second_factor_for is SecondFactorFor.EVERYBODY
