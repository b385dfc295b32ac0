"""What each package is for, so that people can search for it; taken from its newest file that is listed."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MAX_SUMMARY = 500
_ROWS_AT_ONCE = 500


def upgrade() -> None:
    op.add_column("packages", sa.Column("summary", sa.Text(), nullable=False, server_default=""))
    files = sa.table("files", *(sa.column(name) for name in ("id", "package_id", "state", "about")))
    packages = sa.table("packages", sa.column("id"), sa.column("summary"))
    newest = sa.select(sa.func.max(files.c.id)).where(files.c.state == "listed").group_by(files.c.package_id)
    connection = op.get_bind()
    rows = connection.execute(sa.select(files.c.package_id, files.c.about).where(files.c.id.in_(newest)))
    change = packages.update().where(packages.c.id == sa.bindparam("package_id"))
    for part in rows.partitions(_ROWS_AT_ONCE):
        said = [
            {"package_id": package_id, "summary": json.loads(about).get("summary", "")[:_MAX_SUMMARY]}
            for package_id, about in part
        ]
        connection.execute(change, said)
