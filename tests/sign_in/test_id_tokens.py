"""ID token verification: valid tokens and every kind of invalid one (case 23)."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from seaway.errors import NotAllowed
from seaway.oidc.jwks import BadKeySet, read_keys, select_key
from seaway.oidc.jwt import InvalidToken, ParsedToken
from seaway.sign_in.id_tokens import rules_of, verified
from seaway.sign_in.identity_providers import LoginProtocol, Provider

NOW = 1_800_000_000
NOW_MS = NOW * 1000
ISSUER = "https://login.example.com"
PROVIDER = Provider(
    "corp", "Corp", LoginProtocol.OPENID, ISSUER, "our-client", "our-secret-our-secret-our-secret-", ("RS256", "ES256")
)
KEY = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
EC = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
OTHER = RSAKey.generate_key(2048, {"kid": KEY.kid})
DOCUMENT = {"keys": [KEY.as_dict(private=False), EC.as_dict(private=False)]}
SHORT = {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xc3" * 127 + b"\x01").decode().rstrip("=")}


def keys_of(document: Any) -> Sequence[Key]:
    return read_keys(json.dumps(document), rules_of(PROVIDER))


KEYS = keys_of(DOCUMENT)
NONCE = "the-nonce"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "aud": "our-client", "sub": "4711", "nonce": NONCE, "iat": NOW, "exp": NOW + 300,
}  # fmt: skip
ANY = jws.JWSRegistry(algorithms=["RS256", "RS512", "HS256", "ES256"], strict_check_header=False)


def signed(claims: dict[str, Any] | bytes, *, key: Any = KEY, **header: Any) -> str:
    content = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    named = {"alg": "RS256", "kid": KEY.kid, **header}
    return jws.serialize_compact({k: v for k, v in named.items() if v is not None}, content, key, registry=ANY)


def changed(**changes: Any) -> str:
    """Return the valid token with other claims; None removes a claim."""
    return signed({name: value for name, value in {**CLAIMS, **changes}.items() if value is not None})


def check(text: str, keys: Sequence[Key] = KEYS, access_token: object = None) -> Any:
    return verified(
        text, lambda token: find(keys, token), PROVIDER, nonce=NONCE, access_token=access_token, now_ms=NOW_MS
    )


def find(keys: Sequence[Key], token: ParsedToken) -> Key:
    key = select_key(keys, token.algorithm, token.kid)
    if key is None:
        raise InvalidToken("has an unknown key")
    return key


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(signed(CLAIMS), id="valid"),
        pytest.param(signed(CLAIMS, key=EC, alg="ES256", kid=EC.kid), id="signed with an elliptic curve key"),
        pytest.param(signed(CLAIMS, kid=None), id="no kid, one matching key"),
        pytest.param(changed(aud=["our-client"]), id="audience as a list"),
        pytest.param(changed(aud=["our-client", "other"], azp="our-client"), id="two audiences, azp is this client"),
        pytest.param(changed(exp=NOW - 59), id="expired within the leeway"),
        pytest.param(changed(iat=NOW + 59.5), id="issued by a clock that is ahead"),
    ],
)
def test_valid_token_identifies_the_user(text: str) -> None:
    assert "4711" == check(text)["sub"]


# The example of OpenID Connect Core, A.3; the hash for ES256 is the same, since it uses SHA-256 as well.
ACCESS_TOKEN, AT_HASH = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"


def test_access_token_must_match_its_hash_in_the_id_token() -> None:
    """Otherwise the claims from the userinfo endpoint could come with another user's access token (3.1.3.8)."""
    text = changed(at_hash=AT_HASH)
    assert "4711" == check(text, access_token=ACCESS_TOKEN)["sub"] == check(text)["sub"]
    assert "4711" == check(changed(), access_token=ACCESS_TOKEN)["sub"]
    for at_hash in (AT_HASH[:-1], AT_HASH + "=", AT_HASH.swapcase(), "", 1, ["x"], "\u20ac"):
        with pytest.raises(NotAllowed, match="another access token"):
            check(changed(at_hash=at_hash), access_token=ACCESS_TOKEN)
    with pytest.raises(NotAllowed, match="another access token"):
        check(text, access_token="\u20ac")


