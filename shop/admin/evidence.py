"""The evidence for a dispute: what the gateway's people need to see, gathered from the shop's rows.

Only what was said to the customer and what happened stands in it: no note of staff, no incident.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_datetime
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from shop.admin.words import courier_words, gateway_words, plain, shipment_words
from shop.clock import local, shop_zone, utcnow
from shop.config import settings
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus, TrackingEvent
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.models import Notification
from shop.money import format_minor
from shop.orders.models import Order, OrderEvent
from shop.payments.models import Dispute, Payment, Refund

Fact = tuple[str, str]


@dataclass(frozen=True)
class Table:
    """Rows under headings; `widths` are shares of the page's width."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """A heading with facts (label and value), a table, or a sentence where there is nothing."""

    title: str
    facts: Sequence[Fact] = ()
    table: Table | None = None
    nothing: str = ""


@dataclass(frozen=True)
class Bundle:
    """The whole file, as words."""

    number: str
    title: str
    subtitle: str
    sections: Sequence[Section]


def gather(dispute_id: int) -> Bundle:
    """Everything about the disputed payment and its order: a fixed number of statements.

    Raises NotFound.
    """
    dispute = db.session.scalars(
        select(Dispute)
        .where(Dispute.id == dispute_id)
        .options(
            joinedload(Dispute.payment).joinedload(Payment.order).selectinload(Order.lines)
        )
    ).one_or_none()  # fmt: skip
    if dispute is None:
        raise NotFound("There is no such dispute.")
    payment, order = dispute.payment, dispute.payment.order
    return Bundle(
        number=order.number,
        title=f"Evidence: dispute of order {order.number}",
        subtitle=(
            f"{settings().shop_name}, {settings().public_url}. Made {moment(utcnow())}; all times "
            f"are those of {settings().timezone} (UTC{local(utcnow()):%z})."
        ),
        sections=[
            _dispute(dispute),
            _order(order),
            _bought(order),
            _figures(order),
            _payment(payment),
            *_refunds(payment),
            *_parcels(order),
            _messages(order),
            _timeline(order),
        ],
    )


def moment(value: datetime | None) -> str:
    """20 Nov 2026, 14:29, by the shop's clock, whose zone the file's head names."""
    if value is None:
        return ""
    return format_datetime(value, "d MMM y, HH:mm", tzinfo=shop_zone(), locale="en_GB")


def _known(facts: Sequence[tuple[str, str | None]]) -> list[Fact]:
    return [(label, value) for label, value in facts if value]


def _dispute(dispute: Dispute) -> Section:
    facts = [
        ("Dispute at the gateway", dispute.gateway_id),
        ("Amount", format_minor(dispute.amount_minor, dispute.payment.currency)),
        ("Reason", plain(dispute.reason) if dispute.reason else ""),
        ("Opened", moment(dispute.created_at)),
        ("Evidence date", moment(dispute.evidence_due_at)),
    ]
    return Section("The dispute", _known(facts))


def _order(order: Order) -> Section:
    facts = [
        ("Number", order.number),
        ("Placed", moment(order.placed_at)),
        ("Customer", order.billing_address.get("recipient") or order.shipping_address["recipient"]),
        ("E-mail", order.email),
        ("Phone", order.phone),
        ("Delivery address", _address(order.shipping_address)),
        ("Billing address", _billing(order)),
        ("Delivery", order.shipping_label or plain(order.shipping_method)),
    ]
    return Section("The order", _known(facts))


def _address(address: dict[str, str]) -> str:
    rows = (
        ("recipient",), ("line1", "line2"), ("landmark",), ("postal_code", "city"),
        ("state", "country"), ("phone",),
    )  # fmt: skip
    lines = [", ".join(address[name] for name in row if address.get(name)) for row in rows]
    return "\n".join(line for line in lines if line)


def _billing(order: Order) -> str:
    if order.billing_address == order.shipping_address:
        return "The same"
    return _address(order.billing_address)


def _bought(order: Order) -> Section:
    rows = [
        (
            f"{line.name}, {line.options}" if line.options else line.name,
            line.sku,
            str(line.quantity),
            format_minor(line.unit_price_minor, order.currency),
            format_minor(line.total_minor, order.currency),
        )
        for line in order.lines
    ]
    heads = ("Item", "Number", "Quantity", "Price", "Sum")
    return Section("What was bought", table=Table(heads, rows, (40, 20, 12, 14, 14)))


def _figures(order: Order) -> Section:
    facts = [
        ("Items", order.subtotal_minor), ("Discount", -order.discount_minor),
        ("Delivery", order.shipping_minor), ("Payment fee", order.fee_minor),
        ("Tax", order.tax_minor), ("Tax included", order.tax_included_minor),
    ]  # fmt: skip
    shown = [(label, format_minor(minor, order.currency)) for label, minor in facts if minor]
    return Section("Its sum", [*shown, ("Total", format_minor(order.total_minor, order.currency))])


