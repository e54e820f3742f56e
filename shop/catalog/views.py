"""The catalogue's pages: the front page, the listing and each product."""

from flask import Blueprint, Flask

from shop.catalog.shelves import departments
from shop.pages import asset_url

bp = Blueprint("catalog", __name__)


def picture_url(storage_key: str) -> str:
    """Where the browser finds a picture of the catalogue."""
    return asset_url(f"img/{storage_key}")


def init_app(app: Flask) -> None:
    """What the frame of every page asks for."""
    app.jinja_env.globals.update(departments=departments, picture_url=picture_url)
