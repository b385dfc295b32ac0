"""
Message that reports an action on the page that follows it.

1. The message is in a cookie, signed with the CSRF token of the session or of the form mark, so that no other site can
   choose its text or what its Undo button does.
2. It is shown once: the page that shows it deletes the cookie.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

_MAX_TEXT = 400
_MAX_COOKIE = 3_500  # browsers keep cookies of up to 4,096 bytes


@dataclass(frozen=True, slots=True)
class Undo:
    """Button that posts a form which reverts the action."""

    action: str
    fields: Mapping[str, list[str]] = field(default_factory=dict)
    label: str = "Undo"


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence that names what was changed, and how to revert it or where the page shows it."""

    text: str
    undo: Undo | None = None
    is_change: bool = True  # False: nothing had to be changed
    link: tuple[str, str] | None = None  # label and address


def signed(message: Message, key: str) -> str:
    """Return the value of the cookie; without the Undo button if it would be too large for a cookie."""
    shown = replace(message, text=message.text[:_MAX_TEXT])
    value = _sign(msgspec.json.encode(shown), key)
    if len(value) <= _MAX_COOKIE or message.undo is None:
        return value
    return _sign(msgspec.json.encode(replace(shown, undo=None)), key)


def verified(value: str, key: str) -> Message | None:
    """Return the message in a cookie, or None if there is none or it was not signed with this key."""
    content, _, signature = value.partition(".")
    try:
        encoded = base64.urlsafe_b64decode(content.encode() + b"==")
        if not hmac.compare_digest(_signature(encoded, key).encode(), signature.encode()):
            return None
        return msgspec.json.decode(encoded, type=Message)
    except (ValueError, msgspec.MsgspecError):
        return None


def _sign(encoded: bytes, key: str) -> str:
    return f"{base64.urlsafe_b64encode(encoded).decode().rstrip('=')}.{_signature(encoded, key)}"


def _signature(encoded: bytes, key: str) -> str:
    digest = hmac.digest(key.encode(), b"message\0" + encoded, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
