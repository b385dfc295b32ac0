"""
Text written by users: Markdown as HTML that is safe to show, and names without deceptive characters.

1. HTML is made safe twice: comrak passes no raw HTML through, then nh3 keeps only a few tags and attributes. No image,
   style, script or id remains, so nothing in a description loads, runs or takes the place of a part of the page.
2. Links lead to absolute http, https and mailto URLs only (not `//host`), and `rel` marks them as user content.
3. At most 64 KiB and sixteen nested quotes or lists are rendered; the rest is cut off.
4. Where there is no room for the whole text, its first sentence is shown, taken as text from the same HTML.
5. Invisible characters and characters that change the direction of text are removed.
"""

import re
from functools import lru_cache
from html import unescape
from urllib.parse import urlsplit

import comrak
import nh3
from markupsafe import Markup

MAX_BYTES = 64 * 1024

_TAGS = {
    "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_REL = "nofollow noopener noreferrer ugc"
_DECEPTIVE = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u00ad\ufff9-\ufffb]")
# Nested quotes and lists that open on one line. nh3 needs seconds for 32,000 levels; readable text has a few.
# Nesting by indentation takes bytes quadratic in its depth, so the limit on bytes bounds it.
_MARKER = r"[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))"
_TOO_DEEP = re.compile(rf"^((?:{_MARKER}){{16}})(?:{_MARKER})+", re.MULTILINE)
_HEADING = re.compile(r"<(/?)h([1-6])>")

# A list renders the beginning of fifty descriptions: 40 microseconds for 1 KiB.
_SENTENCE_SOURCE = 1024
_MAX_SENTENCE = 140
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s(?![a-z])")


def render(text: str) -> Markup:
    """Return the HTML of a description."""
    cut = unmasked(text.encode()[:MAX_BYTES].decode(errors="ignore"))
    cut = _TOO_DEEP.sub(r"\1", cut)
    # Again, because comrak has decoded entities such as `&#x202E;`; before nh3, so that it cleans the final text.
    rendered = unmasked(comrak.render_markdown(cut, extension_options=_extensions(), render_options=_rendering()))
    # The page around the description uses h1 and h2 for its own headings.
    lowered = _HEADING.sub(lambda match: f"<{match[1]}h{min(int(match[2]) + 2, 6)}>", rendered)
    return Markup(  # noqa: S704  nh3 cleans it on the next line; tests feed it hostile input
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
    """Return the first sentence of a description as text, from its first paragraph or else from all of it."""
    rendered = render(text[:_SENTENCE_SOURCE])
    paragraphs = (_plain(found) for found in _PARAGRAPH.findall(rendered))
    whole = next(filter(None, paragraphs), "") or _plain(rendered)
    sentence = _END_OF_SENTENCE.split(whole, maxsplit=1)[0]
    if len(sentence) <= _MAX_SENTENCE:
        return sentence
    return sentence[:_MAX_SENTENCE].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"


def _plain(html: str) -> str:
    """Return the text of cleaned HTML; it must be escaped again to be shown."""
    return " ".join(unmasked(unescape(nh3.clean(html, tags=set()))).split())


def unmasked(text: str) -> str:
    """Remove invisible characters and characters that change the direction of text."""
    return _DECEPTIVE.sub("", text)


def external_link(text: str) -> str:
    """Return a URL that a page may link to (http or https, a host, plain ASCII, no user name), or an empty string."""
    try:
        parts = urlsplit(text)
        is_web_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return ""
    return text if is_web_url and text.isascii() and text.isprintable() and not re.search(r"[\s\\<>\"]", text) else ""


def _extensions() -> comrak.ExtensionOptions:
    options = comrak.ExtensionOptions()
    options.strikethrough = options.table = options.autolink = True
    return options


def _rendering() -> comrak.RenderOptions:
    options = comrak.RenderOptions()
    options.unsafe_ = False
    options.escape = True
    return options
