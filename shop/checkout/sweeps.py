"""Sweeps over orders that look at several capabilities at once."""

from sqlalchemy import and_, literal, or_, select

from shop.clock import in_future
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import NOT_HANDED_OVER, Shipment, Step
from shop.delivery.shipping import MONEY_WENT_BACK, SHIPPABLE, maker_lives
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.orders.lifecycle import SYSTEM, advance
from shop.orders.models import Order, OrderStatus
from shop.preferences import preference

PAGE = 200
CREATE = "delivery.create_shipment"
SWEEP = Policy(limit=30, attempts=3, base=5, cap=60, incident=("delivery", "medium"))


@handles("orders.unstick", SWEEP)
def unstick(work: Work) -> None:
    """Parcels left half made are gone on with; those never begun too, where they book themselves."""
    books_itself = preference("auto_ship")
    _finish_half_made(work, books_itself)
    if books_itself:
        _begin_forgotten(work)


def _begin_forgotten(work: Work) -> None:
    """Paid for 15 minutes, or processing for 30, and no parcel begun; or its courier dropped it.

    What staff cancelled, and what a courier lost, waits for them.
    """
    of_it = select(Shipment.id).where(Shipment.order_id == Order.id)
    begun = of_it.where(Shipment.dropped_at.is_(None))
    dropped = of_it.where(Shipment.dropped_at.is_not(None))
    forgotten = select(Order.id).where(
        or_(
            and_(Order.status == OrderStatus.PAID, Order.updated_at < in_future(minutes=-15)),
            and_(Order.status == OrderStatus.PROCESSING, Order.updated_at < in_future(minutes=-30)),
            and_(
                Order.status == OrderStatus.READY_FOR_SHIPMENT,
                Order.updated_at < in_future(minutes=-30),
                dropped.exists(),
            ),
        ),
        Order.attention.is_(None),
        ~begun.exists(),
    )
    for (order_id,) in next_page(work, forgotten, PAGE, "forgotten"):
        enqueue(CREATE, {"order_id": order_id}, key=str(order_id))


def _finish_half_made(work: Work, books_itself: bool) -> None:
    """Not labelled, and no job at it for 15 minutes. A booking that gave up waits for a person.

    Where staff book by hand, a parcel that was put together and never booked waits for them too.
    """
    begun = or_(Shipment.step != Step.RESERVED, Shipment.trying.is_not(None), literal(books_itself))
    half_made = (
        select(Shipment.id, Shipment.step, Order.id.label("order_id"), Order.number)
        .join(Order, Shipment.order_id == Order.id)
        .where(
            Shipment.status.in_(NOT_HANDED_OVER),
            Shipment.step != Step.LABELLED,
            Shipment.courier != MANUAL,
            Shipment.parked.is_(None),
            begun,
            Shipment.updated_at < in_future(minutes=-15),
            ~maker_lives(),
            Order.status.in_(SHIPPABLE),
            Order.payment_status.not_in(MONEY_WENT_BACK),
            Order.updated_at < in_future(minutes=-15),
            Order.attention.is_(None),
        )
    )
    for one in next_page(work, half_made, PAGE, "half made"):
        wish = {"order_id": one.order_id, "shipment_id": one.id}
        if enqueue(CREATE, wish, key=f"{one.order_id}:{one.id}") is not None:
            _report_half_made(one.order_id, one.number, one.step)


def _report_half_made(order_id: int, number: str, step: Step) -> None:
    open_incident(
        About(
            issue=f"A parcel of order {number} was left half made; it is asked for again",
            category=Category.DELIVERY,
            severity=Severity.MEDIUM,
            order_id=order_id,
            context={"deliveryStage": step.value},
        ),
        f"half_made:{order_id}",
    )


@handles(
    "orders.archive",
    Policy(limit=600, attempts=3, base=300, cap=3600, incident=("database", "low")),
)
def archive(work: Work) -> None:
    """Finished orders that nothing has changed for 90 days (a preference)."""
    old = (
        select(Order.id, Order)
        .where(
            Order.status.in_(
                [
                    OrderStatus.DELIVERED, OrderStatus.CANCELLED, OrderStatus.REFUNDED,
                    OrderStatus.PARTIALLY_REFUNDED, OrderStatus.RETURNED,
                ]
            ),
            Order.updated_at < in_future(hours=-24 * preference("archive_days")),
            Order.attention.is_(None),
        )
        .with_for_update()
    )  # fmt: skip
    for _, order in next_page(work, old, PAGE):
        advance(order, "archived", SYSTEM)
