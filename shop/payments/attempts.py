"""Opening a payment at its gateway, retrying by the same or another one, and asking how it stands."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from flask import url_for
from sqlalchemy import bindparam, func, select, update

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import end_reading, transaction
from shop.errors import Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.limits import count_try
from shop.orders import lines
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import parts, questions, recording
from shop.payments.gateways import gateway, switched_on
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    Gateway,
    GatewayEvent,
    Opened,
    PageEnd,
    PaymentRequest,
)  # fmt: skip
from shop.payments.models import (
    LIVE,
    AttemptStatus,
    Payment,
    PaymentEvent,
    PaymentPart,
    Refund,
)  # fmt: skip
from shop.payments.status import refresh
from shop.preferences import preference, preferences
from shop.providers import OutcomeUnknown, ProviderError, ProviderRefused
from shop.stock import reservations

log = structlog.get_logger()

MAX_ATTEMPTS = 5
PAGES = frozenset({"redirect", "page"})
"""Next steps that end at the attempt's `expires_at`."""
ONLY_AT_CHECKOUT = "Cash on delivery is chosen at checkout, since it has a fee."


@dataclass(frozen=True)
class Next:
    """Where the browser goes now. `is_external` is True for a gateway's own page."""

    url: str
    is_external: bool


@dataclass(frozen=True)
class Opening:
    """An attempt that is committed and not opened yet: all that the call needs, no row."""

    payment_id: int
    gateway_key: str
    order_token: str
    request: PaymentRequest


def hold_until(gateway_key: str, chosen: Mapping[str, Any]) -> datetime:
    """How long the stock is held for this way to pay."""
    if gateway_key == "bank_transfer":
        return in_future(hours=chosen["bank_hold_hours"])
    return in_future(minutes=chosen["hold_minutes"])


def new_reference() -> str:
    """26 random characters A–Z 2–7."""
    return base64.b32encode(secrets.token_bytes(17)).decode()[:26]


def begin(order: Order, part: PaymentPart, way: Gateway, until: datetime) -> Opening:
    """Add an attempt for a part, in the caller's transaction. The call to the gateway comes later."""
    reference = new_reference()
    payment = Payment(
        order_id=order.id, part_id=part.id, gateway=way.key, reference=reference,
        idempotency_key=f"pay-{reference}", amount_minor=part.amount_minor, currency=order.currency,
        expires_at=until, ask_at=in_future(minutes=questions.FIRST_ASK_MINUTES) if way.is_online else None,
        status=AttemptStatus.CREATED,
    )  # fmt: skip
    db.session.add(payment)
    db.session.flush()
    return Opening(payment.id, way.key, order.token, request_for(payment, order))


def request_for(payment: Payment, order: Order) -> PaymentRequest:
    """What the gateway is asked: made from the rows alone, so that a repeat sends the same."""
    return PaymentRequest(
        reference=payment.reference,
        idempotency_key=payment.idempotency_key,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        order_number=order.number,
        description=f"{settings().shop_name} order {order.number}",
        email=order.email,
        phone=order.phone,
        country=order.shipping_address.get("country", ""),
        return_url=f"{settings().public_url}/pay/{payment.gateway}/return?reference={payment.reference}",
        webhook_url=f"{settings().public_url}/webhooks/{payment.gateway}",
        expires_at=payment.expires_at or payment.created_at,
        locale=order.locale,
    )


def open_at_gateway(opening: Opening) -> Next:
    """Call the gateway, no transaction open, and keep its answer. Opens its own transaction after."""
    way = gateway(opening.gateway_key)
    end_reading()
    try:
        opened = way.open(opening.request)
    except OutcomeUnknown as error:
        log.warning("payment.open_unknown", reference=opening.request.reference, error=str(error))
        with transaction():
            _mark_unknown(opening.payment_id)
        return own_page(opening.order_token)
    except ProviderError as error:
        log.warning("payment.open_refused", reference=opening.request.reference, error=str(error))
        with transaction():
            recording.opening_refused(opening.payment_id, str(error))
        return Next(url_for("orders.pay", token=opening.order_token), is_external=False)
    with transaction():
        keep_opened(opening.payment_id, opened)
    return next_of(
        opened.next_step, opening.order_token, opening.gateway_key, opening.request.reference
    )


_LOCKED = (
    select(Payment)
    .where(Payment.id == bindparam("payment"))
    .with_for_update()
    .execution_options(populate_existing=True)
)


def keep_opened(payment_id: int, opened: Opened) -> None:
    """Keep what the gateway answered. A webhook may have been quicker: then only the ids are new."""
    payment = db.session.scalars(_LOCKED, {"payment": payment_id}).one()
    recording.learn_ids(payment, opened.gateway_id, opened.refs)
    if payment.status not in {AttemptStatus.CREATED, AttemptStatus.UNKNOWN}:
        return
    payment.status = AttemptStatus.OPEN
    payment.next_step = opened.next_step
    payment.expires_at = opened.expires_at or payment.expires_at
    db.session.add(
        PaymentEvent(payment_id=payment.id, kind="opened", source="open", changed="open")
    )
    questions.plan(payment)
    if payment.gateway == "bank_transfer":
        _send_instructions(payment)


