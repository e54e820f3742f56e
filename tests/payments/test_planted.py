"""What no webhook told, planted at every gateway that keeps lists: the nightly comparison finds it.

A payment, a refund and a dispute of ours that we never saw are taken in; those that name no order
of ours are a line and an incident; and one of each with another amount is a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.orders.models import OrderStatus
from shop.payments import attempts, refunds
from shop.payments.models import (
    AttemptStatus,
    Dispute,
    Payment,
    PaymentDifference,
    Refund,
    RefundStatus,
)
from tests.payments.scenes import Begun, Scene, paid, placed, scene, seen_afresh

__all__ = ["paid", "placed", "scene"]


@dataclass(frozen=True)
class Planting:
    """How a stand-in's rows are reached: what a person does there, and which fields hold amounts."""

    refund: Callable[[Scene, Any, int], object]
    payments: Callable[[Any], dict[Any, Any]]
    payment_fields: tuple[str, ...]
    disputes: Callable[[Any], dict[Any, Any]]
    refund_field: str = "amount"
    dispute_field: str = "amount"
    #: How many of the stand-in's units are a hundred of ours.
    hundred: int = 100


PLANTINGS = {
    "stripe": Planting(
        lambda at, refs, minor: at.server.refund_from_dashboard(refs["payment_intent"], minor),
        lambda s: s.sessions, ("amount_total",), lambda s: s.disputes,
    ),
    "razorpay": Planting(
        lambda at, refs, minor: at.server.refund_from_dashboard(refs["payment"], minor),
        lambda s: s.payments, ("amount",), lambda s: s.disputes,
    ),
    "paystack": Planting(
        lambda at, refs, minor: at.server.refund_from_dashboard(refs["reference"], minor),
        lambda s: s.transactions, ("amount", "requested_amount"), lambda s: s.disputes,
        dispute_field="refund_amount",
    ),
    "flutterwave": Planting(
        lambda at, refs, minor: at.server.refund_from_dashboard(int(refs["transaction"]), str(minor // 100)),
        lambda s: s.transactions, ("amount", "amount_settled"), lambda s: s.chargebacks,
        refund_field="amount_refunded", hundred=1,
    ),
}  # fmt: skip

pytestmark = [
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.parametrize("scene", list(PLANTINGS), indirect=True),
]


def refs_of(payment: Any) -> dict[str, str]:
    """The ids by which the stand-in knows the payment."""
    return {**payment.gateway_refs, "reference": payment.reference}


def lines() -> list[tuple[str, bool, int]]:
    """The open differences: what, whether we know it, and by how much they list more."""
    found = db.session.scalars(
        sa.select(PaymentDifference).where(PaymentDifference.settled_at.is_(None))
    )
    return sorted(
        (one.what, one.ours_minor is not None, int(one.theirs_minor or 0) - (one.ours_minor or 0))
        for one in found
    )


def unknown() -> int:
    """How many incidents tell of money that names no order of ours."""
    named = Incident.issue.contains("names no order of ours")
    return int(
        db.session.scalar(sa.select(sa.func.count()).select_from(Incident).where(named)) or 0
    )


def test_ours_that_we_never_saw_are_taken_in(scene: Scene, placed: Begun) -> None:
    order, payment = placed
    for one in (placed, scene.placed()):
        scene.pay(one[1])
    scene.compare()
    captured = sa.select(Payment.captured_minor).where(Payment.status == AttemptStatus.CAPTURED)
    assert db.session.scalars(captured).all() == [order.total_minor] * 2

    PLANTINGS[scene.key].refund(scene, refs_of(payment), 5_000)
    scene.side.dispute(attempts.ref_of(payment))
    scene.compare()
    seen_afresh(order, payment)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert (refund.amount_minor, refund.status) == (5_000, RefundStatus.SUCCEEDED)
    assert payment.refunded_minor == 5_000
    assert order.status == OrderStatus.DISPUTED
    (dispute,) = db.session.scalars(sa.select(Dispute))
    assert dispute.evidence_due_at
    scene.compare()
    assert (lines(), unknown()) == ([], 0)


def test_money_that_names_no_order_of_ours_is_a_line_and_an_incident(
    scene: Scene, paid: Begun
) -> None:
    """Somebody else's payment on the same account, given back in part and disputed."""
    _, ours = paid
    elsewhere = scene.side.paid()
    PLANTINGS[scene.key].refund(scene, {**elsewhere.refs, "reference": elsewhere.reference}, 5_000)
    scene.side.dispute(elsewhere)
    amount = elsewhere.amount_minor
    for _ in range(2):
        scene.compare()
        found = lines()
        assert [(what, is_ours) for what, is_ours, _ in found] == [
            ("dispute", False), ("payment", False), ("refund", False),
        ]  # fmt: skip
        assert [more for what, _, more in found if what != "dispute"] == [amount, 5_000]
        assert unknown() == 3
    seen_afresh(ours)
    assert (ours.refunded_minor, ours.status) == (0, AttemptStatus.CAPTURED)


def test_another_amount_in_their_list_is_a_line_until_it_is_settled(
    scene: Scene, paid: Begun
) -> None:
    planting, server = PLANTINGS[scene.key], scene.server
    _, payment = paid
    with transaction():
        refunds.request_refund(payment.id, 5_000, [], "scratched", "user:1")
    scene.run_jobs()
    scene.ask(payment)
    scene.side.dispute(attempts.ref_of(payment))
    scene.compare()
    assert lines() == []
    _change(planting.payments(server), planting.payment_fields, planting.hundred)
    _change(server.refunds, (planting.refund_field,), planting.hundred)
    _change(planting.disputes(server), (planting.dispute_field,), planting.hundred)
    scene.compare()
    assert lines() == [("dispute", True, 100), ("payment", True, 100), ("refund", True, 100)]
    seen_afresh(payment)
    assert payment.refunded_minor == 5_000
    _change(planting.payments(server), planting.payment_fields, -planting.hundred)
    _change(server.refunds, (planting.refund_field,), -planting.hundred)
    _change(planting.disputes(server), (planting.dispute_field,), -planting.hundred)
    scene.compare()
    assert lines() == []


def _change(rows: dict[Any, Any], fields: tuple[str, ...], by: int) -> None:
    (row,) = rows.values()
    for name in fields:
        row[name] = type(row[name])(Decimal(str(row[name])) + by)
