"""Seaway instances with realistic channels, opened in this process to prepare them or to read beside a server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import channels
from seaway.server.wiring import Seaway
from tests.support import sites
from tests.support.sites import Factory


@contextmanager
def open_instance(folder: Path, settings: Mapping[str, Any]) -> Iterator[Seaway]:
    """Open the instance in `folder` with these settings."""
    seaway = sites.build(folder, **settings)
    try:
        yield seaway
    finally:
        seaway.close()


def prepare_instance(folder: Path, settings: Mapping[str, Any], sizes: Mapping[str, int], cache: Path | None) -> str:
    """Create an instance with channels of these sizes; return an API key of their owner."""
    filled = {name: size for name, size in sizes.items() if size > 0}
    if not settings:
        channels.copy_cached(cache, folder, filled)
    with open_instance(folder, settings) as seaway:
        factory = Factory(seaway)
        for name in sizes if settings else sizes.keys() - filled.keys():
            if name in filled:
                channels.fill(seaway, name, sizes[name])
            else:
                factory.channel(name, owner=channels.OWNER)
        return factory.key(channels.OWNER)
