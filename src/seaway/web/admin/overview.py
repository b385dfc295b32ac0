"""Overview of the site: what needs attention, numbers, and what is pending. It reads counters, never every file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from seaway import __version__
from seaway.channels import channel_list, transfers
from seaway.channels.channel_list import ChannelFilter
from seaway.clock import MINUTE_MS
from seaway.counted_nouns import counted
from seaway.database.engine import Tx
from seaway.http.parts import parts_of
from seaway.http.request_context import RequestContext
from seaway.jobs import queue
from seaway.packages import damaged_blobs, storage_usage, sweep
from seaway.packages.sweep import LastSweep
from seaway.sign_in import second_factors, user_invitations
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.disk_space import DiskSpace, space_of
from seaway.trusted_publishing import issuer_states
from seaway.trusted_publishing.issuer_states import IssuerState
from seaway.users import user_list
from seaway.web.admin.admin_pages import for_admin, show
from seaway.web.formats import size

_PENDING_SHOWN = 20
_OVERDUE_MS = 15 * MINUTE_MS  # a waiting job that is due for longer means that no worker takes jobs


@dataclass(frozen=True, slots=True)
class Concern:
    """A problem that an admin should look at, with the page that shows it."""

    text: str
    path: str
    is_urgent: bool = True


@dataclass(frozen=True, slots=True)
class SiteState:
    """The state from which concerns follow."""

    problems: Mapping[str, str]  # of the parts that serving requires
    disks: Mapping[str, DiskSpace]
    failed_jobs: int
    overdue_ms: int
    damaged: int
    over_quota: int
    last_sweep: LastSweep | None
    failing_issuers: Sequence[IssuerState]


@for_admin
async def view(request: Request, call: RequestContext) -> Response:
    """Show the overview."""
    problems = await call.parts.readiness.problems()
    disks = disks_of(call.parts.site)

    def read_values(tx: Tx) -> Mapping[str, Any]:
        now_ms, jobs = call.now_ms, queue.count_jobs(tx)
        state = SiteState(
            problems=problems,
            disks=disks,
            failed_jobs=jobs[queue.FAILED],
            overdue_ms=queue.overdue_ms(tx, now_ms),
            damaged=damaged_blobs.count(tx),
            over_quota=channel_list.count(tx, ChannelFilter(over_quota=True)),
            last_sweep=sweep.last(tx),
            failing_issuers=[one for one in issuer_states.states(tx) if one.error and one.issuer.is_enabled],
        )
        usage = storage_usage.of_site(tx, now_ms)
        return {
            "concerns": concerns_of(state),
            "jobs": jobs,
            "users": user_list.count(tx),
            "channels": channel_list.count(tx),
            "packages": usage.package_count,
            "stored": usage.size,
            "disks": disks,
            "invitations": user_invitations.count(tx, now_ms),
            "resets": second_factors.pending_resets(tx, limit=_PENDING_SHOWN),
            "transfers": transfers.all_pending(tx, now_ms, limit=_PENDING_SHOWN),
            "version": __version__,
        }

    return await show(request, call, "overview", read_values, parts_of(request).search_slots)


def disks_of(site: Site) -> dict[str, DiskSpace]:
    """Return the disks of this machine that the server writes to, by what is on them; one that holds all only once."""
    identity = site.blobs.local_path(keys.IDENTITY)
    folders = {"data folder": site.spool.path.parent} | ({} if identity is None else {"store": identity.parent})
    found = {what: space for what, folder in folders.items() if (space := space_of(folder)) is not None}
    if len(set(found.values())) == 1:
        return {"disk": next(iter(found.values()))}
    return found


def concerns_of(state: SiteState) -> list[Concern]:
    """Return what needs attention, the worst first."""
    found = [
        *(
            Concern(f"The {part} is not usable: {problem}.", "/admin/storage")
            for part, problem in state.problems.items()
        ),
        *(
            Concern(f"The {what} is nearly full: {size(space.free)} of {size(space.total)} is free.", "/admin/storage")
            for what, space in state.disks.items()
            if space.is_low
        ),
    ]
    if state.damaged:
        damaged = counted(state.damaged, "stored file")
        found.append(Concern(f"{damaged} {_be(state.damaged)} damaged or missing.", "/admin/storage"))
    if state.last_sweep is not None and state.last_sweep.blocked_reason:
        found.append(Concern(f"The last sweep deleted nothing: {state.last_sweep.blocked_reason}", "/admin/storage"))
    if state.failed_jobs:
        found.append(Concern(f"{counted(state.failed_jobs, 'job')} failed ten times.", "/admin/jobs"))
    if state.overdue_ms > _OVERDUE_MS:
        minutes = state.overdue_ms // MINUTE_MS
        found.append(
            Concern(f"A job has waited for {minutes:,} minutes: no worker runs jobs.", "/admin/jobs?state=ready")
        )
    if state.over_quota:
        over = counted(state.over_quota, "channel")
        path = "/admin/channels?over=1"
        found.append(Concern(f"{over} {_be(state.over_quota)} over quota; uploads are refused.", path, is_urgent=False))
    found += [
        Concern(f"The keys of the issuer {one.issuer.name} could not be fetched.", f"/admin/issuers/{one.issuer.name}")
        for one in state.failing_issuers
    ]
    return found


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
