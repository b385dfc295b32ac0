"""Which keys of a key set are used, and by which tokens."""

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey

from seaway.oidc.jwks import BadKeySet, key_ids, read_keys, select_key
from seaway.oidc.jwt import TokenRules
from seaway.trusted_publishing.issuers import RULES
from tests.support import issuer as support
from tests.support.issuer import jwk

SIGN_IN = TokenRules(frozenset({"RS256", "ES256"}), requires_kid=False, whole_seconds=False, leeway_ms=0)
EC = ECKey.generate_key("P-256", {"use": "sig", "kid": "ec"}).as_dict(private=False)
EC_384 = ECKey.generate_key("P-384", {"use": "sig", "kid": "ec-384"}).as_dict(private=False)


LEFT_OUT: dict[str, dict[str, Any]] = {
    "for encryption": jwk("k", use="enc"),
    "for another algorithm": jwk("k", alg="RS512"),
    "for an algorithm that is none": jwk("k", alg="none"),
    "symmetric": {"kty": "oct", "kid": "k", "k": "c2VjcmV0"},
    "elliptic": {"kty": "EC", "kid": "k", "crv": "P-256", "x": "AA", "y": "AA"},
    "without a name": jwk("k", kid=...),
    "with a number for a name": jwk("k", kid=1),
    "with an empty name": jwk("k", kid=""),
    "of 1,024 bits": jwk("k", 1024),
    "without a modulus": jwk("k", n=...),
    "with a modulus that is none": jwk("k", n="!"),
    "with the exponent 1": jwk("k", e="AQ"),
    "with an even exponent": jwk("k", e="AQAC"),
    "of 16,384 bits": jwk("k", n=support.b64(b"\xff" * 2048)),
}


@pytest.mark.parametrize("left_out", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_keys_that_are_not_for_us_are_left_out(left_out: dict[str, Any]) -> None:
    """Beside a good one they do no harm; alone they are no set."""
    assert ["key-1"] == key_ids(read_keys(json.dumps({"keys": [left_out, jwk("key-1")]}), RULES))
    with pytest.raises(BadKeySet):
        read_keys(json.dumps({"keys": [left_out]}), RULES)


@pytest.mark.parametrize(
    "left_out",
    [
        jwk("k", 1024), jwk("k", e="AQ"), jwk("k", n=support.b64(b"\xff" * 2048)), jwk("k", use="enc"),
        jwk("k", alg="RS512"), EC_384, EC | {"x": "AA", "kid": "k"}, EC | {"kid": 1}, EC | {"crv": "unknown", "kid": "k"},
    ],
)  # fmt: skip
def test_sign_in_leaves_out_the_same_keys(left_out: dict[str, Any]) -> None:
    """The limits of RSA keys are the same for every user; curves that no allowed algorithm has are left out."""
    assert ["ec"] == key_ids(read_keys(json.dumps({"keys": [left_out, EC | {"alg": "ES256"}]}), SIGN_IN))
    with pytest.raises(BadKeySet):
        read_keys(json.dumps({"keys": [left_out]}), SIGN_IN)


def test_a_key_is_selected_by_its_id_and_algorithm() -> None:
    """Without an ID, a token is signed by the only key that fits its algorithm; a curve key never checks RSA."""
    keys = read_keys(json.dumps({"keys": [jwk("key-1"), jwk("key-2", kid=...), EC]}), SIGN_IN)
    assert ("key-1", "ec", "ec") == tuple(
        found.kid for found in (select_key(keys, "RS256", "key-1"), select_key(keys, "ES256", "ec"), select_key(keys, "ES256", None))
        if found is not None
    )  # fmt: skip
    assert [None] * 4 == [
        select_key(keys, *named) for named in (("RS256", None), ("RS256", "ec"), ("ES256", "key-1"), ("RS512", "key-1"))
    ]


def test_a_key_id_belongs_to_one_key() -> None:
    """Otherwise it would not be clear which key signed."""
    with pytest.raises(BadKeySet, match="same key ID"):
        read_keys(json.dumps({"keys": [EC, EC]}), SIGN_IN)


def test_what_a_key_may_leave_out() -> None:
    """`use` and `alg` may be missing; a private half that stands there is not taken."""
    text = json.dumps({"keys": [jwk("key-1", use=..., alg=..., d="AAAA", x5c=["x"])]})

    (key,) = read_keys(text, RULES)
    assert not key.is_private
