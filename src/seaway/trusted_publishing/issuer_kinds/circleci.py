"""
CircleCI: a project of an organization, both identified by id.

Clients request tokens of the root issuer (`circleci run oidc get --root-issuer`), which all organizations share.
`$CIRCLE_OIDC_TOKEN` comes from an issuer for each organization, https://oidc.circleci.com/org/ID, with the same claims.
"""

from seaway.trusted_publishing.issuer_kinds.generic import IssuerRules, make_kind

ISSUER = "https://oidc.circleci.com"

CIRCLECI = make_kind(
    "circleci",
    "CircleCI",
    IssuerRules(
        match=["oidc.circleci.com/project-id"],
        match_optional=[
            "oidc.circleci.com/org-id",
            "oidc.circleci.com/pipeline-definition-id",
            "oidc.circleci.com/vcs-ref",
            "oidc.circleci.com/vcs-origin",
        ],
        stored={
            "repository": "oidc.circleci.com/vcs-origin",
            "repository_id": "oidc.circleci.com/project-id",
            "owner_id": "oidc.circleci.com/org-id",
            "ref": "oidc.circleci.com/vcs-ref",
            "run_id": "oidc.circleci.com/job-id",
        },
        jti=False,
    ),
    examples={
        "oidc.circleci.com/project-id": "c4a7dd1e-9f4b-4f3c-9c5a-1f0e6a2b7d33",
        "oidc.circleci.com/org-id": "2f1d4c6b-0a3e-4d8f-9b7a-5c6d7e8f9a01",
        "oidc.circleci.com/pipeline-definition-id": "d5b0a9e2-7a51-4a0e-8a66-0c4c6d0a4b10",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/vcs-origin": "github.com/acme/calculate-pi",
    },
)
