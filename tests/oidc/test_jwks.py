"""Choice of usable keys from a key set, and of the key for a token."""

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


UNUSABLE_KEYS: dict[str, dict[str, Any]] = {
    "for encryption": jwk("k", use="enc"),
    "for another algorithm": jwk("k", alg="RS512"),
    "for the algorithm none": jwk("k", alg="none"),
    "symmetric": {"kty": "oct", "kid": "k", "k": "c2VjcmV0"},
    "elliptic curve": {"kty": "EC", "kid": "k", "crv": "P-256", "x": "AA", "y": "AA"},
    "without an id": jwk("k", kid=...),
    "with a number as id": jwk("k", kid=1),
    "with an empty id": jwk("k", kid=""),
    "of 1,024 bits": jwk("k", 1024),
    "without a modulus": jwk("k", n=...),
    "with an invalid modulus": jwk("k", n="!"),
    "with the exponent 1": jwk("k", e="AQ"),
    "with an even exponent": jwk("k", e="AQAC"),
    "of 16,384 bits": jwk("k", n=support.b64(b"\xff" * 2048)),
}


@pytest.mark.parametrize("unusable_key", UNUSABLE_KEYS.values(), ids=UNUSABLE_KEYS.keys())
def test_unusable_keys_are_left_out(unusable_key: dict[str, Any]) -> None:
    """They do not invalidate the usable keys of a set; a set without usable keys is refused."""
    assert ["key-1"] == key_ids(read_keys(json.dumps({"keys": [unusable_key, jwk("key-1")]}), RULES))
    with pytest.raises(BadKeySet):
        read_keys(json.dumps({"keys": [unusable_key]}), RULES)


@pytest.mark.parametrize(
    "unusable_key",
    [
        jwk("k", 1024), jwk("k", e="AQ"), jwk("k", n=support.b64(b"\xff" * 2048)), jwk("k", use="enc"),
        jwk("k", alg="RS512"), EC_384, EC | {"x": "AA", "kid": "k"}, EC | {"kid": 1}, EC | {"crv": "unknown", "kid": "k"},
    ],
)  # fmt: skip
def test_unusable_keys_are_left_out_for_sign_in(unusable_key: dict[str, Any]) -> None:
    """The limits of RSA keys also apply to sign-in; curves of no allowed algorithm are left out."""
    assert ["ec"] == key_ids(read_keys(json.dumps({"keys": [unusable_key, EC | {"alg": "ES256"}]}), SIGN_IN))
    with pytest.raises(BadKeySet):
        read_keys(json.dumps({"keys": [unusable_key]}), SIGN_IN)


def test_key_is_selected_by_id_and_algorithm() -> None:
    """A token without a key ID gets the only key of its algorithm; an elliptic-curve key never verifies RSA."""
    keys = read_keys(json.dumps({"keys": [jwk("key-1"), jwk("key-2", kid=...), EC]}), SIGN_IN)
    assert ("key-1", "ec", "ec") == tuple(
        found.kid for found in (select_key(keys, "RS256", "key-1"), select_key(keys, "ES256", "ec"), select_key(keys, "ES256", None))
        if found is not None
    )  # fmt: skip
    assert [None] * 4 == [
        select_key(keys, *named) for named in (("RS256", None), ("RS256", "ec"), ("ES256", "key-1"), ("RS512", "key-1"))
    ]


def test_duplicate_key_id_is_refused() -> None:
    """Otherwise the signing key would be ambiguous."""
    with pytest.raises(BadKeySet, match="same key ID"):
        read_keys(json.dumps({"keys": [EC, EC]}), SIGN_IN)


def test_use_and_alg_are_optional() -> None:
    """A private part in the document is dropped."""
    text = json.dumps({"keys": [jwk("key-1", use=..., alg=..., d="AAAA", x5c=["x"])]})

    (key,) = read_keys(text, RULES)
    assert not key.is_private
