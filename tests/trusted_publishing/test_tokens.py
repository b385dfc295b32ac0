"""
Hostile and valid tokens over HTTP: each rule is violated once, with the code and status of the refusal.

A vector is a change to a valid token, or a complete text. The order of the tables is the order of the checks.
"""

import base64
import hmac
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seaway.trusted_publishing.issuer_kinds.github import GITHUB as GITHUB_KIND
from seaway.trusted_publishing.issuer_kinds.gitlab import GITLAB as GITLAB_KIND
from seaway.trusted_publishing.issuer_kinds.google import GOOGLE as GOOGLE_KIND
from seaway.trusted_publishing.issuer_kinds.issuer_kind import ClaimFormat, IssuerKind
from seaway.trusted_publishing.refusals import Code
from tests.support import issuer
from tests.support.clock import ManualClock
from tests.support.issuer import b64, github, gitlab, google, jwk, signed, token
from tests.support.publishing_app import GITHUB, GITLAB, GOOGLE, MINT, PublishingApp, publishing_app

NOW_MS = 1_800_000_000_000
NOW = NOW_MS // 1000
REF = "refs/heads/main"
REUSABLE = "acme/shared/.github/workflows/publish.yml@refs/tags/v1"


@pytest.fixture(scope="module")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishingApp]:
    """One instance for all vectors: every token has its own jti, and the clock does not advance."""
    with publishing_app(tmp_path_factory.mktemp("tokens"), ManualClock(NOW_MS)) as made:
        made.factory.channel("harbour", public=False)
        made.trust("harbour", "github", GITHUB)
        made.trust("harbour", "github", {**GITHUB, "repository": "deploys", "environment": "Production"})
        made.trust(
            "harbour", "github", {**GITHUB, "repository": "tags"}, conditions={"allowed_refs": ["refs/tags/v*", REF]}
        )
        made.trust("harbour", "github", {**GITHUB, "repository": "hosted"}, conditions={"require_hosted_runner": True})
        made.trust(
            "harbour", "github", {**GITHUB, "repository": "reuser"}, conditions={"allowed_reusable_workflow": REUSABLE}
        )
        pins = {"owner_id": "1001", "repository_id": "2002"}
        made.trust("harbour", "github", {**GITHUB, "repository": "pinned"}, pinned=pins)
        made.trust("harbour", "gitlab", GITLAB)
        made.trust("harbour", "gitlab", {**GITLAB, "project": "deploys", "environment": "Production"})
        made.trust("harbour", "gitlab", {**GITLAB, "project": "safe"}, conditions={"require_protected_ref": True})
        made.trust("harbour", "gitlab", {**GITLAB, "project": "other", "workflow": "ci/publish.yml"})
        made.trust(
            "harbour", "gitlab", {**GITLAB, "project": "pinned"}, pinned={"namespace_id": "31", "project_id": "32"}
        )
        made.trust("harbour", "google", GOOGLE, mode="READ")
        yield made


@dataclass(frozen=True)
class Vector:
    """A token, built when it is sent, and its refusal code, or None if it must be accepted."""

    about: str
    make: Callable[[], str]
    code: Code | None = None


def of_github(about: str, code: Code | None = None, *, head: dict[str, Any] | None = None, **changes: Any) -> Vector:
    return Vector(f"github {about}", lambda: token(github(NOW, **changes), header=head), code)


def of_gitlab(about: str, code: Code | None = None, *, head: dict[str, Any] | None = None, **changes: Any) -> Vector:
    return Vector(f"gitlab {about}", lambda: token(gitlab(NOW, **changes), header=head), code)


def of_google(about: str, code: Code | None = None, *, head: dict[str, Any] | None = None, **changes: Any) -> Vector:
    return Vector(f"google {about}", lambda: token(google(NOW, **changes), header=head), code)


def raw(about: str, code: Code, change: Callable[[str], str]) -> Vector:
    return Vector(f"text {about}", lambda: change(token(github(NOW))), code)


def payload(about: str, code: Code, content: str | bytes) -> Vector:
    """Return the vector of a token whose claims are these bytes."""
    claims = content if isinstance(content, bytes) else content.encode()
    return Vector(f"payload {about}", lambda: signed(b'{"alg":"RS256","kid":"key-1"}', claims, "key-1"), code)


def header(about: str, code: Code, content: str) -> Vector:
    """Return the vector of a token whose header is this text."""
    return Vector(f"header {about}", lambda: signed(content.encode(), json.dumps(github(NOW)).encode(), "key-1"), code)


def valid_claims(**changes: Any) -> str:
    return json.dumps(github(NOW, **changes))


def parts(text: str) -> tuple[str, str, str]:
    head, claims, signature = text.split(".")
    return head, claims, signature


