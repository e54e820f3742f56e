"""An order's whole story in one list: steps, money, messages from providers, mails and notes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select

from shop.admin.rendering import actor_words, names_of
from shop.admin.words import gateway_words, plain
from shop.delivery.models import Shipment, TrackingEvent
from shop.extensions import db
from shop.messaging.models import Notification, NotificationStatus
from shop.money import format_minor
from shop.orders.effects import WORDS
from shop.orders.models import Order, OrderEvent
from shop.payments.models import Payment, PaymentEvent
from shop.webhooks.models import WebhookEvent

FILTERS = {"all": "All", "customer": "Customer", "staff": "Staff"}

BAD = {"payment_failed", "dispute_opened", "dispute_lost", "delivery_attempt_failed", "incident", "returned"}  # fmt: skip
GOOD = {"payment_succeeded", "pay_on_delivery_accepted", "delivered", "dispute_won", "payment", "nothing_to_pay"}  # fmt: skip
ABOUT_MONEY = ("payment", "refund", "message", "incident")
SOURCES = {
    "webhook": "{gateway} told us",
    "return": "{gateway} answered when the shopper came back",
    "sweep": "{gateway} answered when we asked",
    "admin": "Entered by staff",
    "statement": "The bank's statement shows it",
    "courier": "The courier told us",
    "open": "{gateway} answered when the payment began",
}
"""Where a piece of news about money came from."""

CHANGES = {
    "captured": "{amount} came in",
    "late": "{amount} came in after the items were released",
    "second": "{amount} came in a second time",
    "mismatch": "{amount} came in, but another amount was asked for",
    "short": "{amount} came in, which is not all that was due",
    "open": "The payment page is open",
    "unknown": "Not known yet whether the payment page is open",
    "try_failed": "One try to pay was declined",
    "failed": "The payment was declined",
    "expired": "The payment page closed before it was paid",
    "cancelled": "The payment was called off",
    "refund_sent": "A refund of {amount} was sent",
    "refunded": "A refund of {amount} was made",
    "refund_failed": "A refund of {amount} was refused",
    "dispute_opened": "The customer's bank asks for {amount} back",
    "dispute_won": "The bank decided the dispute for us",
    "dispute_lost": "The bank decided the dispute against us",
}
"""What a piece of news changed. Any other word is shown as it stands."""

TROUBLES = {
    NotificationStatus.FAILED: "could not be sent",
    NotificationStatus.UNCERTAIN: "may not have been sent",
}


@dataclass(frozen=True)
class Entry:
    """One line: when, what, and a smaller line that says from where. `tone` is the mark's colour."""

    at: datetime
    text: str
    small: str = ""
    tone: str = ""
    for_customer: bool = False


def story(order: Order, show: str = "all", *, sees_money: bool = True) -> list[Entry]:
    """The timeline, newest first: five statements however long it is.

    Who may not see totals gets no line that could name one.
    """
    entries = _steps(order, sees_money) + _scans(order) + _troubled_mails(order)
    if sees_money:
        entries += _money(order)
    if show == "customer":
        entries = [entry for entry in entries if entry.for_customer]
    elif show == "staff":
        entries = [entry for entry in entries if not entry.for_customer]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def _steps(order: Order, sees_money: bool) -> list[Entry]:
    found = select(OrderEvent).where(OrderEvent.order_id == order.id).order_by(OrderEvent.id)
    if not sees_money:
        found = found.where(OrderEvent.kind.not_in(ABOUT_MONEY))
    rows = db.session.scalars(found).all()
    names = names_of(row.actor for row in rows)
    return [
        Entry(
            row.occurred_at,
            row.text if sees_money else WORDS.get(row.kind, row.text),
            _step_small(row, actor_words(row.actor, names)),
            _tone(row.kind),
            row.for_customer,
        )
        for row in rows
    ]


def _step_small(row: OrderEvent, who: str) -> str:
    if row.kind == "note":
        return f"Note by {who}"
    reason = str(row.details.get("reason", "")) if row.details else ""
    said = f"By {who}" if row.actor != "system" else "By itself"
    return f"{said}: {reason}" if reason else said


def _tone(kind: str) -> str:
    if kind == "note":
        return "note"
    if kind in BAD:
        return "bad"
    return "ok" if kind in GOOD else ""


def _money(order: Order) -> list[Entry]:
    """What providers told us; of news that came again, how often."""
    rows = db.session.execute(
        select(PaymentEvent, Payment, WebhookEvent.repeats)
        .join(Payment, Payment.id == PaymentEvent.payment_id)
        .outerjoin(
            WebhookEvent,
            and_(
                WebhookEvent.source == Payment.gateway,
                WebhookEvent.event_id == PaymentEvent.gateway_event_id,
            ),
        )
        .where(Payment.order_id == order.id)
        .order_by(PaymentEvent.id)
    )
    return [
        Entry(event.created_at, _money_text(event, payment), _money_small(event, payment, repeats))
        for event, payment, repeats in rows
    ]


def _money_text(event: PaymentEvent, payment: Payment) -> str:
    amount = event.amount_minor or payment.amount_minor
    words = CHANGES.get(event.changed, plain(event.changed))
    currency = event.details.get("currency") or payment.currency
    return words.format(amount=format_minor(amount, currency))


def _money_small(event: PaymentEvent, payment: Payment, repeats: int | None) -> str:
    source = SOURCES.get(event.source, plain(event.source))
    parts = [source.format(gateway=gateway_words(payment.gateway))]
    if repeats:
        parts.append(f"applied once, received {_times(repeats + 1)}")
    if event.gateway_event_id:
        parts.append(f"message {event.gateway_event_id}")
    return ", ".join(parts)


def _times(number: int) -> str:
    return "twice" if number == 2 else f"{number} times"


def _scans(order: Order) -> list[Entry]:
    rows = db.session.execute(
        select(TrackingEvent, Shipment)
        .join(Shipment, Shipment.id == TrackingEvent.shipment_id)
        .where(Shipment.order_id == order.id)
        .order_by(TrackingEvent.id)
    )
    return [
        Entry(
            scan.occurred_at,
            scan.words or scan.code,
            ", ".join(
                part
                for part in (f"Scan of parcel {shipment.sequence}", shipment.awb, scan.place)
                if part
            ),
        )
        for scan, shipment in rows
    ]


def _troubled_mails(order: Order) -> list[Entry]:
    """Messages that did not go, or perhaps not; what went has its own line in the timeline."""
    rows = db.session.scalars(
        select(Notification)
        .where(Notification.order_id == order.id, Notification.status.in_(TROUBLES))
        .order_by(Notification.id)
    )
    return [
        Entry(
            row.updated_at,
            f"The message “{row.subject or plain(row.template)}” {TROUBLES[row.status]}",
            f"By {row.channel}",
            "bad",
        )
        for row in rows
    ]
