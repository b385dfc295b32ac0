"""Constants of the migrations; tests/contracts tests their effect on a database."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from seaway.database import migrate


def test_the_newest_schema_is_the_last_migration() -> None:
    """The constant avoids importing alembic and must equal its head."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))

    assert ScriptDirectory.from_config(config).get_current_head() == migrate.NEWEST
