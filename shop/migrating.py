"""Flask-Migrate, bound when it is first used: only the `db` commands need Alembic.

It would cost every web process a quarter of a second at its start, and ten megabytes.
"""

from functools import cache
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup
from werkzeug.local import LocalProxy

from shop.config import ROOT
from shop.extensions import db


def init_app(app: Flask) -> None:
    """Offer what Flask-Migrate offers; what asks for it brings it in."""

    @cache
    def bound() -> Any:
        from flask_migrate import Migrate

        Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
        return app.extensions["migrate"]

    app.extensions["migrate"] = LocalProxy(bound)
    app.cli = Commands(app.name, commands=app.cli.commands, bind=bound)


class Commands(AppGroup):
    """The application's commands. `bind` adds `db`."""

    def __init__(self, name: str, *, commands: Any, bind: Any) -> None:
        super().__init__(name, commands=commands)
        self.bind = bind

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name == "db":
            self.bind()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted({*super().list_commands(ctx), "db"})
