"""What an order's page shows: its headline, its timeline, its parcels, and what may be done with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from babel.dates import format_date
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from shop.accounts.addresses import country_name
from shop.clock import local, utcnow
from shop.delivery import story
from shop.delivery.contents import Content, contents_of
from shop.delivery.models import NOT_HANDED_OVER, Shipment, ShipmentStatus, TrackingEvent
from shop.delivery.story import Story
from shop.errors import NotFound
from shop.extensions import db
from shop.money import format_minor
from shop.orders.lifecycle import COURIER_EVENTS, MOVING, Who, may
from shop.orders.models import (
    REPLACEMENT,
    FulfilmentStatus,
    Order,
    OrderEvent,
    OrderStatus,
)
from shop.pages import clock, day
from shop.payments import attempts, parts
from shop.payments.gateways import gateway
from shop.payments.models import (
    AttemptStatus,
    PartStatus,
    Payment,
    PaymentEvent,
    PaymentPart,
    Refund,
)
from shop.returns import asking, claims
from shop.returns.models import ReturnRequest

S = OrderStatus
A = AttemptStatus

ASKING = frozenset({A.CREATED, A.UNKNOWN, A.AUTHORIZED})
"""Attempts that may have been paid without our knowing: no other may be begun meanwhile."""

FINAL = frozenset({S.DELIVERED, S.CANCELLED, S.REFUNDED, S.RETURNED, S.ARCHIVED})


@dataclass(frozen=True)
class Headline:
    """The answer to the one question of the moment, and a sentence more."""

    words: str
    sentence: str = ""


@dataclass(frozen=True)
class OrderPage:
    """Everything that the order's page draws. `is_owner` is who signed in and ordered it."""

    order: Order
    events: Sequence[OrderEvent]
    payment: Payment | None
    refunds: Sequence[Refund]
    parcels: Sequence[Story]
    is_owner: bool
    #: In which parts it is paid; one, as a rule.
    parts: Sequence[PaymentPart]
    returns: Sequence[ReturnRequest] = ()
    #: What is in each parcel, where there are several: by shipment.
    contents: Mapping[int, Sequence[Content]] = field(default_factory=dict)
    #: Something of it was delivered lately enough to be sent back.
    may_return: bool = False

    @property
    def headline(self) -> Headline:
        """What to say first."""
        return headline(self)

    @property
    def is_asking(self) -> bool:
        """A payment may have succeeded without our knowing yet."""
        return self.order.is_unpaid and self.payment is not None and self.payment.status in ASKING

    @property
    def is_confirming(self) -> bool:
        """An open attempt at a gateway, which may be paid at any moment."""
        live = self.payment is not None and self.payment.is_live
        return self.order.is_unpaid and live and self.provider != ""

    @property
    def provider(self) -> str:
        """The name of the gateway of the latest attempt; empty for one without a provider."""
        if self.payment is None or not gateway(self.payment.gateway).is_online:
            return ""
        return provider_name(self.payment.gateway)

    @property
    def instructions(self) -> list[list[str]]:
        """The rows that a shopper copies into the banking app, while the transfer is awaited."""
        awaited = self.order.is_unpaid and self.payment is not None and self.payment.is_live
        if not awaited or self.payment is None or self.payment.gateway != "bank_transfer":
            return []
        rows: list[list[str]] = self.payment.next_step.get("rows", [])
        return rows

    @property
    def paid_minor(self) -> int:
        """The parts that are paid."""
        return sum(one.amount_minor for one in self.parts if one.status == PartStatus.PAID)

    @property
    def awaited(self) -> PaymentPart | None:
        """The part that may be paid now: of an unpaid order, or an instalment of a running one."""
        return parts.awaited_of(self.order, self.parts)

    @property
    def may_pay(self) -> bool:
        """The shopper may choose how to pay: nothing that may have succeeded is in the way."""
        return self.awaited is not None and not self.is_asking

    @property
    def may_cancel(self) -> bool:
        """The shopper may cancel: unpaid by the link alone, paid only by its signed-in owner (S53)."""
        if not may(self.order, "cancelled_by_customer", Who.SHOPPER) or self.is_asking:
            return False
        if self.order.payment_method == REPLACEMENT:
            return False
        if self.order.is_unpaid:
            return True
        return self.is_owner and self.order.fulfilment_status == FulfilmentStatus.UNFULFILLED

    @property
    def address(self) -> list[str]:
        """The delivery address, in lines; for a bare link only what helps to recognise it (S54)."""
        held = self.order.shipping_address
        place = " ".join(one for one in (held.get("city"), held.get("postal_code")) if one)
        if not self.is_owner:
            return [masked_name(held.get("recipient", "")), held.get("city", "")]
        lines = [held.get(name, "") for name in ("recipient", "line1", "line2", "landmark")]
        lines += [", ".join(one for one in (place, held.get("state", "")) if one)]
        return [line for line in [*lines, country_name(held.get("country", ""))] if line]

    @property
    def contact(self) -> list[str]:
        """E-mail and phone; masked for a bare link."""
        email, phone = self.order.email, self.order.phone
        if self.is_owner:
            return [one for one in (email, phone) if one]
        return [masked_email(email), *([f"•••• {phone[-3:]}"] if phone else [])]

    @property
    def timeline(self) -> list[OrderEvent]:
        """The order's own events, newest first; the parcels' scans stand with the parcels."""
        told_by_parcels = {"packed"} if self.parcels else set()
        if any(parcel.events for parcel in self.parcels):
            told_by_parcels |= set(COURIER_EVENTS)
        before = [None, *self.events]
        return [
            event
            for event, former in reversed(list(zip(self.events, before, strict=False)))
            if event.kind not in told_by_parcels and not _says_the_same(event, former)
        ]

    @property
    def is_coming_back(self) -> bool:
        """The badge says so: the order's status stays where the courier turned round."""
        is_away = self.order.status in MOVING
        return is_away and story.is_coming_back(parcel.shipment for parcel in self.parcels)

    @property
    def expected(self) -> date | None:
        """The day on which the last of it should arrive; None before it is paid and once it is over."""
        if self.order.is_unpaid or self.order.status in FINAL:
            return None
        if not self.parcels:
            return self.order.expected_by
        days = [story.expected_day(parcel.shipment) for parcel in self.parcels]
        return max((one for one in days if one is not None), default=None)

    @property
    def is_moving(self) -> bool:
        """More news is to come, so the page keeps asking."""
        under_way = any(refund.status.value in {"requested", "sent"} for refund in self.refunds)
        return self.order.status not in FINAL or under_way


