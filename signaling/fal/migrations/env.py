"""Alembic's entry: migrate over the connection that `Database.migrate` gives."""

from __future__ import annotations

from alembic import context

from signaling.fal.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
