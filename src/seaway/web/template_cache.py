"""
Compiled templates in `__pycache__` beside their sources, as Python keeps compiled modules.

Compiling the templates of one page takes 0.1 to 0.25 s, which the first response of each new process waited for. Like
compiled modules, the files are only as trustworthy as the folder of the program, and are left out if that folder cannot
be written or `PYTHONDONTWRITEBYTECODE` is set.
"""

import sys
from contextlib import suppress
from pathlib import Path

from jinja2 import FileSystemBytecodeCache
from jinja2.bccache import Bucket


class TemplateCache(FileSystemBytecodeCache):
    """Cache of compiled templates; a source that has changed is compiled again."""

    def __init__(self, templates: Path, *, is_written: bool = not sys.dont_write_bytecode) -> None:
        super().__init__(str(templates / "__pycache__"), "%s.template")
        self._is_written = is_written

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read a compiled template, if possible."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a compiled template, if possible."""
        if self._is_written:
            with suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)
