"""The cart's page and what is done to it."""

from flask import Blueprint, Flask

from shop.cart.carts import cart_count

bp = Blueprint("cart", __name__)


def init_app(app: Flask) -> None:
    """Every page of the shop shows how much is in the cart."""
    app.jinja_env.globals["cart_count"] = cart_count
