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
class OutgoingEmail:
    """An email to one recipient."""

    to: str
    subject: str
    text: str
    html: str


def verify(to: str, *, site_url: str, name: str, link: str) -> OutgoingEmail:
    """Ask the recipient to verify the address of a new account, or a new address of an account."""
    return _email(
        to,
        f"Verify your email address for {_host(site_url)}",
        site_url,
        [
            f"This email address was added to the account {name} at {_host(site_url)}.",
            "If this is your account, open the link and sign in to verify the address.",
        ],
        link=("Verify email address", link),
        after=["The link expires in 24 hours. If this is not your account, ignore this email."],
    )


def address_known(to: str, *, site_url: str, name: str) -> OutgoingEmail:
    """Inform the owner of a verified address that it was used in another sign-up."""
    return _email(
        to,
        f"You already have an account at {_host(site_url)}",
        site_url,
        [
            f"Someone (probably you) tried to use this email address for another account at {_host(site_url)}.",
            f"It already belongs to your account {name}, so the other account cannot verify it.",
        ],
        link=("Sign in", f"{site_url}/signin"),
        after=["If you forgot your password, you can reset it there. If this was not you, ignore this email."],
    )


def reset(to: str, *, site_url: str, name: str, link: str) -> OutgoingEmail:
    """Send a password reset link."""
    return _email(
        to,
        f"Reset your password for {_host(site_url)}",
        site_url,
        [f"Someone (probably you) requested a new password for the account {name} at {_host(site_url)}."],
        link=("Reset password", link),
        after=[
            "The link works once and expires in an hour.",
            "If this was not you, ignore this email: your password stays the same.",
        ],
    )


def security_changed(to: str, *, site_url: str, name: str, what: str) -> OutgoingEmail:
    """Notify a verified address of a security change of its account; `what` is a complete sentence."""
    return _email(
        to,
        f"Security notice for your account at {_host(site_url)}",
        site_url,
        [f"Account {name}: {what}"],
        link=("Review account security", f"{site_url}/account/security"),
        after=["If this was not you, change your password now, end your other sessions and contact a site admin."],
    )


def member_added(to: str, *, site_url: str, channel: str, role: str, by: str) -> OutgoingEmail:
    """Notify a new member of a channel."""
    return _email(
        to,
        f"You are now a {role} of {channel}",
        site_url,
        [f"{by} made you a {role} of the channel {channel} at {_host(site_url)}."],
        link=("View channel", f"{site_url}/channels/{channel}"),
        after=["If you do not want this, you can leave the channel there."],
    )


def group_joined(to: str, *, site_url: str, group: str, by: str) -> OutgoingEmail:
    """Notify a new member of a group."""
    return _email(
        to,
        f"You are now in the group {group}",
        site_url,
        [f"{by} added you to the group {group} at {_host(site_url)}. You now have the permissions of the group."],
        after=["If you do not want this, leave the group in your account settings."],
    )


def account_invitation(to: str, *, site_url: str, name: str, by: str, link: str) -> OutgoingEmail:
    """Invite a person to the account that a site admin has created for them."""
    return _email(
        to,
        f"{by} invites you to {_host(site_url)}",
        site_url,
        [
            f"{by} created an account for you at {_host(site_url)}. Your user name is {name}.",
            "To accept, open the link and choose a password.",
        ],
        link=("Accept invitation", link),
        after=["The link works once and expires in a week. If you did not expect it, ignore this email."],
    )


def invitation(to: str, *, site_url: str, channel: str, role: str, by: str, link: str) -> OutgoingEmail:
    """Invite the owner of an email address to become a member of a channel."""
    return _email(
        to,
        f"Invitation to the channel {channel}",
        site_url,
        [f"{by} invites you to be a {role} of the channel {channel} at {_host(site_url)}."],
        link=("View invitation", link),
        after=[
            "The link works once and expires in a week. Anyone with the link can accept the invitation.",
            "If you did not expect it, ignore this email.",
        ],
    )


def invitation_decided(to: str, *, site_url: str, channel: str, decision: str) -> OutgoingEmail:
    """Notify the owner of a channel of a decision; `decision` is its subject and verb ("ada accepted")."""
    return _email(
        to,
        f"Response to your invitation to {channel}",
        site_url,
        [f"{decision} the invitation to the channel {channel}."],
        link=("View members", f"{site_url}/channels/{channel}"),
    )


