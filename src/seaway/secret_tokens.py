"""
Secrets that clients send (API keys, sessions, links, tokens): creation, validation, hashing and masking.

A key is `swy-<kind>-` + 36 base62 characters (214 random bits) + 6 base62 characters of CRC-32.
It has no underscore and no dot: conda reads the token of `/t/<token>/` as `[a-zA-Z0-9-]*`, so any other character
would break the login and send the rest of the secret as part of a host name.
"""

import hashlib
import re
import secrets
import string
import zlib
from enum import Enum

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS = 36
_CHECK_CHARS = 6

_KEY_ANYWHERE = re.compile(r"(swy-[a-z]{1,4}-)[0-9A-Za-z]+")  # of every kind, including kinds of later versions
_TOKEN_IN_PATH = re.compile(r"(/t/)[^/\s\"']+")


class KeyKind(Enum):
    """Purpose of a secret; the value is part of its text."""

    USER = "u"  # an API key
    SESSION = "s"  # session cookie of a browser
    SIGN_IN_FLOW = "f"  # sign-in in progress
    LINK = "ln"  # link in an email
    WORKFLOW = "tp"  # issued in exchange for a workflow's token
    OAUTH_ACCESS = "oa"  # OAuth access token of a command-line tool
    OAUTH_REFRESH = "or"
    OAUTH_DEVICE = "od"  # device code of a tool that waits for the user's approval
    OAUTH_CODE = "oc"
    INVITATION = "inv"


_KINDS = "|".join(kind.value for kind in KeyKind)
_KEY = re.compile(rf"swy-({_KINDS})-([0-9A-Za-z]{{{_RANDOM_CHARS}}})([0-9A-Za-z]{{{_CHECK_CHARS}}})")


def new_key(kind: KeyKind) -> str:
    """Return a new secret, which is shown once and stored only as `digest(key)`."""
    body = "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARS))
    return f"swy-{kind.value}-{body}{_checksum(body)}"


def is_well_formed(key: str) -> bool:
    """Return whether `key` has the format and checksum of a key, to refuse garbage without a database query."""
    return kind_of(key) is not None


def kind_of(key: str) -> KeyKind | None:
    """Return the kind of a well-formed key, or None if it is malformed."""
    match = _KEY.fullmatch(key)
    return KeyKind(match[1]) if match is not None and _checksum(match[2]) == match[3] else None


def is_kind(kind: KeyKind, key: str) -> bool:
    """Return whether `key` is well-formed and of this kind."""
    return kind_of(key) is kind


def hash_key(key: str) -> bytes:
    """Return the hash of a key for storage. Plain SHA-256 is enough for 214 random bits."""
    return hashlib.sha256(key.encode()).digest()


def mask(text: str) -> str:
    """Mask the secrets in a text for logs, error pages and anything else that is stored."""
    if "swy-" not in text and "/t/" not in text:  # nearly always; this runs for each string of each log line
        return text
    return _TOKEN_IN_PATH.sub(r"\1***", _KEY_ANYWHERE.sub(r"\1***", text))


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    chars = []
    for _ in range(_CHECK_CHARS):
        value, rest = divmod(value, 62)
        chars.append(_BASE62[rest])
    return "".join(reversed(chars))
