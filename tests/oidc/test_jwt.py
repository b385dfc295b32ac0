"""The reader of tokens against everything that hypothesis can think of."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.oidc import jwt
from seaway.oidc.jwt import BadToken
from seaway.trusted_publishing.issuers import RULES
from tests.support.issuer import b64

HEADER = b64(b'{"alg":"RS256","kid":"k"}')
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(), values, max_size=5)


def text_of(claims: object) -> str:
    return f"{HEADER}.{b64(json.dumps(claims).encode())}.AAAA"


@given(st.text() | st.from_regex(r"[A-Za-z0-9_=.-]{0,200}") | st.binary().map(lambda raw: f"{HEADER}.{b64(raw)}.AAAA"))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Invariant 1 and 2: nothing else comes out, whatever goes in, and what is read is that very text."""
    try:
        token = jwt.read(text, RULES)
    except BadToken:
        return
    assert text == token.text
    assert 2 == text.count(".")


@given(objects)
def test_what_is_said_is_what_is_read(claims: dict[str, object]) -> None:
    """Honest JSON comes out as it went in."""
    assert claims == jwt.read(text_of(claims), RULES).claims


@given(objects.filter(bool), st.data())
def test_no_other_text_is_the_same_token(claims: dict[str, object], data: st.DataObject) -> None:
    """Invariant 1: of texts that differ by a character at most one can be read as these bytes."""
    text = text_of(claims)
    place = data.draw(st.integers(0, len(text) - 1))
    other = text[:place] + data.draw(st.sampled_from("AQgwBC-_+/=. \n")) + text[place + 1 :]
    try:
        read = jwt.read(other, RULES)
    except BadToken:
        return
    same = [jwt._decoded(part) for part in read.text.split(".")] == [jwt._decoded(part) for part in text.split(".")]
    assert same == (other == text)


@given(objects.filter(bool), values, st.data())
def test_no_member_comes_twice(claims: dict[str, object], value: object, data: st.DataObject) -> None:
    """Invariant 2: also not with another spelling of its name, wherever it stands."""
    name = data.draw(st.sampled_from(sorted(claims)))
    again = f"{json.dumps(name, ensure_ascii=data.draw(st.booleans()))}:{json.dumps(value)}"
    content = json.dumps(claims)[:-1] + "," + again + "}"

    with pytest.raises(BadToken):
        jwt._object(content.encode())


@given(st.binary(max_size=400))
def test_any_bytes_are_an_object_or_refused(content: bytes) -> None:
    """No bytes bring anything but an object or a refusal."""
    try:
        assert isinstance(jwt._object(content), dict)
    except BadToken:
        return


def test_brackets_in_texts_are_not_nesting() -> None:
    """What is counted is what recurses."""
    assert {"a": "[" * 100} == jwt._object(json.dumps({"a": "[" * 100}).encode())
    assert {"a": '"[\\' * 50} == jwt._object(json.dumps({"a": '"[\\' * 50}).encode())
