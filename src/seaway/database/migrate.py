"""Migrate an older schema to the current one, in a single transaction."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect, text

from seaway.database import tables
from seaway.database.engine import Database, Tx
from seaway.errors import BadSetting, DamagedDatabase

# The newest revision in migrations/versions; a test compares them. It is repeated here so that commands on an
# up-to-date database do not spend a quarter of a second on importing alembic.
NEWEST = "0001"

# Stored instead of a revision while `backup.move_database` fills a database, so that no worker serves from it.
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Migrations:
    """The folder of the migration scripts, and the revision that they lead to."""

    folder: Path
    newest: str


MIGRATIONS = Migrations(Path(__file__).parent / "migrations", NEWEST)


def prepare(database: Database, migrations: Migrations = MIGRATIONS) -> None:
    """Create the tables of a new database; refuse an older schema: only the operator knows if there is a backup."""
    with database.read() as tx:
        found = current(tx)
    if found is None:
        migrate(database, migrations)
    elif found != migrations.newest:
        require_known(found, "database", migrations)
        raise BadSetting(
            f"The database has the older schema {found}, and this version of Seaway needs {migrations.newest}.",
            "Make a backup, stop every worker, and run `seaway migrate`.",
        )


def migrate(database: Database, migrations: Migrations = MIGRATIONS) -> str | None:
    """Migrate to the current schema; return the previous revision. If two processes start together, one migrates."""
    with database.write_site() as tx:
        found = current(tx)
        if found != migrations.newest:
            if found is not None:
                require_known(found, "database", migrations)
            upgrade(tx, migrations.newest, migrations)
        return found


def current(tx: Tx) -> str | None:
    """Return the revision of the schema, None for an empty database; raise `DamagedDatabase` if tables are missing."""
    if not inspect(tx).has_table("alembic_version"):
        if inspect(tx).has_table(tables.channels.name):
            raise DamagedDatabase("the table alembic_version is missing")
        return None
    version: str | None = tx.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version == NEWEST:
        _require_tables(tx)
    return version


def _require_tables(tx: Tx) -> None:
    missing = sorted(tables.metadata.tables.keys() - set(inspect(tx).get_table_names()))
    if missing:
        raise DamagedDatabase(f"tables are missing: {', '.join(missing)}")


def upgrade(tx: Tx, revision: str, migrations: Migrations = MIGRATIONS) -> None:
    """Migrate an empty database or an older schema to this revision."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations.folder))
    config.attributes["connection"] = tx
    command.upgrade(config, revision)


def require_known(revision: str, what: str, migrations: Migrations = MIGRATIONS) -> None:
    """Refuse a database or backup with a schema that this version of Seaway cannot migrate."""
    if revision == UNFINISHED:
        raise BadSetting(
            f"The {what} contains an unfinished move.", "Run `seaway move-database` again, or use another database."
        )
    known = {path.name.partition("_")[0] for path in (migrations.folder / "versions").glob("*.py")}
    if revision not in known:
        raise BadSetting(
            f"The {what} has the schema {revision}, which is newer than this version of Seaway supports.",
            "Start the newer version of Seaway again, or restore the backup from before the upgrade.",
        )
