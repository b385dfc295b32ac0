"""Reports of leaked secrets: only signed ones count, and what they name opens nothing from then on."""

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
from seaway.trusted_publishing.publishers import Draft
from seaway.users import emails, users
from tests.support import house
from tests.support.clock import TurnedClock
from tests.support.house import People
from tests.support.packages import conda, index_json
from tests.support.requests import bearer, raw_headers
from tests.support.workflows import GITHUB

PATH = "/api/github/secret-scanning"
SIGNER = ec.generate_private_key(ec.SECP256R1())
OF_ANOTHER_CURVE = ec.generate_private_key(ec.SECP384R1())


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def published(**keys: str) -> dict[str, object]:
    return {"public_keys": [{"key_identifier": name, "key": pem, "is_current": True} for name, pem in keys.items()]}


@pytest.fixture
def scanned(tmp_path: Path, clock: TurnedClock) -> Seaway:
    """A house that takes reports, with the keys of who reports in a file."""
    file = tmp_path / "keys.json"
    keys = published(good=pem_of(SIGNER), other_curve=pem_of(OF_ANOTHER_CURVE), broken="no key")
    file.write_text(json.dumps(keys))
    return house.build(tmp_path, clock, secret_scanning_keys=str(file))


@pytest.fixture
async def http(scanned: Seaway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(scanned))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    scanned.close()


def body_of(*tokens: str) -> bytes:
    found = [{"token": token, "type": "seaway_key", "url": "https://x", "source": "content"} for token in tokens]
    return json.dumps(found).encode()


async def report(
    http: httpx.AsyncClient, body: bytes, *, identifier: str = "good", signed: bytes | None = None
) -> httpx.Response:
    signer = OF_ANOTHER_CURVE if identifier == "other_curve" else SIGNER
    signature = signer.sign(body if signed is None else signed, ec.ECDSA(SHA256()))
    headers = {
        "GITHUB-PUBLIC-KEY-IDENTIFIER": identifier,
        "GITHUB-PUBLIC-KEY-SIGNATURE": base64.b64encode(signature).decode(),
    }
    return await http.post(PATH, content=body, headers=headers)


async def status(http: httpx.AsyncClient, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return (await http.get("/boats/noarch/repodata.json", headers=headers)).status_code


@pytest.mark.anyio
async def test_a_signed_report_ends_keys_and_tells_their_owners(http: httpx.AsyncClient, scanned: Seaway) -> None:
    """What is ours is labelled so and refused from the next request on; what is not is told apart; each owner hears once."""
    people = People(scanned)
    people.channel("boats", owner="ada", public=False)
    secret, other = people.key("ada"), people.key("ada")
    with scanned.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
    assert 200 == await status(http, secret)
    body = body_of(secret, secret_tokens.new_key(secret_tokens.KeyKind.USER), "something else")
    for _ in range(2):
        answer = await report(http, body)
        assert ["true_positive", "false_positive", "false_positive"] == [one["label"] for one in answer.json()]
        assert [secret, "seaway_key"] == [answer.json()[0]["token_raw"], answer.json()[0]["token_type"]]
    assert [401, 200] == [await status(http, secret), await status(http, other)]
    assert [("secret scanning", "", "ada/key 0")] == lines_of(scanned, "key.revoked")
    assert 1 == letters_waiting(scanned)


def letters_waiting(seaway: Seaway) -> int:
    with seaway.database.read() as tx:
        return tx.execute(select(func.count()).where(jobs.c.kind == SendEmail.kind)).scalar_one()


def lines_of(seaway: Seaway, action: str) -> list[tuple[str, str, str]]:
    with seaway.database.read() as tx:
        rows = tx.execute(select(audit.c.actor, audit.c.channel, audit.c.target).where(audit.c.action == action))
        return [tuple(row) for row in rows]  # type: ignore[misc]


@pytest.mark.anyio
@pytest.mark.parametrize("which", ["access", "refresh"])
async def test_a_found_token_of_a_tool_ends_its_login(http: httpx.AsyncClient, scanned: Seaway, which: str) -> None:
    """Either token takes both along, of this login only; the person hears of it."""
    people = People(scanned)
    people.channel("boats", owner="ada", public=False)
    with scanned.database.write_site() as tx:
        user_id = users.get(tx, "ada").id
        emails.add(tx, 0, user_id, "ada@example.com", verified=True)
        now_ms = scanned.clock.now_ms()
        _, login = grants.add(tx, now_ms, user_id, "rattler", "openid channel:read", address="")
        _, other = grants.add(tx, now_ms, user_id, "rattler", "openid channel:read", address="")
    assert [200, 200] == [await status(http, login.access), await status(http, other.access)]
    found = login.access if which == "access" else login.refresh
    answer = await report(
        http,
        body_of(
            found,
            secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_ACCESS),
            secret_tokens.new_key(secret_tokens.KeyKind.OAUTH_REFRESH),
        ),
    )
    assert ["true_positive", "false_positive", "false_positive"] == [one["label"] for one in answer.json()]
    assert [401, 200] == [await status(http, login.access), await status(http, other.access)]
    with scanned.database.write_site() as tx:
        assert isinstance(grants.refresh(tx, scanned.clock.now_ms(), login.refresh, "rattler"), grants.OAuthError)
    assert [("secret scanning", "", "rattler")] == lines_of(scanned, "tool.revoked")
    assert 1 == letters_waiting(scanned)