HOSTILE: dict[str, Callable[[], str]] = {
    "other audience": lambda: changed(aud="other-client"),
    "audience missing": lambda: changed(aud=None),
    "audience that starts with this client id": lambda: changed(aud="our-client-2"),
    "audience as an object": lambda: changed(aud={"our-client": 1}),
    "two audiences without azp": lambda: changed(aud=["our-client", "other"]),
    "azp of another client": lambda: changed(azp="other"),
    "other nonce": lambda: changed(nonce="another"),
    "nonce missing": lambda: changed(nonce=None),
    "nonce as a list": lambda: changed(nonce=[NONCE]),
    "other issuer": lambda: changed(iss="https://login.example.org"),
    "issuer with a slash": lambda: changed(iss=ISSUER + "/"),
    "issuer missing": lambda: changed(iss=None),
    "issuer of workflows": lambda: changed(iss="https://token.actions.githubusercontent.com"),
    "expired": lambda: changed(exp=NOW - 60),
    "exp missing": lambda: changed(exp=None),
    "exp as text": lambda: changed(exp=str(NOW + 300)),
    "exp as true": lambda: changed(exp=True),
    "exp out of range": lambda: signed(json.dumps(CLAIMS).replace(str(NOW + 300), "1e400").encode()),
    "exp NaN": lambda: signed(json.dumps(CLAIMS).replace(str(NOW + 300), "NaN").encode()),
    "iat in the future": lambda: changed(iat=NOW + 120),
    "iat of last week": lambda: changed(iat=NOW - 7 * 86_400),
    "iat missing": lambda: changed(iat=None),
    "not valid yet": lambda: changed(nbf=NOW + 120),
    "sub missing": lambda: changed(sub=None),
    "sub empty": lambda: changed(sub=""),
    "sub as a number": lambda: changed(sub=4711),
    "sub too long": lambda: changed(sub="x" * 256),
    "sub with a line break": lambda: changed(sub="4711\n"),
    "alg none, with a signature": lambda: spliced({"alg": "none", "kid": KEY.kid}),
    "alg none, no signature": lambda: unsigned({"alg": "none"}),
    "alg nOnE": lambda: unsigned({"alg": "nOnE"}),
    "no alg": lambda: unsigned({}),
    "HS256 with the client secret": lambda: signed(CLAIMS, key=OctKey.import_key(PROVIDER.client_secret), alg="HS256"),
    "HS256 with the public key": lambda: signed(CLAIMS, key=OctKey.import_key(KEY.as_pem(private=False).hex()), alg="HS256"),
    "RS512, which is not allowed": lambda: signed(CLAIMS, alg="RS512"),
    "signed by another key": lambda: signed(CLAIMS, key=OTHER),
    "key in the header": lambda: signed(CLAIMS, key=OTHER, jwk=OTHER.as_dict(private=False)),
    "crit": lambda: spliced({"alg": "RS256", "kid": KEY.kid, "crit": ["exp"], "exp": 1}),
    "an access token": lambda: signed(CLAIMS, typ="at+jwt"),
    "signature missing": lambda: signed(CLAIMS).rpartition(".")[0] + ".",
    "signature of another token": lambda: ".".join([*changed(sub="1").split(".")[:2], signed(CLAIMS).split(".")[2]]),
    "two parts": lambda: ".".join(signed(CLAIMS).split(".")[:2]),
    "four parts": lambda: signed(CLAIMS) + ".x",
    "encrypted": lambda: signed(CLAIMS) + ".x.y",
    "a list": lambda: signed(b"[]"),
    "not JSON": lambda: signed(b"{"),
    "not UTF-8": lambda: signed(b'{"iss":"\xff"}'),
    "issuer twice": lambda: signed(json.dumps(CLAIMS).replace("{", '{"iss":"https://evil.example",', 1).encode()),
    "deeply nested": lambda: signed(b'{"a":' * 2_000 + b"1" + b"}" * 2_000),
    "very long": lambda: changed(filler="x" * 70_000),
    "empty": lambda: "",
    "not ASCII": lambda: "é.é.é",
}  # fmt: skip


def unsigned(header: dict[str, Any]) -> str:
    return f"{_part(header)}.{_part(CLAIMS)}."


def spliced(header: dict[str, Any]) -> str:
    """Return the claims and signature of the valid token with another header."""
    return f"{_part(header)}.{_part(CLAIMS)}.{signed(CLAIMS).split('.')[2]}"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_invalid_token_is_refused(make: Callable[[], str]) -> None:
    """The error message must not repeat the token's contents."""
    with pytest.raises(NotAllowed) as refused:
        check(make())
    assert "4711" not in str(refused.value)


def test_unknown_key_is_reported_as_unknown() -> None:
    """It may be a new key of the provider, so `oidc.key_sets` fetches the key set again."""
    with pytest.raises(NotAllowed, match="unknown key"):
        check(signed(CLAIMS, kid="next-year"))
    with pytest.raises(NotAllowed, match="unknown key"):
        check(signed(CLAIMS), keys=[])


def test_key_of_another_type_is_not_used() -> None:
    """An RS256 token never selects an elliptic curve key, even when its kid matches."""
    with pytest.raises(NotAllowed, match="unknown key"):
        check(signed(CLAIMS, kid=EC.kid))


def test_token_without_kid_is_refused_when_two_keys_match() -> None:
    two = keys_of({"keys": [KEY.as_dict(private=False), OTHER.as_dict(private=False) | {"kid": "b"}]})
    assert check(signed(CLAIMS), keys=two)
    with pytest.raises(NotAllowed):
        check(signed(CLAIMS, kid=None), keys=two)


@pytest.mark.parametrize(
    "document",
    [
        None, [], {}, {"keys": None}, {"keys": "x"}, {"keys": [1, None, {}]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]},
        {"keys": [KEY.as_dict(private=False) | {"use": "enc"}]},
        {"keys": [SHORT]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [{"kty": "EC", "crv": "unknown", "x": "AA", "y": "AA"}]},
    ],
)  # fmt: skip
def test_unusable_keys_are_ignored(document: Any) -> None:
    """A set of only shared secrets, short keys, encryption keys or malformed keys is refused."""
    with pytest.raises(BadKeySet):
        keys_of(document)


@settings(max_examples=300)
@given(st.text(max_size=300) | st.lists(st.text(max_size=60), min_size=3, max_size=3).map(".".join))
def test_arbitrary_text_is_refused_without_an_error(text: str) -> None:
    with pytest.raises(NotAllowed):
        check(text)


def test_workflow_token_cannot_sign_in_a_user() -> None:
    """A GitHub Actions token has no nonce from this server and another audience."""
    claims = {"iss": ISSUER, "aud": "conda.example.com", "sub": "repo:acme/tools:ref:refs/heads/main", "iat": NOW}
    with pytest.raises(NotAllowed):
        check(jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims | {"exp": NOW + 300}, KEY))
    assert check(signed(CLAIMS))
