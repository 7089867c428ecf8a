"""Run by Alembic: migrates on the connection that `spatialnet.database` opened."""

from alembic import context

from spatialnet.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
