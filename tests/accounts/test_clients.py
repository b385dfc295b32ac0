"""The tools that can be logged in: which scope comes of which words, and where a code may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.callers.caller import Mode
from seaway.oauth import clients


@pytest.mark.parametrize(
    ("asked", "scope", "mode"),
    [
        pytest.param("openid profile offline_access", "openid profile offline_access channel:read channel:upload", Mode.READ_WRITE, id="as rattler asks any host"),
        pytest.param("", "channel:read channel:upload", Mode.READ_WRITE, id="nothing"),
        pytest.param("channel:read", "channel:read", Mode.READ, id="only reading"),
        pytest.param("channel:delete openid", "openid channel:delete", Mode.READ_WRITE_DELETE, id="deleting"),
        pytest.param("email channel:read  channel:read", "channel:read", Mode.READ, id="words of others, and one twice"),
    ],
)  # fmt: skip
def test_scopes(asked: str, scope: str, mode: Mode) -> None:
    """Generic scopes alone get what a login is for; channel scopes narrow or widen it."""
    assert scope == clients.granted(asked)
    assert mode is clients.mode_of(scope)


def test_a_misspelt_channel_scope_is_refused() -> None:
    """It would open something else than was meant."""
    assert clients.granted("channel:uplaod") is None


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:43211", "http://127.0.0.1:43211/", "http://127.0.0.1/callback", "http://[::1]:5/x"]
)
def test_a_code_goes_to_the_loopback_at_any_port(uri: str) -> None:
    """As rattler listens: a free port, with no path."""
    assert clients.is_loopback(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://evil.example",
        "https://127.0.0.1:1",
        "http://localhost:1",  # a name, which something else may resolve (RFC 8252, 8.3)
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1:1@evil.example",
        "http://evil.example@127.0.0.1:1",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1:1/#x",
        "http://127.0.0.1:1/?next=x",
        "http://127.0.0.1:99999999/",
        "http://127.0.0.1:1/\r\nLocation: http://evil.example",
        "http://[::1%25eth0]:1/",
        "http://10.0.0.1:1/",
        "//127.0.0.1:1",
        "javascript:alert(1)//127.0.0.1",
    ],
)
def test_a_code_goes_nowhere_else(uri: str) -> None:
    """Whatever could lead it to another machine is refused."""
    assert not clients.is_loopback(uri)


@given(st.text())
def test_any_text_is_an_answer_and_not_an_error(text: str) -> None:
    """Everything here is told by strangers."""
    assert clients.is_loopback(text) in (True, False)
    assert clients.is_challenge(text) in (True, False)
    assert clients.granted(text) is None or clients.mode_of(clients.granted(text) or "") in Mode
