"""Origin of a file, for pages: who uploaded it and how, from the upload log."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select

from seaway.database.engine import Tx
from seaway.database.rows import AnyRow
from seaway.database.tables import uploads

_GITHUB = "https://token.actions.githubusercontent.com"
_GITLAB = "https://gitlab.com"


class UploadedFile(NamedTuple):
    """A file by its place and its bytes."""

    subdir: str
    file_name: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """The upload of the current bytes of a file. `repository` and the fields after it are set for workflows only."""

    at_ms: int
    replaced: bool  # another file had the name before
    upload_method: str  # how a user uploaded it, as a phrase
    repository: str
    workflow: str
    commit: str
    run: str
    repository_url: str
    commit_url: str
    run_url: str

    @property
    def by_workflow(self) -> bool:
        """Whether a trusted publisher uploaded it."""
        return bool(self.repository)


def of_file(tx: Tx, channel_id: int, subdir: str, file_name: str, sha256: bytes) -> Origin | None:
    """Return the last upload of these bytes under this name; None for files older than the upload log."""
    row = tx.execute(
        select(uploads)
        .where(
            uploads.c.channel_id == channel_id,
            uploads.c.subdir == subdir,
            uploads.c.file_name == file_name,
            uploads.c.sha256 == sha256,
        )
        .order_by(uploads.c.number.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _origin(row)


def of_files(tx: Tx, channel_id: int, wanted: Collection[UploadedFile]) -> dict[UploadedFile, Origin]:
    """Return the last upload of each of these files, in one query; files older than the upload log are left out."""
    # Not sorted by the database: SQLite would read the whole log of the channel in that order.
    rows = tx.execute(
        select(uploads).where(
            uploads.c.channel_id == channel_id,
            uploads.c.subdir.in_({file.subdir for file in wanted}),
            uploads.c.file_name.in_({file.file_name for file in wanted}),
        )
    ).all()
    oldest_first = sorted(rows, key=lambda row: row.number)
    last = {UploadedFile(row.subdir, row.file_name, row.sha256): row for row in oldest_first}
    return {file: _origin(last[file]) for file in wanted if file in last}


def _origin(row: AnyRow) -> Origin:
    run, _, attempt = row.run.partition("/")
    repository_url = commit_url = run_url = ""
    # URLs are made only for issuers whose sites are known, from verified claims.
    if row.issuer == _GITHUB and row.repository:
        repository_url = f"https://github.com/{row.repository}"
        commit_url = f"{repository_url}/commit/{row.commit}" if row.commit else ""
        run_url = f"{repository_url}/actions/runs/{run}/attempts/{attempt or 1}" if run else ""
    elif row.issuer == _GITLAB and row.repository:
        repository_url = f"https://gitlab.com/{row.repository}"
        commit_url = f"{repository_url}/-/commit/{row.commit}" if row.commit else ""
        run_url = f"{repository_url}/-/pipelines/{run}" if run else ""
    return Origin(
        at_ms=row.at,
        replaced=row.replaced_sha256 is not None,
        upload_method=_means(row),
        repository=row.repository,
        workflow=row.workflow,
        commit=row.commit,
        run=run,
        repository_url=repository_url,
        commit_url=commit_url,
        run_url=run_url,
    )


def _means(row: AnyRow) -> str:
    if row.key_id is not None:
        return "with an API key"
    if row.user_id is None:
        return ""
    return "with a command-line tool" if " (tool " in row.principal else "in a browser"
