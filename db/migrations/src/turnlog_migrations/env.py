"""Alembic's environment: it runs on the connection that `migrate` hands over."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="turnlog_schema_version", transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