def transfer_offered(to: str, *, site_url: str, channel: str, by: str) -> OutgoingEmail:
    """Offer the ownership of a channel to a member."""
    return _email(
        to,
        f"Transfer of the channel {channel} to you",
        site_url,
        [
            f"{by} wants to make you the owner of the channel {channel} at {_host(site_url)}.",
            "The owner manages the members and can delete the channel. Nothing changes until you accept.",
        ],
        link=("Accept or decline", f"{site_url}/account/offers"),
        after=["The offer expires in a week."],
    )


def transfer_decided(to: str, *, site_url: str, channel: str, decision: str) -> OutgoingEmail:
    """Notify the user who offered a channel of a decision; `decision` is its subject and verb ("ada accepted")."""
    return _email(
        to,
        f"Response to your transfer of {channel}",
        site_url,
        [f"{decision} the transfer of the channel {channel}."],
        link=("View channel", f"{site_url}/channels/{channel}"),
    )


def channel_transferred(to: str, *, site_url: str, channel: str, new_owner: str) -> OutgoingEmail:
    """Notify the previous and the new owner of a channel that an admin transferred."""
    return _email(
        to,
        f"The channel {channel} has a new owner",
        site_url,
        [f"A site admin made {new_owner} the owner of the channel {channel} at {_host(site_url)}."],
        link=("View channel", f"{site_url}/channels/{channel}"),
    )


def key_expires(to: str, *, site_url: str, name: str, days: str) -> OutgoingEmail:
    """Warn a user that a key expires soon; `days` says when ("within 3 days")."""
    return _email(
        to,
        f"An API key expires {days}",
        site_url,
        [f"Your API key {name} at {_host(site_url)} expires {days}. Requests with it will then be refused."],
        link=("Create a new key", f"{site_url}/account/keys"),
    )


def key_leaked(to: str, *, site_url: str, name: str) -> OutgoingEmail:
    """Notify a user that a key was found in public and revoked."""
    return _email(
        to,
        "Your API key was found in public and revoked",
        site_url,
        [
            f"Your API key {name} at {_host(site_url)} was found in a public place and has been revoked.",
            "Check what was uploaded with it, then create a new key.",
        ],
        link=("View API keys", f"{site_url}/account/keys"),
    )


def tool_leaked(to: str, *, site_url: str, tool: str) -> OutgoingEmail:
    """Notify a user that a token of a command-line tool was found in public and its grant revoked."""
    return _email(
        to,
        "Your command-line login was found in public and revoked",
        site_url,
        [
            f"A token of your {tool} login at {_host(site_url)} was found in a public place.",
            "The login has been revoked. Check what was uploaded with it, then log in again.",
        ],
        link=("View command-line tools", f"{site_url}/account/tools"),
    )


def publisher_changed(to: str, *, site_url: str, channel: str, publisher: str, what: str) -> OutgoingEmail:
    """Notify the owner of a channel about a trusted publisher; `what` completes "the workflow NAME ..."."""
    return _email(
        to,
        f"Trusted publishing to {channel} at {_host(site_url)}",
        site_url,
        [f"Channel {channel}: the workflow {publisher} {what}"],
        link=("View publishers", f"{site_url}/channels/{channel}/settings/publishers"),
        after=["If you do not recognize the workflow, remove its publisher now and check what was uploaded."],
    )


def _email(
    to: str,
    subject: str,
    site_url: str,
    before: Sequence[str],
    *,
    link: tuple[str, str] | None = None,
    after: Sequence[str] = (),
) -> OutgoingEmail:
    """Build the text and HTML forms of the same paragraphs."""
    label, url = link or ("", "")
    foot = f"Sent by Seaway at {site_url}"
    text = [*before, *([f"{label}:\n{url}"] if link else []), *after, f"-- \n{foot}"]
    button = f'<p><a href="{escape(url)}">{escape(label)}</a><br><small>{escape(url)}</small></p>' if link else ""
    html = (
        f'<!doctype html><html lang="en"><body style="{_STYLE}">{_paragraphs(before)}{button}{_paragraphs(after)}'
        f"<p><small>{escape(foot)}</small></p></body></html>"
    )
    return OutgoingEmail(to, _one_line(subject), "\n\n".join(text) + "\n", html)


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _host(site_url: str) -> str:
    return urlsplit(site_url).netloc
