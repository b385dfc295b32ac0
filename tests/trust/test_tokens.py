"""
Hostile tokens over HTTP: every rule broken once, with the code and the status of its refusal; and honest ones.

A vector is what it changes of an honest token, or the text itself. The order of the table is the order of the checks.
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

from seaway.callers.caller import Mode
from seaway.trusted_publishing.issuer_kinds.github import GITHUB as GITHUB_KIND
from seaway.trusted_publishing.issuer_kinds.gitlab import GITLAB as GITLAB_KIND
from seaway.trusted_publishing.issuer_kinds.google import GOOGLE as GOOGLE_KIND
from seaway.trusted_publishing.issuer_kinds.issuer_kind import ClaimFormat, IssuerKind
from seaway.trusted_publishing.refusals import Code
from tests.support import issuer
from tests.support.clock import TurnedClock
from tests.support.issuer import b64, github, gitlab, google, jwk, signed, token
from tests.trust.conftest import GITHUB, GITLAB, GOOGLE, MINT, Trusting, trusting

NOW_MS = 1_800_000_000_000
NOW = NOW_MS // 1000
REF = "refs/heads/main"
REUSABLE = "acme/shared/.github/workflows/publish.yml@refs/tags/v1"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trusting]:
    """One house for the whole table; every token has a jti of its own, and the clock stands still."""
    with trusting(tmp_path_factory.mktemp("tokens"), TurnedClock(NOW_MS)) as made:
        made.people.channel("harbour", public=False)
        made.trust("harbour", "github", GITHUB)
        made.trust("harbour", "github", {**GITHUB, "repository": "deploys", "environment": "Production"})
        made.trust("harbour", "github", {**GITHUB, "repository": "tags"}, gates={"allowed_refs": ["refs/tags/v*", REF]})
        made.trust("harbour", "github", {**GITHUB, "repository": "hosted"}, gates={"require_hosted_runner": True})
        made.trust(
            "harbour", "github", {**GITHUB, "repository": "reuser"}, gates={"allowed_reusable_workflow": REUSABLE}
        )
        pins = {"owner_id": "1001", "repository_id": "2002"}
        made.trust("harbour", "github", {**GITHUB, "repository": "pinned"}, pins=pins)
        made.trust("harbour", "gitlab", GITLAB)
        made.trust("harbour", "gitlab", {**GITLAB, "project": "deploys", "environment": "Production"})
        made.trust("harbour", "gitlab", {**GITLAB, "project": "safe"}, gates={"require_protected_ref": True})
        made.trust("harbour", "gitlab", {**GITLAB, "project": "other", "workflow": "ci/publish.yml"})
        made.trust(
            "harbour", "gitlab", {**GITLAB, "project": "pinned"}, pins={"namespace_id": "31", "project_id": "32"}
        )
        made.trust("harbour", "google", GOOGLE, mode=Mode.READ)
        yield made


@dataclass(frozen=True)
class Vector:
    """A token, made when it is sent, and the code of its refusal; None when it is to be accepted."""

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
    """A token whose claims are these bytes."""
    claims = content if isinstance(content, bytes) else content.encode()
    return Vector(f"payload {about}", lambda: signed(b'{"alg":"RS256","kid":"key-1"}', claims, "key-1"), code)


def header(about: str, code: Code, content: str) -> Vector:
    """A token whose header is this text."""
    return Vector(f"header {about}", lambda: signed(content.encode(), json.dumps(github(NOW)).encode(), "key-1"), code)


def claims_text(**changes: Any) -> str:
    return json.dumps(github(NOW, **changes))


def parts(text: str) -> tuple[str, str, str]:
    one, two, three = text.split(".")
    return one, two, three


def with_other_end(text: str) -> str:
    """The same bytes with other bits behind the end of the signature."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def with_standard_alphabet(text: str) -> str:
    one, two, three = parts(text)
    padded = three + "=" * (-len(three) % 4)
    standard = base64.b64encode(base64.urlsafe_b64decode(padded)).decode().rstrip("=")
    return f"{one}.{two}.{'+' + standard[1:]}"


