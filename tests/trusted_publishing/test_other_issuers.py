"""Configured issuers, and the owner lookup at GitHub when a publisher is saved."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from seaway.callers.caller import OPERATOR, Workflow
from seaway.errors import Unavailable
from seaway.trusted_publishing import issuers
from seaway.trusted_publishing.github_owners import with_owner_id
from seaway.trusted_publishing.issuer_kinds import circleci, generic
from seaway.trusted_publishing.issuer_kinds.registry import kind_of
from seaway.trusted_publishing.issuers import BUILT_IN
from seaway.trusted_publishing.publisher import Publisher, PublisherSettings
from seaway.trusted_publishing.refusals import TokenRefused
from tests.support import issuer
from tests.support.publishing_app import GITHUB, PublishingApp

BUILDKITE = {"organization_slug": "acme", "pipeline_slug": "tools", "organization_id": "o-1", "build_number": 7}
CIRCLECI = {
    "oidc.circleci.com/org-id": "o-1",
    "oidc.circleci.com/project-id": "p-1",
    "oidc.circleci.com/vcs-ref": "main",
}
FORGE = {"repository": "acme/tools", "repository_id": "9", "jti": "one"}
RULES = '{"match": ["repository"], "pin": ["repository_id"]}'
CASES: dict[str, tuple[str, dict[str, Any], dict[str, str], str]] = {
    "buildkite": ("", BUILDKITE, {"organization_slug": "acme", "pipeline_slug": "tools"}, "pipeline_slug"),
    "circleci": ("", CIRCLECI, {"oidc.circleci.com/project-id": "p-1"}, "oidc.circleci.com/project-id"),
    "generic": (RULES, FORGE, {"repository": "acme/tools"}, "repository"),
}


@pytest.mark.parametrize("kind", CASES)
def test_configured_issuer_exchanges_tokens(app: PublishingApp, kind: str) -> None:
    """A token with another value or without a matched claim is refused, and each token is exchanged once."""
    rules, claims, matched, claim = CASES[kind]
    address = f"https://{kind}.example"
    with app.seaway.site.database.write_site() as tx:
        issuers.add(tx, app.clock.now_ms(), OPERATOR, kind, kind=kind, issuer=address, rules=rules)
    app.keys(kind, "key-1")
    app.trust("harbour", kind, matched)
    token_claims = {"iss": address, "aud": issuer.AUDIENCE, **issuer.times(app.now_s, 300), **claims}

    text = issuer.token(token_claims)
    assert 200 == app.read_status("harbour", app.workflow_token(text))
    assert "reused-token" == app.mint(text).json()["code"]
    assert "invalid-publisher" == app.mint(issuer.token({**token_claims, claim: "other"})).json()["code"]
    assert "missing-claim" == app.mint(issuer.token({**token_claims, claim: ...})).json()["code"]


def test_circleci_root_issuer_distinguishes_organizations(app: PublishingApp) -> None:
    """With `--root-issuer` all organizations share one issuer, so a publisher can match its organization id."""
    with app.seaway.site.database.write_site() as tx:
        issuers.add(tx, app.clock.now_ms(), OPERATOR, "circle", kind="circleci", issuer=circleci.ISSUER)
    app.keys("circle", "key-1")
    app.trust("harbour", "circle", {name: CIRCLECI[name] for name in sorted(CIRCLECI)[:2]})
    token_claims = {"iss": circleci.ISSUER, "aud": issuer.AUDIENCE, **issuer.times(app.now_s, 3600), **CIRCLECI}
    other_organization = issuer.token({**token_claims, "oidc.circleci.com/org-id": "o-2"})

    assert "invalid-publisher" == app.mint(other_organization).json()["code"]
    assert 200 == app.read_status("harbour", app.workflow_token(issuer.token(token_claims)))


def test_optional_claim_can_be_null() -> None:
    """Buildkite sends null for a step without a key; other types are refused."""
    kind = kind_of("buildkite", "")
    kind.require_claims({**BUILDKITE, "step_key": None})
    with pytest.raises(TokenRefused):
        kind.require_claims({**BUILDKITE, "step_key": 7})


def test_manual_names_the_fields_that_rules_can_store() -> None:
    """Each is a field of `Workflow`, which is recorded with uploads."""
    assert set(generic.STORED) <= {field.name for field in fields(Workflow)}
    manual = (Path(__file__).parents[2] / "docs/operate/issuers.md").read_text()
    line = next(line for line in manual.split("\n") if line.startswith("| `stored` |"))
    assert line.split("`")[3::2] == list(generic.STORED)


INVALID_VALUES: dict[str, tuple[str, Any]] = {
    "absent": ("missing-claim", ...),
    "null": ("missing-claim", None),
    "a number": ("invalid-claim", 7),
    "a list": ("invalid-claim", ["acme"]),
    "empty": ("invalid-claim", ""),
    "too long": ("invalid-claim", "a" * 1025),
    "with a line break": ("invalid-claim", "acme\n"),
    "with DEL": ("invalid-claim", "acme\x7f"),
    "with a C1 control character": ("invalid-claim", "acme\x85"),
}


@pytest.mark.parametrize("defect", INVALID_VALUES)
@pytest.mark.parametrize("name", CASES)
def test_invalid_required_claim_of_a_configured_issuer_is_refused(name: str, defect: str) -> None:
    """The codes are the same as for built-in issuers; an empty jti counts as missing because it identifies nothing."""
    rules, claims, _, _ = CASES[name]
    kind = kind_of(name, rules)
    kind.require_claims(claims)
    for claim in kind.required:
        code, value = INVALID_VALUES[defect]
        broken = {member: content for member, content in {**claims, claim: value}.items() if content is not ...}
        with pytest.raises(TokenRefused) as refused:
            kind.require_claims(broken)
        assert ("missing-claim" if (claim, defect) == ("jti", "empty") else code) == refused.value.code


def settings_from_lookup(found: object) -> PublisherSettings:
    def fetch(url: str) -> Any:
        assert "https://api.example/users/acme" == url
        if isinstance(found, Exception):
            raise found
        return found

    return with_owner_id(PublisherSettings(fields=GITHUB), BUILT_IN[0], fetch, "https://api.example/")


def test_owner_id_is_looked_up_at_github() -> None:
    """The owner name gets GitHub's spelling."""
    settings = settings_from_lookup({"id": 1001, "login": "Acme"})

    assert ({"owner_id": "1001"}, "Acme") == (settings.pinned, settings.fields["owner"])


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"id": "1", "login": "acme"},
        {"id": 1, "login": "evil"},
        {"id": True, "login": "acme"},
        Unavailable("x"),
    ],
)
def test_failed_owner_lookup_leaves_pins_empty(found: object) -> None:
    """No response, or one about another owner, changes nothing; the first token then pins the ids."""
    assert PublisherSettings(fields=GITHUB) == settings_from_lookup(found)


def test_name_of_a_publisher_with_a_claim_named_owner() -> None:
    """The rules of an issuer can use any claim names; without a workflow file, the values are the name."""
    publisher = Publisher.model_construct(kind="generic", fields={"owner": "acme", "job": "release"})
    assert "acme/release" == publisher.name
