"""Compiled templates are kept beside their sources, and never in the way."""

import os
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from seaway.web.template_cache import TemplateCache


def rendered(folder: Path, *, is_written: bool = True, compiler: str = "one", escapes: bool = True) -> str:
    """Render the template in a new environment, as a new process does."""
    cache = TemplateCache(folder, is_written=is_written, compiler=compiler)
    environment = Environment(loader=FileSystemLoader(folder), bytecode_cache=cache, autoescape=escapes)
    return environment.get_template("page.html").render(name="<b>")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text("Hello {{ name }}")
    return tmp_path


def compiled(folder: Path) -> list[Path]:
    return list((folder / "__pycache__").glob("*"))


def test_compiled_template_is_read_until_its_source_changes(folder: Path) -> None:
    assert "Hello &lt;b&gt;" == rendered(folder)
    (file,) = compiled(folder)
    os.utime(file, (0, 0))
    assert "Hello &lt;b&gt;" == rendered(folder)
    assert 0 == file.stat().st_mtime  # read, not written again
    (folder / "page.html").write_text("Bye {{ name }}")
    assert "Bye &lt;b&gt;" == rendered(folder)


def test_result_of_other_options_is_not_used(folder: Path) -> None:
    assert "Hello <b>" == rendered(folder, compiler="without escaping", escapes=False)
    assert "Hello &lt;b&gt;" == rendered(folder)


@pytest.mark.parametrize("length", [0, 5, 20, 60, -1])
def test_damaged_file_in_the_cache_is_replaced(folder: Path, length: int) -> None:
    rendered(folder)
    (file,) = compiled(folder)
    whole = file.read_bytes()
    for content in (whole[:length], b"garbage"[:length]):
        file.write_bytes(content)
        assert "Hello &lt;b&gt;" == rendered(folder)
        assert whole == file.read_bytes()


def test_pages_render_if_nothing_can_be_kept(folder: Path) -> None:
    """A file in the place of the folder stands for a file system that refuses it, also for root."""
    (folder / "__pycache__").write_bytes(b"")
    assert "Hello &lt;b&gt;" == rendered(folder)
    (folder / "__pycache__").unlink()
    assert "Hello &lt;b&gt;" == rendered(folder, is_written=False)
    assert [] == compiled(folder)
