"""Where a gateway's own lists and our rows differ: each difference is a line until it is settled."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.database import Upsert, given
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.money import format_minor
from shop.payments import recording, refunds
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import (
    AttemptStatus,
    Dispute,
    Payment,
    PaymentDifference,
    Refund,
    RefundStatus,
)  # fmt: skip

#: What moved within the last hour may not stand in the gateway's list yet.
SETTLED_HOURS = 1
#: The lines that comparing with a gateway's lists finds.
COMPARED = ("payment", "fee", "refund", "dispute")


#: What gateways call the id of money that came in, among an event's `refs`: only money has one.
MONEY_IDS = ("payment", "transaction", "payment_intent")


@dataclass(frozen=True)
class Difference:
    """One difference. `named` is the gateway's id or ours; amounts in minor units, None: not there."""

    #: payment, fee, refund, dispute or payout.
    what: str
    named: str
    ours_minor: int | None
    theirs_minor: int | None
    currency: str
    #: See PaymentDifference.
    happened_at: datetime


def differences(
    gateway_key: str, told: Sequence[GatewayEvent], since: datetime
) -> list[Difference]:
    """Both ways: what they list otherwise than we do, and what we have that they do not list.

    News that our rows do not say yet is no difference: it is taken in first. Reads only.
    """
    found: list[Difference] = []
    listed: set[int] = set()
    for event in told:
        try:
            payment = db.session.get_one(Payment, recording.find(event, gateway_key))
        except recording.UnknownPayment:
            found.append(unknown(_what(event), event))
            continue
        listed.add(payment.id)
        if recording.is_reflected(event, gateway_key):
            found += _otherwise(event, payment)
    return found + _not_listed(gateway_key, listed, since) + _refunds_not_listed(
        gateway_key, told, since
    )  # fmt: skip


def money_id(event: GatewayEvent) -> str | None:
    """The gateway's id of the money that came in; a reference may be shared by several payments."""
    if event.kind != EventKind.CAPTURED:
        return None
    return next((event.refs[name] for name in MONEY_IDS if name in event.refs), None)


def name_of(event: GatewayEvent) -> str:
    """What the news is about, by the gateway's id of it, ours, or another id of it."""
    named = (
        money_id(event) or event.dispute_gateway_id or event.refund_gateway_id or event.gateway_id
    )
    return named or event.reference or next(reversed([*event.refs.values()]), "?")


def unknown(what: str, event: GatewayEvent) -> Difference:
    """What they list and names no order of ours."""
    return Difference(
        what,
        name_of(event),
        None,
        event.amount_minor,
        event.currency or "",
        event.occurred_at or utcnow(),
    )


def _what(event: GatewayEvent) -> str:
    if event.kind in recording.REFUND_NEWS:
        return "refund"
    return "dispute" if event.kind in recording.DISPUTE_NEWS else "payment"


def _otherwise(event: GatewayEvent, payment: Payment) -> list[Difference]:
    """What is listed with another amount than ours."""
    if event.kind in recording.REFUND_NEWS:
        return _refund_otherwise(event, payment)
    if event.kind in recording.DISPUTE_NEWS:
        return _dispute_otherwise(event, payment)
    if event.kind != EventKind.CAPTURED:
        return []
    said = [
        ("payment", payment.captured_minor, event.amount_minor),
        ("fee", payment.fee_minor, event.fee_minor),
    ]
    return [
        Difference(what, payment.reference, ours, theirs, payment.currency, payment.created_at)
        for what, ours, theirs in said
        if ours is not None and theirs is not None and ours != theirs
    ]


def _refund_otherwise(event: GatewayEvent, payment: Payment) -> list[Difference]:
    ours = refunds.named(event, payment)
    if ours is None or event.amount_minor in {None, ours.amount_minor}:
        return []
    named = event.refund_gateway_id or ours.idempotency_key
    said = (ours.amount_minor, event.amount_minor)
    return [Difference("refund", named, *said, payment.currency, ours.created_at)]


def _dispute_otherwise(event: GatewayEvent, payment: Payment) -> list[Difference]:
    ours = db.session.scalar(
        select(Dispute.amount_minor).where(
            Dispute.payment_id == payment.id, Dispute.gateway_id == event.dispute_gateway_id
        )
    )
    if ours is None or event.amount_minor in {None, ours}:
        return []
    named = event.dispute_gateway_id or payment.reference
    # Ours is as old as the news of it: the payment is older than their dispute for certain.
    said = (ours, event.amount_minor)
    return [Difference("dispute", named, *said, payment.currency, payment.created_at)]


