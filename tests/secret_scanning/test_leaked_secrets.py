"""Reports of leaked secrets: they must be signed, and every secret they name is revoked."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import func, select

from seaway import secret_tokens
from seaway.callers.caller import OPERATOR
from seaway.clock import DAY_MS, MINUTE_MS
from seaway.database.tables import audit, jobs
from seaway.errors import Unavailable
from seaway.mail.outbox import SendEmail
from seaway.oauth import grants
from seaway.secret_scanning.leaked_secrets import MAX_SECRETS, PublicKeys, ReportedSecret, revoke
from seaway.server.app import create_app
from seaway.server.wiring import Seaway
from seaway.trusted_publishing import publishers, tokens
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.users import emails, users
from tests.support import sites
from tests.support.clock import ManualClock
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, raw_headers
from tests.support.sites import Factory
from tests.support.workflows import GITHUB

REPORT_PATH = "/api/github/secret-scanning"
SIGNER = ec.generate_private_key(ec.SECP256R1())
OTHER_CURVE_SIGNER = ec.generate_private_key(ec.SECP384R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_document(**keys: str) -> dict[str, object]:
    return {"public_keys": [{"key_identifier": name, "key": pem, "is_current": True} for name, pem in keys.items()]}


@pytest.fixture
def seaway_with_scanning(tmp_path: Path, clock: ManualClock) -> Seaway:
    """A Seaway instance that accepts reports; the reporter's public keys are in a file."""
    file = tmp_path / "keys.json"
    keys = key_document(good=pem(SIGNER), other_curve=pem(OTHER_CURVE_SIGNER), broken="no key")
    file.write_text(json.dumps(keys))
    return sites.build(tmp_path, clock, secret_scanning_keys=str(file))


@pytest.fixture
async def http(seaway_with_scanning: Seaway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(seaway_with_scanning))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    seaway_with_scanning.close()


def report_body(*tokens: str) -> bytes:
    found = [{"token": token, "type": "seaway_key", "url": "https://x", "source": "content"} for token in tokens]
    return json.dumps(found).encode()


async def report(
    http: httpx.AsyncClient, body: bytes, *, identifier: str = "good", signed: bytes | None = None
) -> httpx.Response:
    signer = OTHER_CURVE_SIGNER if identifier == "other_curve" else SIGNER
    signature = signer.sign(body if signed is None else signed, ec.ECDSA(SHA256()))
    headers = {
        "GITHUB-PUBLIC-KEY-IDENTIFIER": identifier,
        "GITHUB-PUBLIC-KEY-SIGNATURE": base64.b64encode(signature).decode(),
    }
    return await http.post(REPORT_PATH, content=body, headers=headers)


async def read_status(http: httpx.AsyncClient, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return (await http.get("/boats/noarch/repodata.json", headers=headers)).status_code


@pytest.mark.anyio
async def test_signed_report_revokes_keys_and_notifies_owners(
    http: httpx.AsyncClient, seaway_with_scanning: Seaway
) -> None:
    """Secrets of this server are labeled true positives and refused at once; each owner is notified once."""
    factory = Factory(seaway_with_scanning)
    factory.channel("boats", owner="ada", public=False)
    secret, unreported = factory.key("ada"), factory.key("ada")
    with seaway_with_scanning.site.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
    assert 200 == await read_status(http, secret)
    body = report_body(secret, secret_tokens.new_key(secret_tokens.KeyKind.USER), "something else")
    for _ in range(2):
        response = await report(http, body)
        assert ["true_positive", "false_positive", "false_positive"] == [item["label"] for item in response.json()]
        assert [secret, "seaway_key"] == [response.json()[0]["token_raw"], response.json()[0]["token_type"]]
    assert [401, 200] == [await read_status(http, secret), await read_status(http, unreported)]
    assert [("secret scanning", "", "ada/key 0")] == audit_entries(seaway_with_scanning, "key.revoked")
    assert 1 == queued_emails(seaway_with_scanning)


def queued_emails(seaway: Seaway) -> int:
    with seaway.site.database.read() as tx:
        return tx.execute(select(func.count()).where(jobs.c.kind == SendEmail.kind)).scalar_one()


def audit_entries(seaway: Seaway, action: str) -> list[tuple[str, str, str]]:
    with seaway.site.database.read() as tx:
        rows = tx.execute(select(audit.c.actor, audit.c.channel, audit.c.target).where(audit.c.action == action))
        return [tuple(row) for row in rows]  # type: ignore[misc]


@pytest.mark.anyio
@pytest.mark.parametrize("token_kind", ["access", "refresh"])
async def test_reported_oauth_token_revokes_its_grant(
    http: httpx.AsyncClient, seaway_with_scanning: Seaway, token_kind: str
) -> None:
    """Either token revokes both tokens of its grant and no other grant; the user is notified."""
    factory = Factory(seaway_with_scanning)
    factory.channel("boats", owner="ada", public=False)
    with seaway_with_scanning.site.database.write_site() as tx:
        user_id = users.get(tx, "ada").id
        emails.add(tx, 0, user_id, "ada@example.com", verified=True)
        now_ms = seaway_with_scanning.site.clock.now_ms()
        _, reported = grants.add(tx, now_ms, user_id, "rattler", "openid channel:read", address="")
        _, unreported = grants.add(tx, now_ms, user_id, "rattler", "openid channel:read", address="")
    assert [200, 200] == [await read_status(http, reported.access), await read_status(http, unreported.access)]
    found = reported.access if token_kind == "access" else reported.refresh
    response = await report(
        http,
        report_body(
            found,
            secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_ACCESS),
            secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_REFRESH),
        ),
    )
    assert ["true_positive", "false_positive", "false_positive"] == [item["label"] for item in response.json()]
    assert [401, 200] == [await read_status(http, reported.access), await read_status(http, unreported.access)]
    with seaway_with_scanning.site.database.write_site() as tx:
        assert isinstance(
            grants.refresh(tx, seaway_with_scanning.site.clock.now_ms(), reported.refresh, "rattler"), grants.OAuthError
        )
    assert [("secret scanning", "", "rattler")] == audit_entries(seaway_with_scanning, "tool.revoked")
    assert 1 == queued_emails(seaway_with_scanning)


