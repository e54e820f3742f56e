"""How an order follows its parcels, in legal steps of orders/lifecycle.py.

A courier may skip steps (delivered straight after picked up); the order takes them one by one.
With several parcels it has left when the last line has, and has arrived when the last one has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from shop.clock import utcnow
from shop.delivery.models import FINAL, GIVEN_BACK, Shipment, ShipmentStatus
from shop.delivery.shipping import never_left, of_order, recount_fulfilment
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.money import format_minor
from shop.orders.effects import tell_of
from shop.orders.lifecycle import COURIER_EVENTS, MOVING, PARCEL_ONLY, SYSTEM, TABLE, Actor, advance
from shop.orders.models import FulfilmentStatus, Order, OrderEvent, OrderStatus
from shop.payments import parts
from shop.payments.recording import record_cash
from shop.payments.status import kept_minor

S = ShipmentStatus
O = OrderStatus  # noqa: E741

TO_SHIPPED = (
    ("accepted", (O.PAID,)),
    ("packed", (O.PROCESSING,)),
    ("shipped", (O.READY_FOR_SHIPMENT,)),
)
"""How an order comes to be shipped, wherever it stands: event, and the states that take it."""

ONWARDS = {
    S.PICKED_UP: (),
    S.IN_TRANSIT: (("in_transit", (O.SHIPPED,)),),
    S.OUT_FOR_DELIVERY: (("out_for_delivery", (O.SHIPPED, O.IN_TRANSIT)),),
    S.DELIVERED: (("delivered", MOVING),),
}
"""What comes after that, by the stage of the parcel that is furthest behind."""

STAGES = tuple(ONWARDS)
EVENT_OF = {
    S.PICKED_UP: "shipped", S.IN_TRANSIT: "in_transit", S.OUT_FOR_DELIVERY: "out_for_delivery",
    S.DELIVERED: "delivered", S.RTO_DELIVERED: "returned",
}  # fmt: skip


TOLD = {
    S.PICKED_UP: ("shipped", "order_shipped"),
    # A courier that skips the pickup's scan: who was told of it already is not told again.
    S.IN_TRANSIT: ("shipped", "order_shipped"),
    S.OUT_FOR_DELIVERY: ("out_for_delivery", "out_for_delivery"),
    S.DELIVERED: ("delivered", "order_delivered"),
}
"""Of several parcels the customer hears of each: by the order's own step, or where it took none, by itself."""


def follow(order: Order, shipment: Shipment, actor: Actor) -> None:
    """The parcel has moved: bring the order to where its parcels are, and tell of the parcel."""
    with _news_of(shipment, order):
        _follow(order, shipment, actor)


@contextmanager
def _news_of(shipment: Shipment, order: Order) -> Iterator[None]:
    """What the order's steps tell within is about this parcel."""
    order.news_of_shipment = shipment.id
    try:
        yield
    finally:
        order.news_of_shipment = None


def _follow(order: Order, shipment: Shipment, actor: Actor) -> None:
    if stands(order) in PARCEL_ONLY:
        _only_tell(order, EVENT_OF.get(shipment.status), actor)
        settle_cash(order, actor)
        return
    _order_follows(order, shipment, actor)
    settle_cash(order, actor)


def _order_follows(order: Order, shipment: Shipment, actor: Actor) -> None:
    if shipment.status in {S.RTO_INITIATED, S.CANCELLED}:
        _note(order, shipment, actor)
    if shipment.status in {S.RTO_INITIATED, S.RTO_IN_TRANSIT}:
        _tell_it_comes_back(order, shipment)
    if shipment.status == S.RTO_DELIVERED:
        _returned(order, shipment, actor)
        return
    stage = _stage(order)
    taken = _walk(order, stage, actor) if stage is not None else []
    step, message = TOLD.get(shipment.status, ("", ""))
    if message and step not in taken and len(of_order(order.id)) > 1:
        tell_of(order, message, shipment.id)


def catch_up(order: Order) -> None:
    """Without news of a parcel: units were refunded, so less is awaited than before."""
    parcels = [one for one in of_order(order.id) if one.status not in GIVEN_BACK]
    if not parcels:
        return
    recount_fulfilment(order)
    stage = _stage(order) if stands(order) not in PARCEL_ONLY else None
    with _news_of(parcels[-1], order):
        if stage is not None:
            _walk(order, stage, SYSTEM)
        settle_cash(order, SYSTEM)


def attempt_failed(order: Order, shipment: Shipment, actor: Actor, words: str) -> None:
    """The courier could not deliver."""
    with _news_of(shipment, order):
        _attempt_failed(order, shipment, actor, words)


