"""
Applies the site's account policy to callers: whether the user counts as verified, and which second factor is missing.

1. Keys and OAuth grants of a user lack what the user lacks: otherwise a key created before the site required a second
   factor, or before its user owned a channel, would bypass the requirement.
2. A user without a required factor can still read and can set one up, but cannot change anything else.
"""

from dataclasses import replace

from sqlalchemy import exists, select

from seaway.callers.caller import Caller
from seaway.database.engine import Tx
from seaway.database.tables import members
from seaway.sign_in import second_factors
from seaway.sign_in.policy_settings import AccountPolicy, SecondFactorFor


def apply_policy(tx: Tx, policy: AccountPolicy, by: Caller) -> Caller:
    """Return the caller with the current account policy applied; workflows have no user and are not affected."""
    if by.user_id is None or policy.has_no_effect:
        return by
    is_satisfied = policy.second_factor_for is SecondFactorFor.NONE or second_factors.of_user(tx, by.user_id).any
    return replace(
        by,
        is_verified=by.is_verified or not policy.require_verification,
        lacks_second_factor=not is_satisfied and _is_required(tx, policy, by.user_id),
        lacks_factor_to_own=not is_satisfied,
    )


def _is_required(tx: Tx, policy: AccountPolicy, user_id: int) -> bool:
    if policy.second_factor_for is SecondFactorFor.OWNERS:
        owns = exists().where(members.c.user_id == user_id, members.c.role == "owner")
        return bool(tx.execute(select(owns)).scalar())
    return policy.second_factor_for is SecondFactorFor.ALL
