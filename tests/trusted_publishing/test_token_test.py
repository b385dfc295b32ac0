"""The test of a token says what the exchange would say, check by check, and changes nothing."""

from typing import Any

import pytest
from sqlalchemy import func, select

from seaway.audit import log
from seaway.callers.caller import Mode
from seaway.callers.rate_limits import Rate
from seaway.channels.roles import Role
from seaway.database import tables
from seaway.errors import NotAllowed, TooManyRequests
from seaway.trusted_publishing import publishers, token_test
from seaway.trusted_publishing.publisher import PublisherSettings
from seaway.trusted_publishing.token_test import TokenReport
from tests.support import issuer
from tests.support.publishing_app import GITHUB, PublishingApp
from tests.support.requests import bearer

OTHER_WORKFLOW = "acme/tools/.github/workflows/other.yml@refs/heads/main"
FOREIGN = "other/ci/.github/workflows/release.yml@refs/heads/main"


def report(app: PublishingApp, text: str, user: str = "owner") -> TokenReport:
    parts = app.seaway.request_parts.exchanging
    return token_test.report_on(parts, app.factory.signed_in(user), "harbour", text)


def failed(found: TokenReport) -> list[str]:
    return [check.name for check in found.checks if check.is_passed is False]


def unchecked(found: TokenReport) -> list[str]:
    return [check.name for check in found.checks if check.is_passed is None]


TOKENS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("github", {}, []),
    ("gitlab", {}, []),
    ("google", {}, []),
    ("github", {"repository": "ACME/Tools"}, []),
    ("github", {"aud": "another.example.com"}, ["Audience"]),
    ("github", {"exp": 10}, ["Validity"]),
    ("github", {"aud": "another.example.com", "exp": 10, "workflow_ref": OTHER_WORKFLOW}, ["Audience", "Validity", "Publisher"]),
    ("github", {"run_id": 7}, ["Claims"]),
    ("github", {"event_name": "pull_request_target"}, ["Run"]),
    ("github", {"workflow_ref": OTHER_WORKFLOW}, ["Publisher"]),
    ("github", {"job_workflow_ref": FOREIGN}, ["Publisher"]),
    ("github", {"repository": "acme/others"}, ["Publisher"]),
    ("github", {"iss": "https://unknown.example.com"}, ["Issuer"]),
    ("gitlab", {"ref_path": "refs/heads/feature"}, ["Publisher"]),
    ("google", {"sub": "7"}, ["Publisher"]),
    ("google", {"email_verified": False}, ["Claims"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "wrong"), TOKENS)
def test_report_agrees_with_the_exchange(
    app: PublishingApp, kind: str, changes: dict[str, Any], wrong: list[str]
) -> None:
    """It accepts exactly the tokens that the exchange accepts, and names every check that fails."""
    claims = {"github": issuer.github, "gitlab": issuer.gitlab, "google": issuer.google}[kind](app.now_s, **changes)
    text = issuer.token(claims)

    found = report(app, text)
    assert wrong == failed(found)
    assert (found.accepted is not None) == (app.mint(text).status_code == 200)


def test_reuse_and_signature_are_checked(app: PublishingApp) -> None:
    """A used token is refused as in the exchange; after a wrong signature nothing else is checked."""
    text = issuer.token(issuer.github(app.now_s))
    app.workflow_token(text)
    assert ["First use"] == failed(report(app, text))
    forged = issuer.token(issuer.github(app.now_s), name="forged", header={"kid": "key-1"})
    found = report(app, forged)
    assert ["Signature"] == failed(found)
    assert ["Audience", "Validity", "Claims", "Run", "Publisher", "First use"] == unchecked(found)
    assert ["Format"] == failed(report(app, "not a token"))


def test_report_compares_each_publisher_of_the_channel(app: PublishingApp) -> None:
    """With what it wants and what the token has; pinned ids are compared without being shown."""
    app.trust("harbour", "github", {**GITHUB, "environment": "release"}, conditions={"allowed_refs": ["refs/tags/v*"]})
    app.workflow_token(issuer.token(issuer.github(app.now_s)))  # pins ids that the owner must not see yet
    found = report(app, issuer.token(issuer.github(app.now_s, repository_id="2003")))
    plain, strict = found.publishers
    owner = bearer(app.factory.key("owner", mode=Mode.MANAGE))
    text = issuer.token(issuer.github(app.now_s, repository_id="2003"))
    response = app.request("POST", "/api/v1/channels/harbour/publishers/test", json={"token": text}, headers=owner)
    assert [len(one.comparisons) for one in found.publishers] == [
        len(one["comparisons"]) for one in response.json()["publishers"]
    ]
    assert response.json()["accepted"] is None
    assert plain.publisher.unseen_pins["repository_id"] not in response.text
    assert {("Repository id", "", "2003", False)} == {
        (part.label, part.wanted, part.found, part.is_met) for part in plain.comparisons if not part.is_met
    }
    assert {("Environment", "release", "", False), ("Branch or tag", "refs/tags/v*", "refs/heads/main", False)} == {
        (part.label, part.wanted, part.found, part.is_met) for part in strict.comparisons if not part.is_met
    }
    by = app.factory.signed_in("owner")
    with app.seaway.site.database.write_site() as tx:
        publishers.change(tx, 1, by, "harbour", plain.publisher.id, PublisherSettings(enabled=False))
    disabled = report(app, issuer.token(issuer.github(app.now_s))).publishers[0]
    assert ("Publisher", "enabled", "disabled", False) in {
        (part.label, part.wanted, part.found, part.is_met) for part in disabled.comparisons
    }


def test_report_changes_nothing(app: PublishingApp) -> None:
    """No exchange is counted, no id pinned, no line written to the audit log."""

    def state() -> list[Any]:
        with app.seaway.site.database.read() as tx:
            counts = [
                tx.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (tables.used_tokens, tables.workflow_tokens)
            ]
            pins = tx.execute(select(tables.publishers.c.pins, tables.publishers.c.used_at)).all()
            return [*counts, pins, log.of_all(tx, limit=500)]

    text = issuer.token(issuer.github(app.now_s))
    app.factory.user("owner")
    before = state()
    assert report(app, text).accepted is not None
    assert before == state()
    app.workflow_token(text)


def test_only_owners_test_tokens_at_a_limited_rate(app: PublishingApp) -> None:
    text = issuer.token(issuer.github(app.now_s))
    app.factory.member("harbour", "contributor", Role.CONTRIBUTOR)
    with pytest.raises(NotAllowed):
        report(app, text, user="contributor")
    for _ in range(Rate.TOKEN_TEST.limits[0].count):
        report(app, text)
    with pytest.raises(TooManyRequests):
        report(app, text)
    app.clock.move(Rate.TOKEN_TEST.limits[0].per_ms)
    assert ["Validity"] == failed(report(app, text))