def _send_instructions(payment: Payment) -> None:
    """The rows to copy into the banking app go by mail as well: the transfer may be made tomorrow."""
    enqueue(
        "messaging.tell",
        {
            "event": "payment_instructions", "order_id": payment.order_id, "payment_id": payment.id,
        },
        key=f"payment_instructions:{payment.id}",
    )  # fmt: skip


def _mark_unknown(payment_id: int) -> None:
    db.session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.status == AttemptStatus.CREATED)
        .values(status=AttemptStatus.UNKNOWN, ask_at=in_future(seconds=20), updated_at=utcnow())
    )
    db.session.add(
        PaymentEvent(payment_id=payment_id, kind="opened", source="open", changed="unknown")
    )


def next_of(step: dict[str, Any], token: str, gateway_key: str, reference: str) -> Next:
    """Where an attempt's next step leads: the gateway's page, its page on this shop, or the order."""
    if step.get("kind") == "redirect":
        return Next(str(step["url"]), is_external=True)
    if step.get("kind") == "page":
        page = url_for("payments.own_page", gateway_key=gateway_key, reference=reference)
        return Next(page, is_external=False)
    return own_page(token)


def has_open_page(payment: Payment) -> bool:
    """True while the shopper can go on where the attempt was begun, at the gateway or on its page here."""
    if payment.status != AttemptStatus.OPEN or payment.next_step.get("kind") not in PAGES:
        return False
    return payment.expires_at is None or payment.expires_at > utcnow()


def own_page(token: str) -> Next:
    """The order's own page."""
    return Next(url_for("orders.show", token=token), is_external=False)


def latest(order_id: int) -> Payment | None:
    """The order's newest attempt; a gift card's, which is paid as it is made, only if it is alone."""
    return db.session.scalars(
        select(Payment)
        .where(Payment.order_id == order_id)
        .order_by(Payment.gateway == "gift_card", Payment.id.desc())
        .limit(1)
    ).first()


def pay(order_id: int, gateway_key: str, first_minor: int = 0) -> Next:
    """Pay what is due next by the same or another way: hold the stock anew, end the attempt before.

    `first_minor` pays only so much by this way, and the rest after it by another. Opens its own
    transactions. Raises Refused, or OutOfStock when something is gone.
    """
    way = gateway(gateway_key)
    if way.key not in {one.key for one in switched_on()}:
        raise Refused("This way to pay is not available.")
    with transaction():
        order = lock_order(order_id)
        opening = _retry(order, way, first_minor)
    if isinstance(opening, Next):
        return opening
    return open_at_gateway(opening)


def _retry(order: Order, way: Gateway, first_minor: int) -> Opening | Next:
    part = parts.awaited(order)
    if part is None:
        return own_page(order.token)
    country = order.shipping_address["country"]
    reason = way.unavailable(order.currency, country, first_minor or part.amount_minor)
    if reason:
        raise Refused(reason)
    if way.key == "cod" and (first_minor or order.fee_minor < preference("cod_fee_minor")):
        raise Refused(ONLY_AT_CHECKOUT)
    live = _live_of(order)
    for payment in live:
        if payment.gateway == way.key and has_open_page(payment) and not first_minor:
            # The page of the same gateway is still open: go on there, no second attempt.
            return next_of(payment.next_step, order.token, payment.gateway, payment.reference)
        if payment.status in {AttemptStatus.UNKNOWN, AttemptStatus.AUTHORIZED}:
            raise Refused("We are still asking about your last payment. Wait a moment, please.")
    tried = select(func.count()).select_from(Payment).where(Payment.part_id == part.id)
    if (db.session.scalar(tried) or 0) >= MAX_ATTEMPTS:
        raise Refused(f"This was tried {MAX_ATTEMPTS} times. Please write to us.")
    return _open_another(order, part, way, live, first_minor)


def _live_of(order: Order) -> Sequence[Payment]:
    """Whatever part they are for: one attempt of an order is live at a time."""
    return db.session.scalars(
        select(Payment).where(Payment.order_id == order.id, Payment.status.in_(LIVE))
    ).all()


def _open_another(
    order: Order, part: PaymentPart, way: Gateway, live: Sequence[Payment], first_minor: int
) -> Opening | Next:
    for payment in live:
        recording.supersede(payment)
    if first_minor:
        part = parts.split(order, part, first_minor)
    until = hold_until(way.key, preferences("hold_minutes", "bank_hold_hours"))
    if order.is_unpaid:
        if order.status == OrderStatus.PAYMENT_FAILED:
            advance(order, "payment_retried", Actor(Who.SHOPPER, "customer"))
        # The stock of a plan is held for weeks; a gateway's page is open for no longer than any other.
        renew(order, way.key)
        order.payment_method = way.key
    opening = begin(order, part, way, until)
    refresh(order)
    if way.key != "cod":
        return opening
    return accept_at_door(order, opening)


