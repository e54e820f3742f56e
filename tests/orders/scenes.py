"""Orders that many tests begin with, made once."""

from collections.abc import Callable
from typing import Any

import pytest

from shop.extensions import db
from shop.orders.models import Order
from tests.factories import make_order


@pytest.fixture
def order_in(shop: Any) -> Callable[[str], Order]:
    """`order_in("paid")` is an order in that state, whose rows are copied.

    It is the first thing in the empty shop: what a test writes before it is gone.
    """

    def made(state: str) -> Order:
        key = shop.scene(f"order-{state}", lambda: make_order(state).id)
        return db.session.get_one(Order, key)

    return made
