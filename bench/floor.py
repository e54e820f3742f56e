"""The machine's own limits under the same gunicorn: a bare page, and a Flask page with one query.

FLOOR_DATABASE_URL names the database that the shop is measured on.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, render_template_string
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["FLOOR_DATABASE_URL"], pool_size=8)
app = Flask(__name__)
LIST = "<h1>Products</h1><ul>{% for row in rows %}<li>{{ row.name }} {{ row.id }}</li>{% endfor %}</ul>"
ONE = "<h1>{{ row.name }}</h1><p>{{ row.description }}</p>"


@app.get("/list")
def several() -> str:
    """One indexed SELECT of 20 rows."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, name FROM products ORDER BY id LIMIT 20")).all()
    return render_template_string(LIST, rows=rows)


@app.get("/one")
def one() -> str:
    """One indexed SELECT of one row."""
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT name, description FROM products ORDER BY id LIMIT 1")
        ).one()
    return render_template_string(ONE, row=row)


@app.get("/healthz")
def healthz() -> str:
    """The rig waits for it."""
    return "ok"


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI page without anything."""
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "2")])
    return [b"ok"]