def test_all_of_a_report_is_looked_up_before_any_ends(seaway: Seaway, people: People) -> None:
    """Both tokens of a login are ours, though the first takes the second along; what is named twice ends once."""
    people.user("ada")
    with seaway.database.write_site() as tx:
        user_id = users.get(tx, "ada").id
        emails.add(tx, 0, user_id, "ada@example.com", verified=True)
        _, login = grants.add(tx, 0, user_id, "rattler", "openid channel:read", address="")
    secrets = [login.refresh, login.access, people.key("ada")] * 2
    with seaway.database.write_site() as tx:
        found = [ReportedSecret(secret, "stdin") for secret in secrets]
        labels = revoke(tx, 0, OPERATOR, found, notifications=seaway.request_parts.accounts)
    assert [(secret, True) for secret in secrets] == [(label.token, label.is_ours) for label in labels]
    assert [1, 1] == [len(lines_of(seaway, action)) for action in ("tool.revoked", "key.revoked")]
    assert 2 == letters_waiting(seaway)


@pytest.mark.anyio
async def test_a_found_token_of_a_workflow_ends(http: httpx.AsyncClient, scanned: Seaway) -> None:
    """The owner of a channel that its run uploaded to is told once, and the log says so; no other channel learns of it."""
    people = People(scanned)
    people.channel("boats", owner="ada", public=False)
    people.channel("others", owner="ada", public=False)
    matched = {"owner": "acme", "repository": "demo", "workflow": "release.yml"}
    with scanned.database.write_site() as tx:
        emails.add(tx, 0, users.get(tx, "ada").id, "ada@example.com", verified=True)
        now_ms, notifier = scanned.clock.now_ms(), scanned.request_parts.exchanging.notifier
        both = [
            publishers.add(tx, now_ms, OPERATOR, notifier, channel, "github", Draft(matched))
            for channel in ("boats", "others")
        ]
        secret, other = (tokens.mint(tx, now_ms, GITHUB, both, life_ms=MINUTE_MS) for _ in range(2))
    file = conda(index_json("demo"))
    sent = await http.post(
        "/api/v1/upload/boats", content=file.content, headers={**raw_headers(file), **bearer(secret)}
    )
    assert 201 == sent.status_code
    before = letters_waiting(scanned)
    assert [200, 200] == [await status(http, secret), await status(http, other)]
    for _ in range(2):
        answer = await report(http, body_of(secret, secret_tokens.new_key(secret_tokens.KeyKind.WORKFLOW)))
        assert ["true_positive", "false_positive"] == [one["label"] for one in answer.json()]
    assert [401, 200] == [await status(http, secret), await status(http, other)]
    assert [("secret scanning", "boats", "acme/demo, release.yml")] == lines_of(scanned, "token.revoked")
    assert 1 == letters_waiting(scanned) - before


