"""The proof about orders' states: each timeline, read against the table of lifecycle.py."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, select

from shop.books.reading import beside, stream
from shop.orders.lifecycle import COURIER_EVENTS, TABLE, Rule, Target
from shop.orders.models import Order, OrderEvent, OrderStatus

REMEMBERING = frozenset({OrderStatus.DISPUTED.value, OrderStatus.ARCHIVED.value})
"""States that keep in mind where the order came from."""

NAMED: dict[tuple[str | None, str], Rule] = {
    (source.value, event): rule for (source, event), rule in TABLE.items()
}
"""The table by the words that the timeline keeps."""


STEPS = (
    select(
        OrderEvent.order_id, OrderEvent.id, OrderEvent.kind, OrderEvent.from_status,
        OrderEvent.to_status,
    )
    .where(OrderEvent.to_status.is_not(None))
    .order_by(OrderEvent.order_id, OrderEvent.id)
)  # fmt: skip
ORDERS = select(Order.id, Order.number, Order.status, Order.status_before).order_by(Order.id)


def states(connection: Connection) -> Iterator[str]:
    """I14: the timeline's steps are rows of the table and lead to where the order stands."""
    steps_of = beside(connection, STEPS)
    for order in stream(connection, ORDERS):
        stood, remembered = yield from _walk(steps_of(order.id))
        if stood != order.status.value:
            yield f"orders:{order.number} is {order.status.value}, its timeline ends at {stood}"
        elif remembered != order.status_before:
            yield f"orders:{order.number} remembers {order.status_before}, its timeline {remembered}"


def _walk(steps: Iterable[Any]) -> Generator[str, None, tuple[str | None, str | None]]:
    """Tells of illegal steps. Returns where the order stands then, and the state it remembers."""
    stood: str | None = None
    remembered: str | None = None
    for step in steps:
        if not _is_legal(step, stood, remembered):
            yield f"order_events:{step.id} {step.from_status} → {step.kind} → {step.to_status}"
        remembered = _remembered(step, remembered)
        stood = step.to_status
    return stood, remembered


def _is_legal(step: Any, stood: str | None, remembered: str | None) -> bool:
    if stood is None:
        return step.from_status is None and step.to_status == OrderStatus.PENDING_PAYMENT
    if step.from_status != stood:
        return False
    if _is_parcels(step):
        return (remembered, step.kind) in NAMED
    rule = NAMED.get((step.from_status, step.kind))
    return rule is not None and step.to_status == _due(rule, step, remembered)


def _is_parcels(step: Any) -> bool:
    """News of the parcel of a disputed order: it moves the remembered state."""
    stays = step.from_status == step.to_status == OrderStatus.DISPUTED
    return stays and step.kind in COURIER_EVENTS


def _due(rule: Rule, step: Any, remembered: str | None) -> str | None:
    """The state that the rule leads to. Target.ANY stands in the one rule for corrections."""
    if rule.target == Target.SAME:
        return str(step.from_status)
    if rule.target == Target.BEFORE:
        return remembered
    return str(step.to_status) if rule.target == Target.ANY else rule.target.value


def _remembered(step: Any, remembered: str | None) -> str | None:
    """What lifecycle.py keeps in `status_before` after this step."""
    if _is_parcels(step):
        rule = NAMED.get((remembered, step.kind))
        return remembered if rule is None or rule.target == Target.SAME else rule.target.value
    if step.to_status not in REMEMBERING:
        return None
    return remembered if step.to_status == step.from_status else str(step.from_status)
