"""The life of an order: which event leads from which state to which, who may cause it, what follows.

RULES is the whole of it. `advance` is the only place where an order's status changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import rows_changed
from shop.errors import Conflict
from shop.extensions import db
from shop.orders import effects
from shop.orders.models import Order, OrderEvent, OrderStatus

log = structlog.get_logger()


class Who(StrEnum):
    """Kinds of actor."""

    SHOPPER = "shopper"
    GATEWAY = "gateway"
    COURIER = "courier"
    ADMIN = "admin"
    OWNER = "owner"
    SYSTEM = "system"


@dataclass(frozen=True)
class Actor:
    """Who causes an event: a kind, and the name that timeline and audit show ("user:7")."""

    who: Who
    name: str


SYSTEM = Actor(Who.SYSTEM, "system")


class Target(StrEnum):
    """Targets that are not one state."""

    SAME = "same"
    BEFORE = "before"
    ANY = "any"


@dataclass(frozen=True)
class Rule:
    """In any of `sources`, `event` by one of `who` leads to `target`; then `effects` follow."""

    event: str
    sources: frozenset[OrderStatus]
    target: OrderStatus | Target
    who: frozenset[Who]
    effects: tuple[Callable[[Order, str], None], ...] = ()


S = OrderStatus
SHOPPER, GATEWAY, COURIER, ADMIN = Who.SHOPPER, Who.GATEWAY, Who.COURIER, Who.ADMIN

UNPAID = (S.PENDING_PAYMENT, S.PAYMENT_FAILED)
PACKING = (S.PAID, S.PROCESSING, S.READY_FOR_SHIPMENT)
MOVING = (S.SHIPPED, S.IN_TRANSIT, S.OUT_FOR_DELIVERY)
DONE = (S.DELIVERED, S.RETURNED)
#: Here the courier's news moves the parcel, not the order.
PARCEL_ONLY = (S.CANCELLED, S.PARTIALLY_REFUNDED, S.REFUNDED)
COURIER_EVENTS = ("shipped", "in_transit", "out_for_delivery", "delivery_attempt_failed", "delivered", "returned")  # fmt: skip
#: News of money that an archived order is taken out of the archive for.
MONEY_EVENTS = ("partly_refunded", "refunded", "dispute_opened", "dispute_won", "dispute_lost")


def rule(
    event: str,
    sources: tuple[OrderStatus, ...],
    target: OrderStatus | Target,
    who: tuple[Who, ...],
    *follows: Callable[[Order, str], None],
) -> Rule:
    """One row of the table; the system may do whatever anyone may."""
    return Rule(event, frozenset(sources), target, frozenset({*who, Who.SYSTEM}), follows)


# fmt: off
PAID_EFFECTS = (effects.confirm_stock, effects.count_sales, effects.book_parcel, effects.tell("order_confirmed"), effects.tell("admin_new_order"))
RULES = (
    # event                      from                                    to                    who                 what follows
    rule("pay_on_delivery_accepted", (S.PENDING_PAYMENT,),               S.PROCESSING,         (SHOPPER,),         effects.confirm_stock, effects.book_parcel, effects.tell("order_confirmed"), effects.tell("admin_new_order")),
    rule("nothing_to_pay",       (S.PENDING_PAYMENT,),                   S.PAID,               (),                 *PAID_EFFECTS),
    # Goods that replace a return's (shop/returns): nothing is paid, nothing more is sold.
    rule("replacement_made",     (S.PENDING_PAYMENT,),                   S.PAID,               (),                 effects.confirm_stock, effects.book_parcel),
    rule("payment_succeeded",    UNPAID,                                 S.PAID,               (GATEWAY, ADMIN),   *PAID_EFFECTS),
    # Late money: recording.py takes the stock again first, or leaves the order on its desk.
    rule("payment_succeeded",    (S.CANCELLED,),                         S.PAID,               (GATEWAY, ADMIN),   *PAID_EFFECTS),
    rule("payment_failed",       (S.PENDING_PAYMENT,),                   S.PAYMENT_FAILED,     (GATEWAY, ADMIN),   ),
    rule("payment_retried",      (S.PAYMENT_FAILED,),                    S.PENDING_PAYMENT,    (SHOPPER,)),
    # What came in of an order that was never paid in full goes back with it.
    rule("expired",              UNPAID,                                 S.CANCELLED,          (),                 effects.release_stock, effects.give_cart_back, effects.close_attempts, effects.refund_in_full, effects.tell("order_cancelled")),
    rule("cancelled_by_customer", UNPAID,                                S.CANCELLED,          (SHOPPER,),         effects.release_stock, effects.give_cart_back, effects.close_attempts, effects.refund_in_full, effects.tell("order_cancelled")),
    rule("cancelled",            UNPAID,                                 S.CANCELLED,          (ADMIN,),           effects.release_stock, effects.give_cart_back, effects.close_attempts, effects.refund_in_full, effects.tell("order_cancelled")),
    rule("accepted",             (S.PAID,),                              S.PROCESSING,         (ADMIN, COURIER)),
    rule("packed",               (S.PROCESSING,),                        S.READY_FOR_SHIPMENT, (ADMIN, COURIER)),
    rule("shipped",              (S.READY_FOR_SHIPMENT,),                S.SHIPPED,            (ADMIN, COURIER),   effects.tell("order_shipped")),
    rule("in_transit",           (S.SHIPPED,),                           S.IN_TRANSIT,         (COURIER, ADMIN)),
    rule("out_for_delivery",     (S.SHIPPED, S.IN_TRANSIT),              S.OUT_FOR_DELIVERY,   (COURIER, ADMIN),   effects.tell("out_for_delivery")),
    rule("delivery_attempt_failed", (S.OUT_FOR_DELIVERY,),               S.IN_TRANSIT,         (COURIER, ADMIN),   effects.tell("delivery_problem")),
    rule("delivered",            MOVING,                                 S.DELIVERED,          (COURIER, ADMIN),   effects.tell("order_delivered")),
    rule("returned",             (*MOVING, S.DELIVERED),                 S.RETURNED,           (COURIER, ADMIN),   effects.report_return),
    # The goods are here again and were not refunded: staff make another parcel of them.
    rule("sent_again",           (S.RETURNED,),                          S.PROCESSING,         (ADMIN,)),
    rule("cancelled",            PACKING,                                S.CANCELLED,          (ADMIN,),           effects.cancel_parcels, effects.restock, effects.close_attempts, effects.refund_in_full, effects.tell_of_replacement, effects.tell("order_cancelled")),
    rule("cancelled_by_customer", (S.PAID, S.PROCESSING),                S.CANCELLED,          (SHOPPER,),         effects.refuse_after_handover, effects.cancel_parcels, effects.restock, effects.close_attempts, effects.refund_in_full, effects.tell("order_cancelled")),
    rule("partly_refunded",      (S.DELIVERED, S.PARTIALLY_REFUNDED),    S.PARTIALLY_REFUNDED, (GATEWAY, ADMIN)),
    rule("partly_refunded",      (*PACKING, *MOVING, S.RETURNED, S.CANCELLED, S.DISPUTED, S.REFUNDED), Target.SAME, (GATEWAY, ADMIN)),
    rule("refunded",             (S.CANCELLED,),                         Target.SAME,          (GATEWAY, ADMIN)),
    rule("refunded",             (*PACKING, *MOVING, *DONE, S.PARTIALLY_REFUNDED, S.DISPUTED), S.REFUNDED, (GATEWAY, ADMIN), effects.cancel_parcels),
    rule("dispute_opened",       (*PACKING, *MOVING, *DONE, *PARCEL_ONLY), S.DISPUTED,         (GATEWAY,),         effects.refuse_unpaid, effects.hold_parcels),
    rule("dispute_won",          (S.DISPUTED,),                          Target.BEFORE,        (GATEWAY,)),
    rule("dispute_lost",         (S.DISPUTED,),                          S.REFUNDED,           (GATEWAY,),         effects.cancel_parcels),
    rule("archived",             (*DONE, *PARCEL_ONLY),                  S.ARCHIVED,           (ADMIN,)),
    rule("unarchived",           (S.ARCHIVED,),                          Target.BEFORE,        (ADMIN, GATEWAY)),
    # Moves no money, no stock and no message; the owner says why.
    Rule("corrected", frozenset(S), Target.ANY, frozenset({Who.OWNER})),
    *(rule(event, PARCEL_ONLY,   Target.SAME, (COURIER, ADMIN)) for event in COURIER_EVENTS),
)
# fmt: on

TABLE: dict[tuple[OrderStatus, str], Rule] = {}
for _rule in RULES:
    for _source in _rule.sources:
        if (_source, _rule.event) in TABLE:
            raise RuntimeError(f"two rules for {_source}, {_rule.event}")
        TABLE[_source, _rule.event] = _rule


class IllegalTransition(Conflict):
    """That step is not possible from where the order stands."""

    def __init__(self, status: OrderStatus, event: str, who: Who) -> None:
        allowed = allowed_events(status, who)
        said = ", ".join(allowed) if allowed else "nothing"
        super().__init__(
            f"An order that is {status.value} cannot take “{event}” from {who.value}."
            f" Allowed: {said}.",
            status=status.value,
            event=event,
        )
        self.allowed = allowed


def allowed_events(status: OrderStatus, who: Who) -> list[str]:
    """The events that this kind of actor may cause in this state, in the table's order."""
    return list(dict.fromkeys(r.event for r in RULES if status in r.sources and who in r.who))


