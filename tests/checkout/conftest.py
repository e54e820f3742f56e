"""Orders whose pages are looked at, and a cart that is taken to the checkout."""

from typing import Any

import pytest

from tests.checkout.shopping import give_cart, make_ball_in_cart
from tests.orders.scenes import order_in

__all__ = ["order_in"]


@pytest.fixture
def in_cart(shop: Any, client: Any) -> None:
    """`client` has one ball for ₹499.00 in its cart. It is the first thing in the empty shop."""
    give_cart(client, shop.scene("a ball in the cart", make_ball_in_cart))
