"""Google Cloud: the service account of a build, a function or a virtual machine."""

import re

from seaway.clock import MINUTE_MS
from seaway.errors import Malformed
from seaway.trusted_publishing.issuer_kinds.issuer_kind import (
    ClaimFormat,
    Claims,
    Comparison,
    Comparisons,
    Criteria,
    Field,
    IssuerKind,
)

ISSUER = "https://accounts.google.com"
KEYS_ORIGIN = "https://www.googleapis.com"  # Google publishes its keys on this host only


def _checked_email(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9._+-]{1,100}@[a-z0-9.-]{1,150}\.gserviceaccount\.com", value):
        raise Malformed(
            f"{value[:60]!a} is not a service account.",
            "Its email address ends in .gserviceaccount.com, in lower case.",
        )
    return value


def _checked_id(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,64}", value):
        raise Malformed(
            f"{value[:60]!a} is not the id of a service account.",
            "It is a number: `gcloud iam service-accounts describe EMAIL --format 'value(uniqueId)'`.",
        )
    return value


def _compare(claims: Claims, _issuer: str, wanted: Criteria) -> Comparisons:
    return [
        Comparison(label, wanted.matched[name], claims[name], claims[name] == wanted.matched[name])
        for name, label in (("email", "Service account"), ("sub", "Unique id"))
    ]


GOOGLE = IssuerKind(
    name="google",
    label="Google Cloud",
    required={"email": ClaimFormat.SERVICE_ACCOUNT, "email_verified": ClaimFormat.TRUE, "sub": ClaimFormat.SUBJECT},
    fields=(
        Field("email", "Service account", _checked_email, example="builder@project.iam.gserviceaccount.com"),
        # A new account can get the email address of a deleted one, but not its id.
        Field(
            "sub",
            "Unique id of the service account",
            _checked_id,
            example="113774264463038321964",
            hint="Shown by gcloud iam service-accounts describe EMAIL --format 'value(uniqueId)'.",
        ),
    ),
    pins={},
    id_fields=("sub",),
    stored={"account": "email"},
    subject=lambda claims: claims["email"],
    publisher_subject=lambda matched: matched["email"],
    ignored=("azp", "google"),
    has_jti=False,
    # The metadata server returns the same token for most of an hour, so single use would break legitimate jobs.
    default_exchanges=60,
    max_exchanges=60,
    max_lifetime_ms=70 * MINUTE_MS,
    compare=_compare,
)
