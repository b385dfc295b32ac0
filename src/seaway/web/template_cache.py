"""
Compiled templates in `__pycache__` beside their sources, as Python keeps compiled modules.

Compiling the templates of one page takes 0.1 to 0.25 s, which the first response of each new process waited for. Like
compiled modules, the files are only as trustworthy as the folder of the program, and are left out if that folder cannot
be written or `PYTHONDONTWRITEBYTECODE` is set. What was compiled with other options, filters or versions is not used.
"""

import sys
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2 import Environment, FileSystemBytecodeCache
from jinja2.bccache import Bucket

from seaway import __version__


def _compiler() -> str:
    """Describe what the result of compiling depends on; options and filters are in the modules of this folder."""
    changed_at = max(module.stat().st_mtime_ns for module in Path(__file__).parent.glob("*.py"))
    return f"Seaway {__version__}, Jinja {jinja2.__version__}, {changed_at}"


class TemplateCache(FileSystemBytecodeCache):
    """Cache of compiled templates; a source that has changed is compiled again."""

    def __init__(
        self, templates: Path, *, is_written: bool = not sys.dont_write_bytecode, compiler: str | None = None
    ) -> None:
        super().__init__(str(templates / "__pycache__"), "%s.template")
        self._is_written = is_written
        self._compiler = compiler or _compiler()

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        """Return the compiled template, if it was compiled from this source in the same way."""
        return super().get_bucket(environment, name, filename, f"{self._compiler}\n{source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read a compiled template; leave the bucket empty if there is none or it is damaged."""
        try:
            super().load_bytecode(bucket)
        except Exception:  # noqa: BLE001  garbage can raise anything
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a compiled template, if possible."""
        if self._is_written:
            with suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)