def test_report_is_looked_up_completely_before_revoking(seaway: Seaway, factory: Factory) -> None:
    """Both tokens of a grant are true positives although revoking the first revokes the second; repeats count once."""
    factory.user("ada")
    with seaway.site.database.write_site() as tx:
        user_id = users.get(tx, "ada").id
        emails.add(tx, 0, user_id, "ada@example.com", verified=True)
        _, grant_tokens = grants.add(tx, 0, user_id, "rattler", "openid channel:read", address="")
    secrets = [grant_tokens.refresh, grant_tokens.access, factory.key("ada")] * 2
    with seaway.site.database.write_site() as tx:
        found = [ReportedSecret(secret, "stdin") for secret in secrets]
        labels = revoke(seaway.site.database, tx, 0, OPERATOR, found, outbox=seaway.request_parts.accounts.outbox)
    assert [(secret, True) for secret in secrets] == [(label.token, label.is_ours) for label in labels]
    assert [1, 1] == [len(audit_entries(seaway, action)) for action in ("tool.revoked", "key.revoked")]
    assert 2 == queued_emails(seaway)


@pytest.mark.anyio
async def test_reported_workflow_token_is_revoked(http: httpx.AsyncClient, seaway_with_scanning: Seaway) -> None:
    """Only channels that its run uploaded to get an audit entry, and their owner is notified once."""
    factory = Factory(seaway_with_scanning)
    factory.channel("boats", owner="ada", public=False)
    factory.channel("others", owner="ada", public=False)
    matched = {"owner": "acme", "repository": "demo", "workflow": "release.yml"}
    with seaway_with_scanning.site.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
        now_ms, notifier = seaway_with_scanning.site.clock.now_ms(), seaway_with_scanning.request_parts.accounts.outbox
        both = [
            publishers.add(tx, now_ms, OPERATOR, notifier, channel, "github", PublisherSettings(fields=matched))
            for channel in ("boats", "others")
        ]
        secret, unreported = (tokens.mint(tx, now_ms, GITHUB, both, life_ms=MINUTE_MS) for _ in range(2))
    file = conda(index_json("demo"))
    uploaded = await http.post(
        "/api/v1/upload/boats", content=file.content, headers={**raw_headers(file), **bearer(secret)}
    )
    assert 201 == uploaded.status_code
    before = queued_emails(seaway_with_scanning)
    assert [200, 200] == [await read_status(http, secret), await read_status(http, unreported)]
    for _ in range(2):
        response = await report(http, report_body(secret, secret_tokens.new_key(secret_tokens.KeyKind.WORKFLOW)))
        assert ["true_positive", "false_positive"] == [item["label"] for item in response.json()]
    assert [401, 200] == [await read_status(http, secret), await read_status(http, unreported)]
    assert [("secret scanning", "boats", "acme/demo, release.yml")] == audit_entries(
        seaway_with_scanning, "token.revoked"
    )
    assert 1 == queued_emails(seaway_with_scanning) - before


