"""Running servers with metrics, and parsed scrapes of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import sites
from tests.support.packages import real_packages
from tests.support.requests import wait_until
from tests.support.server import Server, serving
from tests.support.sites import Factory

PACKAGES = [package.file for package in real_packages() if package.is_good and package.path.stat().st_size < 100_000][
    :6
]


@dataclass(frozen=True)
class Scrape:
    """The values of one scrape, by series name and labels."""

    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum over the series that have these labels."""
        wanted = set(labels.items())
        return sum(
            value
            for (series, series_labels), value in self.values.items()
            if series == name and wanted <= series_labels
        )

    def has(self, name: str) -> bool:
        return any(series == name for series, _ in self.values)


def parsed(text: str) -> Scrape:
    """Parse an exposition; the parser of the library rejects what Prometheus would reject."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(samples) == len(values), "a series occurs twice"
    return Scrape(values)


@dataclass(frozen=True)
class WatchedServer:
    """A server with metrics, a channel, and a key of the channel's owner."""

    server: Server
    channel: str
    key: str

    @property
    def metrics_address(self) -> str:
        wait_until(lambda: any("metrics are at" in line for line in self.server.log))
        return next(match[1] for line in self.server.log if (match := re.search(r"metrics are at (\S+)", line)))

    def scrape(self) -> Scrape:
        return parsed(httpx.get(self.metrics_address).raise_for_status().text)

    def client(self) -> httpx.Client:
        return self.server.client(self.key)


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    """A server of one process that logs as JSON."""
    folder = tmp_path_factory.mktemp("watched")
    with serving(folder, examiners=1, metrics_port=0, log_format="json") as server:
        yield with_channel(server, folder)


def with_channel(server: Server, folder: Path) -> WatchedServer:
    """Create a channel on the server, and a key of its owner."""
    seaway = sites.build(folder)
    factory = Factory(seaway)
    watched_server = WatchedServer(server, factory.channel("chan"), factory.key("owner"))
    seaway.close()
    return watched_server
