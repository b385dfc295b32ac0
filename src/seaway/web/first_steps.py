"""Checklist of a new user: create a channel and a key, upload a package, install it."""

from collections.abc import Sequence
from dataclasses import dataclass

from seaway.channels.channel import Channel
from seaway.channels.roles import BY_ROLE, Action, Role
from seaway.packages.recent_uploads import RecentFile
from seaway.web import install_lines
from seaway.web.install_lines import Command


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the user and the other members of the user's channels; the channels are in the order of the page."""

    channels: Sequence[tuple[Channel, Role]]
    newest: RecentFile | None
    has_credential: bool  # an API key or the login of a command-line tool, valid or not
    has_download: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the checklist, with the page on which it is done; without one if it has to wait for another step."""

    title: str
    is_done: bool
    text: str
    action: str = ""
    href: str = ""
    commands: tuple[Command, ...] = ()


def steps_of(progress: Progress, site: str) -> list[Step]:
    """Return the steps, or no steps once all of them are done."""
    steps = [_channel(progress), _key(progress), _upload(progress, site), _install(progress, site)]
    return [] if all(step.is_done for step in steps) else steps


def _channel(progress: Progress) -> Step:
    text = "A channel is a URL that conda clients install from. It is private unless you make it public."
    return Step("Create a channel", bool(progress.channels), text, "Create a channel", "/channels/new")


def _key(progress: Progress) -> Step:
    # Files that arrived and were installed show that a trusted publisher or a browser is enough here.
    is_done = progress.has_credential or (progress.newest is not None and progress.has_download)
    text = "Tools publish and install with it. After you create it, the page shows how to log in with each tool."
    channel = _first_with(Action.UPLOAD, progress)
    href = f"/channels/{channel}/settings/keys" if channel else "/account/keys"
    return Step("Create an API key", is_done, text, "Create an API key", href)


def _upload(progress: Progress, site: str) -> Step:
    channel = _first_with(Action.UPLOAD, progress)
    title, is_done = "Upload a package", progress.newest is not None
    if not channel:
        text = "The exact command appears here as soon as you can upload to a channel."
        return Step(title, is_done, text)
    text = f"Upload a file to {channel} in the browser, or with a tool:"
    commands = tuple(install_lines.to_publish(site, channel))
    return Step(title, is_done, text, "Upload in the browser", f"/channels/{channel}/settings/upload", commands)


def _install(progress: Progress, site: str) -> Step:
    title, newest = "Install a package", progress.newest
    if newest is not None:
        text = f"Install {newest.package} from {newest.channel}:"
        commands = tuple(install_lines.of_package(site, newest.channel, newest.package)[:3])
        href = f"/channels/{newest.channel}/packages/{newest.package}"
        return Step(title, progress.has_download, text, "View the package", href, commands)
    channel = progress.channels[0][0].name if progress.channels else ""
    text = "The exact command appears here after the first upload."
    href = f"/channels/{channel}" if channel else "/channels"
    return Step(title, progress.has_download, text, "View the channel" if channel else "Browse channels", href)


def _first_with(action: Action, progress: Progress) -> str:
    """Return the name of the first channel in which the user's role allows the action, or an empty string."""
    return next((channel.name for channel, role in progress.channels if action in BY_ROLE[role]), "")
