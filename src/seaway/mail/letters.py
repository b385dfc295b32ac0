"""
Every letter that Seaway writes, in plain text and HTML; one function for each.

1. Nothing that a stranger typed freely stands in a letter: only names of users, channels and keys, addresses and
   links of ours. Otherwise Seaway could be made to send advertisements, or to lend its name to a fraud.
2. No secret stands in a subject, which screens and logs show.
3. A letter about security says what to do if it was not the reader who did it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

_STYLE = "font:16px/1.5 system-ui,sans-serif;color:#10243a;max-width:34em"


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to one person."""

    to: str
    subject: str
    text: str
    html: str


def verify(to: str, *, site_url: str, name: str, link: str) -> Letter:
    """To a new account, or a new address of one: prove that you read this."""
    return _letter(
        to,
        f"Verify your address for {_host(site_url)}",
        site_url,
        [f"The account {name} at {_host(site_url)} names this address as its own."],
        link=("Verify this address", link),
        after=["The link is good for 24 hours. If you do not know the account, do nothing."],
    )


def address_known(to: str, *, site_url: str, name: str) -> Letter:
    """To the owner of an address with which somebody signed up again."""
    return _letter(
        to,
        f"You have an account at {_host(site_url)} already",
        site_url,
        [
            f"Somebody, likely you, wanted to sign up at {_host(site_url)} with this address.",
            f"It belongs to your account {name} already, so no other one was made.",
        ],
        link=("Sign in", f"{site_url}/signin"),
        after=["If you forgot the password, ask for a new one there. If it was not you, do nothing."],
    )


def reset(to: str, *, site_url: str, name: str, link: str) -> Letter:
    """To somebody who forgot a password."""
    return _letter(
        to,
        f"A new password for {_host(site_url)}",
        site_url,
        [f"Somebody, likely you, asked for a new password of the account {name} at {_host(site_url)}."],
        link=("Set a new password", link),
        after=["The link is good for an hour, and once. If it was not you, do nothing: your password stays as it is."],
    )


def security_changed(to: str, *, site_url: str, name: str, what: str) -> Letter:
    """To every verified address of an account whose security changed; `what` is a whole sentence."""
    return _letter(
        to,
        f"Your account at {_host(site_url)} was changed",
        site_url,
        [f"Account {name}: {what}"],
        link=("Look at your account", f"{site_url}/account/security"),
        after=["If it was not you, set a new password now, end the other sessions, and tell an admin of the site."],
    )


def _letter(
    to: str,
    subject: str,
    site_url: str,
    before: Sequence[str],
    *,
    link: tuple[str, str] | None = None,
    after: Sequence[str] = (),
) -> Letter:
    """Both forms of the same paragraphs."""
    label, url = link or ("", "")
    foot = f"Sent by Seaway at {site_url}"
    text = [*before, *([f"{label}:\n{url}"] if link else []), *after, f"-- \n{foot}"]
    button = f'<p><a href="{escape(url)}">{escape(label)}</a><br><small>{escape(url)}</small></p>' if link else ""
    html = (
        f'<!doctype html><html lang="en"><body style="{_STYLE}">{_paragraphs(before)}{button}{_paragraphs(after)}'
        f"<p><small>{escape(foot)}</small></p></body></html>"
    )
    return Letter(to, _one_line(subject), "\n\n".join(text) + "\n", html)


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _host(site_url: str) -> str:
    return urlsplit(site_url).netloc
