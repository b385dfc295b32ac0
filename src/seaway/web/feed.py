"""Atom feed of a channel (RFC 4287), with one entry per file."""

from collections.abc import Sequence
from urllib.parse import quote
from xml.etree import ElementTree

from seaway.channels.channel import Channel
from seaway.clock import format_time
from seaway.packages.recent_uploads import RecentFile
from seaway.web.markdown import unmasked

MEDIA_TYPE = "application/atom+xml"
_ATOM = "http://www.w3.org/2005/Atom"


def write(site: str, channel: Channel, arrivals: Sequence[RecentFile]) -> bytes:
    """Return the document, newest entry first."""
    feed = ElementTree.Element("feed", xmlns=_ATOM)
    page = f"{site}/channels/{channel.name}"
    _add(feed, "id", page)
    _add(feed, "title", f"{channel.name}: new packages")
    _add(feed, "updated", format_time(arrivals[0].indexed_at_ms if arrivals else channel.created_at_ms))
    ElementTree.SubElement(feed, "link", rel="self", href=f"{page}/feed.atom")
    ElementTree.SubElement(feed, "link", rel="alternate", href=page)
    for arrival in arrivals:
        feed.append(_entry(page, arrival))
    return bytes(ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True))


def _entry(page: str, arrival: RecentFile) -> ElementTree.Element:
    entry = ElementTree.Element("entry")
    address = f"{page}/packages/{quote(arrival.package)}/files/{arrival.subdir}/{quote(arrival.file_name)}"
    # A file that replaces another one has other bytes, so it gets an entry of its own.
    _add(entry, "id", f"{address}#{arrival.sha256}")
    _add(entry, "title", f"{arrival.package} {arrival.version} {arrival.build} for {arrival.subdir}")
    _add(entry, "updated", format_time(arrival.indexed_at_ms))
    author = ElementTree.SubElement(entry, "author")
    _add(author, "name", arrival.channel)
    ElementTree.SubElement(entry, "link", rel="alternate", href=address)
    _add(entry, "summary", _readable(arrival.summary))
    return entry


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _readable(text: str) -> str:
    """Remove characters that XML cannot hold or that disguise the text."""
    return "".join(character for character in unmasked(text) if character.isprintable() or character in "\n\t")
