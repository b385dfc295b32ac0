"""Issuers that are told apart by configuration, and what is looked up at GitHub when a publisher is saved."""

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
from seaway.trusted_publishing.publishers import Draft
from seaway.trusted_publishing.refusals import TokenRefused
from tests.support import issuer
from tests.trust.conftest import GITHUB, Trusting

BUILDKITE = {"organization_slug": "acme", "pipeline_slug": "tools", "organization_id": "o-1", "build_number": 7}
CIRCLE = {"oidc.circleci.com/org-id": "o-1", "oidc.circleci.com/project-id": "p-1", "oidc.circleci.com/vcs-ref": "main"}
FORGE = {"repository": "acme/tools", "repository_id": "9", "jti": "one"}
RULES = '{"match": ["repository"], "pin": ["repository_id"]}'
CASES: dict[str, tuple[str, dict[str, Any], dict[str, str], str]] = {
    "buildkite": ("", BUILDKITE, {"organization_slug": "acme", "pipeline_slug": "tools"}, "pipeline_slug"),
    "circleci": ("", CIRCLE, {"oidc.circleci.com/project-id": "p-1"}, "oidc.circleci.com/project-id"),
    "generic": (RULES, FORGE, {"repository": "acme/tools"}, "repository"),
}


@pytest.mark.parametrize("kind", CASES)
def test_an_issuer_by_configuration(here: Trusting, kind: str) -> None:
    """Its publisher names claims, a token that says others is refused, and one token is exchanged once."""
    rules, claims, matched, claim = CASES[kind]
    address = f"https://{kind}.example"
    with here.seaway.database.write_site() as tx:
        issuers.add(tx, here.clock.now_ms(), OPERATOR, kind, kind=kind, issuer=address, rules=rules)
    here.keys(kind, "key-1")
    here.trust("harbour", kind, matched)
    said = {"iss": address, "aud": issuer.AUDIENCE, **issuer.times(here.now_s, 300), **claims}

    text = issuer.token(said)
    assert 200 == here.read("harbour", here.minted(text))
    assert "reused-token" == here.mint(text).json()["code"]
    assert "invalid-publisher" == here.mint(issuer.token({**said, claim: "other"})).json()["code"]
    assert "missing-claim" == here.mint(issuer.token({**said, claim: ...})).json()["code"]


def test_a_project_of_circleci_by_the_root_issuer(here: Trusting) -> None:
    """As clients ask for it, `--root-issuer`: all organizations share the issuer, and a publisher can name its own."""
    with here.seaway.database.write_site() as tx:
        issuers.add(tx, here.clock.now_ms(), OPERATOR, "circle", kind="circleci", issuer=circleci.ISSUER)
    here.keys("circle", "key-1")
    here.trust("harbour", "circle", {name: CIRCLE[name] for name in sorted(CIRCLE)[:2]})
    said = {"iss": circleci.ISSUER, "aud": issuer.AUDIENCE, **issuer.times(here.now_s, 3600), **CIRCLE}
    other = issuer.token({**said, "oidc.circleci.com/org-id": "o-2"})

    assert "invalid-publisher" == here.mint(other).json()["code"]
    assert 200 == here.read("harbour", here.minted(issuer.token(said)))


def test_an_optional_claim_may_be_null() -> None:
    """A step of Buildkite without a key has the claim with null; a publisher that names a step does not fit it."""
    kind = kind_of("buildkite", "")
    kind.require_claims({**BUILDKITE, "step_key": None})
    with pytest.raises(TokenRefused):
        kind.require_claims({**BUILDKITE, "step_key": 7})


def test_the_manual_names_what_rules_can_store() -> None:
    """Each is a field of what is kept with uploads."""
    assert set(generic.STORED) <= {field.name for field in fields(Workflow)}
    manual = (Path(__file__).parents[2] / "docs/operate/issuers.md").read_text()
    line = next(line for line in manual.split("\n") if line.startswith("| `stored` |"))
    assert line.split("`")[3::2] == list(generic.STORED)


BROKEN: dict[str, tuple[str, Any]] = {
    "absent": ("missing-claim", ...),
    "null": ("missing-claim", None),
    "a number": ("invalid-claim", 7),
    "a list": ("invalid-claim", ["acme"]),
    "empty": ("invalid-claim", ""),
    "too long": ("invalid-claim", "a" * 1025),
    "with a line break": ("invalid-claim", "acme\n"),
    "with DEL": ("invalid-claim", "acme\x7f"),
    "with a control of C1": ("invalid-claim", "acme\x85"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("name", CASES)
def test_a_required_claim_of_a_configured_issuer(name: str, how: str) -> None:
    """The codes are those of the issuers that Seaway knows by heart; an empty jti identifies nothing and is missing."""
    rules, claims, _, _ = CASES[name]
    kind = kind_of(name, rules)
    kind.require_claims(claims)
    for claim in kind.required:
        code, value = BROKEN[how]
        broken = {member: said for member, said in {**claims, claim: value}.items() if said is not ...}
        with pytest.raises(TokenRefused) as refused:
            kind.require_claims(broken)
        assert ("missing-claim" if (claim, how) == ("jti", "empty") else code) == refused.value.code


def draft_after(found: object) -> Draft:
    def ask(url: str) -> Any:
        assert "https://api.example/users/acme" == url
        if isinstance(found, Exception):
            raise found
        return found

    return with_owner_id(Draft(matched=GITHUB), BUILT_IN[0], ask, "https://api.example/")


def test_the_owners_number_is_looked_up() -> None:
    """With GitHub's spelling of the name."""
    draft = draft_after({"id": 1001, "login": "Acme"})

    assert ({"owner_id": "1001"}, "Acme") == (draft.pins, draft.matched["owner"])


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
def test_where_nothing_is_told_the_first_token_pins(found: object) -> None:
    """No answer, or another than about this owner, changes nothing."""
    assert Draft(matched=GITHUB) == draft_after(found)