def _not_listed(gateway_key: str, listed: set[int], since: datetime) -> list[Difference]:
    """Payments that we took for paid, and the gateway's list does not have."""
    ours = db.session.scalars(
        select(Payment).where(
            Payment.gateway == gateway_key,
            Payment.status == AttemptStatus.CAPTURED,
            Payment.created_at >= since,
            Payment.captured_at <= in_future(hours=-SETTLED_HOURS),
        )
    )
    return [
        Difference("payment", one.reference, one.captured_minor, None, one.currency, one.created_at)
        for one in ours
        if one.id not in listed
    ]


def _refunds_not_listed(
    gateway_key: str, told: Sequence[GatewayEvent], since: datetime
) -> list[Difference]:
    """Refunds that we took for done, and the gateway's list does not have."""
    names = {event.refund_gateway_id for event in told} | {event.refund_key for event in told}
    ours = db.session.execute(
        select(Refund, Payment.currency)
        .join(Payment, Refund.payment_id == Payment.id)
        .where(
            Payment.gateway == gateway_key,
            Refund.status == RefundStatus.SUCCEEDED,
            Refund.created_at >= since,
            Refund.finished_at <= in_future(hours=-SETTLED_HOURS),
        )
    ).all()
    return [
        Difference(
            "refund",
            one.gateway_id or one.idempotency_key,
            one.amount_minor,
            None,
            currency,
            one.created_at,
        )
        for one, currency in ours
        if one.gateway_id not in names and one.idempotency_key not in names
    ]


_line = Upsert(
    PaymentDifference,
    {
        "gateway": given("gateway"), "what": given("what"), "named": given("named"),
        "ours_minor": given("ours_minor"), "theirs_minor": given("theirs_minor"),
        "currency": given("currency"), "happened_at": given("happened_at"), "settled_at": None,
    },
    unique=("gateway", "what", "named"),
    then={
        "ours_minor": given("ours_minor"), "theirs_minor": given("theirs_minor"), "settled_at": None,
    },
    returning="id",
)  # fmt: skip


def keep(
    gateway_key: str,
    found: Sequence[Difference],
    since: datetime,
    judged: Collection[str] = COMPARED,
) -> None:
    """Write the lines, report new ones, and settle those that are gone; in the caller's transaction.

    `judged` are the kinds of lines that the caller has looked for.

    A line is judged by comparisons whose lists reach back to what it is about: `reconcile --since 30`
    settles older ones than the nightly comparison sees.
    """
    now = utcnow()
    for one in found:
        _line(gateway=gateway_key, **asdict(one))
        _report(gateway_key, one)
    open_ones = db.session.scalars(
        select(PaymentDifference).where(
            PaymentDifference.gateway == gateway_key, PaymentDifference.settled_at.is_(None),
            PaymentDifference.happened_at >= since, PaymentDifference.what.in_(judged),
        )
    ).all()  # fmt: skip
    still = {(one.what, one.named) for one in found}
    gone = [one.id for one in open_ones if (one.what, one.named) not in still]
    db.session.execute(
        update(PaymentDifference)
        .where(PaymentDifference.id.in_(gone))
        .values(settled_at=now, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def words_of(one: Difference | PaymentDifference) -> str:
    """The difference as people read it: "payment X: ours ₹10.00, theirs none"."""
    ours, theirs = (
        "none"
        if minor is None
        else format_minor(minor, one.currency)
        if one.currency
        else str(minor)
        for minor in (one.ours_minor, one.theirs_minor)
    )
    return f"{one.what} {one.named}: ours {ours}, theirs {theirs}"


def _report(gateway_key: str, one: Difference) -> None:
    """Unknown money has an incident of its own (reconciling.report_unknown)."""
    if one.ours_minor is None:
        return
    open_incident(
        About(
            issue=f"{gateway_key} and our books differ: {words_of(one)}"[:300],
            category=Category.PAYMENT,
            severity=Severity.HIGH,
            context={
                "paymentId": one.named, "amount": one.ours_minor, "currency": one.currency,
            },
        ),
        f"difference:{gateway_key}:{one.what}:{one.named}",
    )  # fmt: skip
