"""Migrations of a later version of Seaway, for tests of upgrades."""

from pathlib import Path
from shutil import copytree

from seaway.database.migrate import MIGRATIONS, Migrations

_LATER = '''"""A later schema: a table that is filled from the users, and a column."""

import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "{newest}"


def upgrade() -> None:
    op.create_table("later_names", sa.Column("name", sa.Text(), primary_key=True))
    op.execute("INSERT INTO later_names (name) SELECT name FROM users")
    op.add_column("users", sa.Column("later", sa.Text(), nullable=False, server_default=""))
'''


def later_migrations(folder: Path) -> Migrations:
    """Write the migrations of a later version to a new folder: those of this version, and one more."""
    copytree(MIGRATIONS.folder, folder)
    (folder / "versions" / "later_schema.py").write_text(_LATER.format(newest=MIGRATIONS.newest))
    return Migrations(folder, "later")
