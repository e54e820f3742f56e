"""How migrations run: on the app's database, or with MIGRATION_DATABASE_URL's rights where given."""

from alembic import context
from flask import current_app
from sqlalchemy import create_engine
from sqlalchemy.types import TypeDecorator

from shop.config import settings
from shop.database import engine_options, tune
from shop.extensions import db


def render_item(kind, item, autogen_context):
    """Write the shop's own column types as what they are made of: migrations import nothing of it."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


def engine():
    """The engine of the migrations' user."""
    url = settings().migration_database_url
    if not url:
        return db.engine
    made = create_engine(url, **engine_options(url))
    tune(made)
    return made


def run_migrations():
    """Run on one connection. On SQLite foreign keys are off meanwhile: a batch rebuild of a parent
    would delete its children. They are checked before the commit."""
    with engine().connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        raw = connection.connection.dbapi_connection
        if is_sqlite:
            raw.execute("PRAGMA foreign_keys=OFF")
        else:
            connection.execution_options(isolation_level="READ COMMITTED")
            raw.execute("SET statement_timeout = 0")
            raw.commit()
        options = {
            **current_app.extensions["migrate"].configure_args,
            "render_item": render_item,
        }
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            transactional_ddl=True,
            **options,
        )
        with context.begin_transaction():
            context.run_migrations()
            if is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone():
                raise RuntimeError("the migration broke a foreign key")
        if is_sqlite:
            raw.execute("PRAGMA foreign_keys=ON")


run_migrations()
