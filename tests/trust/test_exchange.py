"""The exchange as a story: once, in the right place, for what the publisher gives, and for as long as it is trusted."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from seaway.audit import log
from seaway.callers.caller import OPERATOR, Mode
from seaway.channels import channels, transfers
from seaway.clock import CLOCK_TOLERANCE_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from seaway.database.tables import audit, jobs, used_tokens, workflow_tokens
from seaway.database.tables import publishers as publisher_rows
from seaway.metric_events import EventCounter
from seaway.sign_in import user_access
from seaway.trusted_publishing import exchange, issuers, tokens
from seaway.trusted_publishing import publishers as trusted
from seaway.trusted_publishing.issuers import RULES
from seaway.trusted_publishing.refusals import TokenRefused
from seaway.users import emails, users
from tests.support import house, issuer
from tests.support.clock import TurnedClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.requests import raw_headers
from tests.support.server import serving
from tests.trust.conftest import GITHUB, MINT, Trust, Trusting

FILE = conda(index_json("tools"))


def upload(here: Trusting, secret: str, file: PackageFile = FILE, *, force: bool = False) -> httpx.Response:
    return here.ask(
        "POST",
        f"/api/v1/upload/harbour{'?force=true' if force else ''}",
        content=file.content,
        headers={"Authorization": f"Bearer {secret}", "X-File-Name": file.name, "X-File-SHA256": file.sha256},
    )


def github(here: Trusting, **changes: Any) -> str:
    return issuer.token(issuer.github(here.now_s, **changes))


def events(here: Trusting) -> list[tuple[str, str, dict[str, Any]]]:
    """The lines of the audit log about publishers and tokens."""
    with here.seaway.database.read() as tx:
        rows = tx.execute(select(audit.c.action, audit.c.actor, audit.c.detail).order_by(audit.c.id)).all()
    return [(action, actor, json.loads(detail)) for action, actor, detail in rows]


def names(here: Trusting) -> list[str]:
    return [action for action, _, _ in events(here) if action.startswith(("oidc", "publisher", "token"))][3:]


def test_a_token_publishes_and_its_uploads_say_whose_they_are(here: Trusting) -> None:
    """What a workflow uploads is there, and the log names the workflow and the place it came from."""
    secret = here.minted(github(here))

    assert 201 == upload(here, secret).status_code
    assert 200 == here.read("harbour", secret)
    lines = [(action, actor) for action, actor, _ in events(here)]
    assert ("file.uploaded", "GitHub: acme/tools, release.yml") in lines


def test_a_token_is_exchanged_once(here: Trusting) -> None:
    """The second time is refused, whatever came of the first, and another issuer's token of the same jti is not."""
    text = github(here, jti="one")
    here.minted(text)

    refused = here.mint(text)
    assert (422, "reused-token") == (refused.status_code, refused.json()["code"])
    here.minted(issuer.token(issuer.gitlab(here.now_s, jti="one")))


def test_gitlabs_token_can_be_for_several_commands(here: Trusting) -> None:
    """Its publisher says how often; the refusal says what to do."""
    text = issuer.token(issuer.gitlab(here.now_s))
    with here.seaway.database.write_site() as tx:
        known = next(one for one in trusted.in_channel(tx, channels.get(tx, "harbour").id) if one.kind == "gitlab")
        draft = trusted.Draft(matched=known.criteria.matched, exchanges=3)
        trusted.change(tx, here.clock.now_ms(), OPERATOR, "harbour", known.id, draft)

    assert [200, 200, 200, 422] == [here.mint(text).status_code for _ in range(4)]
    assert "exchanges per job token" in here.mint(text).json()["message"]


def test_googles_token_is_counted(here: Trusting) -> None:
    """It has no id: 60 exchanges of one, then no more."""
    text = issuer.token(issuer.google(here.now_s))

    assert {200} == {here.mint(text).status_code for _ in range(60)}
    assert "reused-token" == here.mint(text).json()["code"]


def test_used_tokens_are_remembered_for_longer_than_they_live(here: Trusting) -> None:
    """Case 63: what is forgotten hourly is expired for good, also if the clock steps back a little."""
    text = github(here)
    here.minted(text)
    expires_ms = json.loads(_claims(text))["exp"] * SECOND_MS
    here.clock.move(expires_ms + RULES.leeway_ms - 1 - here.clock.now_ms())
    with here.seaway.database.write_site() as tx:
        tokens.delete_expired(tx, here.clock.now_ms())
    assert "reused-token" == here.mint(text).json()["code"]

    here.clock.move(2 * HOUR_MS)
    with here.seaway.database.write_site() as tx:
        tokens.delete_expired(tx, here.clock.now_ms())
        assert 0 == tx.execute(select(func.count()).select_from(used_tokens)).scalar_one()
        assert 0 == tx.execute(select(func.count()).select_from(workflow_tokens)).scalar_one()


