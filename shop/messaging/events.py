"""Who hears of what: the one table of the shop's messages."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shop.orders.models import Order, OrderStatus


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
    channel: str = "email"
    #: What makes two tellings of the event two messages (a refund, a parcel, a step of the order).
    apart: tuple[str, ...] = ()
    #: Whether it is still true when it is about to be sent; what is not is suppressed.
    is_true: Callable[[Order], bool] = lambda order: True


def _is_unpaid(order: Order) -> bool:
    return order.is_unpaid


def _waits_for_transfer(order: Order) -> bool:
    return order.is_unpaid and order.payment_method == "bank_transfer"


def _runs(order: Order) -> bool:
    return order.status not in {S.CANCELLED, S.REFUNDED, S.RETURNED}


def _is(*statuses: OrderStatus) -> Callable[[Order], bool]:
    return lambda order: order.status in statuses


def _is_not(*statuses: OrderStatus) -> Callable[[Order], bool]:
    return lambda order: order.status not in statuses


def customer(
    template: str,
    *apart: str,
    is_true: Callable[[Order], bool] = lambda order: True,
) -> Telling:
    """A mail to who ordered."""
    return Telling(Audience.CUSTOMER, template, apart=apart, is_true=is_true)


S = OrderStatus

# fmt: off
EVENTS: dict[str, tuple[Telling, ...]] = {
    # event                   who hears it, in which words           what sets two apart   while it is true
    "order_confirmed":      (customer("order_confirmed",             is_true=_is_not(S.CANCELLED)),),
    "admin_new_order":      (Telling(Audience.OWNER, "admin_new_order"),),
    "payment_instructions": (customer("payment_instructions",        "payment_id",         is_true=_waits_for_transfer),),
    "payment_failed":       (customer("payment_failed",              "payment_id",         is_true=_is_unpaid),),
    "order_cancelled":      (customer("order_cancelled",             "version",            is_true=_is(S.CANCELLED, S.REFUNDED)),),
    "late_money":           (customer("late_money"),),
    "order_shipped":        (customer("order_shipped",               "shipment_id",        is_true=_is_not(S.CANCELLED)),),
    "out_for_delivery":     (customer("out_for_delivery",            "version",            is_true=_is(S.OUT_FOR_DELIVERY)),),
    "delivery_problem":     (customer("delivery_problem",            "version",            is_true=_is_not(S.DELIVERED)),),
    "order_delivered":      (customer("order_delivered",             "shipment_id"),),
    "refunded":             (customer("refund_sent",                 "refund_id"),),
    "instalment_due":       (customer("instalment_due",              "part_id", "stage",   is_true=_runs),),
    "order_link":           (customer("order_link",                  "asked"),),
}
# fmt: on
"""Event → its messages. Events come by the job messaging.tell, written where the thing happened."""


def dedupe_key(event: str, order_id: int, telling: Telling, payload: dict[str, object]) -> str:
    """The same for the same message: "refunded:17:refund-3:email"."""
    apart = [
        f"{name.removesuffix('_id')}-{payload[name]}" for name in telling.apart if name in payload
    ]
    return ":".join([event, str(order_id), *apart, telling.channel])
