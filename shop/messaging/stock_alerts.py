"""What the shelf makes worth telling: a variant that can be bought again, and one that runs low."""

from typing import Any

from sqlalchemy import select, update

from shop.catalog.models import Product, ProductStatus, Variant
from shop.clock import utcnow
from shop.database import insert_ignore, rows_changed
from shop.errors import NotFound
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.messaging import consents
from shop.messaging.models import AlertState, StockAlert
from shop.stock.models import StockLevel

LOCAL = Policy(limit=30, attempts=5, base=5, cap=600, priority=30, incident=("api", "low"))
AT_ONCE = 200
"""So many alerts of a variant are told by one job, which asks for another one for the rest."""


def ask_for(variant_id: int, email: str, user_id: int | None, locale: str) -> None:
    """Keep the wish to hear when this variant is back; asked twice it is kept once. Raises NotFound."""
    is_sold = (
        select(Variant.id)
        .join(Product, Product.id == Variant.product_id)
        .where(Variant.id == variant_id, Product.status == ProductStatus.ACTIVE)
    )
    if db.session.scalar(is_sold) is None:
        raise NotFound("This product is not sold here, or not any more.")
    insert_ignore(
        StockAlert,
        {
            "variant_id": variant_id, "email": consents.known_as("email", email),
            "user_id": user_id, "locale": locale,
        },
    )  # fmt: skip
    enqueue("messaging.back_in_stock", {"variant_id": variant_id}, key=str(variant_id))


@handles("messaging.back_in_stock", LOCAL)
def tell_who_waits(work: Work) -> None:
    """The shelf has {"variant_id"} again: everybody who waits for it is told, each alert once."""
    variant_id = work.payload["variant_id"]
    if free_and_threshold(variant_id)[0] <= 0:
        return
    waiting = list(
        db.session.scalars(
            select(StockAlert.id)
            .where(StockAlert.variant_id == variant_id, StockAlert.state == AlertState.WAITING)
            .order_by(StockAlert.id)
            .limit(AT_ONCE)
        )
    )
    for alert_id in waiting:
        if _end(AlertState.TOLD, StockAlert.id == alert_id):
            wish = {"event": "back_in_stock", "stock_alert_id": alert_id}
            enqueue("messaging.tell", wish, key=f"back_in_stock:{alert_id}")
    if len(waiting) == AT_ONCE:
        enqueue("messaging.back_in_stock", {"variant_id": variant_id}, key=str(variant_id))


def stop(email: str) -> None:
    """This address wants no more of these: neither those that wait nor one that is about to go."""
    known = consents.known_as("email", email)
    _end(AlertState.STOPPED, StockAlert.email == known)
    db.session.execute(
        update(StockAlert)
        .where(StockAlert.email == known, StockAlert.state == AlertState.TOLD)
        .values(state=AlertState.STOPPED, updated_at=utcnow())
    )


def _end(state: AlertState, *which: Any) -> int:
    result = db.session.execute(
        update(StockAlert)
        .where(StockAlert.state == AlertState.WAITING, *which)
        .values(state=state, ended_at=utcnow(), updated_at=utcnow())
        .execution_options(synchronize_session="fetch")
    )
    return rows_changed(result)


def free_and_threshold(variant_id: int) -> tuple[int, int]:
    """What can be sold of the variant, and from how many on that is low."""
    level = db.session.scalar(select(StockLevel).where(StockLevel.variant_id == variant_id))
    return (level.free, level.low_threshold) if level else (0, 0)


def is_back(alert: StockAlert, context: dict[str, Any]) -> bool:
    """Still wanted, and still on the shelf."""
    return alert.state != AlertState.STOPPED and free_and_threshold(alert.variant_id)[0] > 0


def is_low(variant: Variant, context: dict[str, Any]) -> bool:
    """Nobody has filled the shelf meanwhile."""
    free, threshold = free_and_threshold(variant.id)
    return free <= threshold