def test_reported_token_without_publisher_is_audited(seaway: Seaway, factory: Factory) -> None:
    """After its publisher was removed, only the site's audit log has the entry."""
    factory.channel("boats", owner="ada")
    matched = {"owner": "acme", "repository": "demo", "workflow": "release.yml"}
    with seaway.site.database.write_site() as tx:
        notifier = seaway.request_parts.accounts.outbox
        publisher = publishers.add(tx, 0, OPERATOR, notifier, "boats", "github", PublisherSettings(fields=matched))
        secret = tokens.mint(tx, 0, replace(GITHUB, name="acme/demo on GitHub"), [publisher], life_ms=MINUTE_MS)
        publishers.remove(tx, 0, OPERATOR, notifier, "boats", publisher.id)
        labels = revoke(
            seaway.site.database,
            tx,
            0,
            OPERATOR,
            [ReportedSecret(secret, "stdin")],
            outbox=seaway.request_parts.accounts.outbox,
        )
    assert [True] == [label.is_ours for label in labels]
    assert [("operator", "", "acme/demo on GitHub")] == audit_entries(seaway, "token.revoked")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"signed": b"other bytes"}, id="signature of other bytes"),
        pytest.param({"identifier": "unknown"}, id="unknown key"),
        pytest.param({"identifier": "other_curve"}, id="another curve"),
        pytest.param({"identifier": "broken"}, id="no key"),
        pytest.param({"identifier": ""}, id="unnamed key"),
    ],
)
async def test_report_without_valid_signature_is_refused(
    http: httpx.AsyncClient, seaway_with_scanning: Seaway, change: dict[str, object]
) -> None:
    """Otherwise anyone could revoke keys: 400, and nothing changes."""
    factory = Factory(seaway_with_scanning)
    factory.channel("boats", owner="ada", public=False)
    secret = factory.key("ada")
    assert 400 == (await report(http, report_body(secret), **change)).status_code  # type: ignore[arg-type]
    assert 400 == (await http.post(REPORT_PATH, content=report_body(secret))).status_code
    assert 200 == await read_status(http, secret)


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"token": 1, "type": "x"}]', b"\xff", b"[" * 10_000])
async def test_malformed_signed_report_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    assert 400 == (await report(http, body)).status_code


@pytest.mark.anyio
async def test_report_size_is_limited(http: httpx.AsyncClient) -> None:
    """`MAX_SECRETS` secrets are accepted; one more returns 400, and a body over 1 MiB returns 413."""
    largest = await report(http, report_body(*["x"] * MAX_SECRETS))
    assert (200, MAX_SECRETS) == (largest.status_code, len(largest.json()))
    assert 400 == (await report(http, report_body(*["x"] * (MAX_SECRETS + 1)))).status_code
    assert 413 == (await report(http, b" " * (1024 * 1024 + 1))).status_code


def test_public_keys_are_fetched_once_a_day(clock: ManualClock) -> None:
    """An unknown key id causes at most one fetch a minute."""
    requests: list[str] = []

    def fetch(url: str) -> object:
        requests.append(url)
        return key_document(one="pem")

    keys = PublicKeys("https://keys.example.com/", fetch, clock)
    for _ in range(3):
        assert ("pem", None) == (keys.find("one"), keys.find("two"))
    assert ["https://keys.example.com/"] == requests
    clock.move(MINUTE_MS)
    assert keys.find("two") is None
    assert 2 == len(requests)
    clock.move(DAY_MS)
    assert "pem" == keys.find("one")
    assert 3 == len(requests)


@pytest.mark.parametrize("document", [None, [], {}, {"public_keys": 1}, {"public_keys": [1, {"key_identifier": 1}]}])
def test_malformed_key_document_contains_no_key(clock: ManualClock, document: object) -> None:
    assert PublicKeys("https://keys.example.com/", lambda _: document, clock).find("one") is None


def test_unreadable_key_file_names_the_setting(clock: ManualClock, tmp_path: Path) -> None:
    """The reporter gets 503 and can retry."""
    with pytest.raises(Unavailable, match="secret_scanning_keys"):
        PublicKeys(str(tmp_path / "none"), lambda _: None, clock).find("one")


def test_operator_revokes_leaked_keys(seaway: Seaway, factory: Factory) -> None:
    """`key revoke --stdin` needs no signature."""
    secret = factory.key("ada")
    with seaway.site.database.write_site() as tx:
        labels = revoke(
            seaway.site.database,
            tx,
            0,
            OPERATOR,
            [ReportedSecret(secret, "stdin"), ReportedSecret("x", "stdin")],
            outbox=seaway.request_parts.accounts.outbox,
        )
    assert [True, False] == [label.is_ours for label in labels]