def _says_the_same(event: OrderEvent, former: OrderEvent | None) -> bool:
    """The amount that came in was told just before "Payment received"."""
    return event.kind == "payment_succeeded" and former is not None and former.kind == "payment"


def find(token: str) -> Order:
    """The order that the token opens. Raises NotFound."""
    order = db.session.scalars(select(Order).where(Order.token == token)).one_or_none()
    if order is None:
        raise NotFound
    return order


def read(order: Order, is_owner: bool) -> OrderPage:
    """All that the page draws: some ten statements, however many lines and parcels."""
    order = db.session.scalars(
        select(Order).where(Order.id == order.id).options(selectinload(Order.lines))
    ).one()
    events = select(OrderEvent).where(
        OrderEvent.order_id == order.id, OrderEvent.for_customer.is_(True)
    )
    parcels = story.stories_of(order.id)
    has_come = any(one.shipment.status == ShipmentStatus.DELIVERED for one in parcels)
    return OrderPage(
        order=order,
        events=list(db.session.scalars(events.order_by(OrderEvent.id))),
        payment=attempts.latest(order.id),
        parts=parts.of_order(order.id),
        refunds=list(db.session.scalars(select(Refund).where(Refund.order_id == order.id))),
        parcels=parcels,
        is_owner=is_owner,
        contents=contents_of(one.shipment.id for one in parcels) if len(parcels) > 1 else {},
        returns=asking.of_order(order.id) if parcels else (),
        may_return=has_come and bool(claims.returnable(order)),
    )


def version_of(order: Order) -> str:
    """Changes whenever anything on the page does: one statement, nothing loaded."""
    payments = select(Payment.id).where(Payment.order_id == order.id)
    shipments = select(Shipment.id).where(Shipment.order_id == order.id)
    newest = db.session.execute(
        select(
            select(func.max(OrderEvent.id)).where(OrderEvent.order_id == order.id).scalar_subquery(),
            select(func.max(PaymentEvent.id)).where(PaymentEvent.payment_id.in_(payments)).scalar_subquery(),
            select(func.max(Payment.id)).where(Payment.order_id == order.id).scalar_subquery(),
            select(func.max(Payment.updated_at)).where(Payment.order_id == order.id).scalar_subquery(),
            select(func.max(Refund.updated_at)).where(Refund.order_id == order.id).scalar_subquery(),
            select(func.max(Shipment.updated_at)).where(Shipment.order_id == order.id).scalar_subquery(),
            select(func.max(TrackingEvent.id)).where(TrackingEvent.shipment_id.in_(shipments)).scalar_subquery(),
            select(func.max(ReturnRequest.updated_at)).where(ReturnRequest.order_id == order.id).scalar_subquery(),
        )
    ).one()  # fmt: skip
    return f"{order.version}:{order.updated_at}:{':'.join(map(str, newest))}"


def provider_name(gateway_key: str) -> str:
    """A gateway's name as it stands in a sentence."""
    return gateway_key.replace("_", " ").title()


def headline(page: OrderPage) -> Headline:
    """The one thing that the shopper wants to know now."""
    order = page.order
    status = S(order.status_before) if order.status_before else order.status
    if order.late_money_due_at is not None:
        return _late(order)
    if order.is_unpaid:
        return _unpaid(page)
    if status == S.CANCELLED:
        return _cancelled(page)
    if status in {S.REFUNDED, S.PARTIALLY_REFUNDED} and not page.parcels:
        return _money_back(page)
    if page.parcels and status not in {S.PAID, S.PROCESSING}:
        return _on_its_way(page)
    return {
        S.REFUNDED: Headline("Refunded", "Your money has gone back the way it came."),
        S.PROCESSING: Headline("Thank you, we have your order", "We are packing it now."),
        S.READY_FOR_SHIPMENT: Headline("Packed and waiting for pickup", "We write when the courier has it."),
        S.DELIVERED: Headline("Delivered"),
        S.RETURNED: Headline("Back with us", "The parcel came back. We will write to you about it."),
    }.get(status, Headline("Thank you, we have your order", "We pack it next, and write when it leaves."))  # fmt: skip


