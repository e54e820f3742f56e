"""Steps that several tests of money take."""

from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.jobs.queue import enqueue
from shop.stock.models import Reservation, ReservationState


def hold_ends(order_id: int, run_jobs: Callable[..., int]) -> None:
    """The hold's time is over, and the sweep that ends holds has come by."""
    with transaction() as session:
        session.execute(
            sa.update(Reservation)
            .where(Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE)
            .values(expires_at=utcnow() - timedelta(seconds=1))
        )
        enqueue("stock.expire_holds", key="test")
    run_jobs()
