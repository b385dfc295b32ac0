"""
Tables of a database to copy, in any schema: list them, check that they are empty, create them.

The highest assigned id of each table is copied with its rows: an audit entry must never point at a later user.
"""

import warnings
from collections.abc import Mapping

from sqlalchemy import MetaData, Table, func, inspect, literal, select, text

from seaway.database import migrate
from seaway.database.engine import Tx
from seaway.database.migrate import MIGRATIONS, Migrations
from seaway.database.tables import metadata
from seaway.errors import BadSetting

# Not in a backup: documents are built again on request, jobs and schedules belong to running workers, clients start
# partial uploads again; manifests, kept blobs and damaged blobs belong to one store.
LEFT_OUT = frozenset(
    {
        "documents", "jobs", "schedules", "resumable_uploads", "resumable_pieces", "manifest_marks", "kept_blobs",
        "damaged_blobs",
    }
)  # fmt: skip

# Tables that a first start writes to, before there is an account.
_WRITTEN_AT_START = frozenset({"site_values", "mailed_links"})


def tables_to_back_up(tx: Tx) -> list[Table]:
    """Return the tables to back up, as this database has them; tables that others refer to come first."""
    reflected = MetaData()
    with warnings.catch_warnings():
        # Only columns matter here, and an index on an expression cannot be read from SQLite.
        warnings.filterwarnings("ignore", message="Skipped unsupported reflection of expression-based index")
        reflected.reflect(tx, only=lambda name, _: name in metadata.tables and name not in LEFT_OUT, resolve_fks=False)
    return reflected.sorted_tables


def require_empty(tx: Tx) -> None:
    """Refuse a database that is in use."""
    current = migrate.current(tx)
    existing = [table for table in metadata.sorted_tables if table.name in inspect(tx).get_table_names()]
    if current is None and existing:
        raise BadSetting("The database has tables that Seaway did not create.", "Use an empty database.")
    if current is not None:
        migrate.require_known(current, "database")
    for table in existing:
        if (
            table.name not in LEFT_OUT | _WRITTEN_AT_START
            and tx.execute(select(literal(1)).select_from(table).limit(1)).first()
        ):
            raise BadSetting(f"The database is not empty: it has {table.name}.", "Use an empty database.")


def create_tables(tx: Tx, revision: str, migrations: Migrations = MIGRATIONS) -> None:
    """Create the tables of this schema; existing ones, which are empty or partly copied, are dropped first."""
    metadata.drop_all(tx)
    tx.execute(text("DROP TABLE IF EXISTS alembic_version"))
    migrate.upgrade(tx, revision, migrations)


def last_ids(tx: Tx) -> dict[str, int]:
    """Return the highest id that each table of this database ever assigned."""
    if tx.dialect.name == "sqlite":
        rows = tx.execute(text("SELECT name, seq FROM sqlite_sequence WHERE seq > 0 ORDER BY name"))
        return {name: seq for name, seq in rows if name in metadata.tables}
    query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)")
    found = {name: tx.execute(query, {"name": name}).scalar() for name in _with_ids(tx)}
    return {name: value for name, value in found.items() if value is not None}


def put_last_ids(tx: Tx, ids: Mapping[str, int]) -> None:
    """Make the tables assign ids after these ids and after the ids of their rows."""
    for name in _with_ids(tx):
        table = metadata.tables[name]
        last_id = max(ids.get(name, 0), tx.execute(select(func.max(table.c.id))).scalar() or 0)
        if last_id == 0:
            continue
        values = {"name": name, "last": last_id}
        if tx.dialect.name == "sqlite":
            tx.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
            tx.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), values)
        else:
            tx.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'id')::regclass, :last)"), values)


def _with_ids(tx: Tx) -> list[str]:
    existing = set(inspect(tx).get_table_names())
    return [table.name for table in metadata.sorted_tables if "id" in table.c and table.name in existing]