def _claims(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.split(".")[1] + "==")


def test_the_first_token_pins_ids_and_the_first_upload_tells_the_owner(here: Trusting) -> None:
    """Case 62: a repository of the same name with another number is refused from then on; emails are sent once."""
    with here.seaway.database.write_site() as tx:
        emails.add(tx, here.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    here.minted(github(here))
    here.minted(github(here))

    secret = here.minted(github(here))

    assert "other-ids" == here.mint(github(here, repository_id="2003")).json()["code"]
    assert "other-ids" == here.mint(github(here, repository_owner_id="1002")).json()["code"]
    assert [*["oidc.minted"] * 3, "oidc.refused", "oidc.refused"] == names(here)
    assert 0 == letters(here)
    for number in range(2):
        assert 201 == upload(here, secret, conda(index_json(f"tools-{number}"))).status_code
    assert ["publisher.used-first", "publisher.pinned"] == names(here)[5:]
    assert 2 == letters(here)


def test_a_recreated_repository_is_told_what_happened(here: Trusting) -> None:
    """Its own workflow learns that ids differ; the channel learns nothing, and other repositories do not either."""
    upload(here, here.minted(github(here)))
    before = in_channel(here)

    refused = here.mint(
        github(here, repository_id="2003", workflow_ref="acme/tools/.github/workflows/x.yml@refs/heads/main")
    )
    assert (422, "other-ids") == (refused.status_code, refused.json()["code"])
    assert "GitHub acme/tools in the token differ" in refused.text
    assert not any(word in refused.text for word in ("harbour", "release.yml", "2002"))
    assert before == in_channel(here)
    renamed = github(
        here, repository="acme/tools2", workflow_ref="acme/tools2/.github/workflows/release.yml@refs/heads/main"
    )
    assert "invalid-publisher" == here.mint(renamed).json()["code"]


def test_the_ids_of_one_publisher_that_fit_are_not_said_to_differ(here: Trusting) -> None:
    """Of two publishers of a repository one may be outdated: the other is what the token must fit."""
    upload(here, here.minted(github(here)))
    here.people.channel("second")
    here.trust("second", "github", GITHUB | {"workflow": "other.yml"}, pins={"repository_id": "2003"})
    assert "invalid-publisher" == here.mint(github(here, repository_id="2003")).json()["code"]


def test_a_publisher_without_ids_does_not_hide_that_those_of_another_differ(here: Trusting) -> None:
    """It was made after the repository, and no upload has told its ids yet."""
    upload(here, here.minted(github(here)))
    here.trust("harbour", "github", GITHUB | {"workflow": "nightly.yml"})
    assert "other-ids" == here.mint(github(here, repository_id="2003")).json()["code"]


def test_a_service_account_that_was_made_anew_is_told_so(here: Trusting) -> None:
    """Its address is the same, its number is not."""
    refused = here.mint(issuer.token(issuer.google(here.now_s, sub="1"))).json()
    assert "other-ids" == refused["code"]


def in_channel(here: Trusting) -> tuple[list[log.Entry], trusted.Publisher]:
    """What the owner of the channel sees: its log, and its publisher on GitHub."""
    with here.seaway.database.read() as tx:
        known = next(one for one in trusted.in_channel(tx, channels.get(tx, "harbour").id) if one.kind == "github")
        return log.of_channel(tx, "harbour", limit=100), known


def test_nothing_of_a_run_is_in_a_channel_before_it_uploads_there(here: Trusting) -> None:
    """Anyone can name a repository that is not theirs: its runs stay unknown to them, though their token is good here."""
    with here.seaway.database.write_site() as tx:
        emails.add(tx, here.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    before = in_channel(here)
    ended, secret = (here.minted(github(here, environment="release", run_id="77")) for _ in range(2))
    bearer = {"Authorization": f"Bearer {ended}"}
    assert 204 == here.ask("DELETE", "/api/oidc/token", headers=bearer).status_code
    seen_log, seen = in_channel(here)
    assert before[0] == seen_log
    assert (None, {}, None) == (seen.used_at_ms, seen.shown_pins, seen.environment_hint_at_ms)
    assert 0 == letters(here)
    with here.seaway.database.read() as tx:
        minted = [line for line in log.of_all(tx, limit=100) if line.action == "oidc.minted"]
    assert {("", "77")} == {(line.channel, line.detail["run_id"]) for line in minted}

    assert 201 == upload(here, secret).status_code
    seen_log, seen = in_channel(here)
    assert here.clock.now_ms() == seen.used_at_ms
    assert {"owner_id": "1001", "repository_id": "2002"} == seen.shown_pins
    assert 3 == letters(here)
    (line,) = [line for line in seen_log if line.action == "file.uploaded"]
    assert ("acme/tools", "77") == (line.detail["repository"], line.detail["run_id"])


def test_a_publisher_that_is_made_another_begins_as_new(here: Trusting) -> None:
    """Otherwise an owner could upload once from their own repository, and then name one that is not theirs."""
    upload(here, here.minted(github(here)))
    _, known = in_channel(here)
    with here.seaway.database.write_site() as tx:
        draft = replace(trusted.draft_of(known), matched={**known.criteria.matched, "repository": "other"})
        trusted.change(tx, here.clock.now_ms(), OPERATOR, "harbour", known.id, draft)
    here.minted(github(here, **other("acme/other")))
    _, moved = in_channel(here)
    assert (None, {}) == (moved.used_at_ms, moved.shown_pins)
    assert {"owner_id": "1001", "repository_id": "2002"} == moved.criteria.pins


def other(repository: str) -> dict[str, str]:
    file = f"{repository}/.github/workflows/release.yml@refs/tags/v1"
    return {"repository": repository, "ref": "refs/tags/v1", "workflow_ref": file, "job_workflow_ref": file}


def letters(here: Trusting) -> int:
    with here.seaway.database.read() as tx:
        return tx.execute(select(func.count()).select_from(jobs).where(jobs.c.kind == "send-email")).scalar_one()


def test_another_workflow_begins_without_pins(here: Trusting) -> None:
    """To change what is matched clears what was pinned; to change the mode does not."""
    here.minted(github(here))
    with here.seaway.database.write_site() as tx:
        known = trusted.in_channel(tx, channels.get(tx, "harbour").id)[0]
        assert {"owner_id": "1001", "repository_id": "2002"} == known.criteria.pins
        draft = trusted.draft_of(known)
        narrowed = trusted.change(tx, 1, OPERATOR, "harbour", known.id, trusted.Draft(draft.matched, mode=Mode.READ))
        assert known.criteria.pins == narrowed.criteria.pins
        moved = trusted.change(
            tx, 1, OPERATOR, "harbour", known.id, trusted.Draft({**draft.matched, "repository": "other"})
        )
    assert {} == moved.criteria.pins


def test_an_environment_that_nobody_asks_for_is_told_once(here: Trusting) -> None:
    """The owner learns that the rules of the environment can be gone round."""
    with here.seaway.database.write_site() as tx:
        emails.add(tx, here.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    upload(here, here.minted(github(here)))
    before = letters(here)
    for number in range(2):
        secret = here.minted(github(here, environment="release"))
        assert 201 == upload(here, secret, conda(index_json(f"tools-{number}"))).status_code

    assert before + 1 == letters(here)


def test_the_mode_of_the_publisher_is_what_its_token_may(here: Trusting) -> None:
    """Case 50: READ_WRITE uploads and yanks; only READ_WRITE_DELETE overwrites and deletes; neither manages."""
    path = f"harbour/noarch/{FILE.name}"
    secret = here.minted(github(here))
    bearer = {"Authorization": f"Bearer {secret}"}
    other = conda(index_json("tools"), files={"share/tools.txt": b"other"})
    assert 201 == upload(here, secret).status_code
    assert 403 == upload(here, secret, other, force=True).status_code
    assert 403 == here.ask("DELETE", f"/api/v1/delete/{path}", headers=bearer).status_code
    assert 200 == here.ask("POST", f"/api/v1/yank/{path}", headers=bearer).status_code
    assert 403 == here.ask("PATCH", "/api/v1/channels/harbour", json={"public": True}, headers=bearer).status_code
    assert 403 == here.ask("POST", "/api/v1/channels", json={"name": "mine"}, headers=bearer).status_code
    reader = here.minted(issuer.token(issuer.google(here.now_s)))
    assert (200, 403) == (here.read("harbour", reader), upload(here, reader).status_code)

    with here.seaway.database.write_site() as tx:
        known = trusted.in_channel(tx, channels.get(tx, "harbour").id)[0]
        draft = trusted.Draft(known.criteria.matched, mode=Mode.READ_WRITE_DELETE)
        trusted.change(tx, 1, OPERATOR, "harbour", known.id, draft)
    assert 200 == upload(here, secret, other, force=True).status_code
    assert 200 == here.ask("DELETE", f"/api/v1/delete/{path}", headers=bearer).status_code


def test_a_publisher_for_some_packages_publishes_those(here: Trusting) -> None:
    """Others are refused before and after their bytes came, and are not yanked either."""
    here.people.channel("narrow", public=True)
    here.trust("narrow", "github", {**GITHUB, "repository": "narrow"}, patterns=("tools-*",))
    file = "acme/narrow/.github/workflows/release.yml@refs/heads/main"
    secret = here.minted(github(here, repository="acme/narrow", workflow_ref=file, job_workflow_ref=file))
    bearer = {"Authorization": f"Bearer {secret}"}
    made = {name: conda(index_json(name)) for name in ("tools-a", "other")}
    answers = {
        name: here.ask(
            "POST", "/api/v1/upload/narrow", content=one.content, headers={**bearer, "X-File-Name": one.name}
        ).status_code
        for name, one in made.items()
    }

    assert {"tools-a": 201, "other": 403} == answers


def test_a_token_is_of_no_use_elsewhere(here: Trusting) -> None:
    """Another private channel is not there for it; in another public one it reads and nothing else."""
    here.people.channel("hidden", public=False)
    secret = here.minted(github(here))

    assert 403 == here.read("hidden", secret)  # as for a channel that is not there
    assert 403 == here.read("nowhere", secret)


def test_a_token_of_a_clock_that_was_ahead_is_not_good(here: Trusting) -> None:
    """It would live for as long as the clock was wrong; machines may differ by minutes."""
    secret, now_ms = here.minted(github(here)), here.clock.now_ms()
    with here.seaway.database.read() as tx:
        assert tokens.caller_of(tx, secret, now_ms - CLOCK_TOLERANCE_MS) is not None
        assert tokens.caller_of(tx, secret, now_ms - CLOCK_TOLERANCE_MS - 1) is None


def test_it_is_looked_at_when_a_request_begins(here: Trusting) -> None:
    """Case 52: good for 30 minutes to the second."""
    secret = here.minted(github(here))
    here.clock.move(30 * MINUTE_MS - SECOND_MS)
    assert 200 == here.read("harbour", secret)
    here.clock.move(SECOND_MS)
    assert 401 == here.read("harbour", secret)
    assert 401 == upload(here, secret).status_code


def test_an_upload_may_outlive_the_token(here: Trusting) -> None:
    """Case 52: it began in time, so it comes in, though the token ends while its bytes are on their way."""
    secret, file = here.minted(github(here)), conda(index_json("slow"))

    async def bytes_that_take_long() -> AsyncIterator[bytes]:
        yield file.content[:100]
        here.clock.move(2 * MINUTE_MS)
        yield file.content[100:]

    here.clock.move(30 * MINUTE_MS - SECOND_MS)
    headers = {"Authorization": f"Bearer {secret}", **raw_headers(file)}
    taken = here.ask("POST", "/api/v1/upload/harbour", content=bytes_that_take_long(), headers=headers)
    assert 201 == taken.status_code, taken.text
    assert 401 == here.read("harbour", secret)


def test_the_tokens_of_a_disabled_user_end(here: Trusting) -> None:
    """Case 27: those by a publisher that they added; the publisher stays, marked, and works for what comes later."""
    here.people.user("maker")
    with here.seaway.database.write_site() as tx:
        tx.execute(update(publisher_rows).values(created_by=users.get(tx, "maker").id))
    secret = here.minted(github(here))
    with here.seaway.database.write_site() as tx:  # in the same millisecond
        user_access.set_disabled(tx, here.clock.now_ms(), OPERATOR, "maker", disabled=True)
    assert 401 == here.read("harbour", secret)
    here.clock.move(1)
    assert 200 == here.read("harbour", here.minted(github(here)))
    with here.seaway.database.read() as tx:
        found = trusted.in_channel(tx, channels.get(tx, "harbour").id)
    assert {("maker", True)} == {(one.created_by, one.is_orphaned) for one in found}


ENDS = {
    "its publisher is removed": lambda tx, here, one: trusted.remove(
        tx, here.clock.now_ms(), OPERATOR, here.seaway.request_parts.exchanging.notifier, "harbour", one.id
    ),
    "its publisher is switched off": lambda tx, here, one: trusted.change(
        tx, 1, OPERATOR, "harbour", one.id, trusted.Draft(one.criteria.matched, is_enabled=False)
    ),
    "its issuer is switched off": lambda tx, here, one: issuers.set_enabled(tx, 1, OPERATOR, "github", enabled=False),
    "its channel gets another owner": lambda tx, here, one: transfers.transfer_now(tx, 1, OPERATOR, "harbour", "heir"),
    "its channel is deleted": lambda tx, here, one: channels.remove(tx, 1, OPERATOR, "harbour"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_token_ends_at_once_when(here: Trusting, end: Any) -> None:
    """Case 51: the next request is refused."""
    here.people.user("heir")
    secret = here.minted(github(here))
    assert 200 == here.read("harbour", secret)
    with here.seaway.database.write_site() as tx:
        end(tx, here, trusted.in_channel(tx, channels.get(tx, "harbour").id)[0])

    assert 401 == here.read("harbour", secret)
    assert 401 == upload(here, secret).status_code


def test_a_token_ends_itself(here: Trusting) -> None:
    """It can be given back when the job is done; nothing else is ended that way."""
    secret = here.minted(github(here))
    key = here.people.key("owner")
    bearer = {"Authorization": f"Bearer {secret}"}

    assert 401 == here.ask("DELETE", "/api/oidc/token").status_code
    assert 401 == here.ask("DELETE", "/api/oidc/token", headers={"Authorization": f"Bearer {key}"}).status_code
    assert 204 == here.ask("DELETE", "/api/oidc/token", headers=bearer).status_code
    assert 401 == here.ask("DELETE", "/api/oidc/token", headers=bearer).status_code
    assert 401 == here.read("harbour", secret)
    assert 200 == here.read("harbour", key)


def test_a_channel_that_takes_publishers_only(here: Trusting) -> None:
    """Case 61: the owner's key does not upload there, and the workflow does."""
    with here.seaway.database.write_site() as tx:
        channels.change(tx, here.clock.now_ms(), OPERATOR, "harbour", only_publishers=True)

    refused = upload(here, here.people.key("owner"))
    assert (403, True) == (refused.status_code, "trusted publishers only" in refused.text)
    assert 201 == upload(here, here.minted(github(here))).status_code


def test_the_strictest_publisher_of_a_channel_counts(here: Trusting) -> None:
    """One for the environment gives its own mode; in another channel that trusts the same workflow it gives that one's."""
    here.trust("harbour", "github", {**GITHUB, "environment": "release"}, mode=Mode.READ)
    here.people.channel("second", public=False)
    here.trust("second", "github", GITHUB)
    secret = here.minted(github(here, environment="Release"))

    assert 200 == here.read("second", secret)
    assert 403 == upload(here, secret).status_code
    assert 201 == upload(here, here.minted(github(here))).status_code


def test_an_issuer_that_is_switched_off(here: Trusting) -> None:
    """Its tokens are refused by name; others are exchanged."""
    with here.seaway.database.write_site() as tx:
        issuers.set_enabled(tx, here.clock.now_ms(), OPERATOR, "github", enabled=False)

    answer = here.mint(github(here))
    assert (403, "not-enabled") == (answer.status_code, answer.json()["code"])
    here.minted(issuer.token(issuer.gitlab(here.now_s)))


def test_rates(here: Trusting) -> None:
    """600 in ten minutes from one address, whatever they are; 300 for one repository, from anywhere."""
    one_place = {"test-address": "192.0.2.1"}
    statuses = [here.ask("POST", MINT, json={"token": "a.b.c"}, headers=one_place).status_code for _ in range(601)]
    assert [422] * 600 + [429] == statuses
    made = [here.mint(github(here)) for _ in range(301)]
    assert [200] * 300 + [429] == [answer.status_code for answer in made]
    assert {"code", "message"} == set(made[-1].json())
    assert 1 <= int(made[-1].headers["retry-after"]) <= 60


def test_refused_tokens_do_not_fill_the_log(here: Trusting) -> None:
    """Thirty lines in a minute for a repository, which do not take those of another; none for what nobody signed."""

    def refused(repository: str) -> list[dict[str, Any]]:
        lines = [detail for action, _, detail in events(here) if action == "oidc.refused"]
        with here.seaway.database.read() as tx:
            targets = tx.execute(select(audit.c.target).where(audit.c.action == "oidc.refused").order_by(audit.c.id))
            return [line for line, target in zip(lines, targets.scalars(), strict=True) if target == repository]

    for _ in range(31):
        assert 422 == here.mint(github(here, repository="acme/unknown")).status_code
    assert 422 == here.mint(github(here, repository="acme/another")).status_code
    assert 422 == here.mint(github(here, repository="acme/unsigned")[:-8] + "AAAAAAAA").status_code
    line = {"code": "invalid-publisher", "issuer": "https://token.actions.githubusercontent.com"}
    assert [line] * 30 == refused("acme/unknown")
    assert [line] == refused("acme/another")
    assert [] == refused("acme/unsigned")
    here.clock.move(MINUTE_MS)
    here.mint(github(here, repository="acme/unknown"))
    assert 31 == len(refused("acme/unknown"))


@pytest.mark.on_disk
def test_what_is_kept_holds_no_secret(here: Trusting) -> None:
    """Exchange invariant 4: neither the token of the issuer nor ours is in the database (case 34)."""
    text = github(here)
    secret = here.minted(text)
    folder = here.seaway.settings.data
    content = b"".join(path.read_bytes() for path in folder.glob("seaway.db*"))

    assert b"acme/tools" in content
    assert secret.encode() not in content
    assert text.rpartition(".")[2].encode() not in content


@pytest.mark.usefixtures("on_both")
def test_of_many_exchanges_at_once_one_wins(tmp_path: Path, clock: TurnedClock) -> None:
    """Cases 48 and 49: by two houses that share their state, on each database."""
    houses = [house.build(tmp_path, clock, public_url=f"https://{issuer.AUDIENCE}") for _ in range(2)]
    made = Trust(houses[0])
    made.keys("github", "key-1")
    made.people.channel("harbour")
    made.trust("harbour", "github", GITHUB)
    text = issuer.token(issuer.github(clock.now_ms() // 1000))

    def answer(number: int) -> str:
        try:
            exchange.exchange(houses[number % 2].request_parts.exchanging, text, address="192.0.2.1")
        except TokenRefused as refused:
            return refused.code
        return "won"

    with ThreadPoolExecutor(20) as pool:
        answers = Counter(pool.map(answer, range(40)))
    for each in houses:
        each.close()
    assert {"won": 1, "reused-token": 39} == answers


@pytest.mark.slow
@pytest.mark.usefixtures("on_both")
def test_of_a_hundred_exchanges_at_once_one_wins(tmp_path: Path) -> None:
    """Cases 48 and 49: over HTTP, by four workers, on each database."""
    with serving(tmp_path, public_url=f"https://{issuer.AUDIENCE}", workers=4) as server:
        beside = house.build(tmp_path)
        made = Trust(beside)
        made.keys("github", "key-1")
        made.people.channel("harbour")
        made.trust("harbour", "github", GITHUB)
        text = issuer.token(issuer.github(issuer.now_s()))
        with ThreadPoolExecutor(50) as pool, server.client() as http:
            answers = list(pool.map(lambda _: http.post(MINT, json={"token": text}), range(100)))
        beside.close()
    statuses = [answer.status_code for answer in answers]

    assert 1 == statuses.count(200)
    assert {200, 422, 429} >= set(statuses)
    assert {"reused-token", "too-many"} >= {one.json()["code"] for one in answers if one.status_code != 200}


class Counted(EventCounter):
    """What was counted of unknown claims."""

    def __init__(self) -> None:
        self.unknown: list[tuple[str, int]] = []

    def unknown_claims(self, kind: str, number: int) -> None:
        self.unknown.append((kind, number))


def test_claims_that_nobody_has_heard_of_are_counted(here: Trusting) -> None:
    """They change nothing, so that publishing goes on when an issuer adds some; what is known is not counted."""
    counted = Counted()
    exchanging = replace(here.seaway.request_parts.exchanging, counts=counted)
    honest = [issuer.github(here.now_s), issuer.gitlab(here.now_s), issuer.google(here.now_s)]
    for claims in (*honest, issuer.github(here.now_s, repo_property_team="a", brand_new="x", newer=1)):
        assert exchange.exchange(exchanging, issuer.token(claims), address="192.0.2.1")
    assert [("github", 2)] == counted.unknown
