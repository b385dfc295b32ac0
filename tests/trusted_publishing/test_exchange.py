"""Token exchange: single use, pins, permissions of publish tokens, revocation, rates and concurrency."""

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
from seaway.callers.caller import OPERATOR
from seaway.channels import channels, transfers
from seaway.channels.channel import ChannelSettings
from seaway.clock import CLOCK_TOLERANCE_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from seaway.database.tables import audit, jobs, used_tokens, workflow_tokens
from seaway.database.tables import publishers as publishers_table
from seaway.metric_events import EventCounter
from seaway.sign_in import user_access
from seaway.trusted_publishing import exchange, issuers, publishers, tokens
from seaway.trusted_publishing.issuers import RULES
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.refusals import TokenRefused
from seaway.users import emails, users
from tests.support import issuer, sites
from tests.support.clock import ManualClock
from tests.support.packages import PackageFile, conda, index_json
from tests.support.publishing_app import GITHUB, MINT, PublishingApp, Trust
from tests.support.requests import raw_headers
from tests.support.server import serving
from tests.support.sites import publish_file

FILE = conda(index_json("tools"))


def upload(app: PublishingApp, secret: str, file: PackageFile = FILE, *, force: bool = False) -> httpx.Response:
    return app.request(
        "POST",
        f"/api/v1/upload/harbour{'?force=true' if force else ''}",
        content=file.content,
        headers={"Authorization": f"Bearer {secret}", "X-File-Name": file.name, "X-File-SHA256": file.sha256},
    )


def github(app: PublishingApp, **changes: Any) -> str:
    return issuer.token(issuer.github(app.now_s, **changes))


def audit_events(app: PublishingApp) -> list[tuple[str, str, dict[str, Any]]]:
    """Return action, actor and detail of every audit entry."""
    with app.seaway.site.database.read() as tx:
        rows = tx.execute(select(audit.c.action, audit.c.actor, audit.c.detail).order_by(audit.c.id)).all()
    return [(action, actor, json.loads(detail)) for action, actor, detail in rows]


def audit_actions(app: PublishingApp) -> list[str]:
    """Return the audited actions on tokens and publishers, without those of the fixture."""
    return [action for action, _, _ in audit_events(app) if action.startswith(("oidc", "publisher", "token"))][3:]


def test_workflow_token_publishes_and_is_audited(app: PublishingApp) -> None:
    """The audit entry of an upload names the workflow."""
    secret = app.workflow_token(github(app))

    assert 201 == upload(app, secret).status_code
    assert 200 == app.read_status("harbour", secret)
    lines = [(action, actor) for action, actor, _ in audit_events(app)]
    assert ("file.uploaded", "GitHub: acme/tools, release.yml") in lines


def test_issuer_token_is_exchanged_once(app: PublishingApp) -> None:
    """The second exchange is refused; a token of another issuer with the same jti is not affected."""
    text = github(app, jti="one")
    app.workflow_token(text)

    refused = app.mint(text)
    assert (422, "reused-token") == (refused.status_code, refused.json()["code"])
    app.workflow_token(issuer.token(issuer.gitlab(app.now_s, jti="one")))


def test_gitlab_token_has_as_many_exchanges_as_its_publisher_allows(app: PublishingApp) -> None:
    """The refusal names the setting."""
    text = issuer.token(issuer.gitlab(app.now_s))
    with app.seaway.site.database.write_site() as tx:
        known = next(
            found for found in publishers.in_channel(tx, channels.get(tx, "harbour").id) if found.kind == "gitlab"
        )
        publishers.change(tx, app.clock.now_ms(), OPERATOR, "harbour", known.id, PublisherSettings(exchanges=3))

    assert [200, 200, 200, 422] == [app.mint(text).status_code for _ in range(4)]
    assert "exchanges per job token" in app.mint(text).json()["message"]


