"""Rendering of untrusted Markdown to HTML that runs no script and loads nothing."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seaway.web.markdown import MAX_BYTES, external_link, first_sentence, render, unmasked

TAGS = {
    "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a",
    "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "<svg onload=alert(1)>",
    "<iframe src=//evil.example></iframe>",
    "<style>*{background:url(//evil.example)}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](/signout)",
    "[x](#main)",
    "<form action=/signout><button>x</button></form>",
    "<div id=main style='position:fixed'>x</div>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "`<script>`",
    "    <script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    '[x](https://a.example "onmouseover=alert(1)")',
    '<https://a.example/"onclick=alert(1)>',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_renders_to_harmless_html(text: str) -> None:
    """The HTML has only known tags, and no attributes except href and rel of links."""
    assert_harmless(str(render(text)))


@given(st.text(alphabet="<>/=\"'`[]()!#*_ \n\\&;:aimgscrptonjvhe", max_size=200))
def test_random_text_renders_to_harmless_html(text: str) -> None:
    """The same for generated text."""
    assert_harmless(str(render(text)))


def assert_harmless(html: str) -> None:
    for tag in re.findall(r"<[^>]*>", html):
        match = re.fullmatch(r"</?([a-z0-9]+)((?: [a-z]+=\"[^\"]*\")*) ?/?>", tag)
        assert match, tag
        assert match[1] in TAGS
        attributes = dict(re.findall(r" ([a-z]+)=\"([^\"]*)\"", match[2]))
        assert attributes.keys() <= ({"href", "rel"} if match[1] == "a" else set())
        assert re.match(r"(https?://|mailto:|$)", attributes.get("href", ""), re.IGNORECASE)
    assert "<" not in re.sub(r"<[^>]*>", "", html)


def test_usual_markdown_is_rendered() -> None:
    """Headings below those of the page, lists, tables, code; links are marked as user content (ugc)."""
    html = render("# Head\n\n* one\n\n| a |\n|---|\n| 1 |\n\n[l](https://a.example) `x` <b>bold</b>")
    assert "<h3>Head</h3>" in html
    assert "<li>one</li>" in html
    assert "<td>1</td>" in html
    assert '<a href="https://a.example" rel="nofollow noopener noreferrer ugc">l</a>' in html
    assert "&lt;b&gt;" in html


def test_long_text_is_cheap_and_truncated() -> None:
    """The worst known inputs give neither deep nor large HTML, which would take seconds to clean."""
    for unit in ("[", "*a_", "> ", ">", "- ", "1. ", "> - ", "> \n", "![](", "`", "<a ", "|a", "- \n "):
        shown = str(render(unit * MAX_BYTES))
        assert depth_of(shown) < 50, unit
        assert len(shown) < 25 * MAX_BYTES, unit
        assert_harmless(shown)
    assert "tail" not in render("x" * MAX_BYTES + "tail")


def depth_of(html: str) -> int:
    """Return how many elements are open at once at most."""
    depth = deepest = 0
    for closing, _ in re.findall(r"<(/?)(?!hr|br)([a-z0-9]+)[^>]*>", html):
        depth += -1 if closing else 1
        deepest = max(deepest, depth)
    return deepest


def test_deceptive_characters_are_removed() -> None:
    """Bidirectional controls and invisible characters are removed; letters of other scripts are kept."""
    assert unmasked("a\u202eb\u2066c\u200bd\ufeff") == "abcd"
    assert unmasked("Grüße 你好 שלום") == "Grüße 你好 שלום"
    assert "\u202e" not in render("x\u202ey")


def test_deceptive_characters_written_as_entities_are_removed() -> None:
    """Numeric and named entities, and entities that decode to entities."""
    masked = 'hello &#x202E;evil &#8203;`&rlm;` &ShY; [l](https://a.example/&#8238;x "&#x2066;") &amp;#x202E; &amp;amp;#8203;'
    assert unmasked(masked) == masked
    for shown in (str(render(masked)), unescape(str(render(masked))), first_sentence(masked)):
        assert shown == unmasked(shown)
    assert first_sentence("hello &#x202E;evil &#8203;") == "hello evil"


@pytest.mark.parametrize(
    ("text", "is_link"),
    [
        ("https://example.org/a?b=c#d", True),
        ("http://example.org", True),
        ("HTTPS://example.org", True),
        ("javascript:alert(1)", False),
        ("//example.org", False),
        ("https://", False),
        ("https:/example.org", False),
        ("https://user@evil.example/", False),
        ("https://exa\u202emple.org", False),
        ("https://a.example/ x", False),
        ("https://[::1", False),
        ("git+https://example.org", False),
        ("https://a.example\\@evil.example", False),
    ],
)
def test_only_plain_web_urls_are_links(text: str, is_link: bool) -> None:
    """http and https with a host; other text is not a link."""
    assert external_link(text) == (text if is_link else "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "# Robots\n\nWhat *our* [robots](https://a.example) run, e.g. `ros`. Ask Ada.",
            "What our robots run, e.g. ros.",
        ),
        ("# Robots", "Robots"),
        ("* one\n* two", "one two"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nA table. Of numbers.", "A table."),
        ("Version 1.2 is here! And more", "Version 1.2 is here!"),
        ("a\u202eb\u200b.", "ab."),
        ("1 < 2 & <b>3</b>", "1 < 2 & <b>3</b>"),
        ("", ""),
        ("---", ""),
    ],
)
def test_first_sentence_is_plain_text(text: str, sentence: str) -> None:
    """The summary on a card contains no Markdown syntax, and is escaped by the page."""
    assert first_sentence(text) == sentence


def test_long_sentence_is_cut_at_a_word() -> None:
    """At most 142 characters are shown; the cost does not grow with the rest of the text."""
    assert first_sentence("many words " * 400) == "many words " * 12 + "many …"
    assert len(first_sentence("x" * MAX_BYTES)) <= 142
