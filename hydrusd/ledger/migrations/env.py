"""Runs the migrations on the connection that the ledger hands over."""

from alembic import context

from hydrusd.ledger._tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    # The ledger's own transaction is around this: all of it happens, or nothing.
    transactional_ddl=False,
)
context.run_migrations()
