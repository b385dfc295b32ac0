"""Buildkite: a pipeline of an organization."""

from seaway.trusted_publishing.issuer_kinds.generic import IssuerRules, make_kind

ISSUER = "https://agent.buildkite.com"

# Buildkite tokens have no jti and expire within minutes, so exchanges are counted by the hash of the token.
BUILDKITE = make_kind(
    "buildkite",
    "Buildkite",
    IssuerRules(
        match=["organization_slug", "pipeline_slug"],
        match_optional=["build_branch", "step_key"],
        pin=["organization_id"],
        stored={"repository": "pipeline_slug", "ref": "build_branch", "sha": "build_commit", "run_id": "build_number"},
        jti=False,
    ),
    examples={
        "organization_slug": "acme",
        "pipeline_slug": "calculate-pi",
        "build_branch": "main",
        "step_key": "publish",
    },
)
