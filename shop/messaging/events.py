"""Who hears of what, by which way: the one table of the shop's messages."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shop.delivery.models import Shipment, ShipmentStatus
from shop.extensions import db
from shop.messaging import cart_reminders, stock_alerts
from shop.messaging.models import Purpose
from shop.orders.models import Order, OrderStatus
from shop.payments.models import Refund, RefundStatus

Context = dict[str, Any]


class Audience(StrEnum):
    """To whom a message goes."""

    CUSTOMER = "customer"
    OWNER = "owner"


@dataclass(frozen=True)
class Telling:
    """One message about an event: to whom, by which channel, in which words."""

    audience: Audience
    #: A key of shop.messaging.wordings.
    template: str
    #: The kind: email, sms, whatsapp.
    channel: str = "email"
    #: What makes two tellings of the event two messages (a refund, a parcel, a step of the order).
    apart: tuple[str, ...] = ()
    #: Whether it is still true of its subject when it is about to be sent; what is not is suppressed.
    is_true: Callable[[Any, Context], bool] = lambda row, context: True
    purpose: Purpose = Purpose.TRANSACTIONAL
    #: Its reader can stop it by a link in the mail and by the mail program's own button.
    is_stoppable: bool = False


def _is_unpaid(order: Order, context: Context) -> bool:
    return order.is_unpaid


def _waits_for_transfer(order: Order, context: Context) -> bool:
    return order.is_unpaid and order.payment_method == "bank_transfer"


def _runs(order: Order, context: Context) -> bool:
    return order.status not in {S.CANCELLED, S.REFUNDED, S.RETURNED}


def _is(*statuses: OrderStatus) -> Callable[[Order, Context], bool]:
    return lambda order, context: order.status in statuses


def _is_not(*statuses: OrderStatus) -> Callable[[Order, Context], bool]:
    return lambda order, context: order.status not in statuses


def _is_out(order: Order, context: Context) -> bool:
    """The parcel that it is about is at the door today; or the order is, and that parcel not yet there."""
    shipment = (
        db.session.get(Shipment, context["shipment_id"]) if "shipment_id" in context else None
    )
    if shipment is not None and shipment.status == ShipmentStatus.DELIVERED:
        return False
    is_parcel_out = shipment is not None and shipment.status == ShipmentStatus.OUT_FOR_DELIVERY
    return is_parcel_out or order.status == S.OUT_FOR_DELIVERY


def _is_on_its_way_back(order: Order, context: Context) -> bool:
    """The refund that was begun is neither done nor failed, and no other mail has told of it."""
    if order.status == S.CANCELLED:
        return False
    refund = db.session.get(Refund, context["refund_id"]) if "refund_id" in context else None
    return refund is None or refund.status not in {RefundStatus.SUCCEEDED, RefundStatus.FAILED}


def customer(
    template: str,
    *apart: str,
    by: tuple[str, ...] = ("email",),
    **more: Any,
) -> tuple[Telling, ...]:
    """Messages to who ordered, one for each channel."""
    return tuple(
        Telling(Audience.CUSTOMER, template, channel=kind, apart=apart, **more) for kind in by
    )


def owner(template: str, *apart: str, **more: Any) -> tuple[Telling, ...]:
    """A mail to the shop."""
    return (Telling(Audience.OWNER, template, apart=apart, **more),)


S = OrderStatus
#: By WhatsApp goes what has a template of its own; free text would need an open conversation.
EVERY_WAY = ("email", "sms", "whatsapp")
MAIL_AND_SMS = ("email", "sms")
RINGING = ("sms", "whatsapp")

# fmt: off
EVENTS: dict[str, tuple[Telling, ...]] = {
    # event                   who hears it, in which words     what sets two apart   by which way       while it is true
    "order_confirmed":        customer("order_confirmed",                            by=EVERY_WAY,      is_true=_is_not(S.CANCELLED)),
    "admin_new_order":        owner("admin_new_order"),
    "payment_instructions":   customer("payment_instructions", "payment_id",         by=EVERY_WAY,      is_true=_waits_for_transfer),
    "payment_failed":         customer("payment_failed",       "payment_id",         by=EVERY_WAY,      is_true=_is_unpaid),
    "order_cancelled":        customer("order_cancelled",      "version",            by=EVERY_WAY,      is_true=_is(S.CANCELLED, S.REFUNDED)),
    "late_money":             customer("late_money",                                 by=MAIL_AND_SMS),
    "order_shipped":          customer("order_shipped",        "shipment_id",        by=EVERY_WAY,      is_true=_is_not(S.CANCELLED)),
    "out_for_delivery":       customer("out_for_delivery",     "shipment_id", "version", by=EVERY_WAY,  is_true=_is_out),
    "delivery_problem":       customer("delivery_problem",     "shipment_id", "version", by=EVERY_WAY,  is_true=_is_not(S.DELIVERED)),
    "coming_back":            customer("coming_back",          "shipment_id",        by=MAIL_AND_SMS,   is_true=_is_not(S.DELIVERED)),
    "order_delivered":        customer("order_delivered",      "shipment_id",        by=EVERY_WAY),
    "refund_started":         customer("refund_started",       "refund_id",          by=EVERY_WAY,      is_true=_is_on_its_way_back),
    "refunded":               customer("refund_sent",          "refund_id",          by=EVERY_WAY),
    "return_requested":       customer("return_requested",     "return_id",          by=MAIL_AND_SMS)
                              + owner("admin_return_requested", "return_id"),
    "return_approved":        customer("return_approved",      "return_id",          by=EVERY_WAY),
    "return_refused":         customer("return_refused",       "return_id",          by=EVERY_WAY),
    "return_received":        customer("return_received",      "return_id",          by=EVERY_WAY),
    "return_closed":          customer("return_closed",        "return_id",          by=MAIL_AND_SMS),
    "exchange_sent":          customer("exchange_sent",        "shipment_id",        by=EVERY_WAY),
    "instalment_due":         customer("instalment_due",       "part_id", "stage",   by=EVERY_WAY,      is_true=_runs),
    "order_link":             customer("order_link",           "asked"),
    "back_in_stock":          customer("back_in_stock",                                                 is_true=stock_alerts.is_back, is_stoppable=True)
                              + customer("back_in_stock",      purpose=Purpose.MARKETING, by=RINGING,   is_true=stock_alerts.is_back, is_stoppable=True),
    "abandoned_cart":         customer("abandoned_cart",       purpose=Purpose.REMINDERS, by=EVERY_WAY, is_true=cart_reminders.is_still_left, is_stoppable=True),
    "low_stock":              owner("admin_low_stock",         "crossed",                               is_true=stock_alerts.is_low),
}
# fmt: on
"""Event → its messages. Events come by the job messaging.tell, written where the thing happened."""


def dedupe_key(event: str, subject_id: int, telling: Telling, payload: Context) -> str:
    """The same for the same message: "refunded:17:refund-3:email"."""
    apart = [
        f"{name.removesuffix('_id')}-{payload[name]}" for name in telling.apart if name in payload
    ]
    to_owner = ["owner"] if telling.audience == Audience.OWNER and len(EVENTS[event]) > 1 else []
    return ":".join([event, str(subject_id), *apart, *to_owner, telling.channel])
