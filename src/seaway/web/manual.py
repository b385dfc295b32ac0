"""
The manual below /docs: the Markdown files of `docs/` as pages, with the URL of this site in their examples.

1. A path is looked up in the list of files that is made at the start; it never names a file by itself.
2. A link leads to a page of the manual, to a heading or to another site. A link to any other file of the repository,
   which a server does not have, is shown as text.
3. `HOST` has one meaning in the manual: the host name of the server. It is replaced before Markdown is rendered, which
   escapes what replaces it.
"""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import comrak
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from seaway.errors import NotFound
from seaway.http import caller
from seaway.http.site_url import site_url_of
from seaway.trusted_publishing.workflow_snippets import token_variable
from seaway.web.rendering import page

_ROOT = "/docs"
_INSTALLED = Path(__file__).with_name("manual")  # pyproject.toml puts docs/ there in a wheel
_FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[3] / "docs"
_HOST = re.compile(r"(https://|prefix://)?\bHOST(_ID_TOKEN)?\b")
_PORT = re.compile(r":\d+$")
_TITLE = re.compile(r'data-heading-content="([^"]*)"')
_CODE_BLOCK = re.compile(r"<pre><code[^>]*>(.*?)\n?</code></pre>", re.DOTALL)
_DEAD_LINK = re.compile(r'<a href="">(.*?)</a>', re.DOTALL)
_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_HEADING_CELL = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<td([^>]*>)")
_TAG = re.compile(r"<[^>]+>")
_INDEX_ENTRY = re.compile(r'<h2.*? data-heading-content="([^"]*)"|<td><a href="([^"]*)">(.*?)</a></td>')


@dataclass(frozen=True, slots=True)
class _ManualPage:
    title: Markup
    parts: list[Markup]  # alternately HTML and the text of a code block


def _name_of(path: str) -> str:
    """Return the path of a page below /docs; README.md is the page of its folder."""
    return path.removesuffix(".md").removesuffix("README").rstrip("/")


_FILES = {
    _name_of(file.relative_to(_FOLDER).as_posix()): file
    for file in _FOLDER.rglob("*.*")
    if file.suffix in (".md", ".png")
}


async def show(request: Request) -> Response:
    """Show a page, or return a picture, of the manual."""
    await caller.caller_of(request)
    name, site_url = _name_of(request.path_params.get("page", "")), site_url_of(request)
    if name not in _FILES:
        raise NotFound("This page does not exist.", "Check the URL.")
    if _FILES[name].suffix != ".md":
        return FileResponse(_FILES[name], headers={"Cache-Control": "public, max-age=86400"})
    return page(request, "manual.html", found=_page(name, site_url), contents=_contents(), here=_url(name))


@lru_cache(100)
def _page(name: str, site_url: str) -> _ManualPage:
    html = _html(name, site_url)
    title = _TITLE.search(html)
    # comrak has escaped the text, and passes no raw HTML and no URL that runs a script.
    parts = [Markup(part) for part in _CODE_BLOCK.split(html)]  # noqa: S704
    return _ManualPage(Markup(title[1] if title else ""), parts)  # noqa: S704


@lru_cache(1)
def _contents() -> list[tuple[Markup, list[tuple[str, Markup]]]]:
    """Return the sections of the index, docs/README.md, each with the URLs and titles of its pages."""
    sections: list[tuple[Markup, list[tuple[str, Markup]]]] = []
    for heading, url, title in _INDEX_ENTRY.findall(_html("", "")):
        if heading:
            sections.append((Markup(heading), []))  # noqa: S704  escaped by comrak
        else:
            sections[-1][1].append((url, Markup(title)))  # noqa: S704  escaped by comrak
    return sections


def _html(name: str, site_url: str) -> str:
    file = _FILES[name]
    folder = file.relative_to(_FOLDER).parent.as_posix()
    options = comrak.ExtensionOptions()
    options.table, options.header_id_prefix = True, ""
    options.link_url_rewriter = options.image_url_rewriter = lambda url: _rewritten(folder, url)
    text = _HOST.sub(lambda match: _own_address(match, site_url), file.read_text(encoding="utf-8"))
    html = _DEAD_LINK.sub(r"\1", comrak.render_markdown(text, extension_options=options))
    return _TABLE.sub(_table, html)


def _table(match: re.Match[str]) -> str:
    """Return a table that scrolls; on a phone, one of more than two columns is folded instead."""
    names = [_TAG.sub("", name) for name in _HEADING_CELL.findall(match[0])]
    is_folded = len(names) > 2
    table = match[0].replace("<code> </code>", "")  # an empty default of a setting
    if is_folded:
        table = _ROW.sub(lambda row: _with_names(row[0], names), table)
    table = table.replace("<table>", f'<table class="list{" folds" if is_folded else ""}">', 1)
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Table">{table}</div>'


def _with_names(row: str, names: list[str]) -> str:
    """Return a row whose cells, but the first, have the name of their column, which a folded table shows."""
    columns = iter(["", *names[1:]])

    def cell(match: re.Match[str]) -> str:
        name = next(columns)
        return f'<td data-name="{name}"{match[1]}' if name else match[0]

    return _CELL.sub(cell, row)


def _rewritten(folder: str, url: str) -> str:
    """Return the URL for a link on a page in this folder, or an empty string if nothing is there."""
    path, mark, anchor = url.partition("#")
    if not path or urlsplit(url).scheme:
        return url
    name = _name_of(posixpath.normpath(posixpath.join(folder, path)))
    return f"{_url(name)}{mark}{anchor}" if name in _FILES else ""


def _url(name: str) -> str:
    return f"{_ROOT}/{name}" if name else _ROOT


def _own_address(match: re.Match[str], site_url: str) -> str:
    """Return what `HOST` means here: the site URL, its host with the port, a variable, or the host name."""
    scheme, variable = match.groups()
    if scheme == "https://":
        return site_url
    address = site_url.partition("://")[2]
    name = _PORT.sub("", address)
    return token_variable(name) if variable else f"{scheme}{address}" if scheme else name