def test_google_token_has_60_exchanges(app: PublishingApp) -> None:
    """Google tokens have no id, so exchanges of one token are counted."""
    text = issuer.token(issuer.google(app.now_s))

    assert {200} == {app.mint(text).status_code for _ in range(60)}
    assert "reused-token" == app.mint(text).json()["code"]


def test_used_token_is_deleted_only_after_it_expired(app: PublishingApp) -> None:
    """Case 63: the hourly deletion takes only tokens that cannot be used again, even if the clock steps back a little."""
    text = github(app)
    app.workflow_token(text)
    expires_ms = json.loads(_claims_json(text))["exp"] * SECOND_MS
    app.clock.move(expires_ms + RULES.leeway_ms - 1 - app.clock.now_ms())
    with app.seaway.site.database.write_site() as tx:
        tokens.delete_expired(tx, app.clock.now_ms())
    assert "reused-token" == app.mint(text).json()["code"]

    app.clock.move(2 * HOUR_MS)
    with app.seaway.site.database.write_site() as tx:
        tokens.delete_expired(tx, app.clock.now_ms())
        assert 0 == tx.execute(select(func.count()).select_from(used_tokens)).scalar_one()
        assert 0 == tx.execute(select(func.count()).select_from(workflow_tokens)).scalar_one()


def _claims_json(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.split(".")[1] + "==")


