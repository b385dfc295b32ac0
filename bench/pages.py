"""Response times of the pages of a site with a large channel, from a new worker and from a warm one."""

import argparse
from collections.abc import Mapping

from sqlalchemy import func, select

from bench import channels, http_client, instances, servers, synthetic_packages
from bench.folders import scratch
from bench.http_client import Connection
from bench.measure import Samples
from bench.report import Report, progress
from seaway.callers.caller import OPERATOR
from seaway.database.engine import Tx
from seaway.database.tables import files, packages
from seaway.server.wiring import Seaway
from seaway.sign_in import sessions
from seaway.users import users

TITLE = "pages of a site with a large channel: the first response of a new worker, and later responses"
QUICK = {"sizes": [200_000], "rounds": 3}
FULL = {"sizes": [200_000, 700_000], "rounds": 9}

_CHANNEL = "bench"
_CHANNEL_PAGE = f"/channels/{_CHANNEL}"
_REPETITIONS = 10
_BROWSER = {"Accept": "text/html"}
# Pages that are not of one package, as an administrator who owns the channel sees them.
_OTHER_PAGES = (
    "/", "/home", "/channels", "/channels/new", "/search?q=lib", "/search?q=python+%3E%3D3", "/docs",
    f"{_CHANNEL_PAGE}/statistics", f"{_CHANNEL_PAGE}/settings", f"{_CHANNEL_PAGE}/settings/members",
    f"{_CHANNEL_PAGE}/settings/publishers", f"{_CHANNEL_PAGE}/settings/keys", f"{_CHANNEL_PAGE}/settings/upload",
    f"{_CHANNEL_PAGE}/settings/log", f"{_CHANNEL_PAGE}/settings/danger",
    "/account", "/account/emails", "/account/security", "/account/keys", "/account/sessions", "/account/identities",
    "/account/tools", "/account/groups", "/account/offers",
    "/admin", "/admin/users", f"/admin/users/{channels.OWNER}", "/admin/users/invite", "/admin/channels",
    f"/admin/channels/{_CHANNEL}", "/admin/storage", "/admin/jobs", "/admin/issuers", "/admin/log",
)  # fmt: skip


def run(options: argparse.Namespace, report: Report) -> None:
    """Request each page of the channel from a new server, then again; the other pages again only."""
    for size in options.sizes:
        with scratch(options.folder) as folder:
            progress(f"creating {size:,} records")
            instances.prepare_instance(folder, {}, {_CHANNEL: size}, options.cache)
            with instances.open_instance(folder, {}) as seaway:
                with seaway.site.database.read() as tx:
                    count = tx.execute(select(func.count()).select_from(packages)).scalar_one()
                    paths = _pages_of_packages(tx)
                signed_in = {**_BROWSER, "Cookie": f"seaway_session={_sign_in(seaway)}"}
            for case, path in paths.items():
                samples = Samples()
                for number in range(options.rounds):
                    progress(f"{case}, round {number + 1} of {options.rounds}")
                    with servers.seaway(folder, **dict(options.set)) as server:
                        _request(server, path, _BROWSER, samples, "first response", 1)
                        _request(server, path, _BROWSER, samples, "later responses", _REPETITIONS)
                _add(report, f"{count:,} packages: {case}", samples)
            with servers.seaway(folder, **dict(options.set)) as server:
                for path in _OTHER_PAGES:
                    progress(path)
                    samples = Samples()
                    _request(server, path, signed_in, Samples(), "first response", 1)
                    for _ in range(options.rounds):
                        _request(server, path, signed_in, samples, "later responses", _REPETITIONS)
                    _add(report, f"{count:,} packages: {path}", samples)


def _pages_of_packages(tx: Tx) -> dict[str, str]:
    """Return the paths of the channel page and pages of its first package and of the one with the most builds."""
    name = tx.execute(select(func.min(packages.c.name))).scalar_one()
    builds = select(files.c.package_id).group_by(files.c.package_id).order_by(func.count().desc()).limit(1)
    largest = tx.execute(select(packages.c.name).where(packages.c.id == builds.scalar_subquery())).scalar_one()
    return {
        "sorted by name": _CHANNEL_PAGE,
        "search": f"{_CHANNEL_PAGE}?q=lib",
        "one platform": f"{_CHANNEL_PAGE}?subdir={synthetic_packages.SUBDIR}",
        "newest first": f"{_CHANNEL_PAGE}?sort=updated",
        "most downloaded": f"{_CHANNEL_PAGE}?sort=downloads",
        "package page": f"{_CHANNEL_PAGE}/packages/{name}",
        "package page, most builds": f"{_CHANNEL_PAGE}/packages/{largest}",
        "dependents": f"{_CHANNEL_PAGE}/packages/{name}/dependents",
    }


def _sign_in(seaway: Seaway) -> str:
    """Make the owner of the channel an administrator; return the secret of a new session."""
    now_ms = seaway.site.clock.now_ms()
    with seaway.site.database.write_site() as tx:
        owner = users.set_admin(tx, now_ms, OPERATOR, channels.OWNER, is_admin=True)
        return sessions.start(tx, now_ms, owner.id, address="127.0.0.1", agent="bench")


def _request(
    server: servers.Running, path: str, headers: Mapping[str, str], samples: Samples, what: str, times: int
) -> None:
    """Request a page on one connection; add the seconds of each response and the mean CPU seconds of one."""
    before = server.cpu_seconds()
    with Connection(server.address) as connection:
        for _ in range(times):
            with samples.timed(what):
                connection.exchange(http_client.get(path, headers)).expect(200)
    samples[f"CPU time, {what}"].append((server.cpu_seconds() - before) / times)


def _add(report: Report, case: str, samples: Samples) -> None:
    for what, seconds in samples.items():
        report.add_ms(case, what, seconds)
