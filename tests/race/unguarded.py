"""The shop with the guard of its stock taken out, as shops are that oversell: look, then write.

Only to show that the race would find it.
"""

from sqlalchemy import select, update

from shop import create_app, database
from shop.extensions import db
from shop.stock import reservations
from shop.stock.models import StockLevel


def look_then_take(variant_id: int, quantity: int) -> bool:
    """Read the level, decide in Python, write what was read plus the quantity."""
    level = db.session.execute(
        select(StockLevel.on_hand, StockLevel.reserved).where(StockLevel.variant_id == variant_id)
    ).one()
    if level.on_hand - level.reserved < quantity:
        return False
    db.session.execute(
        update(StockLevel)
        .where(StockLevel.variant_id == variant_id)
        .values(reserved=level.reserved + quantity)
        .execution_options(synchronize_session=False)
    )
    return True


reservations._take = look_then_take
# And no writer's lock at the beginning of a transaction on SQLite.
database.WRITING = "nothing asks for this"
app = create_app()