def _attempt_failed(order: Order, shipment: Shipment, actor: Actor, words: str) -> None:
    if stands(order) in PARCEL_ONLY:
        _only_tell(order, "delivery_attempt_failed", actor)
    elif _may(order, "delivery_attempt_failed", actor):
        advance(order, "delivery_attempt_failed", actor, details={"words": words[:200]})
    else:
        _follow(order, shipment, actor)
        if len(of_order(order.id)) > 1:
            tell_of(order, "delivery_problem", shipment.id)


def settle_cash(order: Order, actor: Actor) -> None:
    """No parcel is under way and none is still to leave: what was paid at the doors is the order's.

    Where a parcel never arrived, that is less than the order costs, and waits on the desk for it.
    """
    parcels = of_order(order.id)
    is_over = stands(order) in {*PARCEL_ONLY, O.DELIVERED} or not never_left(order)
    if parcels and is_over and all(one.status in FINAL for one in parcels):
        record_collected(order, actor)


def record_collected(order: Order, actor: Actor) -> None:
    """The cash of the parcels that arrived: no more than was taken at their doors.

    An order without any parcel was handed over as a whole. Cash for a parcel that was sent once
    more, after the rest was recorded, is for a person to record.
    """
    if order.payment_method != "cod" or order.paid_at is not None:
        return
    parcels = of_order(order.id)
    taken = sum(one.collect_minor for one in parcels if one.status == S.DELIVERED)
    record_cash(order, taken if parcels else parts.due_minor(order.id), actor.name)
    if taken > (known := kept_minor(order.id)):
        more = format_minor(taken - known, order.currency)
        order.attention = f"{more} more was collected at the door: record it as a payment"


def stands(order: Order) -> OrderStatus:
    """Where the order stands; of a disputed one, where it stood before."""
    if order.status == O.DISPUTED and order.status_before:
        return OrderStatus(order.status_before)
    return order.status


def _stage(order: Order) -> ShipmentStatus | None:
    """The stage of the parcel furthest behind; None until every line has left."""
    if order.fulfilment_status not in {FulfilmentStatus.SHIPPED, FulfilmentStatus.DELIVERED}:
        return None
    # A parcel on its way back is no further than in transit.
    seen = [
        one.status if one.status in STAGES else S.IN_TRANSIT
        for one in of_order(order.id)
        if one.status not in GIVEN_BACK and one.status not in {S.PENDING, S.PICKUP_SCHEDULED}
    ]
    return min(seen, key=STAGES.index)


def _walk(order: Order, stage: ShipmentStatus, actor: Actor) -> list[str]:
    """The steps that the order takes to that stage; returns those that it took."""
    taken = []
    for event, sources in (*TO_SHIPPED, *ONWARDS[stage]):
        if stands(order) in sources and _may(order, event, actor):
            advance(order, event, actor)
            taken.append(event)
    return taken


def _may(order: Order, event: str, actor: Actor) -> bool:
    """As the table says; a disputed order takes only what the courier tells."""
    if order.status == O.DISPUTED and event not in COURIER_EVENTS:
        return False
    found = TABLE.get((stands(order), event))
    return found is not None and actor.who in found.who


def _only_tell(order: Order, event: str | None, actor: Actor) -> None:
    """Cancelled or refunded: the parcel moves, the order's state does not; its timeline tells."""
    if event and _may(order, event, actor):
        advance(order, event, actor)


def _returned(order: Order, shipment: Shipment, actor: Actor) -> None:
    if order.fulfilment_status != FulfilmentStatus.RETURNED:
        order.attention = f"Parcel {shipment.awb} came back: send again or refund?"
        _note(order, shipment, actor)
        return
    _walk(order, S.PICKED_UP, actor)
    if _may(order, "returned", actor):
        advance(order, "returned", actor)


def _tell_it_comes_back(order: Order, shipment: Shipment) -> None:
    """Once for a parcel, whichever of the two steps the courier tells first."""
    wish = {"event": "coming_back", "order_id": order.id, "shipment_id": shipment.id}
    enqueue("messaging.tell", wish, key=f"coming_back:{shipment.id}")


NOTES = {
    S.RTO_INITIATED: "The courier could not deliver; the parcel is coming back to us",
    S.CANCELLED: "The parcel was cancelled at the courier",
    S.RTO_DELIVERED: "A parcel came back to us",
}


def _note(order: Order, shipment: Shipment, actor: Actor) -> None:
    db.session.add(
        OrderEvent(
            order_id=order.id,
            kind="shipment",
            actor=actor.name,
            text=NOTES[shipment.status],
            details={"awb": shipment.awb},
            for_customer=True,
            occurred_at=utcnow(),
        )
    )
