"""
Emails that Seaway sends, in plain text and HTML; one function for each.

1. No email contains text that another user typed freely, only names of users, channels and keys, email addresses and
   our links. Otherwise Seaway could be abused to send advertisements or phishing.
2. No subject contains a secret, since screens and logs show subjects.
3. An email about security says what to do if the reader did not make the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

_STYLE = "font:16px/1.5 system-ui,sans-serif;color:#10243a;max-width:34em"


@dataclass(frozen=True, slots=True)
class Letter:
    """An email to one recipient."""

    to: str
    subject: str
    text: str
    html: str


def verify(to: str, *, site_url: str, name: str, link: str) -> Letter:
    """Ask the recipient to verify the address of a new account, or a new address of an account."""
    return _letter(
        to,
        f"Verify your address for {_host(site_url)}",
        site_url,
        [
            f"The account {name} at {_host(site_url)} names this address as its own.",
            f"If {name} is your account, open the link and sign in to it.",
        ],
        link=("Verify this address", link),
        after=["The link is good for 24 hours. If it is not your account, do nothing."],
    )


def address_known(to: str, *, site_url: str, name: str) -> Letter:
    """Inform the owner of a verified address that it was used in another sign-up."""
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
    """Send a password reset link."""
    return _letter(
        to,
        f"A new password for {_host(site_url)}",
        site_url,
        [f"Somebody, likely you, asked for a new password of the account {name} at {_host(site_url)}."],
        link=("Set a new password", link),
        after=["The link is good for an hour, and once. If it was not you, do nothing: your password stays as it is."],
    )


def security_changed(to: str, *, site_url: str, name: str, what: str) -> Letter:
    """Notify a verified address of a security change of its account; `what` is a complete sentence."""
    return _letter(
        to,
        f"Your account at {_host(site_url)} was changed",
        site_url,
        [f"Account {name}: {what}"],
        link=("Look at your account", f"{site_url}/account/security"),
        after=["If it was not you, set a new password now, end the other sessions, and tell an admin of the site."],
    )


def member_added(to: str, *, site_url: str, channel: str, role: str, by: str) -> Letter:
    """Notify a new member of a channel."""
    return _letter(
        to,
        f"You are a {role} of {channel}",
        site_url,
        [f"{by} made you a {role} of the channel {channel} at {_host(site_url)}."],
        link=("Look at the channel", f"{site_url}/channels/{channel}"),
        after=["If you do not want that, leave the channel there."],
    )


def group_joined(to: str, *, site_url: str, group: str, by: str) -> Letter:
    """Notify a new member of a group."""
    return _letter(
        to,
        f"You are in the group {group}",
        site_url,
        [f"{by} took you into the group {group} at {_host(site_url)}. What the group may do, you may do."],
        after=["If you do not want that, leave the group there."],
    )


def invitation(to: str, *, site_url: str, channel: str, role: str, by: str, link: str) -> Letter:
    """Invite the reader of an email address to become a member of a channel."""
    return _letter(
        to,
        f"An invitation to the channel {channel}",
        site_url,
        [f"{by} invites you to be a {role} of the channel {channel} at {_host(site_url)}."],
        link=("Look at the invitation", link),
        after=[
            "The link is good for a week, once, and for whoever has it. If you do not know what this is, do nothing."
        ],
    )


def invitation_answered(to: str, *, site_url: str, channel: str, answer: str) -> Letter:
    """Notify the owner of a channel of a decision; `answer` is its subject and verb ("ada accepted")."""
    return _letter(
        to,
        f"An answer to your invitation to {channel}",
        site_url,
        [f"{answer} the invitation to the channel {channel}."],
        link=("Look at the members", f"{site_url}/channels/{channel}"),
    )


def transfer_offered(to: str, *, site_url: str, channel: str, by: str) -> Letter:
    """Offer the ownership of a channel to a member."""
    return _letter(
        to,
        f"The channel {channel} is offered to you",
        site_url,
        [
            f"{by} wants you to own the channel {channel} at {_host(site_url)}.",
            "The owner decides who belongs to it, and may delete it. Until you accept, nothing changes.",
        ],
        link=("Accept or decline", f"{site_url}/account/offers"),
        after=["The offer is good for a week."],
    )


def transfer_answered(to: str, *, site_url: str, channel: str, answer: str) -> Letter:
    """Notify the user who offered a channel of a decision; `answer` is its subject and verb ("ada accepted")."""
    return _letter(
        to,
        f"An answer to your offer of {channel}",
        site_url,
        [f"{answer} the channel {channel} that you offered."],
        link=("Look at the channel", f"{site_url}/channels/{channel}"),
    )


def key_ends(to: str, *, site_url: str, name: str, days: str) -> Letter:
    """Warn a user that a key expires soon; `days` says when ("within 3 days")."""
    return _letter(
        to,
        f"An API key ends {days}",
        site_url,
        [f"Your API key {name} at {_host(site_url)} ends {days}. What uses it is refused from then on."],
        link=("Make another one", f"{site_url}/account/keys"),
    )


def key_leaked(to: str, *, site_url: str, name: str) -> Letter:
    """Notify a user that a key was found in public and revoked."""
    return _letter(
        to,
        "An API key of yours was found in public, and is revoked",
        site_url,
        [
            f"Your API key {name} at {_host(site_url)} was found where everybody can read it.",
            "It opens nothing any more. Look at what was uploaded with it, and make another one.",
        ],
        link=("Look at your keys", f"{site_url}/account/keys"),
    )


def tool_leaked(to: str, *, site_url: str, tool: str) -> Letter:
    """Notify a user that a token of a command-line tool was found in public and its grant revoked."""
    return _letter(
        to,
        "A login of yours was found in public, and is ended",
        site_url,
        [
            f"A token of your login with {tool} at {_host(site_url)} was found where everybody can read it.",
            "The login opens nothing any more. Look at what was uploaded with it, and log in again.",
        ],
        link=("Look at your logins", f"{site_url}/account/tools"),
    )


def publisher_news(to: str, *, site_url: str, channel: str, publisher: str, what: str) -> Letter:
    """Notify the owner of a channel about a trusted publisher; `what` completes "the workflow NAME ..."."""
    return _letter(
        to,
        f"Trusted publishing to {channel} at {_host(site_url)}",
        site_url,
        [f"Channel {channel}: the workflow {publisher} {what}"],
        link=("Look at the publishers", f"{site_url}/channels/{channel}/settings/publishers"),
        after=["If you do not know the workflow, remove its publisher now, and look at what was uploaded."],
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
    """Build the text and HTML forms of the same paragraphs."""
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
