"""Messages that report an action on the next page: signed, shown once, with an Undo button that fits in a cookie."""

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from seaway.web import page_message
from seaway.web.page_message import Message, Undo
from tests.web.http_browser import HttpBrowser

_TEXT = st.text(st.characters(codec="utf-8"), max_size=400)


@given(
    _TEXT, st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), st.lists(_TEXT, max_size=3), max_size=3)
)
def test_signed_messages_are_read_again_unless_undo_is_too_large(text: str, fields: dict[str, list[str]]) -> None:
    value = page_message.signed(Message(text, Undo("/act", fields)), "key")
    assert len(value) <= 3_500
    found = page_message.verified(value, "key")
    assert found in (Message(text, Undo("/act", fields)), Message(text))


@given(st.text(max_size=200))
def test_other_values_are_no_messages(value: str) -> None:
    """Invariant 1."""
    assert page_message.verified(value, "key") is None
    assert page_message.verified(page_message.signed(Message(value), "another key"), "key") is None


def test_message_is_shown_once_and_only_to_its_session(
    browser: HttpBrowser, new_browser: Callable[[], HttpBrowser], ada: str
) -> None:
    """Invariants 1 and 2."""
    browser.sign_in(ada)
    browser.get("/account")
    assert 303 == browser.send("/account", display_name="Ada").status_code
    value = browser.cookies["__Host-seaway_message"]
    stranger = new_browser()
    stranger.cookies.set("__Host-seaway_message", value, domain="conda.example.com", path="/")
    assert 'role="status" data-message' not in stranger.get("/channels").text
    assert re.search(
        r'class="message good" role="status" data-message>.*?<p>[^<]+</p>', browser.get("/account").text, re.S
    )
    assert 'role="status" data-message' not in browser.get("/account").text


def test_signing_out_is_reported(browser: HttpBrowser, ada: str) -> None:
    browser.sign_in(ada)
    browser.get("/account")
    assert 303 == browser.send("/signout").status_code
    assert "You are signed out." in browser.get("/").text
