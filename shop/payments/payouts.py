"""By which payout each payment left the gateway, learnt from the gateway's own lists of payouts.

Such a list moves no money and no order: a payment that it holds and that is not captured here is
asked about, and one that names no order of ours is a line and an incident.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from shop.clock import in_future, utcnow
from shop.database import end_reading
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.payments import comparing, recording
from shop.payments.comparing import Difference
from shop.payments.gateways import gateway
from shop.payments.gateways.base import GatewayEvent, PaysOut
from shop.payments.models import AttemptStatus, Payment
from shop.payments.reconciling import take_in_all

log = structlog.get_logger()


@dataclass(frozen=True)
class PaidOut:
    """What a gateway's payouts say that we did not know, and what they say otherwise than we do."""

    fresh: Sequence[GatewayEvent] = ()
    #: Payments, by our id, that were paid out and are not captured here.
    not_captured: Sequence[int] = ()
    otherwise: Sequence[Difference] = ()
    #: Since when payouts were made that the list holds; what is older is not judged by it.
    since: datetime | None = None


@handles_outward(
    "payments.learn_payouts",
    Policy(limit=120, attempts=5, base=60, cap=3600, incident=("payment", "medium")),
)
class LearnPayouts:
    """What one gateway paid out of late; a job of its own, so that the comparison does not wait for it."""

    def prepare(self, work: Work) -> dict[str, Any]:
        """Which gateway, since when."""
        return {
            "gateway": work.payload["gateway"],
            "since": in_future(hours=-24 * work.payload["days"]),
        }

    def call(self, request: dict[str, Any]) -> PaidOut:
        """The payouts against our rows. Reads only; no transaction is open."""
        way, since = gateway(request["gateway"]), request["since"]
        if not isinstance(way, PaysOut):
            return PaidOut()
        told = way.list_payouts(since)
        paid_out = _compared(request["gateway"], told, since - way.older_payouts)
        end_reading()
        log.info(
            "payments.payouts", gateway=request["gateway"], seen=len(told), fresh=len(paid_out.fresh),
            differences=len(paid_out.otherwise),
        )  # fmt: skip
        return paid_out

    def record(self, work: Work, request: dict[str, Any], answer: PaidOut) -> None:
        """The lines, what is to be learnt, and whom to ask about."""
        if answer.since:
            comparing.keep(request["gateway"], answer.otherwise, answer.since, ("payout",))
        take_in_all(request["gateway"], answer.fresh)
        for payment_id in answer.not_captured:
            enqueue("payments.verify", {"payment_id": payment_id}, key=str(payment_id))


def _compared(gateway_key: str, told: Sequence[GatewayEvent], since: datetime) -> PaidOut:
    fresh, not_captured, otherwise = [], [], []
    for one in told:
        payment, event = _found(one, gateway_key)
        if payment is None:
            fresh.append(event)
            otherwise.append(comparing.unknown("payout", event))
            continue
        if payment.status != AttemptStatus.CAPTURED:
            not_captured.append(payment.id)
            continue
        if payment.payout_reference is None:
            fresh.append(replace(event, amount_minor=None, fee_minor=_shops_fee(event, payment)))
        otherwise += _otherwise(event, payment)
    judged = [one for one in otherwise if one.happened_at >= since]
    return PaidOut(fresh, not_captured, judged, since)


def _found(event: GatewayEvent, gateway_key: str) -> tuple[Payment | None, GatewayEvent]:
    """Our payment that was paid out, if it is ours; else under a name that no order takes.

    Money that came once more for the same reference has another id than ours has learnt.
    """
    try:
        payment = db.session.get_one(Payment, recording.find(event, gateway_key))
    except recording.UnknownPayment:
        return None, event
    theirs = comparing.money_id(event)
    if theirs is None or _has_learnt(payment) in {None, theirs}:
        return payment, event
    name = f"{payment.reference}/{theirs}"
    return None, replace(event, reference=None, gateway_id=name, refs={})


def _has_learnt(payment: Payment) -> str | None:
    """The gateway's id of the payment's money, where it is known."""
    refs = payment.gateway_refs
    return next((refs[name] for name in comparing.MONEY_IDS if name in refs), None)


def _net_minor(event: GatewayEvent, payment: Payment) -> int | None:
    """What the payout brought for the payment; None where it does not tell, or in another currency."""
    amount, fee = event.amount_minor, event.fee_minor
    if amount is None or fee is None or event.currency != payment.currency:
        return None
    return amount - fee


def _shops_fee(event: GatewayEvent, payment: Payment) -> int | None:
    """What is missing of what was captured, where the fee explains it.

    Where the payer bears the fee, the payout tells of more than was captured and of a fee that is
    not the shop's.
    """
    net = _net_minor(event, payment)
    missing = None if net is None else payment.captured_minor - net
    return missing if missing is not None and 0 <= missing <= (event.fee_minor or 0) else None


def _otherwise(event: GatewayEvent, payment: Payment) -> list[Difference]:
    """captured − fee is what a payout brings for a payment; refunds are taken out of a later one."""
    theirs, our_fee = _net_minor(event, payment), payment.fee_minor
    if our_fee is None:
        explained = _shops_fee(event, payment)
        our_fee = event.fee_minor if explained is None else explained
    if theirs is None or our_fee is None:
        return []
    ours = payment.captured_minor - our_fee
    if ours == theirs:
        return []
    moment = event.occurred_at or utcnow()
    return [Difference("payout", payment.reference, ours, theirs, payment.currency, moment)]
