"""Environment of alembic: it uses the connection that `seaway.database.migrate` passes."""

from alembic import context

from seaway.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
