"""
GitHub Actions on github.com, with the issuer of an enterprise, and on GitHub Enterprise Server.

`sub` is ignored: organizations can change its content, and GitHub changed it for new repositories.
"""

import re

from seaway.clock import HOUR_MS
from seaway.errors import Malformed
from seaway.trusted_publishing.issuer_kinds.issuer_kind import (
    REFS_EXAMPLE,
    STORED,
    ClaimFormat,
    Claims,
    Comparison,
    Comparisons,
    Criteria,
    Field,
    Gate,
    IssuerKind,
    checked_environment,
    checked_ref,
    compare_pins,
    compare_ref,
    disagreeing,
    is_file_at,
    missing,
    same_name,
    without_git,
)
from seaway.trusted_publishing.refusals import Code, TokenRefused

ISSUER = "https://token.actions.githubusercontent.com"
API_URL = "https://api.github.com"  # of github.com; an Enterprise Server has its own, and its own issuer

_FOLDER = "/.github/workflows/"
# Users without access to the repository can trigger these events, and the run has access to its secrets.
DENIED_EVENTS = frozenset({"pull_request_target", "workflow_run"})


def _checked_owner(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}", value):
        raise Malformed(
            f"{value[:60]!a} is not a valid owner on GitHub.", "Enter the name of a user or an organization."
        )
    return value


def _checked_repository(value: str) -> str:
    value = without_git(value)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) or value in (".", ".."):
        raise Malformed(
            f"{value[:60]!a} is not a valid repository name on GitHub.", "Enter the name without the owner."
        )
    return value


def _checked_workflow(value: str) -> str:
    if not re.fullmatch(r"[^/\x00-\x1f\x7f@]{1,250}\.ya?ml", value):
        raise Malformed(
            f"{value[:60]!a} is not a valid workflow file.",
            "Enter its name in .github/workflows, such as release.yml.",
        )
    return value


def _checked_reusable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+/\.github/workflows/[^/\s@]+\.ya?ml@\S+", value):
        raise Malformed(
            f"{value[:60]!a} is not a reusable workflow.", "Enter owner/repository/.github/workflows/file.yml@ref."
        )
    return value


def _refuse(claims: Claims) -> None:
    if not (claims.get("ref") or claims.get("sha")):
        raise missing("ref")
    if not same_name(claims["repository_owner"], claims["repository"].partition("/")[0]):
        raise disagreeing("repository_owner", "repository")
    if claims["event_name"].lower() in DENIED_EVENTS:
        raise TokenRefused(
            Code.EVENT_NOT_ALLOWED,
            f"The workflow was started by {claims['event_name']!a}, which users without access can trigger. "
            "Publish from a push, a tag, a release or a manual run.",
        )


def _compare(claims: Claims, _issuer: str, wanted: Criteria) -> Comparisons:
    matched = wanted.matched
    repository = f"{matched['owner']}/{matched['repository']}"
    environment = claims.get("environment", "")
    compared = [
        Comparison("Repository", repository, claims["repository"], same_name(claims["repository"], repository)),
        *compare_pins(claims, wanted, PINS),
        Comparison("Workflow", matched["workflow"], claims["workflow_ref"], _is_workflow(claims, matched["workflow"])),
        *compare_ref(claims.get("ref", ""), wanted.gates.get("allowed_refs")),
    ]
    if matched["environment"]:
        is_same = environment.casefold() == matched["environment"].casefold()
        compared.append(Comparison("Environment", matched["environment"], environment, is_same))
    if wanted.gates.get("require_hosted_runner"):
        runner = str(claims.get("runner_environment", ""))
        compared.append(Comparison("Runner", "github-hosted", runner, runner == "github-hosted"))
    return compared


def _is_workflow(claims: Claims, file: str) -> bool:
    """Return whether the calling workflow is this file of the repository, at the token's ref or commit."""
    versions = [claims[name] for name in ("ref", "sha") if claims.get(name)]
    return is_file_at(claims["workflow_ref"], claims["repository"] + _FOLDER, file, versions)


def _is_allowed_here(claims: Claims, wanted: Criteria) -> bool:
    """Return whether the job's workflow file is in the same repository or is the one that the publisher allows."""
    reference, start = claims["job_workflow_ref"], claims["repository"] + _FOLDER
    return same_name(reference[: len(start)], start) or reference == wanted.gates.get("allowed_reusable_workflow")


PINS = {"owner_id": "repository_owner_id", "repository_id": "repository_id"}

GITHUB = IssuerKind(
    name="github",
    label="GitHub",
    required={
        "jti": ClaimFormat.TOKEN_ID,
        "repository": ClaimFormat.REPOSITORY,
        "repository_owner": ClaimFormat.TEXT,
        "repository_owner_id": ClaimFormat.ID,
        "repository_id": ClaimFormat.ID,
        "workflow_ref": ClaimFormat.TEXT,
        "job_workflow_ref": ClaimFormat.TEXT,
        "event_name": ClaimFormat.TEXT,
    },
    optional=dict.fromkeys(("ref", "sha", "environment", "run_id", "run_attempt"), ClaimFormat.TEXT),
    fields=(
        Field("owner", "User or organization", _checked_owner, example="octo-org"),
        Field("repository", "Repository", _checked_repository, example="calculate-pi", hint="Without the owner."),
        Field(
            "workflow", "Workflow file", _checked_workflow, example="release.yml", hint="Its name in .github/workflows."
        ),
        Field(
            "environment",
            "Environment",
            lambda value: checked_environment(value).lower(),
            is_required=False,
            example="release",
            hint="If given, only jobs with this environment can publish.",
        ),
    ),
    pins=PINS,
    gates=(
        Gate("allowed_refs", "Allowed branches and tags", checked_ref, is_list=True, example=REFS_EXAMPLE),
        Gate("require_hosted_runner", "Only GitHub-hosted runners", is_switch=True),
        Gate(
            "allowed_reusable_workflow",
            "Reusable workflow of another repository",
            _checked_reusable,
            example="octo-org/ci/.github/workflows/publish.yml@refs/tags/v1",
            hint="Jobs that call a workflow of another repository are refused, except this one.",
        ),
    ),
    stored={name: name for name in STORED if name not in ("owner_id", "account")} | {"owner_id": "repository_owner_id"},
    ignored=(
        "actor",
        "actor_id",
        "base_ref",
        "check_run_id",
        "enterprise",
        "enterprise_id",
        "environment_node_id",
        "head_ref",
        "job_workflow_sha",
        "ref_protected",
        "ref_type",
        "repo_property_*",
        "repository_visibility",
        "run_number",
        "runner_environment",
        "workflow",
        "workflow_sha",
    ),
    subject=lambda claims: claims["repository"],
    publisher_subject=lambda matched: f"{matched['owner']}/{matched['repository']}",
    max_lifetime_ms=HOUR_MS,
    check=_refuse,
    compare=_compare,
    allows_reusable_workflow=_is_allowed_here,
)
