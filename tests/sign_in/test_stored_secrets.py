"""Dumps of the database, the log and queued emails contain no usable secret (cases 34 and 35)."""

import pytest
import structlog.testing
from sqlalchemy import select

from seaway.callers.caller import OPERATOR
from seaway.database import tables
from seaway.errors import BadCredential
from seaway.server.wiring import Seaway
from seaway.sign_in import passkeys, password_reset, password_sign_in, sign_up, totp, user_access
from seaway.sign_in.password_sign_in import NeedsSecondFactor
from tests.sign_in.test_second_factors import Phone
from tests.support.accounts import HOME, OTHER_PASSWORD, PASSWORD, Accounts
from tests.support.mail import link_secret, sent_emails
from tests.support.sites import Factory
from tests.support.stored_secrets import dump

pytestmark = pytest.mark.anyio


async def use_account(seaway: Seaway, accounts: Accounts, factory: Factory) -> list[str]:
    """Run through every account operation that creates a secret; return the secrets."""
    secrets: list[str] = [PASSWORD, OTHER_PASSWORD, factory.key("founder")]
    await sign_up.sign_up(accounts.parts, "ada", "ada@example.com", PASSWORD, client=HOME.address)
    password_reset.request(accounts.parts, "ada@example.com", client=HOME.address)
    secrets.append(link_secret(sent_emails(seaway)[0]))
    by, session = await accounts.session("ada")
    sign_up.verify(accounts.parts, by, secrets[-1])
    secrets.append(session)
    password_reset.request(accounts.parts, "ada@example.com", client=HOME.address)
    secrets.append(link_secret(sent_emails(seaway)[-1]))
    await password_reset.reset(accounts.parts, secrets[-1], OTHER_PASSWORD, client=HOME.address)
    with pytest.raises(BadCredential):
        await accounts.sign_in("ada", PASSWORD)
    signed_in = await accounts.sign_in("ada", OTHER_PASSWORD)
    assert not isinstance(signed_in, NeedsSecondFactor)
    by = accounts.caller_of(signed_in.secret)
    seed = totp.begin(accounts.parts, by).seed
    phone = Phone(accounts, seed)
    recovery_codes = await totp.confirm(accounts.parts, by, phone.code())
    result = await accounts.sign_in("ada", OTHER_PASSWORD)
    assert isinstance(result, NeedsSecondFactor)
    passkeys.sign_in_options(accounts.parts.site, HOME)
    fresh = await password_sign_in.confirm(accounts.parts, by, signed_in.secret, OTHER_PASSWORD, HOME)
    plain_codes = [code.replace("-", "") for code in recovery_codes]
    return [*secrets, signed_in.secret, seed, result.flow, fresh, *recovery_codes, *plain_codes]


async def test_stored_and_logged_data_contains_no_secret(
    seaway: Seaway, accounts: Accounts, factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    """Checked while emails are queued and after they were sent: tables, jobs and log entries, before any masking."""
    with structlog.testing.capture_logs() as log_entries, caplog.at_level("DEBUG"):
        secrets = await use_account(seaway, accounts, factory)
        with seaway.site.database.write_site() as tx:
            user_access.set_disabled(tx, accounts.now_ms, OPERATOR, "ada", disabled=True)
        with seaway.site.database.read() as tx:
            assert list(tx.execute(select(tables.jobs.c.kind).where(tables.jobs.c.kind == "send-email")))
        stored = dump(seaway)
        sent_emails(seaway)
        stored += dump(seaway)
    logged = f"{log_entries}{caplog.text}"
    assert "mail.sent" in logged
    assert 20 < len(secrets)
    assert [] == [secret for secret in secrets if secret.encode() in stored or secret in logged]
