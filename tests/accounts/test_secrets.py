"""A dump of the database, the log and the letters that wait hold nothing that opens anything (cases 34 and 35)."""

import pytest
import structlog.testing
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.database import tables
from seaway.errors import BadCredential
from seaway.server.wiring import Seaway
from seaway.sign_in import passkeys, password_reset, password_sign_in, sign_up, totp, user_access
from seaway.sign_in.password_sign_in import NeedsSecondFactor
from tests.accounts.conftest import HOME, OTHER_PASSWORD, PASSWORD, Accounts
from tests.accounts.test_second_factors import Phone
from tests.support.house import People
from tests.support.kept import dump
from tests.support.mail import letters, link_in

pytestmark = pytest.mark.anyio


async def live(seaway: Seaway, accounts: Accounts, people: People) -> list[str]:
    """Do with an account what people do; every secret that was made on the way."""
    secrets: list[str] = [PASSWORD, OTHER_PASSWORD, people.key("founder")]
    await sign_up.sign_up(accounts.parts, "ada", "ada@example.com", PASSWORD, client=HOME.address)
    password_reset.request(accounts.parts, "ada@example.com", client=HOME.address)
    secrets.append(link_in(letters(seaway)[0]))
    by, session = await accounts.session("ada")
    sign_up.verify(accounts.parts, by, secrets[-1])
    secrets.append(session)
    password_reset.request(accounts.parts, "ada@example.com", client=HOME.address)
    secrets.append(link_in(letters(seaway)[-1]))
    await password_reset.reset(accounts.parts, secrets[-1], OTHER_PASSWORD, client=HOME.address)
    with pytest.raises(BadCredential):
        await accounts.sign_in("ada", PASSWORD)
    signed_in = await accounts.sign_in("ada", OTHER_PASSWORD)
    assert not isinstance(signed_in, NeedsSecondFactor)
    by = accounts.caller_of(signed_in.secret)
    seed = totp.begin(accounts.parts, by).seed
    phone = Phone(accounts, seed)
    recovery_codes = await totp.confirm(accounts.parts, by, phone.code())
    found = await accounts.sign_in("ada", OTHER_PASSWORD)
    assert isinstance(found, NeedsSecondFactor)
    passkeys.sign_in_options(accounts.parts, HOME)
    fresh = await password_sign_in.confirm(accounts.parts, by, signed_in.secret, OTHER_PASSWORD, HOME)
    plain_codes = [code.replace("-", "") for code in recovery_codes]
    return [*secrets, signed_in.secret, seed, found.flow, fresh, *recovery_codes, *plain_codes]


async def test_nothing_that_is_kept_opens_anything(
    seaway: Seaway, accounts: Accounts, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    """While letters wait and after they left: in tables and jobs, and in what is logged, before anything is masked."""
    with structlog.testing.capture_logs() as lines, caplog.at_level("DEBUG"):
        secrets = await live(seaway, accounts, people)
        with seaway.database.write_site() as tx:
            user_access.set_disabled(tx, accounts.now_ms, OPERATOR, "ada", disabled=True)
        with seaway.database.read() as tx:
            assert list(tx.execute(select(tables.jobs.c.kind).where(tables.jobs.c.kind == "send-email")))
        kept = dump(seaway)
        letters(seaway)
        kept += dump(seaway)
    logged = f"{lines}{caplog.text}"
    assert "mail.sent" in logged
    assert 20 < len(secrets)
    assert [] == [secret for secret in secrets if secret.encode() in kept or secret in logged]
