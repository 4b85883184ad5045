"""
What Alembic runs to migrate: on the connection it is given, inside the transaction that is open on it.
"""

from alembic import context

from gateway.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