def _payment(payment: Payment) -> Section:
    facts = [
        ("Gateway", gateway_words(payment.gateway)),
        ("Our reference", payment.reference),
        ("Gateway's id", payment.gateway_id),
        *((f"Gateway's {plain(name).lower()}", value) for name, value in payment.gateway_refs.items()),
        ("Method", plain(payment.method) if payment.method else ""),
        ("Captured", moment(payment.captured_at)),
        ("Amount captured", format_minor(payment.captured_minor, payment.currency)),
        ("Payer's e-mail", payment.payer_email),
        ("Payer's phone", payment.payer_phone),
    ]  # fmt: skip
    return Section("The payment", _known(facts))


def _refunds(payment: Payment) -> list[Section]:
    found = db.session.scalars(
        select(Refund).where(Refund.payment_id == payment.id).order_by(Refund.id)
    ).all()
    if not found:
        return []
    rows = [
        (
            moment(refund.created_at),
            format_minor(refund.amount_minor, payment.currency),
            plain(refund.status),
            refund.gateway_id or "",
        )
        for refund in found
    ]
    heads = ("Asked", "Amount", "State", "Gateway's id")
    return [Section("Refunds of it", table=Table(heads, rows, (22, 20, 20, 38)))]


def _parcels(order: Order) -> list[Section]:
    shipments = db.session.scalars(
        select(Shipment)
        .where(Shipment.order_id == order.id)
        .options(selectinload(Shipment.lines).selectinload(ShipmentLine.order_line))
        .order_by(Shipment.sequence)
    ).all()
    if not shipments:
        return [Section("Delivery", nothing="No parcel was sent.")]
    scans: dict[int, list[TrackingEvent]] = {}
    found = select(TrackingEvent).where(
        TrackingEvent.shipment_id.in_([shipment.id for shipment in shipments])
    )
    for scan in db.session.scalars(found.order_by(TrackingEvent.occurred_at, TrackingEvent.id)):
        scans.setdefault(scan.shipment_id, []).append(scan)
    return [_parcel(shipment, scans.get(shipment.id, []), len(shipments)) for shipment in shipments]


def _parcel(shipment: Shipment, scans: Sequence[TrackingEvent], count: int) -> Section:
    courier = shipment.courier_name or courier_words(shipment.courier)
    contents = [f"{line.quantity} × {line.order_line.name}" for line in shipment.lines]
    facts = [
        ("Courier", courier),
        ("Tracking number (AWB)", shipment.awb),
        ("State", shipment_words(shipment.status)),
        ("Delivered", _delivered(shipment, scans)),
        ("Contents", "\n".join(contents)),
    ]
    rows = [(moment(scan.occurred_at), scan.words or scan.code, scan.place) for scan in scans]
    return Section(
        f"Parcel {shipment.sequence} of {count}" if count > 1 else "Delivery",
        _known(facts),
        Table(("When", "What the courier scanned", "Where"), rows, (22, 46, 32)) if rows else None,
        "" if rows else "The courier told of no scan.",
    )


def _delivered(shipment: Shipment, scans: Sequence[TrackingEvent]) -> str:
    if shipment.delivered_at is None:
        return ""
    places = [scan.place for scan in scans if scan.status == ShipmentStatus.DELIVERED]
    place = next((place for place in places if place), "")
    return f"{moment(shipment.delivered_at)}{', ' if place else ''}{place}"


def _messages(order: Order) -> Section:
    """What went to the customer; not what went to staff."""
    found = db.session.scalars(
        select(Notification)
        .where(Notification.order_id == order.id, Notification.recipient.in_([order.email, order.phone]))
        .order_by(Notification.id)
    ).all()  # fmt: skip
    rows = [
        (
            moment(one.sent_at) or "Not sent",
            one.subject or plain(one.template),
            one.recipient,
            plain(one.status),
        )
        for one in found
    ]
    if not rows:
        return Section("Messages to the customer", nothing="None was sent.")
    heads = ("When", "What", "To", "State")
    return Section("Messages to the customer", table=Table(heads, rows, (22, 36, 27, 15)))


def _timeline(order: Order) -> Section:
    """As the customer can read it on the order's page, the oldest first."""
    found: Any = db.session.scalars(
        select(OrderEvent)
        .where(OrderEvent.order_id == order.id, OrderEvent.for_customer)
        .order_by(OrderEvent.occurred_at, OrderEvent.id)
    ).all()
    rows = [(moment(event.occurred_at), event.text) for event in found]
    return Section("The order's timeline", table=Table(("When", "What"), rows, (22, 78)))