def with_other_end(text: str) -> str:
    """Change only the unused trailing bits of the signature's base64, so that the decoded bytes are the same."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def with_standard_alphabet(text: str) -> str:
    head, claims, signature = parts(text)
    padded = signature + "=" * (-len(signature) % 4)
    standard = base64.b64encode(base64.urlsafe_b64decode(padded)).decode().rstrip("=")
    return f"{head}.{claims}.{'+' + standard[1:]}"


def hmac_with_public_key(_text: str) -> str:
    """Sign with HMAC and the public key as the secret, which a careless library accepts."""
    secret = issuer.key("key-1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = b'{"alg":"HS256","typ":"JWT","kid":"key-1"}'
    text = f"{b64(head)}.{b64(valid_claims().encode())}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def with_truncated_signature(text: str) -> str:
    start, _, signature = text.rpartition(".")
    return f"{start}.{b64(base64.urlsafe_b64decode(signature + '==')[:-1])}"


MALFORMED, INVALID, CLAIM = Code.MALFORMED_TOKEN, Code.INVALID_TOKEN, Code.INVALID_CLAIM
PUBLISHER, MISSING, AUDIENCE = Code.INVALID_PUBLISHER, Code.MISSING_CLAIM, Code.INVALID_AUDIENCE
OTHER_IDS = Code.OTHER_IDS
ISSUER, EXPIRED, EARLY = Code.UNKNOWN_ISSUER, Code.EXPIRED_TOKEN, Code.IMMATURE_TOKEN

TEXTS = [
    raw("empty", MALFORMED, lambda _: ""),
    raw("one part", MALFORMED, lambda text: text.split(".")[0]),
    raw("two parts", MALFORMED, lambda text: text.rpartition(".")[0]),
    raw("four parts", MALFORMED, lambda text: text + ".AAAA"),
    raw("five parts, encrypted", MALFORMED, lambda text: text + ".AAAA.BBBB"),
    raw("an empty header", MALFORMED, lambda text: "." + ".".join(parts(text)[1:])),
    raw("an empty payload", MALFORMED, lambda text: f"{parts(text)[0]}..{parts(text)[2]}"),
    raw("an empty signature", MALFORMED, lambda text: text.rpartition(".")[0] + "."),
    raw("leading space", MALFORMED, lambda text: " " + text),
    raw("trailing line break", MALFORMED, lambda text: text + "\n"),
    raw("tab inside", MALFORMED, lambda text: text.replace(".", ".\t", 1)),
    raw("trailing NUL", MALFORMED, lambda text: text + "\0"),
    raw("leading Bearer", MALFORMED, lambda text: "Bearer " + text),
    raw("padded", MALFORMED, lambda text: text + "=="),
    raw("padded payload", MALFORMED, lambda text: "{}.{}=.{}".format(*parts(text))),
    raw("standard alphabet", MALFORMED, with_standard_alphabet),
    raw("other unused bits in base64", MALFORMED, with_other_end),
    raw("an impossible length", MALFORMED, lambda text: text + "A" * (5 - len(parts(text)[2]) % 4)),
    raw("non-ASCII letter", MALFORMED, lambda text: text[:-1] + "é"),
    raw("full-width letter", MALFORMED, lambda text: text[:-1] + "Ａ"),
]

PAYLOADS = [
    payload("not JSON", MALFORMED, "claims"),
    payload("a list", MALFORMED, "[]"),
    payload("a string", MALFORMED, '"claims"'),
    payload("null", MALFORMED, "null"),
    payload("a number", MALFORMED, "1"),
    payload("truncated", MALFORMED, valid_claims()[:-1]),
    payload("followed by another object", MALFORMED, valid_claims() + "{}"),
    payload("UTF-16", MALFORMED, valid_claims().encode("utf-16")),
    payload("UTF-8 with a byte order mark", MALFORMED, b"\xef\xbb\xbf" + valid_claims().encode()),
    payload("not UTF-8", MALFORMED, valid_claims().encode()[:-1] + b',"x":"\xff"}'),
    payload("overlong UTF-8", MALFORMED, valid_claims().encode()[:-1] + b',"x":"\xc0\xaf"}'),
    payload("iss twice", MALFORMED, valid_claims()[:-1] + ',"iss":"https://gitlab.com"}'),
    payload("aud twice", MALFORMED, '{"aud":"other",' + valid_claims()[1:]),
    payload("exp twice, equal", MALFORMED, valid_claims()[:-1] + f',"exp":{NOW + 295}}}'),
    payload("a member twice, one escaped", MALFORMED, valid_claims()[:-1] + ',"\\u0069ss":"https://gitlab.com"}'),
    payload("a nested member twice", MALFORMED, valid_claims()[:-1] + ',"x":{"a":1,"a":1}}'),
    payload("NaN", MALFORMED, valid_claims()[:-1] + ',"x":NaN}'),
    payload("Infinity", MALFORMED, '{"exp":Infinity}'),
    payload("minus Infinity", MALFORMED, '{"nbf":-Infinity}'),
    payload("15,000 deep", MALFORMED, '{"x":' + "[" * 15_000 + "]" * 15_000 + "}"),
    payload("33 deep", MALFORMED, valid_claims()[:-1] + ',"x":' + "[" * 32 + "]" * 32 + "}"),
    payload("a lone surrogate", MALFORMED, valid_claims()[:-1] + ',"x":"\\ud800"}'),
    payload("a number of 5,000 digits", MALFORMED, valid_claims()[:-1] + ',"x":1' + "0" * 5_000 + "}"),
    payload("single quotes", MALFORMED, "{'iss':'x'}"),
    payload("a trailing comma", MALFORMED, valid_claims()[:-1] + ",}"),
    payload("a comment", MALFORMED, valid_claims() + "//"),
]

HEADERS = [
    header("a list", MALFORMED, '["RS256"]'),
    header("alg twice", MALFORMED, '{"alg":"none","alg":"RS256","kid":"key-1"}'),
    header("kid twice", MALFORMED, '{"alg":"RS256","kid":"key-1","kid":"key-2"}'),
    header("not JSON", MALFORMED, "RS256"),
    of_github("alg none", INVALID, head={"alg": "none"}),
    of_github("alg None", INVALID, head={"alg": "None"}),
    of_github("alg HS256", INVALID, head={"alg": "HS256"}),
    raw("HS256 with the public key", INVALID, hmac_with_public_key),
    of_github("alg RS512", INVALID, head={"alg": "RS512"}),
    of_github("alg PS256", INVALID, head={"alg": "PS256"}),
    of_github("alg ES256", INVALID, head={"alg": "ES256"}),
    of_github("alg in lower case", INVALID, head={"alg": "rs256"}),
    of_github("alg missing", INVALID, head={"alg": ...}),
    of_github("alg null", INVALID, head={"alg": None}),
    of_github("alg a list", INVALID, head={"alg": ["RS256"]}),
    of_github("crit", INVALID, head={"crit": ["exp"]}),
    of_github("crit empty", INVALID, head={"crit": []}),
    of_github("b64 false", INVALID, head={"b64": False, "crit": ["b64"]}),
    of_github("b64 true", INVALID, head={"b64": True}),
    of_github("typ at+jwt", INVALID, head={"typ": "at+jwt"}),
    of_github("typ JWS", INVALID, head={"typ": "JWS"}),
    of_github("typ null", INVALID, head={"typ": None}),
    of_github("typ a number", INVALID, head={"typ": 1}),
    of_github("kid missing", INVALID, head={"kid": ...}),
    of_github("kid null", INVALID, head={"kid": None}),
    of_github("kid empty", INVALID, head={"kid": ""}),
    of_github("kid a number", INVALID, head={"kid": 1}),
    of_github("kid of 257 characters", INVALID, head={"kid": "k" * 257}),
    of_github("kid a path", INVALID, head={"kid": "../../dev/null"}),
    of_github("kid SQL", INVALID, head={"kid": "' OR 1=1 --"}),
    of_github("kid unknown", INVALID, head={"kid": "key-9"}),
    of_github("another key's kid", INVALID, head={"kid": "github-2"}),
    of_gitlab("a kid that only GitHub has", INVALID, head={"kid": "github-2"}),
]

SIGNATURES = [
    Vector("signed with a foreign key", lambda: token(github(NOW), name="foreign", header={"kid": "key-1"}), INVALID),
    Vector(
        "signed with the key in its header",
        lambda: token(github(NOW), name="foreign", header={"kid": "key-1", "jwk": jwk("foreign")}),
        INVALID,
    ),
    Vector(
        "signed with the key at its jku",
        lambda: token(github(NOW), name="foreign", header={"kid": "key-1", "jku": "http://127.0.0.1:1/keys"}),
        INVALID,
    ),
    Vector("of GitLab, signed by GitHub's key", lambda: token(gitlab(NOW), name="github-2"), INVALID),
    Vector("of GitHub, signed by GitLab's key", lambda: token(github(NOW), name="gitlab-2"), INVALID),
    raw(
        "signature of another token", INVALID, lambda text: text.rpartition(".")[0] + "." + parts(token(gitlab(NOW)))[2]
    ),
    raw("signature truncated", INVALID, with_truncated_signature),
    raw("signature of zeros", INVALID, lambda text: text.rpartition(".")[0] + "." + b64(bytes(256))),
    raw("signature of one byte", INVALID, lambda text: text.rpartition(".")[0] + ".AA"),
    raw(
        "claims replaced after signing",
        INVALID,
        lambda text: f"{parts(text)[0]}.{b64(valid_claims(repository='acme/other').encode())}.{parts(text)[2]}",
    ),
    raw(
        "header replaced after signing",
        INVALID,
        lambda text: b64(b'{"alg":"RS256","kid":"key-1"}') + text[text.index(".") :],
    ),
]

ISSUERS = [
    of_github("iss missing", ISSUER, iss=...),
    of_github("iss null", ISSUER, iss=None),
    of_github("iss a list", ISSUER, iss=["https://token.actions.githubusercontent.com"]),
    of_github("iss an object", ISSUER, iss={}),
    of_github("iss with a slash", ISSUER, iss="https://token.actions.githubusercontent.com/"),
    of_github("iss in other case", ISSUER, iss="https://Token.actions.githubusercontent.com"),
    of_github("iss without a scheme", ISSUER, iss="token.actions.githubusercontent.com"),
    of_github("iss with http", ISSUER, iss="http://token.actions.githubusercontent.com"),
    of_github("iss with a port", ISSUER, iss="https://token.actions.githubusercontent.com:443"),
    of_github("iss of an enterprise", ISSUER, iss="https://token.actions.githubusercontent.com/acme"),
    of_github("iss with a space", ISSUER, iss="https://token.actions.githubusercontent.com "),
    of_github("iss unknown", ISSUER, iss="https://issuer.example"),
    of_github("iss on loopback", ISSUER, iss="http://127.0.0.1:1"),
    of_github("iss at the cloud metadata address", ISSUER, iss="http://169.254.169.254"),
    of_google("iss without a scheme", ISSUER, iss="accounts.google.com"),
    of_gitlab("iss with a slash", ISSUER, iss="https://gitlab.com/"),
]

AUDIENCES = [
    of_github("aud missing", AUDIENCE, aud=...),
    of_github("aud null", AUDIENCE, aud=None),
    of_github("aud empty", AUDIENCE, aud=""),
    of_github("aud a list of the right one", AUDIENCE, aud=[issuer.AUDIENCE]),
    of_github("aud a list with the right one", AUDIENCE, aud=[issuer.AUDIENCE, "pypi"]),
    of_github("aud a URL", AUDIENCE, aud=f"https://{issuer.AUDIENCE}"),
    of_github("aud with a slash", AUDIENCE, aud=f"{issuer.AUDIENCE}/"),
    of_github("aud with a port", AUDIENCE, aud=f"{issuer.AUDIENCE}:443"),
    of_github("aud with a dot", AUDIENCE, aud=f"{issuer.AUDIENCE}."),
    of_github("aud in upper case", AUDIENCE, aud=issuer.AUDIENCE.upper()),
    of_github("aud of a subdomain", AUDIENCE, aud=f"eu.{issuer.AUDIENCE}"),
    of_github("aud of the parent domain", AUDIENCE, aud="example.com"),
    of_github("aud pypi", AUDIENCE, aud="pypi"),
    of_github("aud prefix.dev", AUDIENCE, aud="prefix.dev"),
    of_github("aud sigstore", AUDIENCE, aud="sigstore"),
    of_github("aud true", AUDIENCE, aud=True),
    of_github("aud a number", AUDIENCE, aud=0),
    of_gitlab("aud of GitLab itself", AUDIENCE, aud="https://gitlab.com"),
    of_google("aud of the sign-in client", AUDIENCE, aud="407408718192.apps.googleusercontent.com"),
]

TIMES = [
    of_github("exp missing", MISSING, exp=...),
    of_github("iat missing", MISSING, iat=...),
    of_github("exp null", CLAIM, exp=None),
    of_github("exp a string", CLAIM, exp=str(NOW + 300)),
    of_github("exp a float", CLAIM, exp=NOW + 300.5),
    of_github("exp true", CLAIM, exp=True),
    of_github("exp a list", CLAIM, exp=[NOW + 300]),
    of_github("iat a string", CLAIM, iat=str(NOW)),
    of_github("iat a float", CLAIM, iat=float(NOW)),
    of_github("iat false", CLAIM, iat=False),
    of_github("nbf a string", CLAIM, nbf=str(NOW)),
    of_github("nbf a float", CLAIM, nbf=float(NOW)),
    of_github("nbf null", CLAIM, nbf=None),
    of_github("exp in exponent notation", CLAIM, exp=1.8e9 + 300),
    of_github("exp 10**400", MALFORMED, exp=10**400),
    of_github("exp in milliseconds", CLAIM, exp=(NOW + 300) * 1000),
    of_github("iat minus 10**400", MALFORMED, iat=-(10**400)),
    of_github("exp long ago", EXPIRED, iat=NOW - 7200, nbf=NOW - 7200, exp=NOW - 3700),
    of_github("exp 30 s ago", EXPIRED, exp=NOW - 30, iat=NOW - 300, nbf=NOW - 300),
    of_github("exp 0", EXPIRED, exp=0),
    of_github("exp negative", CLAIM, exp=-1),
    of_github("exp negative, before iat", CLAIM, exp=-1, iat=-300, nbf=-300),
    of_gitlab("exp negative", CLAIM, exp=-1),
    of_google("exp negative", CLAIM, exp=-1),
    of_github("iat negative", CLAIM, iat=-1),
    of_github("nbf negative", CLAIM, nbf=-1),
    of_github("iat 31 s ahead", EARLY, iat=NOW + 31, nbf=NOW, exp=NOW + 300),
    of_github("iat far ahead", EARLY, iat=NOW + 3600, nbf=NOW, exp=NOW + 4000),
    of_github("nbf 31 s ahead", EARLY, nbf=NOW + 31),
    of_github("nbf 10**400", MALFORMED, nbf=10**400),
    of_github("exp before iat", CLAIM, iat=NOW + 20, exp=NOW + 10),
    of_github("exp at iat", CLAIM, iat=NOW, exp=NOW),
    of_github("an hour and a second long", CLAIM, iat=NOW - 10, exp=NOW - 10 + 3601),
    of_github("ten years long", CLAIM, exp=NOW + 315_360_000),
    of_gitlab("a day and a second long", CLAIM, iat=NOW - 10, exp=NOW - 10 + 86_401),
    of_google("71 minutes long", CLAIM, iat=NOW - 10, exp=NOW - 10 + 4_201),
]


def broken_claims(about: str, valid_claims_of: Callable[..., dict[str, Any]], kind: IssuerKind) -> Iterator[Vector]:
    """Yield vectors with each required claim absent, null, of another type, empty, too long, or with control characters."""
    for name, form in kind.required.items():
        if form is ClaimFormat.TRUE:
            continue
        valid = valid_claims_of(NOW)[name]
        invalid_values = {
            "missing": (MISSING, ...),
            "null": (MISSING, None),
            "a number": (CLAIM, 1001),
            "true": (CLAIM, True),
            "a list": (CLAIM, [valid]),
            "an object": (CLAIM, {"value": valid}),
            "empty": (MISSING if form is ClaimFormat.TOKEN_ID else CLAIM, ""),
            "too long": (CLAIM, valid + "1" * 1024),
            "with a line break": (CLAIM, valid + "\n"),
            "with a leading tab": (CLAIM, "\t" + valid),
            "with NUL": (CLAIM, valid + "\0"),
            "with DEL": (CLAIM, valid + "\x7f"),
            "with a C1 control character": (CLAIM, valid + "\x85"),
        }
        for defect, (code, value) in invalid_values.items():
            make = partial(lambda changes: token(valid_claims_of(NOW, **changes)), {name: value})
            yield Vector(f"{about} {name} {defect}", make, code)


CLAIMS = [
    *broken_claims("github", github, GITHUB_KIND),
    *broken_claims("gitlab", gitlab, GITLAB_KIND),
    *broken_claims("google", google, GOOGLE_KIND),
    of_github("ref too long", CLAIM, ref="a" * 1025),
    of_github("sha with a line break", CLAIM, sha="6f" * 20 + "\n"),
    of_github("an id of 21 digits", CLAIM, repository_id="2" * 21),
    of_github("an id with a sign", CLAIM, repository_id="+2002"),
    of_github("an id with a space", CLAIM, repository_id=" 2002"),
    of_github("an id in Arabic digits", CLAIM, repository_owner_id="١٠٠١"),
    of_github("an id in full-width digits", CLAIM, repository_owner_id="１００１"),
    of_github("an id with an underscore", CLAIM, repository_owner_id="1_001"),
    of_github("an id in hexadecimal", CLAIM, repository_owner_id="0x3e9"),
    of_github("ref and sha missing", MISSING, ref=..., sha=...),
    of_github("ref a number", CLAIM, ref=1),
    of_github("sha null", CLAIM, sha=None),
    of_github("environment a number", CLAIM, environment=1),
    of_github("environment a list", CLAIM, environment=["production"]),
    of_gitlab("ci_config_ref_uri null, as for a remote file", MISSING, ci_config_ref_uri=None),
    of_gitlab("ci_config_ref_uri null with the sha", MISSING, ci_config_ref_uri=None, ci_config_sha=None),
    of_google("email_verified missing", CLAIM, email_verified=...),
    of_google("email_verified a string", CLAIM, email_verified="true"),
    of_google("email_verified 1", CLAIM, email_verified=1),
    of_google("email_verified false", CLAIM, email_verified=False),
    of_google("email_verified null", CLAIM, email_verified=None),
    of_google("a user account", CLAIM, email="someone@gmail.com"),
    of_google("a user account of a company", CLAIM, email="someone@acme.example", hd="acme.example"),
    of_google("an address with the suffix in the middle", CLAIM, email="me@x.gserviceaccount.com.evil.example"),
    of_google("an address with the suffix in mixed case", CLAIM, email="builder@acme.iam.GServiceAccount.com"),
    of_google("an address with two @", CLAIM, email="me@evil.example@x.gserviceaccount.com"),
    of_google("an address without a name", CLAIM, email="@acme.iam.gserviceaccount.com"),
    of_google("sub letters", CLAIM, sub="me"),
]


def other_github(repository: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of another repository."""
    file = f"{repository}/.github/workflows/release.yml@{REF}"
    return {"repository": repository, "workflow_ref": file, "job_workflow_ref": file, **changes}