def hmac_with_public_key(_text: str) -> str:
    """Signed with HMAC and the public key as its secret, which a careless library would accept."""
    secret = issuer.key("key-1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = b'{"alg":"HS256","typ":"JWT","kid":"key-1"}'
    text = f"{b64(head)}.{b64(claims_text().encode())}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def cut_short(text: str) -> str:
    start, _, signature = text.rpartition(".")
    return f"{start}.{b64(base64.urlsafe_b64decode(signature + '==')[:-1])}"


M, I, C = Code.MALFORMED_TOKEN, Code.INVALID_TOKEN, Code.INVALID_CLAIM  # noqa: E741
P, X, A = Code.INVALID_PUBLISHER, Code.MISSING_CLAIM, Code.INVALID_AUDIENCE
OTHER = Code.OTHER_IDS
U, E, T = Code.UNKNOWN_ISSUER, Code.EXPIRED_TOKEN, Code.IMMATURE_TOKEN

TEXTS = [
    raw("empty", M, lambda _: ""),
    raw("one part", M, lambda text: text.split(".")[0]),
    raw("two parts", M, lambda text: text.rpartition(".")[0]),
    raw("four parts", M, lambda text: text + ".AAAA"),
    raw("five parts, encrypted", M, lambda text: text + ".AAAA.BBBB"),
    raw("an empty header", M, lambda text: "." + ".".join(parts(text)[1:])),
    raw("an empty payload", M, lambda text: f"{parts(text)[0]}..{parts(text)[2]}"),
    raw("an empty signature", M, lambda text: text.rpartition(".")[0] + "."),
    raw("blank before", M, lambda text: " " + text),
    raw("line break after", M, lambda text: text + "\n"),
    raw("tab within", M, lambda text: text.replace(".", ".\t", 1)),
    raw("NUL after", M, lambda text: text + "\0"),
    raw("a word before", M, lambda text: "Bearer " + text),
    raw("padded", M, lambda text: text + "=="),
    raw("padded payload", M, lambda text: "{}.{}=.{}".format(*parts(text))),
    raw("standard alphabet", M, with_standard_alphabet),
    raw("other bits behind the end", M, with_other_end),
    raw("an impossible length", M, lambda text: text + "A" * (5 - len(parts(text)[2]) % 4)),
    raw("letters beyond ASCII", M, lambda text: text[:-1] + "é"),
    raw("full width letters", M, lambda text: text[:-1] + "Ａ"),
]

PAYLOADS = [
    payload("not JSON", M, "claims"),
    payload("a list", M, "[]"),
    payload("a text", M, '"claims"'),
    payload("null", M, "null"),
    payload("a number", M, "1"),
    payload("cut short", M, claims_text()[:-1]),
    payload("followed by more", M, claims_text() + "{}"),
    payload("UTF-16", M, claims_text().encode("utf-16")),
    payload("UTF-8 with a mark", M, b"\xef\xbb\xbf" + claims_text().encode()),
    payload("not UTF-8", M, claims_text().encode()[:-1] + b',"x":"\xff"}'),
    payload("overlong UTF-8", M, claims_text().encode()[:-1] + b',"x":"\xc0\xaf"}'),
    payload("iss twice", M, claims_text()[:-1] + ',"iss":"https://gitlab.com"}'),
    payload("aud twice", M, '{"aud":"other",' + claims_text()[1:]),
    payload("exp twice, equal", M, claims_text()[:-1] + f',"exp":{NOW + 295}}}'),
    payload("a member twice, escaped once", M, claims_text()[:-1] + ',"\\u0069ss":"https://gitlab.com"}'),
    payload("a member twice within", M, claims_text()[:-1] + ',"x":{"a":1,"a":1}}'),
    payload("NaN", M, claims_text()[:-1] + ',"x":NaN}'),
    payload("Infinity", M, '{"exp":Infinity}'),
    payload("minus Infinity", M, '{"nbf":-Infinity}'),
    payload("15,000 deep", M, '{"x":' + "[" * 15_000 + "]" * 15_000 + "}"),
    payload("33 deep", M, claims_text()[:-1] + ',"x":' + "[" * 32 + "]" * 32 + "}"),
    payload("a lone surrogate", M, claims_text()[:-1] + ',"x":"\\ud800"}'),
    payload("a number of 5,000 digits", M, claims_text()[:-1] + ',"x":1' + "0" * 5_000 + "}"),
    payload("single quotes", M, "{'iss':'x'}"),
    payload("a comma too many", M, claims_text()[:-1] + ",}"),
    payload("a comment", M, claims_text() + "//"),
]

HEADERS = [
    header("a list", M, '["RS256"]'),
    header("alg twice", M, '{"alg":"none","alg":"RS256","kid":"key-1"}'),
    header("kid twice", M, '{"alg":"RS256","kid":"key-1","kid":"key-2"}'),
    header("not JSON", M, "RS256"),
    of_github("alg none", I, head={"alg": "none"}),
    of_github("alg None", I, head={"alg": "None"}),
    of_github("alg HS256", I, head={"alg": "HS256"}),
    raw("HS256 with the public key", I, hmac_with_public_key),
    of_github("alg RS512", I, head={"alg": "RS512"}),
    of_github("alg PS256", I, head={"alg": "PS256"}),
    of_github("alg ES256", I, head={"alg": "ES256"}),
    of_github("alg in small letters", I, head={"alg": "rs256"}),
    of_github("alg missing", I, head={"alg": ...}),
    of_github("alg null", I, head={"alg": None}),
    of_github("alg a list", I, head={"alg": ["RS256"]}),
    of_github("crit", I, head={"crit": ["exp"]}),
    of_github("crit empty", I, head={"crit": []}),
    of_github("b64 false", I, head={"b64": False, "crit": ["b64"]}),
    of_github("b64 true", I, head={"b64": True}),
    of_github("typ at+jwt", I, head={"typ": "at+jwt"}),
    of_github("typ JWS", I, head={"typ": "JWS"}),
    of_github("typ null", I, head={"typ": None}),
    of_github("typ a number", I, head={"typ": 1}),
    of_github("kid missing", I, head={"kid": ...}),
    of_github("kid null", I, head={"kid": None}),
    of_github("kid empty", I, head={"kid": ""}),
    of_github("kid a number", I, head={"kid": 1}),
    of_github("kid of 257 characters", I, head={"kid": "k" * 257}),
    of_github("kid a path", I, head={"kid": "../../dev/null"}),
    of_github("kid SQL", I, head={"kid": "' OR 1=1 --"}),
    of_github("kid unknown", I, head={"kid": "key-9"}),
    of_github("another key's kid", I, head={"kid": "github-2"}),
    of_gitlab("a kid that only GitHub has", I, head={"kid": "github-2"}),
]

SIGNATURES = [
    Vector("signed with a stranger's key", lambda: token(github(NOW), name="stranger", header={"kid": "key-1"}), I),
    Vector(
        "signed with the key in its header",
        lambda: token(github(NOW), name="stranger", header={"kid": "key-1", "jwk": jwk("stranger")}),
        I,
    ),
    Vector(
        "signed with the key at its address",
        lambda: token(github(NOW), name="stranger", header={"kid": "key-1", "jku": "http://127.0.0.1:1/keys"}),
        I,
    ),
    Vector("of GitLab, signed by GitHub's key", lambda: token(gitlab(NOW), name="github-2"), I),
    Vector("of GitHub, signed by GitLab's key", lambda: token(github(NOW), name="gitlab-2"), I),
    raw("signature of another token", I, lambda text: text.rpartition(".")[0] + "." + parts(token(gitlab(NOW)))[2]),
    raw("signature cut short", I, cut_short),
    raw("signature of zeros", I, lambda text: text.rpartition(".")[0] + "." + b64(bytes(256))),
    raw("signature of one byte", I, lambda text: text.rpartition(".")[0] + ".AA"),
    raw(
        "claims exchanged after signing",
        I,
        lambda text: f"{parts(text)[0]}.{b64(claims_text(repository='acme/other').encode())}.{parts(text)[2]}",
    ),
    raw(
        "header exchanged after signing",
        I,
        lambda text: b64(b'{"alg":"RS256","kid":"key-1"}') + text[text.index(".") :],
    ),
]

ISSUERS = [
    of_github("iss missing", U, iss=...),
    of_github("iss null", U, iss=None),
    of_github("iss a list", U, iss=["https://token.actions.githubusercontent.com"]),
    of_github("iss an object", U, iss={}),
    of_github("iss with a slash", U, iss="https://token.actions.githubusercontent.com/"),
    of_github("iss with another case", U, iss="https://Token.actions.githubusercontent.com"),
    of_github("iss without a scheme", U, iss="token.actions.githubusercontent.com"),
    of_github("iss with http", U, iss="http://token.actions.githubusercontent.com"),
    of_github("iss with a port", U, iss="https://token.actions.githubusercontent.com:443"),
    of_github("iss of an enterprise", U, iss="https://token.actions.githubusercontent.com/acme"),
    of_github("iss with a blank", U, iss="https://token.actions.githubusercontent.com "),
    of_github("iss of a stranger", U, iss="https://issuer.example"),
    of_github("iss on this machine", U, iss="http://127.0.0.1:1"),
    of_github("iss of the cloud's machine", U, iss="http://169.254.169.254"),
    of_google("iss without a scheme", U, iss="accounts.google.com"),
    of_gitlab("iss with a slash", U, iss="https://gitlab.com/"),
]

AUDIENCES = [
    of_github("aud missing", A, aud=...),
    of_github("aud null", A, aud=None),
    of_github("aud empty", A, aud=""),
    of_github("aud a list of ours", A, aud=[issuer.AUDIENCE]),
    of_github("aud a list with ours", A, aud=[issuer.AUDIENCE, "pypi"]),
    of_github("aud an address", A, aud=f"https://{issuer.AUDIENCE}"),
    of_github("aud with a slash", A, aud=f"{issuer.AUDIENCE}/"),
    of_github("aud with a port", A, aud=f"{issuer.AUDIENCE}:443"),
    of_github("aud with a dot", A, aud=f"{issuer.AUDIENCE}."),
    of_github("aud in capitals", A, aud=issuer.AUDIENCE.upper()),
    of_github("aud of a sub domain", A, aud=f"eu.{issuer.AUDIENCE}"),
    of_github("aud of the domain above", A, aud="example.com"),
    of_github("aud pypi", A, aud="pypi"),
    of_github("aud prefix.dev", A, aud="prefix.dev"),
    of_github("aud sigstore", A, aud="sigstore"),
    of_github("aud true", A, aud=True),
    of_github("aud a number", A, aud=0),
    of_gitlab("aud of GitLab itself", A, aud="https://gitlab.com"),
    of_google("aud of the sign-in client", A, aud="407408718192.apps.googleusercontent.com"),
]

TIMES = [
    of_github("exp missing", X, exp=...),
    of_github("iat missing", X, iat=...),
    of_github("exp null", C, exp=None),
    of_github("exp a text", C, exp=str(NOW + 300)),
    of_github("exp a float", C, exp=NOW + 300.5),
    of_github("exp true", C, exp=True),
    of_github("exp a list", C, exp=[NOW + 300]),
    of_github("iat a text", C, iat=str(NOW)),
    of_github("iat a float", C, iat=float(NOW)),
    of_github("iat false", C, iat=False),
    of_github("nbf a text", C, nbf=str(NOW)),
    of_github("nbf a float", C, nbf=float(NOW)),
    of_github("nbf null", C, nbf=None),
    of_github("exp as an exponent", C, exp=1.8e9 + 300),
    of_github("exp 10**400", M, exp=10**400),
    of_github("exp in milliseconds", C, exp=(NOW + 300) * 1000),
    of_github("iat minus 10**400", M, iat=-(10**400)),
    of_github("exp long ago", E, iat=NOW - 7200, nbf=NOW - 7200, exp=NOW - 3700),
    of_github("exp 30 s ago", E, exp=NOW - 30, iat=NOW - 300, nbf=NOW - 300),
    of_github("exp 0", E, exp=0),
    of_github("exp negative", C, exp=-1),
    of_github("exp negative, before iat", C, exp=-1, iat=-300, nbf=-300),
    of_gitlab("exp negative", C, exp=-1),
    of_google("exp negative", C, exp=-1),
    of_github("iat negative", C, iat=-1),
    of_github("nbf negative", C, nbf=-1),
    of_github("iat 31 s ahead", T, iat=NOW + 31, nbf=NOW, exp=NOW + 300),
    of_github("iat far ahead", T, iat=NOW + 3600, nbf=NOW, exp=NOW + 4000),
    of_github("nbf 31 s ahead", T, nbf=NOW + 31),
    of_github("nbf 10**400", M, nbf=10**400),
    of_github("exp before iat", C, iat=NOW + 20, exp=NOW + 10),
    of_github("exp at iat", C, iat=NOW, exp=NOW),
    of_github("an hour and a second long", C, iat=NOW - 10, exp=NOW - 10 + 3601),
    of_github("ten years long", C, exp=NOW + 315_360_000),
    of_gitlab("a day and a second long", C, iat=NOW - 10, exp=NOW - 10 + 86_401),
    of_google("71 minutes long", C, iat=NOW - 10, exp=NOW - 10 + 4_201),
]


def broken_claims(about: str, honest: Callable[..., dict[str, Any]], kind: IssuerKind) -> Iterator[Vector]:
    """Each required claim absent, null, of another type, empty, too long, and with control characters."""
    for name, form in kind.required.items():
        if form is ClaimFormat.TRUE:
            continue
        told = honest(NOW)[name]
        broken = {
            "missing": (X, ...),
            "null": (X, None),
            "a number": (C, 1001),
            "true": (C, True),
            "a list": (C, [told]),
            "an object": (C, {"value": told}),
            "empty": (X if form is ClaimFormat.TOKEN_ID else C, ""),
            "too long": (C, told + "1" * 1024),
            "with a line break": (C, told + "\n"),
            "with a tab before": (C, "\t" + told),
            "with NUL": (C, told + "\0"),
            "with DEL": (C, told + "\x7f"),
            "with a control of C1": (C, told + "\x85"),
        }
        for what, (code, value) in broken.items():
            make = partial(lambda changes: token(honest(NOW, **changes)), {name: value})
            yield Vector(f"{about} {name} {what}", make, code)


CLAIMS = [
    *broken_claims("github", github, GITHUB_KIND),
    *broken_claims("gitlab", gitlab, GITLAB_KIND),
    *broken_claims("google", google, GOOGLE_KIND),
    of_github("ref too long", C, ref="a" * 1025),
    of_github("sha with a line break", C, sha="6f" * 20 + "\n"),
    of_github("an id of 21 digits", C, repository_id="2" * 21),
    of_github("an id with a sign", C, repository_id="+2002"),
    of_github("an id with a blank", C, repository_id=" 2002"),
    of_github("an id in Arabic digits", C, repository_owner_id="١٠٠١"),
    of_github("an id in full width digits", C, repository_owner_id="１００１"),
    of_github("an id with an underscore", C, repository_owner_id="1_001"),
    of_github("an id in hexadecimal", C, repository_owner_id="0x3e9"),
    of_github("ref and sha missing", X, ref=..., sha=...),
    of_github("ref a number", C, ref=1),
    of_github("sha null", C, sha=None),
    of_github("environment a number", C, environment=1),
    of_github("environment a list", C, environment=["production"]),
    of_gitlab("ci_config_ref_uri null, as for a remote file", X, ci_config_ref_uri=None),
    of_gitlab("ci_config_ref_uri null with the sha", X, ci_config_ref_uri=None, ci_config_sha=None),
    of_google("email_verified missing", C, email_verified=...),
    of_google("email_verified a text", C, email_verified="true"),
    of_google("email_verified 1", C, email_verified=1),
    of_google("email_verified false", C, email_verified=False),
    of_google("email_verified null", C, email_verified=None),
    of_google("an account of a person", C, email="someone@gmail.com"),
    of_google("an account of a person of a company", C, email="someone@acme.example", hd="acme.example"),
    of_google("an address that only holds the ending", C, email="me@x.gserviceaccount.com.evil.example"),
    of_google("an address that ends in capitals", C, email="builder@acme.iam.GServiceAccount.com"),
    of_google("an address with two @", C, email="me@evil.example@x.gserviceaccount.com"),
    of_google("an address without a name", C, email="@acme.iam.gserviceaccount.com"),
    of_google("sub letters", C, sub="me"),
]


def other_github(repository: str, **changes: Any) -> dict[str, Any]:
    """The claims of another repository of the same owner."""
    file = f"{repository}/.github/workflows/release.yml@{REF}"
    return {"repository": repository, "workflow_ref": file, "job_workflow_ref": file, **changes}


def at_ref(repository: str, ref: str) -> dict[str, Any]:
    """The claims of a run at another ref."""
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
    """The claims of a project of the same name in another namespace."""
    path = f"{namespace}/tools"
    return {
        "project_path": path,
        "sub": f"project_path:{path}:ref_type:branch:ref:main",
        "ci_config_ref_uri": f"gitlab.com/{path}//.gitlab-ci.yml@{REF}",
    }


def workflow_ref(value: str) -> dict[str, Any]:
    return {"workflow_ref": value}


_PATH = "acme/tools/.github/workflows"

PUBLISHERS = [
    of_github("another repository", P, **other_github("acme/other")),
    of_github("another owner", P, **other_github("evil/tools", repository_owner="evil", repository_owner_id="9")),
    of_github("another owner id, once it is pinned", OTHER, **other_github("acme/pinned", repository_owner_id="1002")),
    of_github("another repository id, once it is pinned", OTHER, **other_github("acme/pinned", repository_id="2003")),
    of_github("an owner that is not the repository's", C, repository_owner="evil"),
    of_github("a repository that is not the owner's", C, **other_github("evil/tools")),
    of_github("an owner with the sign of Kelvin in one claim", C, repository_owner="ac\u212ae"),
    of_github("a repository without an owner", C, repository="tools"),
    of_github("a repository without a name", C, repository="acme/"),
    of_github("a repository with an empty owner", C, repository="/tools"),
    of_github("a repository in a folder", C, repository="acme/tools/x"),
    of_github("a repository with two slashes", C, repository="acme//tools"),
    of_github(
        "an owner that disagrees, by an event that strangers cause",
        C,
        repository_owner="evil",
        event_name="workflow_run",
    ),
    of_github("a repository with a longer name", P, **other_github("acme/tools2")),
    of_github("a repository with a letter that folds into ours", P, **other_github("acme/toolſ")),
    of_github("an owner with the sign of Kelvin", P, **other_github("acme/tooKs".replace("K", "\u212a"))),
    of_github("another file", P, **workflow_ref(f"{_PATH}/other.yml@{REF}")),
    of_github("another ending", P, **workflow_ref(f"{_PATH}/release.yaml@{REF}")),
    of_github("a file in capitals", P, **workflow_ref(f"{_PATH}/Release.yml@{REF}")),
    of_github("a file in a folder below", P, **workflow_ref(f"{_PATH}/x/release.yml@{REF}")),
    of_github("a file in another folder", P, **workflow_ref(f"acme/tools/other/release.yml@{REF}")),
    of_github("a file of another repository", P, **workflow_ref(f"evil/tools/.github/workflows/release.yml@{REF}")),
    of_github("a file at another ref", P, **workflow_ref(f"{_PATH}/release.yml@refs/heads/evil")),
    of_github("a file at no ref", P, **workflow_ref(f"{_PATH}/release.yml")),
    of_github("a file at an empty ref", P, **workflow_ref(f"{_PATH}/release.yml@")),
    of_github(
        "a file that ends like ours", P, **workflow_ref(f"{_PATH}/evil.yml@x/.github/workflows/release.yml@{REF}")
    ),
    of_github("a branch named like ours", P, **workflow_ref(f"{_PATH}/evil.yml@release.yml@{REF}")),
    of_github("no environment where one is wanted", P, **other_github("acme/deploys")),
    of_github("an empty environment where one is wanted", P, **other_github("acme/deploys", environment="")),
    of_github("another environment", P, **other_github("acme/deploys", environment="staging")),
    of_github("a longer environment", P, **other_github("acme/deploys", environment="production2")),
    of_github("a branch that may not", P, **at_ref("acme/tags", "refs/heads/other")),
    of_github("a tag that begins otherwise", P, **at_ref("acme/tags", "refs/tags/w1")),
    of_github("a runner of one's own", P, **other_github("acme/hosted", runner_environment="self-hosted")),
    of_github("a runner that is not told", P, **other_github("acme/hosted", runner_environment=...)),
    of_github("pull_request_target", Code.EVENT_NOT_ALLOWED, event_name="pull_request_target"),
    of_github("workflow_run", Code.EVENT_NOT_ALLOWED, event_name="workflow_run"),
    of_github("PULL_REQUEST_TARGET", Code.EVENT_NOT_ALLOWED, event_name="PULL_REQUEST_TARGET"),
    of_github("a workflow of a stranger", Code.REUSABLE_WORKFLOW_NOT_ALLOWED, job_workflow_ref=REUSABLE),
    of_github(
        "a workflow of a repository with a longer name",
        Code.REUSABLE_WORKFLOW_NOT_ALLOWED,
        job_workflow_ref=f"acme/tools2/.github/workflows/release.yml@{REF}",
    ),
    of_github("a workflow of nothing", Code.REUSABLE_WORKFLOW_NOT_ALLOWED, job_workflow_ref="release.yml"),
    of_github(
        "an allowed workflow at another ref",
        Code.REUSABLE_WORKFLOW_NOT_ALLOWED,
        **other_github("acme/reuser", job_workflow_ref=REUSABLE.replace("v1", "v2")),
    ),
    of_gitlab("another project", P, **other_gitlab("else")),
    of_gitlab("another namespace", P, **in_namespace("evil/team")),
    of_gitlab("the project of a group above", P, **in_namespace("acme")),
    of_gitlab("a project path that sub disagrees with", C, project_path="evil/team/tools"),
    of_gitlab("sub of another project", C, sub="project_path:evil/tools:ref_type:branch:ref:main"),
    of_gitlab("sub of a user", C, sub="user:acme/team/tools"),
    of_gitlab("sub that only begins so", C, sub="project_path:acme/team/tools2:ref:main"),
    of_gitlab("sub without a project", C, sub="project_path"),
    of_gitlab("a project without a namespace", C, project_path="tools", sub="project_path:tools:ref:main"),
    of_gitlab("a project with two slashes", C, project_path="acme//tools", sub="project_path:acme//tools:ref:main"),
    of_gitlab("another project id, once it is pinned", OTHER, **other_gitlab("pinned", project_id="33")),
    of_gitlab("another namespace id, once it is pinned", OTHER, **other_gitlab("pinned", namespace_id="30")),
    of_gitlab("another file", P, **other_gitlab("tools", "other.yml")),
    of_gitlab("a file of another project", P, ci_config_ref_uri=f"gitlab.com/evil/tools//.gitlab-ci.yml@{REF}"),
    of_gitlab("a file on another host", P, ci_config_ref_uri=f"evil.com/acme/team/tools//.gitlab-ci.yml@{REF}"),
    of_gitlab("a file at another ref", P, ci_config_ref_uri="gitlab.com/acme/team/tools//.gitlab-ci.yml@refs/heads/x"),
    of_gitlab("a file at no ref", P, ci_config_ref_uri="gitlab.com/acme/team/tools//.gitlab-ci.yml"),
    of_gitlab("a file with one slash", P, ci_config_ref_uri=f"gitlab.com/acme/team/tools/.gitlab-ci.yml@{REF}"),
    of_gitlab("another environment", P, **other_gitlab("deploys", environment="staging")),
    of_gitlab("an environment of another case", P, **other_gitlab("deploys", environment="production")),
    of_gitlab("no environment where one is wanted", P, **other_gitlab("deploys")),
    of_gitlab("a ref that is not protected", P, **other_gitlab("safe", ref_protected="false")),
    of_gitlab("a ref that is not told to be protected", P, **other_gitlab("safe", ref_protected=...)),
    of_gitlab("a boolean for a protected ref", P, **other_gitlab("safe", ref_protected=True)),
    of_google("another account", P, email="other@acme.iam.gserviceaccount.com"),
    of_google("an account in capitals", P, email="Builder@acme.iam.gserviceaccount.com"),
    of_google("an account that was made anew", OTHER, sub="113774264463038321965"),
]

ACCEPTED = [
    of_github("as it is"),
    of_github("without a type", head={"typ": ...}),
    of_github("with x5t and a key in its header that nobody looks at", head={"x5t": "abc", "jku": "http://127.0.0.1:1/"}),
    of_github("with a header that nobody knows", head={"x": 1}),
    of_github("signed with another of its issuer's keys", head={"kid": "key-1"}),
    of_github("in other case", **other_github("Acme/Tools", repository_owner="ACME")),
    of_github("at its commit", **workflow_ref(f"{_PATH}/release.yml@{'6f' * 20}")),
    of_github("without a ref", ref=..., **workflow_ref(f"{_PATH}/release.yml@{'6f' * 20}")),
    of_github("without a commit", sha=...),
    of_github("without a moment before which it is not good", nbf=...),
    of_github("expired 29 seconds ago", exp=NOW - 29, iat=NOW - 300),
    of_github("issued 30 seconds ahead", iat=NOW + 30, nbf=NOW + 30),
    of_github("an hour long", iat=NOW - 5, exp=NOW + 3595),
    of_github("with an environment that nobody asks for", environment="production"),
    of_github("with an empty environment", environment=""),
    of_github("with a subject of its organization's making", sub="repository_owner:acme"),
    of_github("with claims that nobody knows", x={"a": [1, 2.5, None]}, repo_property_team="blue"),
    of_github("by a workflow of its own repository", job_workflow_ref=f"{_PATH}/build.yml@{REF}"),
    of_github("started by hand", event_name="workflow_dispatch"),
    of_github("of its environment in other case", **other_github("acme/deploys", environment="PRODUCTION")),
    of_github("of a tag that may", **at_ref("acme/tags", "refs/tags/v1")),
    of_github("of a branch that may", **other_github("acme/tags")),
    of_github("on a hosted runner", **other_github("acme/hosted")),
    of_github("by the reusable workflow that may", **other_github("acme/reuser", job_workflow_ref=REUSABLE)),
    of_github("of the ids that were pinned", **other_github("acme/pinned")),
    of_gitlab("as it is"),
    of_gitlab("with a subject that goes on otherwise", sub="project_path:acme/team/tools"),
    of_gitlab("in other case", **other_gitlab("Tools")),
    of_gitlab("at its commit", ci_config_ref_uri=f"gitlab.com/acme/team/tools//.gitlab-ci.yml@{'7a' * 20}"),
    of_gitlab("of its environment", **other_gitlab("deploys", environment="Production")),
    of_gitlab("of a protected ref", **other_gitlab("safe")),
    of_gitlab("of a file of its own", **other_gitlab("other", "ci/publish.yml")),
    of_gitlab("of the ids that were pinned", **other_gitlab("pinned")),
    of_gitlab("a day long", exp=NOW - 5 + 86_400),
    of_gitlab("of a user of 200 groups", groups_direct=[f"group-{number:04}" + "x" * 80 for number in range(200)]),
    of_google("as it is"),
    of_google("with nbf", nbf=NOW - 5),
    of_google("70 minutes long", exp=NOW - 5 + 4_200),
]  # fmt: skip

REFUSED = [*TEXTS, *PAYLOADS, *HEADERS, *SIGNATURES, *ISSUERS, *AUDIENCES, *TIMES, *CLAIMS, *PUBLISHERS]


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector.about)
def test_a_hostile_token_is_refused_with_its_code(shared: Trusting, vector: Vector) -> None:
    """One line of JSON with the code, and nothing of what the channel has configured (exchange invariants 1 and 3)."""
    answer = shared.mint(vector.make())

    assert vector.code is not None
    assert (vector.code.status, vector.code.value) == (answer.status_code, answer.json()["code"])
    assert {"code", "message"} == set(answer.json())
    assert "\n" not in answer.text
    assert len(answer.text) < 512


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector.about)
def test_an_honest_token_is_exchanged(shared: Trusting, vector: Vector) -> None:
    """The whole body is a token that reads the private channel (case 53)."""
    answer = shared.mint(vector.make())

    assert 200 == answer.status_code, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("swy-tp-")
    assert 200 == shared.read("harbour", answer.text)


