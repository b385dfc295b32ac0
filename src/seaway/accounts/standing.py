"""
What the site's policy makes of a user who asks: whether they are taken for verified, and what they lack.

1. Their keys and their tools lack what they lack: a key that was made before the site asked for a second factor, or
   before its user owned anything, would be a way round it.
2. Who lacks it may read what they could read, set it up, and change nothing else.
"""

from dataclasses import replace

from sqlalchemy import exists, select

from seaway.accounts import second_factors
from seaway.accounts.policy import Policy, SecondFactorFor
from seaway.accounts.principal import Principal
from seaway.database.engine import Tx
from seaway.database.tables import members


def judged(tx: Tx, policy: Policy, principal: Principal) -> Principal:
    """The same principal, as the policy sees its user now; a workflow has no user, and a publisher its own rules."""
    if principal.user_id is None or policy.asks_nothing:
        return principal
    may_lack = policy.second_factor_for is SecondFactorFor.NOBODY or second_factors.of_user(tx, principal.user_id).any
    return replace(
        principal,
        is_verified=principal.is_verified or not policy.require_verification,
        lacks_second_factor=not may_lack and _must_have(tx, policy, principal.user_id),
        lacks_factor_to_own=not may_lack,
    )


def _must_have(tx: Tx, policy: Policy, user_id: int) -> bool:
    if policy.second_factor_for is SecondFactorFor.OWNERS:
        owns = exists().where(members.c.user_id == user_id, members.c.role == "owner")
        return bool(tx.execute(select(owns)).scalar())
    return policy.second_factor_for is SecondFactorFor.EVERYBODY
