"""Checks of the form that creates an account, so that it can report all its errors at once."""

from collections.abc import Callable
from functools import partial

from anyio import to_thread

from seaway.errors import WeakPassword, check_all
from seaway.sign_in.parts import AccountParts
from seaway.users import emails, users


async def check(
    accounts: AccountParts, name: str, address: str, password: str, *, any_domain: bool = False
) -> tuple[str, str]:
    """Return the normalized email address and the password hash; raise one error for all fields that are refused."""
    failed: list[WeakPassword] = []
    password_hash = ""
    try:
        password_hash = await accounts.hasher.hash_new(password, about=[name[:60], address[: emails.MAX_CHARS]])
    except WeakPassword as error:
        failed.append(error)
    checks = (partial(check_name, accounts, name), partial(check_address, accounts, address, any_domain=any_domain))
    await to_thread.run_sync(check_all, *checks, *(_raising(error) for error in failed))
    return emails.normalize(address), password_hash


def check_name(accounts: AccountParts, name: str) -> None:
    """Raise `NameTaken` unless a new user can have this name."""
    with accounts.site.database.read() as tx:
        users.require_free_name(tx, accounts.site.clock.now_ms(), name)


def check_address(accounts: AccountParts, address: str, *, any_domain: bool = False) -> None:
    """Require a valid email address and, unless `any_domain`, a domain that the site accepts."""
    normalized = emails.normalize(address)
    if not any_domain:
        accounts.policy.require_domain(normalized)


def _raising(error: WeakPassword) -> Callable[[], None]:
    def check() -> None:
        raise error

    return check
