"""GitLab CI/CD on gitlab.com and on instances that an admin registered."""

import re

from seaway.clock import DAY_MS
from seaway.errors import Malformed
from seaway.trusted_publishing.issuer_kinds.issuer_kind import (
    REFS_EXAMPLE,
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
    same_name,
    without_git,
)

ISSUER = "https://gitlab.com"

_PATH_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9]|[-_.](?![-_.]))*"


def _checked_path(value: str, pattern: str, what: str) -> str:
    is_path = re.fullmatch(pattern, value) and len(value) <= 500 and not value.endswith((".git", ".atom", ".", "-"))
    if not is_path:
        raise Malformed(f"{value[:60]!a} is not a valid {what} on GitLab.", "Enter it as in the URL of the project.")
    return value


def _checked_namespace(value: str) -> str:
    return _checked_path(value, rf"{_PATH_PART}(?:/{_PATH_PART})*", "namespace")


def _checked_project(value: str) -> str:
    return _checked_path(without_git(value), _PATH_PART, "project")


def _checked_file(value: str) -> str:
    if not re.fullmatch(r"[^/\s@][^\s@]{0,250}\.ya?ml", value) or "//" in value:
        raise Malformed(f"{value[:60]!a} is not a valid pipeline file.", "Enter its path, such as .gitlab-ci.yml.")
    return value


def _refuse(claims: Claims) -> None:
    # Only the first two parts are fixed: a project can configure the rest.
    if not same_name(":".join(claims["sub"].split(":")[:2]), f"project_path:{claims['project_path']}"):
        raise disagreeing("sub", "project_path")


def _compare(claims: Claims, issuer: str, wanted: Criteria) -> Comparisons:
    matched = wanted.matched
    project_path = f"{matched['namespace']}/{matched['project']}"
    found_file = claims["ci_config_ref_uri"]
    environment = claims.get("environment", "")
    compared = [
        Comparison("Project", project_path, claims["project_path"], same_name(claims["project_path"], project_path)),
        *compare_pins(claims, wanted, PINS),
        Comparison("Pipeline file", matched["workflow"], found_file, _is_file(claims, issuer, matched["workflow"])),
        *compare_ref(claims["ref_path"], wanted.gates.get("allowed_refs")),
    ]
    if matched["environment"]:
        is_same = environment == matched["environment"]
        compared.append(Comparison("Environment", matched["environment"], environment, is_same))
    if wanted.gates.get("require_protected_ref"):
        # GitLab writes the string "true", not the boolean.
        is_protected = claims.get("ref_protected") == "true"
        compared.append(Comparison("Protected branch or tag", "yes", "yes" if is_protected else "no", is_protected))
    return compared


def _is_file(claims: Claims, issuer: str, file: str) -> bool:
    """Return whether the pipeline is this file of the project, at the token's ref or commit."""
    host = issuer.partition("://")[2]
    start = f"{host}/{claims['project_path']}//"
    return is_file_at(claims["ci_config_ref_uri"], start, file, (claims["ref_path"], claims["sha"]))


PINS = {"namespace_id": "namespace_id", "project_id": "project_id"}

GITLAB = IssuerKind(
    name="gitlab",
    label="GitLab",
    required={
        "jti": ClaimFormat.TOKEN_ID,
        "sub": ClaimFormat.TEXT,
        "project_path": ClaimFormat.PROJECT,
        "project_id": ClaimFormat.ID,
        "namespace_id": ClaimFormat.ID,
        "ci_config_ref_uri": ClaimFormat.TEXT,  # null if the pipeline file is on another server
        "ref_path": ClaimFormat.TEXT,
        "sha": ClaimFormat.TEXT,
    },
    optional=dict.fromkeys(("environment", "pipeline_id", "job_id", "pipeline_source"), ClaimFormat.TEXT),
    fields=(
        Field(
            "namespace",
            "Namespace",
            _checked_namespace,
            example="acme/team",
            hint="The group or user, with all subgroups, as in the URL of the project.",
        ),
        Field("project", "Project", _checked_project, example="calculate-pi", hint="As in its URL."),
        Field(
            "workflow",
            "Pipeline file",
            _checked_file,
            is_required=False,
            default=".gitlab-ci.yml",
            example=".gitlab-ci.yml",
            hint="Its path in the project.",
        ),
        Field(
            "environment",
            "Environment",
            checked_environment,
            is_required=False,
            example="production",
            hint="If given, only jobs with this environment can publish.",
        ),
    ),
    pins=PINS,
    gates=(
        Gate("allowed_refs", "Allowed branches and tags", checked_ref, is_list=True, example=REFS_EXAMPLE),
        Gate("require_protected_ref", "Only protected branches and tags", is_switch=True),
    ),
    stored={
        "owner_id": "namespace_id",
        "repository": "project_path",
        "repository_id": "project_id",
        "ref": "ref_path",
        "sha": "sha",
        "run_id": "pipeline_id",
        "run_attempt": "job_id",
        "workflow_ref": "ci_config_ref_uri",
        "environment": "environment",
        "event_name": "pipeline_source",
    },
    ignored=(
        "ci_config_sha",
        "deployment_tier",
        "environment_action",
        "environment_protected",
        "groups_direct",
        "job_project_id",
        "job_project_path",
        "job_namespace_id",
        "job_namespace_path",
        "namespace_path",
        "project_visibility",
        "ref",
        "ref_protected",
        "ref_type",
        "runner_environment",
        "runner_id",
        "user_access_level",
        "user_email",
        "user_id",
        "user_identities",
        "user_login",
    ),
    max_exchanges=10,  # a job has one token for its whole run
    subject=lambda claims: claims["project_path"],
    publisher_subject=lambda matched: f"{matched['namespace']}/{matched['project']}",
    max_lifetime_ms=DAY_MS,
    check=_refuse,
    compare=_compare,
)