def accept_at_door(order: Order, opening: Opening) -> Next:
    """Cash on delivery has nobody to call: the order goes on at once."""
    keep_opened(opening.payment_id, gateway("cod").open(opening.request))
    advance(order, "pay_on_delivery_accepted", Actor(Who.SHOPPER, "customer"))
    return own_page(order.token)


def renew(order: Order, gateway_key: str) -> datetime:
    """Hold the order's stock from now on for the full time. Raises OutOfStock when something is gone."""
    until = hold_until(gateway_key, preferences("hold_minutes", "bank_hold_hours"))
    if order.payment_status == PaymentStatus.PARTIALLY_PAID:
        # A plan's goods are held for longer than any page is open.
        until = max(until, reservations.hold_ends_at(order.id) or until)
    if reservations.extend(order.id, until):
        return until
    reservations.hold(order.id, lines.quantities(order.id), until)
    return until


def renew_hold(order_id: int) -> datetime:
    """The shopper asks for more time. Returns until when. Raises Refused, TooMany or OutOfStock."""
    count_try("renew_hold", str(order_id))
    with transaction():
        order = lock_order(order_id)
        if not order.is_unpaid or order.late_money_due_at is not None:
            raise Refused("This order no longer waits for a payment.")
        return renew(order, order.payment_method)


def cancel_by_shopper(order_id: int) -> None:
    """The shopper cancels: nothing was charged, or all of it goes back. Raises IllegalTransition."""
    with transaction():
        order = lock_order(order_id)
        advance(order, "cancelled_by_customer", Actor(Who.SHOPPER, "customer"))


def ref_of(payment: Payment) -> AttemptRef:
    """How the attempt is named to its gateway."""
    order = db.session.get_one(Order, payment.order_id)
    return AttemptRef(
        reference=payment.reference,
        gateway_id=payment.gateway_id,
        refs=dict(payment.gateway_refs),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        created_at=payment.created_at,
        request=request_for(payment, order),
        refund_keys=tuple(
            db.session.scalars(
                select(Refund.idempotency_key)
                .where(Refund.payment_id == payment.id)
                .order_by(Refund.id)
            )
        ),
    )


def ask(payment_id: int, source: str) -> None:
    """Ask the gateway how the attempt stands and record its answer. Opens its own transactions.

    Raises shop.providers' errors when the gateway does not answer.
    """
    payment = db.session.get_one(Payment, payment_id)
    key, attempt = payment.gateway, ref_of(payment)
    never_opened = payment.gateway_id is None
    end_reading()
    answer = answer_of(key, attempt, never_opened)
    with transaction():
        keep_answer(payment_id, key, answer, source)


def end_declined(payment_id: int) -> None:
    """The shopper came back declined: end the page, so that the next try is a new one.

    Opens its own transaction. Raises shop.providers' errors when the gateway does not answer.
    """
    payment = db.session.get_one(Payment, payment_id, populate_existing=True)
    key, attempt = payment.gateway, ref_of(payment)
    way, is_open = gateway(key), payment.status == AttemptStatus.OPEN
    end_reading()
    if is_open and way.is_online and way.page_end == PageEnd.BY_CALL:
        event = way.close(attempt)
        with transaction():
            recording.record(event, key, "return", payment_id)


def answer_of(
    key: str, attempt: AttemptRef, never_opened: bool
) -> tuple[Opened | None, Sequence[GatewayEvent]]:
    """Speak to the gateway: open first what may never have been opened, then ask."""
    way = gateway(key)
    if not never_opened:
        return None, way.fetch(attempt)
    opened = opened_after_all(way, attempt)
    if opened is None:
        return None, [never_was(attempt)]
    return opened, way.fetch(named(attempt, opened))


def opened_after_all(way: Gateway, attempt: AttemptRef) -> Opened | None:
    """Repeat an opening of unknown outcome with its own key: it opens once.

    None when the gateway refuses for certain: had the first call come through, the same key
    would have brought its answer back. So there is no page.
    """
    if attempt.request is None:
        return None
    try:
        return way.open(attempt.request)
    except ProviderRefused as error:
        log.info("payment.never_opened", reference=attempt.reference, error=str(error))
        return None


def named(attempt: AttemptRef, opened: Opened) -> AttemptRef:
    """The attempt with the ids that its opening brought."""
    return replace(attempt, gateway_id=opened.gateway_id, refs=dict(opened.refs))


def never_was(attempt: AttemptRef) -> GatewayEvent:
    """There is no such page at the gateway and never was."""
    return GatewayEvent(
        EventKind.FAILED, reference=attempt.reference, failure_code="not_opened",
        failure_words="The payment could not be opened",
    )  # fmt: skip


def keep_answer(
    payment_id: int,
    key: str,
    answer: tuple[Opened | None, Sequence[GatewayEvent]],
    source: str,
) -> None:
    """Record what the gateway said, in the caller's transaction, and plan the next question."""
    opened, events = answer
    recording.locked(payment_id)
    if opened:
        keep_opened(payment_id, opened)
    for event in events:
        recording.record(event, key, source, payment_id)
    payment = db.session.get_one(Payment, payment_id)
    payment.asks += 1
    payment.asked_at = utcnow()
    questions.plan(payment, events)
