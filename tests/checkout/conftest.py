"""Orders whose pages are looked at."""

from tests.orders.scenes import order_in

__all__ = ["order_in"]
