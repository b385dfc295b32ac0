"""The supported kinds of issuers."""

from seaway.errors import Malformed
from seaway.trusted_publishing.issuer_kinds import generic
from seaway.trusted_publishing.issuer_kinds.buildkite import BUILDKITE
from seaway.trusted_publishing.issuer_kinds.circleci import CIRCLECI
from seaway.trusted_publishing.issuer_kinds.github import GITHUB
from seaway.trusted_publishing.issuer_kinds.gitlab import GITLAB
from seaway.trusted_publishing.issuer_kinds.google import GOOGLE
from seaway.trusted_publishing.issuer_kinds.issuer_kind import IssuerKind

GENERIC = "generic"

KINDS = {kind.name: kind for kind in (GITHUB, GITLAB, GOOGLE, BUILDKITE, CIRCLECI)}

NAMES = (*KINDS, GENERIC)


def kind_of(name: str, rules: str) -> IssuerKind:
    """Return the kind with this name; `rules` is JSON for a generic issuer and empty for the others."""
    if name == GENERIC:
        return generic.make_kind(GENERIC, "OpenID Connect", generic.read_rules(rules))
    if name not in KINDS:
        raise Malformed(f"{name[:40]!a} is not a kind of issuer.", f"The kinds are {', '.join(NAMES)}.")
    if rules:
        raise Malformed(f"An issuer of the kind {name} cannot have rules.", f"Only the kind {GENERIC} has rules.")
    return KINDS[name]
