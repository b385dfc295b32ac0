"""Response times of the pages of a large channel, from a new worker and from a warm one."""

import argparse
import time

from sqlalchemy import func, select

from bench import channels, http_client, instances, servers
from bench.folders import scratch
from bench.http_client import Connection
from bench.measure import Samples
from bench.report import Report, progress
from seaway.database.tables import files, packages

TITLE = "pages of a large channel: the first response of a new worker, and later responses"
QUICK = {"sizes": [200_000], "rounds": 3}
FULL = {"sizes": [200_000, 700_000], "rounds": 9}

_CHANNEL = "bench"
_CHANNEL_PAGE = f"/channels/{_CHANNEL}"
_REPETITIONS = 10
_BROWSER = {"Accept": "text/html"}


def run(options: argparse.Namespace, report: Report) -> None:
    """Request each page from a new server, then ten more times from the same one."""
    for size in options.sizes:
        with scratch(options.folder) as folder:
            progress(f"creating {size:,} records")
            instances.prepare_instance(folder, {}, {_CHANNEL: size}, options.cache)
            with instances.open_instance(folder, {}) as seaway, seaway.site.database.read() as tx:
                count = tx.execute(select(func.count()).select_from(packages)).scalar_one()
                name = tx.execute(select(func.min(packages.c.name))).scalar_one()
                builds = select(files.c.package_id).group_by(files.c.package_id).order_by(func.count().desc()).limit(1)
                largest = tx.execute(select(packages.c.name).where(packages.c.id == builds.scalar_subquery()))
                cases = _pages(name, largest.scalar_one())
            for case, path in cases.items():
                samples = Samples()
                for number in range(options.rounds):
                    progress(f"{case}, round {number + 1} of {options.rounds}")
                    with (
                        servers.seaway(folder, **dict(options.set)) as server,
                        Connection(server.address) as connection,
                    ):
                        before = server.cpu_seconds()
                        samples["first"].append(_seconds(connection, path))
                        samples["processor"].append(server.cpu_seconds() - before)
                        samples["again"] += [_seconds(connection, path) for _ in range(_REPETITIONS)]
                report.add_ms(f"{count:,} packages: {case}", "first response", samples["first"])
                report.add_ms(f"{count:,} packages: {case}", "CPU time of the first response", samples["processor"])
                report.add_ms(f"{count:,} packages: {case}", "later responses", samples["again"])


def _pages(package: str, largest: str) -> dict[str, str]:
    """Return the path of each page; `largest` is the package with the most builds."""
    return {
        "sorted by name": _CHANNEL_PAGE,
        "search": f"{_CHANNEL_PAGE}?q=lib",
        "one platform": f"{_CHANNEL_PAGE}?subdir={channels.synthetic_packages.SUBDIR}",
        "newest first": f"{_CHANNEL_PAGE}?sort=updated",
        "most downloaded": f"{_CHANNEL_PAGE}?sort=downloads",
        "package page": f"{_CHANNEL_PAGE}/packages/{package}",
        "package page, most builds": f"{_CHANNEL_PAGE}/packages/{largest}",
        "dependents": f"{_CHANNEL_PAGE}/packages/{package}/dependents",
    }


def _seconds(connection: Connection, path: str) -> float:
    started = time.perf_counter()
    connection.exchange(http_client.get(path, _BROWSER)).expect(200)
    return time.perf_counter() - started
