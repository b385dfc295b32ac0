"""Property-based tests of the token parser."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.oidc import jwt
from seaway.oidc.jwt import BadToken
from seaway.trusted_publishing.issuers import RULES
from tests.support.issuer import b64

HEADER = b64(b'{"alg":"RS256","kid":"k"}')
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


def token_text(claims: object) -> str:
    return f"{HEADER}.{b64(json.dumps(claims).encode())}.AAAA"


@given(st.text() | st.from_regex(r"[A-Za-z0-9_=.-]{0,200}") | st.binary().map(lambda raw: f"{HEADER}.{b64(raw)}.AAAA"))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Invariants 1 and 2: no other exception is raised, and a parsed token keeps its exact text."""
    try:
        token = jwt.read(text, RULES)
    except BadToken:
        return
    assert text == token.text
    assert 2 == text.count(".")


@given(json_objects)
def test_claims_are_parsed_unchanged(claims: dict[str, object]) -> None:
    assert claims == jwt.read(token_text(claims), RULES).claims


@given(json_objects.filter(bool), st.data())
def test_token_has_one_encoding(claims: dict[str, object], data: st.DataObject) -> None:
    """Invariant 1: of texts that differ in one character, at most one decodes to the same bytes."""
    text = token_text(claims)
    position = data.draw(st.integers(0, len(text) - 1))
    changed_text = text[:position] + data.draw(st.sampled_from("AQgwBC-_+/=. \n")) + text[position + 1 :]
    try:
        read = jwt.read(changed_text, RULES)
    except BadToken:
        return
    same = [jwt._decoded(part) for part in read.text.split(".")] == [jwt._decoded(part) for part in text.split(".")]
    assert same == (changed_text == text)


@given(json_objects.filter(bool), json_values, st.data())
def test_repeated_member_is_refused(claims: dict[str, object], value: object, data: st.DataObject) -> None:
    """Invariant 2: also if the name is escaped differently."""
    name = data.draw(st.sampled_from(sorted(claims)))
    repeated_member = f"{json.dumps(name, ensure_ascii=data.draw(st.booleans()))}:{json.dumps(value)}"
    content = json.dumps(claims)[:-1] + "," + repeated_member + "}"

    with pytest.raises(BadToken):
        jwt._object(content.encode())


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_as_object_or_refused(content: bytes) -> None:
    try:
        assert isinstance(jwt._object(content), dict)
    except BadToken:
        return


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    assert {"a": "[" * 100} == jwt._object(json.dumps({"a": "[" * 100}).encode())
    assert {"a": '"[\\' * 50} == jwt._object(json.dumps({"a": '"[\\' * 50}).encode())
