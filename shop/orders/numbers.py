"""Order numbers: YYMM.NNN, in the shop's time zone."""

import secrets

from shop.clock import local, utcnow
from shop.database import Upsert, given, transaction
from shop.orders.models import OrderMonth

_next_number = Upsert(
    OrderMonth,
    {"month": given("month"), "last_number": 1},
    unique=("month",),
    then={"last_number": OrderMonth.last_number + 1},
    returning="last_number",
)


def draw_number() -> str:
    """The month's next number, in a transaction of its own that commits before the order's.

    So checkouts never wait for one another's orders here; a number whose order failed is skipped,
    and none is given twice.
    """
    month = local(utcnow()).strftime("%y%m")
    with transaction():
        number = _next_number(month=month)
    return f"{month}.{number:03d}"


def new_token() -> str:
    """What opens an order's page: 256 random bits."""
    return secrets.token_urlsafe(32)