def _late(order: Order) -> Headline:
    due = order.late_money_due_at or utcnow()
    return Headline(
        "Your payment arrived after the items sold out",
        f"We will write by {day(due)}, {clock(due)}, and send it back if we cannot help.",
    )


def _unpaid(page: OrderPage) -> Headline:
    if page.instructions and page.payment:
        until = page.payment.expires_at or page.order.expires_at
        by = f" by {day(until)}" if until else ""
        amount = format_minor(page.payment.amount_minor, page.order.currency)
        return Headline(
            "Waiting for your bank transfer", f"Send {amount}{by}. We have not seen it yet."
        )
    if page.is_asking:
        return Headline(
            f"We are waiting for {page.provider or 'the payment'} to confirm",
            f"{_doubt(page)}This page updates by itself. You can close it, we will email you either way.",
        )
    if page.is_confirming:
        return Headline(
            "Waiting for your payment",
            f"If you have paid, this page shows it as soon as {page.provider} confirms. "
            "You can close it, we will email you either way.",
        )
    if page.paid_minor:
        return _partly_paid(page)
    words = page.payment.failure_words if page.payment else None
    return Headline(
        "Your payment did not go through",
        f"{(words or 'The payment page was closed before it was paid').rstrip('.')}. Nothing was charged.",
    )


def _partly_paid(page: OrderPage) -> Headline:
    came = format_minor(page.paid_minor, page.order.currency)
    rest = format_minor(page.order.total_minor - page.paid_minor, page.order.currency)
    if page.awaited is not None and page.awaited.due_at is not None:
        return Headline(
            f"{came} paid, the next part is due by {day(page.awaited.due_at)}",
            "We keep it for you, and ship when all is paid.",
        )
    return Headline(
        f"{came} paid, {rest} still to pay", f"Without the rest in time, {came} go back to you."
    )


def _doubt(page: OrderPage) -> str:
    """What a gateway that does not know itself would have the shopper do."""
    payment = page.payment
    if payment is None or payment.status != A.UNKNOWN or not payment.failure_words:
        return ""
    return f"{payment.failure_words.rstrip('.')}. "


def _cancelled(page: OrderPage) -> Headline:
    back = sum(one.amount_minor for one in page.refunds if one.status.value != "failed")
    if not back:
        return Headline("This order is cancelled", "Nothing was charged.")
    amount = format_minor(back, page.order.currency)
    if all(one.status.value == "succeeded" for one in page.refunds):
        return Headline(f"Cancelled, {amount} went back to you")
    return Headline(
        f"Cancelled, {amount} is on its way back", "Banks take up to ten days to show it."
    )


def _money_back(page: OrderPage) -> Headline:
    back = sum(one.amount_minor for one in page.refunds if one.status.value == "succeeded")
    amount = format_minor(back, page.order.currency)
    return Headline(f"{amount} went back to you", "Banks take up to ten days to show it.")


def _on_its_way(page: OrderPage) -> Headline:
    """The parcel that is furthest behind decides."""
    moving = [one for one in page.parcels if not story.is_final(one.shipment)]
    parcel = (moving or list(page.parcels))[-1]
    words = story.headline(parcel.shipment)
    if parcel.shipment.status in NOT_HANDED_OVER:
        return Headline(
            "Packed and waiting for pickup" if parcel.shipment.awb else "Packing now", _expected(parcel)
        )  # fmt: skip
    return Headline(words, _last_scan(parcel))


def _expected(parcel: Story) -> str:
    until = story.expected_day(parcel.shipment)
    if until is None:
        return "We write when the courier has it."
    return "Expected " + format_date(until, "EEEE d MMMM", locale="en_GB") + "."


def _last_scan(parcel: Story) -> str:
    courier = parcel.shipment.courier_name or "The courier"
    if not parcel.events:
        return f"{courier} has your parcel."
    last = parcel.events[0]
    place = f" in {last.place}" if last.place else ""
    return f"{courier}, last scan{place} {_when(last.occurred_at)}."


def _when(moment: datetime) -> str:
    is_today = local(moment).date() == local(utcnow()).date()
    return f"{'today' if is_today else day(moment)} at {clock(moment)}"


def masked_name(name: str) -> str:
    """The first letter of each word: "A•••• R••"."""
    return " ".join(word[0] + "•" * min(4, len(word) - 1) for word in name.split())


def masked_email(email: str) -> str:
    """The first letter and the host: "a•••@shopper.example"."""
    name, _, host = email.rpartition("@")
    return f"{name[:1]}•••@{host}"
