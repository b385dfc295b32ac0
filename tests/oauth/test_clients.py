"""OAuth clients: granted scopes and allowed redirect URIs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.callers.caller import Mode
from seaway.oauth import clients


@pytest.mark.parametrize(
    ("requested", "scope", "mode"),
    [
        pytest.param("openid profile offline_access", "openid profile offline_access channel:read channel:upload", Mode.READ_WRITE, id="default scopes of rattler"),
        pytest.param("", "channel:read channel:upload", Mode.READ_WRITE, id="empty"),
        pytest.param("channel:read", "channel:read", Mode.READ, id="read only"),
        pytest.param("channel:delete openid", "openid channel:delete", Mode.READ_WRITE_DELETE, id="delete"),
        pytest.param("email channel:read  channel:read", "channel:read", Mode.READ, id="unknown scope and a duplicate"),
    ],
)  # fmt: skip
def test_granted_scopes_and_mode(requested: str, scope: str, mode: Mode) -> None:
    """Requests without channel scopes get the default ones; channel scopes narrow or widen the grant."""
    assert scope == clients.granted(requested)
    assert mode is clients.mode_of(scope)


def test_misspelled_channel_scope_is_refused() -> None:
    """Ignoring it would grant another scope than the one requested."""
    assert clients.granted("channel:uplaod") is None


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:43211", "http://127.0.0.1:43211/", "http://127.0.0.1/callback", "http://[::1]:5/x"]
)
def test_loopback_redirect_uri_is_allowed_at_any_port(uri: str) -> None:
    """rattler listens on a free port and redirects to the root path."""
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
def test_other_redirect_uris_are_refused(uri: str) -> None:
    """The authorization code must never reach another machine."""
    assert not clients.is_loopback(uri)


@given(st.text())
def test_arbitrary_text_raises_no_error(text: str) -> None:
    """All of these values come from unauthenticated clients."""
    assert clients.is_loopback(text) in (True, False)
    assert clients.is_challenge(text) in (True, False)
    assert clients.granted(text) is None or clients.mode_of(clients.granted(text) or "") in Mode