def may(order: Order, event: str, who: Who) -> bool:
    """True when the table has this step for this actor."""
    found = TABLE.get((order.status, event))
    return found is not None and who in found.who


def advance(
    order: Order,
    event: str,
    actor: Actor,
    *,
    text: str = "",
    details: dict[str, Any] | None = None,
    to: OrderStatus | None = None,
) -> OrderStatus:
    """Move the order by one event, in the caller's transaction. Returns the new status.

    Writes the status by a conditional update (old status and version in its WHERE), a line in
    the timeline, an audit entry, and what the table says follows. `to` names the state that a
    correction leads to. Raises IllegalTransition, or Conflict when another was quicker.
    """
    if order.status == S.ARCHIVED and event in MONEY_EVENTS:
        advance(order, "unarchived", Actor(actor.who, actor.name))
    if order.status == S.DISPUTED and event in COURIER_EVENTS:
        return _move_remembered(order, event, actor, text)
    found = TABLE.get((order.status, event))
    if found is None or actor.who not in found.who:
        raise IllegalTransition(order.status, event, actor.who)
    old, new = order.status, _target(order, found, to)
    _write(order, old, new)
    _tell_timeline(order, event, actor, old, new, text, details)
    for follow in found.effects:
        follow(order, actor.name)
    return new


