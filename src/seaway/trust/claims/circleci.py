"""CircleCI: a project of an organization, whose id is part of the issuer's address."""

from seaway.trust.claims.generic import Rules, made

CIRCLECI = made(
    "circleci",
    "CircleCI",
    Rules(
        match=["oidc.circleci.com/project-id"],
        match_optional=["oidc.circleci.com/vcs-ref", "oidc.circleci.com/vcs-origin"],
        stored={
            "repository": "oidc.circleci.com/vcs-origin",
            "repository_id": "oidc.circleci.com/project-id",
            "ref": "oidc.circleci.com/vcs-ref",
            "run_id": "oidc.circleci.com/job-id",
        },
        jti=False,
    ),
)