def github_at_ref(repository: str, ref: str) -> dict[str, Any]:
    """Return the claims of a run at another ref."""
    file = f"{repository}/.github/workflows/release.yml@{ref}"
    return {"repository": repository, "workflow_ref": file, "job_workflow_ref": file, "ref": ref}


def other_gitlab(project: str, file: str = ".gitlab-ci.yml", **changes: Any) -> dict[str, Any]:
    path = f"acme/team/{project}"
    return {
        "project_path": path,
        "sub": f"project_path:{path}:ref_type:branch:ref:main",
        "ci_config_ref_uri": f"gitlab.com/{path}//{file}@{REF}",
        **changes,
    }


def in_namespace(namespace: str) -> dict[str, Any]:
    """Return the claims of a project of the same name in another namespace."""
    path = f"{namespace}/tools"
    return {
        "project_path": path,
        "sub": f"project_path:{path}:ref_type:branch:ref:main",
        "ci_config_ref_uri": f"gitlab.com/{path}//.gitlab-ci.yml@{REF}",
    }


def workflow_ref(value: str) -> dict[str, Any]:
    return {"workflow_ref": value}


_WORKFLOWS = "acme/tools/.github/workflows"

PUBLISHERS = [
    of_github("another repository", PUBLISHER, **other_github("acme/other")),
    of_github(
        "another owner", PUBLISHER, **other_github("evil/tools", repository_owner="evil", repository_owner_id="9")
    ),
    of_github("another owner id than pinned", OTHER_IDS, **other_github("acme/pinned", repository_owner_id="1002")),
    of_github("another repository id than pinned", OTHER_IDS, **other_github("acme/pinned", repository_id="2003")),
    of_github("an owner that is not the repository's", CLAIM, repository_owner="evil"),
    of_github("a repository that is not the owner's", CLAIM, **other_github("evil/tools")),
    of_github("an owner with the Kelvin sign in one claim", CLAIM, repository_owner="ac\u212ae"),
    of_github("a repository without an owner", CLAIM, repository="tools"),
    of_github("a repository without a name", CLAIM, repository="acme/"),
    of_github("a repository with an empty owner", CLAIM, repository="/tools"),
    of_github("a repository in a folder", CLAIM, repository="acme/tools/x"),
    of_github("a repository with two slashes", CLAIM, repository="acme//tools"),
    of_github(
        "an owner that disagrees, by an event that anyone can trigger",
        CLAIM,
        repository_owner="evil",
        event_name="workflow_run",
    ),
    of_github("a repository with a longer name", PUBLISHER, **other_github("acme/tools2")),
    of_github("a repository with a letter that case-folds to the right one", PUBLISHER, **other_github("acme/toolſ")),
    of_github("an owner with the Kelvin sign", PUBLISHER, **other_github("acme/tooKs".replace("K", "\u212a"))),
    of_github("another file", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/other.yml@{REF}")),
    of_github("another file extension", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/release.yaml@{REF}")),
    of_github("a file in other case", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/Release.yml@{REF}")),
    of_github("a file in a subfolder", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/x/release.yml@{REF}")),
    of_github("a file in another folder", PUBLISHER, **workflow_ref(f"acme/tools/other/release.yml@{REF}")),
    of_github(
        "a file of another repository", PUBLISHER, **workflow_ref(f"evil/tools/.github/workflows/release.yml@{REF}")
    ),
    of_github("a file at another ref", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/release.yml@refs/heads/evil")),
    of_github("a file at no ref", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/release.yml")),
    of_github("a file at an empty ref", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/release.yml@")),
    of_github(
        "a file at a ref that ends like the right one",
        PUBLISHER,
        **workflow_ref(f"{_WORKFLOWS}/evil.yml@x/.github/workflows/release.yml@{REF}"),
    ),
    of_github(
        "a branch named like the right file", PUBLISHER, **workflow_ref(f"{_WORKFLOWS}/evil.yml@release.yml@{REF}")
    ),
    of_github("no environment where one is required", PUBLISHER, **other_github("acme/deploys")),
    of_github("an empty environment where one is required", PUBLISHER, **other_github("acme/deploys", environment="")),
    of_github("another environment", PUBLISHER, **other_github("acme/deploys", environment="staging")),
    of_github("a longer environment", PUBLISHER, **other_github("acme/deploys", environment="production2")),
    of_github("a branch that is not allowed", PUBLISHER, **github_at_ref("acme/tags", "refs/heads/other")),
    of_github("a tag with another prefix", PUBLISHER, **github_at_ref("acme/tags", "refs/tags/w1")),
    of_github("a self-hosted runner", PUBLISHER, **other_github("acme/hosted", runner_environment="self-hosted")),
    of_github("a runner that is not specified", PUBLISHER, **other_github("acme/hosted", runner_environment=...)),
    of_github("pull_request_target", Code.EVENT_NOT_ALLOWED, event_name="pull_request_target"),
    of_github("workflow_run", Code.EVENT_NOT_ALLOWED, event_name="workflow_run"),
    of_github("PULL_REQUEST_TARGET", Code.EVENT_NOT_ALLOWED, event_name="PULL_REQUEST_TARGET"),
    of_github("a reusable workflow of another owner", Code.REUSABLE_WORKFLOW_NOT_ALLOWED, job_workflow_ref=REUSABLE),
    of_github(
        "a reusable workflow of a repository with a longer name",
        Code.REUSABLE_WORKFLOW_NOT_ALLOWED,
        job_workflow_ref=f"acme/tools2/.github/workflows/release.yml@{REF}",
    ),
    of_github(
        "a reusable workflow without a repository", Code.REUSABLE_WORKFLOW_NOT_ALLOWED, job_workflow_ref="release.yml"
    ),
    of_github(
        "an allowed reusable workflow at another ref",
        Code.REUSABLE_WORKFLOW_NOT_ALLOWED,
        **other_github("acme/reuser", job_workflow_ref=REUSABLE.replace("v1", "v2")),
    ),
    of_gitlab("another project", PUBLISHER, **other_gitlab("else")),
    of_gitlab("another namespace", PUBLISHER, **in_namespace("evil/team")),
    of_gitlab("a project of the parent group", PUBLISHER, **in_namespace("acme")),
    of_gitlab("a project path that sub disagrees with", CLAIM, project_path="evil/team/tools"),
    of_gitlab("sub of another project", CLAIM, sub="project_path:evil/tools:ref_type:branch:ref:main"),
    of_gitlab("sub of a user", CLAIM, sub="user:acme/team/tools"),
    of_gitlab("sub with the same prefix", CLAIM, sub="project_path:acme/team/tools2:ref:main"),
    of_gitlab("sub without a project", CLAIM, sub="project_path"),
    of_gitlab("a project without a namespace", CLAIM, project_path="tools", sub="project_path:tools:ref:main"),
    of_gitlab("a project with two slashes", CLAIM, project_path="acme//tools", sub="project_path:acme//tools:ref:main"),
    of_gitlab("another project id than pinned", OTHER_IDS, **other_gitlab("pinned", project_id="33")),
    of_gitlab("another namespace id than pinned", OTHER_IDS, **other_gitlab("pinned", namespace_id="30")),
    of_gitlab("another file", PUBLISHER, **other_gitlab("tools", "other.yml")),
    of_gitlab("a file of another project", PUBLISHER, ci_config_ref_uri=f"gitlab.com/evil/tools//.gitlab-ci.yml@{REF}"),
    of_gitlab("a file on another host", PUBLISHER, ci_config_ref_uri=f"evil.com/acme/team/tools//.gitlab-ci.yml@{REF}"),
    of_gitlab(
        "a file at another ref", PUBLISHER, ci_config_ref_uri="gitlab.com/acme/team/tools//.gitlab-ci.yml@refs/heads/x"
    ),
    of_gitlab("a file at no ref", PUBLISHER, ci_config_ref_uri="gitlab.com/acme/team/tools//.gitlab-ci.yml"),
    of_gitlab("a file with one slash", PUBLISHER, ci_config_ref_uri=f"gitlab.com/acme/team/tools/.gitlab-ci.yml@{REF}"),
    of_gitlab("another environment", PUBLISHER, **other_gitlab("deploys", environment="staging")),
    of_gitlab("an environment of another case", PUBLISHER, **other_gitlab("deploys", environment="production")),
    of_gitlab("no environment where one is required", PUBLISHER, **other_gitlab("deploys")),
    of_gitlab("a ref that is not protected", PUBLISHER, **other_gitlab("safe", ref_protected="false")),
    of_gitlab("a ref whose protection is not specified", PUBLISHER, **other_gitlab("safe", ref_protected=...)),
    of_gitlab("a boolean for a protected ref", PUBLISHER, **other_gitlab("safe", ref_protected=True)),
    of_google("another account", PUBLISHER, email="other@acme.iam.gserviceaccount.com"),
    of_google("an account in other case", PUBLISHER, email="Builder@acme.iam.gserviceaccount.com"),
    of_google("a recreated account", OTHER_IDS, sub="113774264463038321965"),
]

ACCEPTED = [
    of_github("unchanged"),
    of_github("without a type", head={"typ": ...}),
    of_github("with x5t and an ignored jku in its header", head={"x5t": "abc", "jku": "http://127.0.0.1:1/"}),
    of_github("with an unknown header", head={"x": 1}),
    of_github("signed with another of its issuer's keys", head={"kid": "key-1"}),
    of_github("in other case", **other_github("Acme/Tools", repository_owner="ACME")),
    of_github("at its commit", **workflow_ref(f"{_WORKFLOWS}/release.yml@{'6f' * 20}")),
    of_github("without a ref", ref=..., **workflow_ref(f"{_WORKFLOWS}/release.yml@{'6f' * 20}")),
    of_github("without a commit", sha=...),
    of_github("without nbf", nbf=...),
    of_github("expired 29 seconds ago", exp=NOW - 29, iat=NOW - 300),
    of_github("issued 30 seconds ahead", iat=NOW + 30, nbf=NOW + 30),
    of_github("an hour long", iat=NOW - 5, exp=NOW + 3595),
    of_github("with an environment that no publisher requires", environment="production"),
    of_github("with an empty environment", environment=""),
    of_github("with a subject customized by its organization", sub="repository_owner:acme"),
    of_github("with unknown claims", x={"a": [1, 2.5, None]}, repo_property_team="blue"),
    of_github("by a workflow of its own repository", job_workflow_ref=f"{_WORKFLOWS}/build.yml@{REF}"),
    of_github("started manually", event_name="workflow_dispatch"),
    of_github("of its environment in other case", **other_github("acme/deploys", environment="PRODUCTION")),
    of_github("of an allowed tag", **github_at_ref("acme/tags", "refs/tags/v1")),
    of_github("of an allowed branch", **other_github("acme/tags")),
    of_github("on a hosted runner", **other_github("acme/hosted")),
    of_github("by an allowed reusable workflow", **other_github("acme/reuser", job_workflow_ref=REUSABLE)),
    of_github("with the pinned ids", **other_github("acme/pinned")),
    of_gitlab("unchanged"),
    of_gitlab("with a shorter subject", sub="project_path:acme/team/tools"),
    of_gitlab("in other case", **other_gitlab("Tools")),
    of_gitlab("at its commit", ci_config_ref_uri=f"gitlab.com/acme/team/tools//.gitlab-ci.yml@{'7a' * 20}"),
    of_gitlab("of its environment", **other_gitlab("deploys", environment="Production")),
    of_gitlab("of a protected ref", **other_gitlab("safe")),
    of_gitlab("of a configured file", **other_gitlab("other", "ci/publish.yml")),
    of_gitlab("with the pinned ids", **other_gitlab("pinned")),
    of_gitlab("a day long", exp=NOW - 5 + 86_400),
    of_gitlab("of a user of 200 groups", groups_direct=[f"group-{number:04}" + "x" * 80 for number in range(200)]),
    of_google("unchanged"),
    of_google("with nbf", nbf=NOW - 5),
    of_google("70 minutes long", exp=NOW - 5 + 4_200),
]  # fmt: skip

REFUSED = [*TEXTS, *PAYLOADS, *HEADERS, *SIGNATURES, *ISSUERS, *AUDIENCES, *TIMES, *CLAIMS, *PUBLISHERS]


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector.about)
def test_hostile_token_is_refused_with_its_code(shared_app: PublishingApp, vector: Vector) -> None:
    """The response is one line of JSON without any of the channel's configuration (exchange invariants 1 and 3)."""
    response = shared_app.mint(vector.make())

    assert vector.code is not None
    assert (vector.code.status, vector.code.value) == (response.status_code, response.json()["code"])
    assert {"code", "message"} == set(response.json())
    assert "\n" not in response.text
    assert len(response.text) < 512


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector.about)
def test_valid_token_is_exchanged(shared_app: PublishingApp, vector: Vector) -> None:
    """The complete body is a token that can read the private channel (case 53)."""
    response = shared_app.mint(vector.make())

    assert 200 == response.status_code, response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.startswith("swy-tp-")
    assert 200 == shared_app.read_status("harbour", response.text)


def test_vectors_are_unique_and_cover_every_code() -> None:
    """Codes that do not depend on the token alone are tested elsewhere."""
    names = [vector.about for vector in (*REFUSED, *ACCEPTED)]
    tested_elsewhere = {
        Code.MALFORMED_REQUEST, Code.NOT_ENABLED, Code.ISSUER_UNAVAILABLE, Code.REUSED_TOKEN, Code.TOO_MANY, Code.UNAVAILABLE,
    }  # fmt: skip

    assert len(names) == len(set(names))
    assert len(REFUSED) > 200
    assert set(Code) - tested_elsewhere == {vector.code for vector in REFUSED}


def valid_token() -> str:
    return token(github(NOW))


@pytest.mark.parametrize(
    "claims",
    [
        other_github("acme/deploys", environment="staging"),
        other_github("acme/pinned", repository_owner_id="7", repository_id="8"),
        github_at_ref("acme/tags", "refs/heads/other"),
        other_github("acme/reuser", job_workflow_ref=REUSABLE.replace("v1", "v2")),
        other_github("acme/tools", **workflow_ref(f"{_WORKFLOWS}/other.yml@{REF}")),
    ],
    ids=["environment", "ids", "refs", "reusable workflow", "file"],
)
def test_refusal_quotes_the_token_and_not_the_publisher(shared_app: PublishingApp, claims: dict[str, Any]) -> None:
    """It contains neither channel names nor anything that a publisher requires (case 60)."""
    message = shared_app.mint(token(github(NOW, **claims))).json()["message"]
    secret_words = ("harbour", "production", "1001", "2002", "refs/tags/v*", "publish.yml@refs/tags/v1", "release.yml")
    quoted = " ".join(claims.values())

    assert claims["repository"] in message or claims["job_workflow_ref"] in message
    assert [] == [word for word in secret_words if word in message.lower() and word not in quoted]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"token", JSON, 400),
        (b'["a.b.c"]', JSON, 400),
        (b"{}", JSON, 400),
        (b'{"token":null}', JSON, 400),
        (b'{"token":["a.b.c"]}', JSON, 400),
        (b'{"token":1}', JSON, 400),
        (b'{"token":"a.b.c","token":"d.e.f"}', JSON, 400),
        (b'{"token":"\xff"}', JSON, 400),
        (b'{"token":"a.b.c","x":NaN}', JSON, 400),
        (b'{"token":"' + b"a" * 50_000 + b'"}', JSON, 413),
        (b'{"token":"a.b.c"}', {"Content-Type": "text/plain"}, 415),
        (b'{"token":"a.b.c"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"token":"a.b.c"}', {"Content-Type": "application/jsonx"}, 415),
        (b'{"token":"a.b.c"}', {}, 415),
    ],
)
def test_malformed_request_is_refused(
    shared_app: PublishingApp, body: bytes, headers: dict[str, str], status: int
) -> None:
    """The request format is checked first, and all its refusals have one code."""
    response = shared_app.request("POST", MINT, content=body, headers=headers)

    assert (status, "malformed-request") == (response.status_code, response.json()["code"])


def test_content_type_can_have_a_charset(shared_app: PublishingApp) -> None:
    body = json.dumps({"token": valid_token()}).encode()

    assert (
        200
        == shared_app.request(
            "POST", MINT, content=body, headers={"Content-Type": "application/json; charset=utf-8"}
        ).status_code
    )


def test_audience_does_not_depend_on_the_host_header(shared_app: PublishingApp) -> None:
    """A token for another server is refused even if `Host` names that server (case 55)."""
    text = token(github(NOW, aud="other.example"))
    response = shared_app.request("POST", MINT, json={"token": text}, headers={"Host": "other.example"})

    assert "invalid-audience" == response.json()["code"]