def test_a_found_token_without_a_publisher_is_in_the_log(seaway: Seaway, people: People) -> None:
    """Its publisher was removed before: no channel has the line, and the site has it."""
    people.channel("boats", owner="ada")
    matched = {"owner": "acme", "repository": "demo", "workflow": "release.yml"}
    with seaway.database.write_site() as tx:
        notifier = seaway.request_parts.exchanging.notifier
        publisher = publishers.add(tx, 0, OPERATOR, notifier, "boats", "github", Draft(matched))
        secret = tokens.mint(tx, 0, replace(GITHUB, name="acme/demo on GitHub"), [publisher], life_ms=MINUTE_MS)
        publishers.remove(tx, 0, OPERATOR, notifier, "boats", publisher.id)
        labels = revoke(tx, 0, OPERATOR, [ReportedSecret(secret, "stdin")], notifications=seaway.request_parts.accounts)
    assert [True] == [label.is_ours for label in labels]
    assert [("operator", "", "acme/demo on GitHub")] == lines_of(seaway, "token.revoked")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"signed": b"other bytes"}, id="signature of other bytes"),
        pytest.param({"identifier": "nobody"}, id="unknown key"),
        pytest.param({"identifier": "other_curve"}, id="another curve"),
        pytest.param({"identifier": "broken"}, id="no key"),
        pytest.param({"identifier": ""}, id="unnamed key"),
    ],
)
async def test_a_report_without_a_good_signature_is_refused(
    http: httpx.AsyncClient, scanned: Seaway, change: dict[str, object]
) -> None:
    """Anybody could revoke keys otherwise: 400, and nothing changes."""
    people = People(scanned)
    people.channel("boats", owner="ada", public=False)
    secret = people.key("ada")
    assert 400 == (await report(http, body_of(secret), **change)).status_code  # type: ignore[arg-type]
    assert 400 == (await http.post(PATH, content=body_of(secret))).status_code
    assert 200 == await status(http, secret)


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"token": 1, "type": "x"}]', b"\xff", b"[" * 10_000])
async def test_a_signed_report_that_is_none_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    """Whoever can sign can still be wrong."""
    assert 400 == (await report(http, body)).status_code


@pytest.mark.anyio
async def test_a_report_has_an_end(http: httpx.AsyncClient) -> None:
    """Of so many secrets all are answered; one more is refused, and more than a megabyte is not read."""
    most = await report(http, body_of(*["x"] * MAX_SECRETS))
    assert (200, MAX_SECRETS) == (most.status_code, len(most.json()))
    assert 400 == (await report(http, body_of(*["x"] * (MAX_SECRETS + 1)))).status_code
    assert 413 == (await report(http, b" " * (1024 * 1024 + 1))).status_code


def test_keys_are_asked_for_once_a_day(clock: TurnedClock) -> None:
    """A known key costs no question for a day; an unknown one at most one in a minute."""
    asked: list[str] = []

    def fetch(url: str) -> object:
        asked.append(url)
        return published(one="pem")

    keys = PublicKeys("https://keys.example.com/", fetch, clock)
    for _ in range(3):
        assert ("pem", None) == (keys.find("one"), keys.find("two"))
    assert ["https://keys.example.com/"] == asked
    clock.move(MINUTE_MS)
    assert keys.find("two") is None
    assert 2 == len(asked)
    clock.move(DAY_MS)
    assert "pem" == keys.find("one")
    assert 3 == len(asked)


@pytest.mark.parametrize("answer", [None, [], {}, {"public_keys": 1}, {"public_keys": [1, {"key_identifier": 1}]}])
def test_an_answer_that_names_no_keys_is_no_key(clock: TurnedClock, answer: object) -> None:
    """What the source says is not trusted to be what it should be."""
    assert PublicKeys("https://keys.example.com/", lambda _: answer, clock).find("one") is None


def test_a_file_that_cannot_be_read_is_the_operators_matter(clock: TurnedClock, tmp_path: Path) -> None:
    """Who reports is told to come again, and the log says what to look at."""
    with pytest.raises(Unavailable, match="secret_scanning_keys"):
        PublicKeys(str(tmp_path / "none"), lambda _: None, clock).find("one")


def test_the_operator_ends_leaked_keys(seaway: Seaway, people: People) -> None:
    """`key revoke --stdin`: the same, without a signature."""
    secret = people.key("ada")
    with seaway.database.write_site() as tx:
        labels = revoke(
            tx,
            0,
            OPERATOR,
            [ReportedSecret(secret, "stdin"), ReportedSecret("x", "stdin")],
            notifications=seaway.request_parts.accounts,
        )
    assert [True, False] == [label.is_ours for label in labels]
