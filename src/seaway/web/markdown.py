"""
What strangers wrote, as HTML that is safe to show, and names as text that cannot deceive the eye.

1. Markdown becomes HTML twice guarded: comrak is not let write raw HTML, then nh3 keeps a few tags and attributes.
   No image, no style, no script, no id: nothing in a description loads, runs, or takes the place of a part of the page.
2. A link leads to http, https or mailto, in full (`//host` does not), and says that it is a stranger's.
3. At most 64 KiB are rendered, and sixteen quotes or lists within one another: the rest is cut off.
4. The first sentence of a text stands alone where there is no room for all of it: taken from the same HTML, as text.
5. Characters that turn the direction of text around, or are not seen, are taken out.
"""

import re
from functools import lru_cache
from html import unescape
from urllib.parse import urlsplit

import comrak
import nh3
from markupsafe import Markup

MOST_BYTES = 64 * 1024

_TAGS = {
    "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_REL = "nofollow noopener noreferrer ugc"
_UNSEEN = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\ufff9-\ufffb]")
# Quotes and lists within one another, opened on one line. To clean what 32,000 of them make takes nh3 seconds; a page
# that one can read has a few. Depth by indentation costs its square in bytes, so the cap on those bounds it.
_MARKER = r"[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))"
_TOO_DEEP = re.compile(rf"^((?:{_MARKER}){{16}})(?:{_MARKER})+", re.MULTILINE)
_HEADING = re.compile(r"<(/?)h([1-6])>")

# A list of fifty channels renders what stands at the beginning of each: 40 microseconds for 1 KiB.
_SENTENCE_FROM = 1024
_MOST_OF_A_SENTENCE = 140
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s(?![a-z])")


def render(text: str) -> Markup:
    """The HTML of a description."""
    cut = unmasked(text.encode()[:MOST_BYTES].decode(errors="ignore"))
    cut = _TOO_DEEP.sub(r"\1", cut)
    # Once more: by now `&#x202E;` is the character itself. Before the cleaning, which is to see what will be shown.
    rendered = unmasked(comrak.render_markdown(cut, extension_options=_extensions(), render_options=_rendering()))
    # A description stands within a page that has its own first and second headings.
    lowered = _HEADING.sub(lambda match: f"<{match[1]}h{min(int(match[2]) + 2, 6)}>", rendered)
    return Markup(  # noqa: S704  made safe by the very next line, and held to it by hostile tests
        nh3.clean(
            lowered,
            tags=_TAGS,
            attributes={"*": set(), "a": {"href"}},
            url_schemes={"http", "https", "mailto"},
            link_rel=_REL,
            url_relative="deny",
            strip_comments=True,
        )
    )


@lru_cache(1_000)
def first_sentence(text: str) -> str:
    """The first sentence of a description, as text: of its first paragraph, or of whatever it has."""
    rendered = render(text[:_SENTENCE_FROM])
    paragraphs = (_plain(found) for found in _PARAGRAPH.findall(rendered))
    whole = next(filter(None, paragraphs), "") or _plain(rendered)
    sentence = _END_OF_SENTENCE.split(whole, maxsplit=1)[0]
    if len(sentence) <= _MOST_OF_A_SENTENCE:
        return sentence
    return sentence[:_MOST_OF_A_SENTENCE].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"


def _plain(html: str) -> str:
    """The text of HTML that was cleaned; to be escaped again wherever it stands."""
    return " ".join(unmasked(unescape(nh3.clean(html, tags=set()))).split())


def unmasked(text: str) -> str:
    """Text without what turns its direction around or is not seen."""
    return _UNSEEN.sub("", text)


def outside_link(text: str) -> str:
    """The address, if it is one that a page may link to: http or https, with a host, as it would be typed."""
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return ""
    return text if named and text.isascii() and text.isprintable() and not re.search(r"[\s\\<>\"]", text) else ""


def _extensions() -> comrak.ExtensionOptions:
    options = comrak.ExtensionOptions()
    options.strikethrough = options.table = options.autolink = True
    return options


def _rendering() -> comrak.RenderOptions:
    options = comrak.RenderOptions()
    options.unsafe_ = False
    options.escape = True
    return options