def test_the_table_is_large_and_says_nothing_twice() -> None:
    """Every code of a token's own refusal is in it."""
    names = [vector.about for vector in (*REFUSED, *ACCEPTED)]
    elsewhere = {
        Code.MALFORMED_REQUEST, Code.NOT_ENABLED, Code.ISSUER_UNAVAILABLE, Code.REUSED_TOKEN, Code.TOO_MANY, Code.UNAVAILABLE,
    }  # fmt: skip

    assert len(names) == len(set(names))
    assert len(REFUSED) > 200
    assert set(Code) - elsewhere == {vector.code for vector in REFUSED}


def honest() -> str:
    return token(github(NOW))


@pytest.mark.parametrize(
    "claims",
    [
        other_github("acme/deploys", environment="staging"),
        other_github("acme/pinned", repository_owner_id="7", repository_id="8"),
        at_ref("acme/tags", "refs/heads/other"),
        other_github("acme/reuser", job_workflow_ref=REUSABLE.replace("v1", "v2")),
        other_github("acme/tools", **workflow_ref(f"{_PATH}/other.yml@{REF}")),
    ],
    ids=["environment", "ids", "refs", "reusable workflow", "file"],
)
def test_a_refusal_tells_what_the_token_says_and_not_what_is_wanted(shared: Trusting, claims: dict[str, Any]) -> None:
    """Neither names of channels nor anything that a publisher asks for (case 60)."""
    message = shared.mint(token(github(NOW, **claims))).json()["message"]
    wanted = ("harbour", "production", "1001", "2002", "refs/tags/v*", "publish.yml@refs/tags/v1", "release.yml")
    own = " ".join(claims.values())

    assert claims["repository"] in message or claims["job_workflow_ref"] in message
    assert [] == [word for word in wanted if word in message.lower() and word not in own]


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
def test_a_request_in_another_form_is_refused(
    shared: Trusting, body: bytes, headers: dict[str, str], status: int
) -> None:
    """The form of the request comes first, and has one code for all."""
    answer = shared.ask("POST", MINT, content=body, headers=headers)

    assert (status, "malformed-request") == (answer.status_code, answer.json()["code"])


def test_the_type_may_say_its_letters(shared: Trusting) -> None:
    """Some clients add the encoding."""
    body = json.dumps({"token": honest()}).encode()

    assert (
        200
        == shared.ask(
            "POST", MINT, content=body, headers={"Content-Type": "application/json; charset=utf-8"}
        ).status_code
    )


def test_the_audience_is_ours_whatever_the_request_says(shared: Trusting) -> None:
    """A `Host` of another server does not make its tokens good here (case 55)."""
    text = token(github(NOW, aud="other.example"))
    answer = shared.ask("POST", MINT, json={"token": text}, headers={"Host": "other.example"})

    assert "invalid-audience" == answer.json()["code"]
