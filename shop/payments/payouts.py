"""By which payout each payment left the gateway, learnt from the gateway's own lists of payouts.

Such a list moves no money and no order: a payment that it holds and that is not captured here is
asked about, and one that names no order of ours is a line and an incident.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        paid_out = _compared(request["gateway"], told)
        end_reading()
        log.info(
            "payments.payouts", gateway=request["gateway"], seen=len(told), fresh=len(paid_out.fresh),
            differences=len(paid_out.otherwise),
        )  # fmt: skip
        return paid_out

    def record(self, work: Work, request: dict[str, Any], answer: PaidOut) -> None:
        """The lines, what is to be learnt, and whom to ask about."""
        comparing.keep(request["gateway"], answer.otherwise, request["since"], ("payout",))
        take_in_all(request["gateway"], answer.fresh)
        for payment_id in answer.not_captured:
            enqueue("payments.verify", {"payment_id": payment_id}, key=str(payment_id))


def _compared(gateway_key: str, told: Sequence[GatewayEvent]) -> PaidOut:
    fresh, not_captured, otherwise = [], [], []
    for event in told:
        try:
            payment = db.session.get_one(Payment, recording.find(event, gateway_key))
        except recording.UnknownPayment:
            fresh.append(event)
            otherwise.append(comparing.unknown("payout", event))
            continue
        if payment.status != AttemptStatus.CAPTURED:
            not_captured.append(payment.id)
            continue
        if payment.payout_reference is None:
            fresh.append(_in_its_currency(event, payment))
        otherwise += _otherwise(event, payment)
    return PaidOut(fresh, not_captured, otherwise)


def _in_its_currency(event: GatewayEvent, payment: Payment) -> GatewayEvent:
    """A payout in the account's own currency says nothing of the payment's amounts."""
    if event.currency == payment.currency:
        return event
    return replace(event, amount_minor=None, fee_minor=None)


def _otherwise(event: GatewayEvent, payment: Payment) -> list[Difference]:
    """captured − fee is what a payout brings for a payment; refunds are taken out of a later one."""
    amount, fee, our_fee = event.amount_minor, event.fee_minor, payment.fee_minor
    if amount is None or fee is None or our_fee is None or event.currency != payment.currency:
        return []
    ours, theirs = payment.captured_minor - our_fee, amount - fee
    if ours == theirs:
        return []
    moment = event.occurred_at or utcnow()
    return [Difference("payout", payment.reference, ours, theirs, payment.currency, moment)]
