"""Buildkite: a pipeline of an organization."""

from seaway.trust.claims.generic import Rules, made

ISSUER = "https://agent.buildkite.com"

# Its tokens have no jti and last for minutes, so each is counted by its hash.
BUILDKITE = made(
    "buildkite",
    "Buildkite",
    Rules(
        match=["organization_slug", "pipeline_slug"],
        match_optional=["build_branch", "step_key"],
        pin=["organization_id"],
        stored={"repository": "pipeline_slug", "ref": "build_branch", "sha": "build_commit", "run_id": "build_number"},
        jti=False,
    ),
)