def _target(order: Order, found: Rule, to: OrderStatus | None) -> OrderStatus:
    if found.target == Target.SAME:
        return order.status
    if found.target == Target.BEFORE:
        return OrderStatus(order.status_before or S.DELIVERED)
    if found.target == Target.ANY:
        if to is None:
            raise ValueError("a correction names its target")
        return to
    return OrderStatus(found.target)


def _write(order: Order, old: OrderStatus, new: OrderStatus) -> None:
    db.session.flush()
    before = order.status_before
    if new in {S.DISPUTED, S.ARCHIVED} and new != old:
        before = old.value
    elif new not in {S.DISPUTED, S.ARCHIVED}:
        before = None
    result = db.session.execute(
        update(Order)
        .where(Order.id == order.id, Order.status == old, Order.version == order.version)
        .values(status=new, status_before=before, version=Order.version + 1, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise Conflict("This order was changed by somebody else just now. Look again, then repeat.")
    db.session.refresh(order, ["status", "status_before", "version", "updated_at"])


def _move_remembered(order: Order, event: str, actor: Actor, text: str) -> OrderStatus:
    """A disputed order keeps its state, but remembers where the parcel has come meanwhile."""
    remembered = OrderStatus(order.status_before or S.DELIVERED)
    found = TABLE.get((remembered, event))
    if found is None or actor.who not in found.who:
        raise IllegalTransition(remembered, event, actor.who)
    if isinstance(found.target, OrderStatus):
        order.status_before = found.target.value
    _tell_timeline(order, event, actor, S.DISPUTED, S.DISPUTED, text, None)
    return order.status


def _tell_timeline(
    order: Order,
    event: str,
    actor: Actor,
    old: OrderStatus,
    new: OrderStatus,
    text: str,
    details: dict[str, Any] | None,
) -> None:
    words = text or effects.WORDS.get(event, event.replace("_", " ").capitalize())
    db.session.add(
        OrderEvent(
            order_id=order.id, kind=event, actor=actor.name, from_status=old.value, to_status=new.value,
            text=words, details=details or {}, for_customer=event != "corrected", occurred_at=utcnow(),
        )
    )  # fmt: skip
    audit.write(
        actor.name, f"order.{event}", f"order:{order.number}", {"status": old.value}, {"status": new.value}
    )  # fmt: skip
    log.info(
        "order.advanced", order=order.number, order_event=event, before=old.value, after=new.value
    )
