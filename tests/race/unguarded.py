"""The shop with the guard of its stock taken out, as shops are that oversell: look first, write later.

Only to show that the race would find it.
"""

import threading

import pytest
from sqlalchemy import select, update

from shop.cart.models import CartLine
from shop.checkout import placing
from shop.extensions import db
from shop.stock import reservations
from shop.stock.models import StockLevel

seen = threading.local()


def look(wish: placing.Wish) -> None:
    """Read the levels of the cart before the transaction of the order. Nobody is turned away yet."""
    levels = db.session.execute(
        select(StockLevel.variant_id, StockLevel.on_hand, StockLevel.reserved)
        .join(CartLine, CartLine.variant_id == StockLevel.variant_id)
        .where(CartLine.cart_id == wish.cart_id)
    )
    seen.levels = {level.variant_id: level for level in levels}


def take(variant_id: int, quantity: int) -> bool:
    """Decide in Python by what was read, and write that plus the quantity."""
    level = seen.levels[variant_id]
    if level.on_hand - level.reserved < quantity:
        return False
    db.session.execute(
        update(StockLevel)
        .where(StockLevel.variant_id == variant_id)
        .values(reserved=level.reserved + quantity)
        .execution_options(synchronize_session=False)
    )
    return True


def take_guards_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the weaker functions in the guards' places. Fails where a guard of that name is no more."""
    monkeypatch.setattr(placing, "_before_queueing", look)
    monkeypatch.setattr(reservations, "_take", take)