def test_first_token_pins_ids_and_first_upload_notifies_the_owner(app: PublishingApp) -> None:
    """Case 62: a repository of the same name with other ids is then refused; emails are sent once."""
    with app.seaway.site.database.write_site() as tx:
        emails.add(tx, app.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    app.workflow_token(github(app))
    app.workflow_token(github(app))

    secret = app.workflow_token(github(app))

    assert "other-ids" == app.mint(github(app, repository_id="2003")).json()["code"]
    assert "other-ids" == app.mint(github(app, repository_owner_id="1002")).json()["code"]
    assert [*["oidc.minted"] * 3, "oidc.refused", "oidc.refused"] == audit_actions(app)
    assert 0 == queued_emails(app)
    for number in range(2):
        assert 201 == upload(app, secret, conda(index_json(f"tools-{number}"))).status_code
    assert ["publisher.used-first", "publisher.pinned"] == audit_actions(app)[5:]
    assert 2 == queued_emails(app)


def test_recreated_repository_is_refused_with_other_ids(app: PublishingApp) -> None:
    """The refusal reveals nothing about the channel, and the attempt changes nothing in it."""
    upload(app, app.workflow_token(github(app)))
    before = owner_view(app)

    refused = app.mint(
        github(app, repository_id="2003", workflow_ref="acme/tools/.github/workflows/x.yml@refs/heads/main")
    )
    assert (422, "other-ids") == (refused.status_code, refused.json()["code"])
    assert "GitHub acme/tools in the token differ" in refused.text
    assert not any(word in refused.text for word in ("harbour", "release.yml", "2002"))
    assert before == owner_view(app)
    renamed = github(
        app, repository="acme/tools2", workflow_ref="acme/tools2/.github/workflows/release.yml@refs/heads/main"
    )
    assert "invalid-publisher" == app.mint(renamed).json()["code"]


def test_matching_ids_of_another_publisher_are_not_reported_as_different(app: PublishingApp) -> None:
    """If only one of two publishers of a repository has outdated ids, the token must match the other."""
    upload(app, app.workflow_token(github(app)))
    app.factory.channel("second")
    app.trust("second", "github", GITHUB | {"workflow": "other.yml"}, pinned={"repository_id": "2003"})
    assert "invalid-publisher" == app.mint(github(app, repository_id="2003")).json()["code"]


def test_publisher_without_ids_does_not_hide_different_ids(app: PublishingApp) -> None:
    """A newer publisher of the repository has no ids before its first upload."""
    upload(app, app.workflow_token(github(app)))
    app.trust("harbour", "github", GITHUB | {"workflow": "nightly.yml"})
    assert "other-ids" == app.mint(github(app, repository_id="2003")).json()["code"]


def test_recreated_service_account_is_refused_with_other_ids(app: PublishingApp) -> None:
    """The email address is the same; the numeric id differs."""
    refused = app.mint(issuer.token(issuer.google(app.now_s, sub="1"))).json()
    assert "other-ids" == refused["code"]


def owner_view(app: PublishingApp) -> tuple[list[log.Entry], Publisher]:
    """Return the audit log and the GitHub publisher as the channel's owner sees them."""
    with app.seaway.site.database.read() as tx:
        known = next(
            found for found in publishers.in_channel(tx, channels.get(tx, "harbour").id) if found.kind == "github"
        )
        return log.of_channel(tx, "harbour", limit=100), known


def test_channel_shows_nothing_of_a_run_before_its_upload(app: PublishingApp) -> None:
    """An owner can name any repository as a publisher, and must not learn of its runs that way."""
    with app.seaway.site.database.write_site() as tx:
        emails.add(tx, app.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    before = owner_view(app)
    ended, secret = (app.workflow_token(github(app, environment="release", run_id="77")) for _ in range(2))
    bearer = {"Authorization": f"Bearer {ended}"}
    assert 204 == app.request("DELETE", "/api/oidc/token", headers=bearer).status_code
    seen_log, seen = owner_view(app)
    assert before[0] == seen_log
    assert (None, {}, None) == (seen.used_at_ms, seen.pinned, seen.environment_hint_at_ms)
    assert 0 == queued_emails(app)
    with app.seaway.site.database.read() as tx:
        minted = [line for line in log.of_all(tx, limit=100) if line.action == "oidc.minted"]
    assert {("", "77")} == {(line.channel, line.detail["run_id"]) for line in minted}

    assert 201 == upload(app, secret).status_code
    seen_log, seen = owner_view(app)
    assert app.clock.now_ms() == seen.used_at_ms
    assert {"owner_id": "1001", "repository_id": "2002"} == seen.pinned
    assert 3 == queued_emails(app)
    (line,) = [line for line in seen_log if line.action == "file.uploaded"]
    assert ("acme/tools", "77") == (line.detail["repository"], line.detail["run_id"])


def test_changing_the_repository_resets_what_a_publisher_shows(app: PublishingApp) -> None:
    """Otherwise an owner could upload once from their own repository and then watch the runs of another one."""
    upload(app, app.workflow_token(github(app)))
    _, known = owner_view(app)
    with app.seaway.site.database.write_site() as tx:
        given = PublisherSettings(fields={"repository": "other"})
        publishers.change(tx, app.clock.now_ms(), OPERATOR, "harbour", known.id, given)
    app.workflow_token(github(app, **claims_of_repository("acme/other")))
    _, moved = owner_view(app)
    assert (None, {}) == (moved.used_at_ms, moved.pinned)
    assert {"owner_id": "1001", "repository_id": "2002"} == moved.criteria.pins


def claims_of_repository(repository: str) -> dict[str, str]:
    file = f"{repository}/.github/workflows/release.yml@refs/tags/v1"
    return {"repository": repository, "ref": "refs/tags/v1", "workflow_ref": file, "job_workflow_ref": file}


def queued_emails(app: PublishingApp) -> int:
    with app.seaway.site.database.read() as tx:
        return tx.execute(select(func.count()).select_from(jobs).where(jobs.c.kind == "send-email")).scalar_one()


def test_changing_matched_fields_clears_pins(app: PublishingApp) -> None:
    """Changing the mode keeps them."""
    app.workflow_token(github(app))
    with app.seaway.site.database.write_site() as tx:
        known = publishers.in_channel(tx, channels.get(tx, "harbour").id)[0]
        assert {"owner_id": "1001", "repository_id": "2002"} == known.criteria.pins
        narrowed = publishers.change(tx, 1, OPERATOR, "harbour", known.id, PublisherSettings(mode="READ"))
        assert known.criteria.pins == narrowed.criteria.pins
        given = PublisherSettings(fields={"repository": "other"})
        moved = publishers.change(tx, 1, OPERATOR, "harbour", known.id, given)
    assert {} == moved.criteria.pins


def test_unconstrained_environment_is_notified_once(app: PublishingApp) -> None:
    """The email says that runs can bypass the protection rules of the environment."""
    with app.seaway.site.database.write_site() as tx:
        emails.add(tx, app.clock.now_ms(), users.get(tx, "owner").id, "owner@example.com", verified=True)
    upload(app, app.workflow_token(github(app)))
    before = queued_emails(app)
    for number in range(2):
        secret = app.workflow_token(github(app, environment="release"))
        assert 201 == upload(app, secret, conda(index_json(f"tools-{number}"))).status_code

    assert before + 1 == queued_emails(app)


def test_publisher_mode_limits_its_tokens(app: PublishingApp) -> None:
    """Case 50: READ_WRITE uploads and yanks; only READ_WRITE_DELETE overwrites and deletes; neither manages."""
    path = f"harbour/noarch/{FILE.name}"
    secret = app.workflow_token(github(app))
    bearer = {"Authorization": f"Bearer {secret}"}
    changed = conda(index_json("tools"), files={"share/tools.txt": b"other"})
    assert 201 == upload(app, secret).status_code
    assert 403 == upload(app, secret, changed, force=True).status_code
    assert 403 == app.request("DELETE", f"/api/v1/delete/{path}", headers=bearer).status_code
    assert 200 == app.request("POST", f"/api/v1/yank/{path}", headers=bearer).status_code
    assert 403 == app.request("PATCH", "/api/v1/channels/harbour", json={"public": True}, headers=bearer).status_code
    assert 403 == app.request("POST", "/api/v1/channels", json={"name": "mine"}, headers=bearer).status_code
    reader = app.workflow_token(issuer.token(issuer.google(app.now_s)))
    assert (200, 403) == (app.read_status("harbour", reader), upload(app, reader).status_code)

    with app.seaway.site.database.write_site() as tx:
        known = publishers.in_channel(tx, channels.get(tx, "harbour").id)[0]
        publishers.change(tx, 1, OPERATOR, "harbour", known.id, PublisherSettings(mode="READ_WRITE_DELETE"))
    assert 200 == upload(app, secret, changed, force=True).status_code
    assert 200 == app.request("DELETE", f"/api/v1/delete/{path}", headers=bearer).status_code


def test_package_patterns_limit_a_publisher(app: PublishingApp) -> None:
    """Uploads, yanks and deletions of packages with other names are refused."""
    app.factory.channel("narrow", public=True)
    limited_to = {"packages": ["tools-*"], "mode": "READ_WRITE_DELETE"}
    app.trust("narrow", "github", {**GITHUB, "repository": "narrow"}, **limited_to)
    workflow = "acme/narrow/.github/workflows/release.yml@refs/heads/main"
    secret = app.workflow_token(github(app, repository="acme/narrow", workflow_ref=workflow, job_workflow_ref=workflow))
    bearer = {"Authorization": f"Bearer {secret}"}
    for name, uploaded, changed in (("tools-a", 201, 200), ("other", 403, 403)):
        file = conda(index_json(name))
        headers = {**bearer, **raw_headers(file)}
        response = app.request("POST", "/api/v1/upload/narrow", content=file.content, headers=headers)
        assert uploaded == response.status_code
        if uploaded == 403:
            app.portal.call(publish_file, app.seaway, "narrow", file)
        for method, action in (("POST", "yank"), ("POST", "unyank"), ("DELETE", "delete")):
            response = app.request(method, f"/api/v1/{action}/narrow/noarch/{file.name}", headers=bearer)
            assert (action, changed) == (action, response.status_code)


def test_token_cannot_read_other_private_channels(app: PublishingApp) -> None:
    app.factory.channel("hidden", public=False)
    secret = app.workflow_token(github(app))

    assert 403 == app.read_status("hidden", secret)  # like an unknown channel
    assert 403 == app.read_status("nowhere", secret)


def test_token_minted_in_the_future_is_refused(app: PublishingApp) -> None:
    """A clock that was ahead would extend its life; differences of minutes between machines are tolerated."""
    secret, now_ms = app.workflow_token(github(app)), app.clock.now_ms()
    with app.seaway.site.database.read() as tx:
        assert tokens.caller_of(tx, secret, now_ms - CLOCK_TOLERANCE_MS) is not None
        assert tokens.caller_of(tx, secret, now_ms - CLOCK_TOLERANCE_MS - 1) is None


def test_token_expires_after_30_minutes(app: PublishingApp) -> None:
    """Case 52: to the second, checked when a request begins."""
    secret = app.workflow_token(github(app))
    app.clock.move(30 * MINUTE_MS - SECOND_MS)
    assert 200 == app.read_status("harbour", secret)
    app.clock.move(SECOND_MS)
    assert 401 == app.read_status("harbour", secret)
    assert 401 == upload(app, secret).status_code


def test_upload_can_outlast_the_token(app: PublishingApp) -> None:
    """Case 52: an upload that began in time is accepted even if the token expires during the transfer."""
    secret, file = app.workflow_token(github(app)), conda(index_json("slow"))

    async def slow_body() -> AsyncIterator[bytes]:
        yield file.content[:100]
        app.clock.move(2 * MINUTE_MS)
        yield file.content[100:]

    app.clock.move(30 * MINUTE_MS - SECOND_MS)
    headers = {"Authorization": f"Bearer {secret}", **raw_headers(file)}
    accepted = app.request("POST", "/api/v1/upload/harbour", content=slow_body(), headers=headers)
    assert 201 == accepted.status_code, accepted.text
    assert 401 == app.read_status("harbour", secret)


def test_disabling_a_user_revokes_tokens_of_their_publishers(app: PublishingApp) -> None:
    """Case 27: the publisher stays, marked as orphaned, and new tokens work."""
    app.factory.user("maker")
    with app.seaway.site.database.write_site() as tx:
        tx.execute(update(publishers_table).values(created_by=users.get(tx, "maker").id))
    secret = app.workflow_token(github(app))
    with app.seaway.site.database.write_site() as tx:  # in the same millisecond
        user_access.set_disabled(tx, app.clock.now_ms(), OPERATOR, "maker", disabled=True)
    assert 401 == app.read_status("harbour", secret)
    app.clock.move(1)
    assert 200 == app.read_status("harbour", app.workflow_token(github(app)))
    with app.seaway.site.database.read() as tx:
        found = publishers.in_channel(tx, channels.get(tx, "harbour").id)
    assert {("maker", True)} == {(publisher.created_by, publisher.is_orphaned) for publisher in found}


REVOCATIONS = {
    "its publisher is removed": lambda tx, app, publisher: publishers.remove(
        tx, app.clock.now_ms(), OPERATOR, app.seaway.request_parts.accounts.outbox, "harbour", publisher.id
    ),
    "its publisher is disabled": lambda tx, app, publisher: publishers.change(
        tx, 1, OPERATOR, "harbour", publisher.id, PublisherSettings(enabled=False)
    ),
    "its issuer is disabled": lambda tx, *_: issuers.set_enabled(tx, 1, OPERATOR, "github", enabled=False),
    "its channel is transferred": lambda tx, *_: transfers.transfer_now(tx, 1, OPERATOR, "harbour", "heir"),
    "its channel is deleted": lambda tx, *_: channels.remove(tx, 1, OPERATOR, "harbour"),
}


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS.keys())
def test_token_is_revoked_at_once_when(app: PublishingApp, revoke: Any) -> None:
    """Case 51."""
    app.factory.user("heir")
    secret = app.workflow_token(github(app))
    assert 200 == app.read_status("harbour", secret)
    with app.seaway.site.database.write_site() as tx:
        revoke(tx, app, publishers.in_channel(tx, channels.get(tx, "harbour").id)[0])

    assert 401 == app.read_status("harbour", secret)
    assert 401 == upload(app, secret).status_code


def test_token_can_revoke_itself(app: PublishingApp) -> None:
    """Only publish tokens can be revoked this way; API keys cannot."""
    secret = app.workflow_token(github(app))
    key = app.factory.key("owner")
    bearer = {"Authorization": f"Bearer {secret}"}

    assert 401 == app.request("DELETE", "/api/oidc/token").status_code
    assert 401 == app.request("DELETE", "/api/oidc/token", headers={"Authorization": f"Bearer {key}"}).status_code
    assert 204 == app.request("DELETE", "/api/oidc/token", headers=bearer).status_code
    assert 401 == app.request("DELETE", "/api/oidc/token", headers=bearer).status_code
    assert 401 == app.read_status("harbour", secret)
    assert 200 == app.read_status("harbour", key)


def test_publishers_only_channel_refuses_the_owners_key(app: PublishingApp) -> None:
    """Case 61: uploads of the workflow are accepted."""
    with app.seaway.site.database.write_site() as tx:
        channels.change(tx, app.clock.now_ms(), OPERATOR, "harbour", ChannelSettings(only_publishers=True))

    refused = upload(app, app.factory.key("owner"))
    assert (403, True) == (refused.status_code, "trusted publishers only" in refused.text)
    assert 201 == upload(app, app.workflow_token(github(app))).status_code


def test_strictest_matching_publisher_applies_per_channel(app: PublishingApp) -> None:
    """A publisher with an environment decides the mode in its channel, not in other channels."""
    app.trust("harbour", "github", {**GITHUB, "environment": "release"}, mode="READ")
    app.factory.channel("second", public=False)
    app.trust("second", "github", GITHUB)
    secret = app.workflow_token(github(app, environment="Release"))

    assert 200 == app.read_status("second", secret)
    assert 403 == upload(app, secret).status_code
    assert 201 == upload(app, app.workflow_token(github(app))).status_code


def test_token_of_a_disabled_issuer_is_refused(app: PublishingApp) -> None:
    """Tokens of other issuers are still exchanged."""
    with app.seaway.site.database.write_site() as tx:
        issuers.set_enabled(tx, app.clock.now_ms(), OPERATOR, "github", enabled=False)

    response = app.mint(github(app))
    assert (403, "not-enabled") == (response.status_code, response.json()["code"])
    app.workflow_token(issuer.token(issuer.gitlab(app.now_s)))


def test_exchanges_are_limited_per_address_and_repository(app: PublishingApp) -> None:
    """600 requests in ten minutes per address, valid or not; 300 exchanges per repository from any address."""
    same_address = {"test-address": "192.0.2.1"}
    statuses = [
        app.request("POST", MINT, json={"token": "a.b.c"}, headers=same_address).status_code for _ in range(601)
    ]
    assert [422] * 600 + [429] == statuses
    made = [app.mint(github(app)) for _ in range(301)]
    assert [200] * 300 + [429] == [response.status_code for response in made]
    assert {"code", "message"} == set(made[-1].json())
    assert 1 <= int(made[-1].headers["retry-after"]) <= 60


def test_audit_of_refused_tokens_is_limited_per_repository(app: PublishingApp) -> None:
    """30 entries a minute for each repository, and none for tokens without a valid signature."""

    def refused(repository: str) -> list[dict[str, Any]]:
        lines = [detail for action, _, detail in audit_events(app) if action == "oidc.refused"]
        with app.seaway.site.database.read() as tx:
            targets = tx.execute(select(audit.c.target).where(audit.c.action == "oidc.refused").order_by(audit.c.id))
            return [line for line, target in zip(lines, targets.scalars(), strict=True) if target == repository]

    for _ in range(31):
        assert 422 == app.mint(github(app, repository="acme/unknown")).status_code
    assert 422 == app.mint(github(app, repository="acme/another")).status_code
    assert 422 == app.mint(github(app, repository="acme/unsigned")[:-8] + "AAAAAAAA").status_code
    line = {"code": "invalid-publisher", "issuer": "https://token.actions.githubusercontent.com"}
    assert [line] * 30 == refused("acme/unknown")
    assert [line] == refused("acme/another")
    assert [] == refused("acme/unsigned")
    app.clock.move(MINUTE_MS)
    app.mint(github(app, repository="acme/unknown"))
    assert 31 == len(refused("acme/unknown"))


@pytest.mark.on_disk
def test_database_contains_no_token(app: PublishingApp) -> None:
    """Exchange invariant 4: neither the issuer's token nor the publish token is in the database (case 34)."""
    text = github(app)
    secret = app.workflow_token(text)
    folder = app.seaway.settings.data
    content = b"".join(path.read_bytes() for path in folder.glob("seaway.db*"))

    assert b"acme/tools" in content
    assert secret.encode() not in content
    assert text.rpartition(".")[2].encode() not in content


@pytest.mark.usefixtures("on_both")
def test_concurrent_exchanges_of_one_token_succeed_once(tmp_path: Path, clock: ManualClock) -> None:
    """Cases 48 and 49: two instances share one state, on each database."""
    instances = [sites.build(tmp_path, clock, public_url=f"https://{issuer.AUDIENCE}") for _ in range(2)]
    trust = Trust(instances[0])
    trust.keys("github", "key-1")
    trust.factory.channel("harbour")
    trust.trust("harbour", "github", GITHUB)
    text = issuer.token(issuer.github(clock.now_ms() // 1000))

    def outcome(number: int) -> str:
        try:
            exchange.exchange(instances[number % 2].request_parts.exchanging, text, address="192.0.2.1")
        except TokenRefused as refused:
            return refused.code
        return "won"

    with ThreadPoolExecutor(20) as pool:
        outcomes = Counter(pool.map(outcome, range(40)))
    for instance in instances:
        instance.close()
    assert {"won": 1, "reused-token": 39} == outcomes


@pytest.mark.slow
@pytest.mark.usefixtures("on_both")
def test_concurrent_http_exchanges_of_one_token_succeed_once(tmp_path: Path) -> None:
    """Cases 48 and 49: over HTTP, with four workers, on each database."""
    with serving(tmp_path, public_url=f"https://{issuer.AUDIENCE}", workers=4) as server:
        seaway = sites.build(tmp_path)
        trust = Trust(seaway)
        trust.keys("github", "key-1")
        trust.factory.channel("harbour")
        trust.trust("harbour", "github", GITHUB)
        text = issuer.token(issuer.github(issuer.now_s()))
        with ThreadPoolExecutor(50) as pool, server.client() as http:
            responses = list(pool.map(lambda _: http.post(MINT, json={"token": text}), range(100)))
        seaway.close()
    statuses = [response.status_code for response in responses]

    assert 1 == statuses.count(200)
    assert {200, 422, 429} >= set(statuses)
    assert {"reused-token", "too-many"} >= {
        response.json()["code"] for response in responses if response.status_code != 200
    }


class UnknownClaimsCounter(EventCounter):
    """Record the counts of unknown claims."""

    def __init__(self) -> None:
        self.unknown: list[tuple[str, int]] = []

    def unknown_claims(self, kind: str, number: int) -> None:
        self.unknown.append((kind, number))


def test_unknown_claims_are_counted(app: PublishingApp) -> None:
    """They do not refuse a token, so publishing continues when an issuer adds claims."""
    counted = UnknownClaimsCounter()
    exchanging = replace(app.seaway.request_parts.exchanging, counts=counted)
    honest = [issuer.github(app.now_s), issuer.gitlab(app.now_s), issuer.google(app.now_s)]
    for claims in (*honest, issuer.github(app.now_s, repo_property_team="a", brand_new="x", newer=1)):
        assert exchange.exchange(exchanging, issuer.token(claims), address="192.0.2.1")
    assert [("github", 2)] == counted.unknown
