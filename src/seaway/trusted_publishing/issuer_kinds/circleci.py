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
)
