"""By which payout each payment left, over every gateway that gathers money and pays it out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.operations import by_hand
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.gateways.base import GatewayEvent, PaysOut
from shop.payments.models import AttemptStatus, Payment
from shop.providers import ProviderRefused
from tests.payments.scenes import LATER, Scene, scene, seen_afresh
from tests.payments.test_planted import lines, unknown

__all__ = ["scene"]


@dataclass(frozen=True)
class Till:
    """How a stand-in pays out: what it does, what its payouts are called on the way, where it tells of them."""

    pay_out: Callable[[Any], Any]
    #: The statuses of one that has not reached the bank, or came back.
    elsewhere: tuple[str, ...]
    set_status: Callable[[Any, Any, str], None]
    #: Where payouts are listed, and where it is told what is in them.
    path: str
    inside: str
    #: The setting that holds the key.
    key: str
    #: The lines of a payout, as they can be changed without changing the payment.
    rows: Callable[[Any], list[dict[str, Any]]] | None = None
    #: Which of their fields, made less, make the payout bring a hundred minor units less.
    less: tuple[str, int] = ("amount", 100)


def set_razorpay(server: Any, name: str, status: str) -> None:
    server.settlements.made[name]["status"] = status


def set_paystack(server: Any, name: int, status: str) -> None:
    server.settlements[name][0]["status"] = status


def set_flutterwave(server: Any, name: int, status: str) -> None:
    server.settlements[name]["status"] = status


def set_stripe(server: Any, name: str, status: str) -> None:
    server.payouts[name]["status"] = status


TILLS = {
    "stripe": Till(
        lambda server: server.pay_out(), ("failed", "canceled"), set_stripe,
        "/v1/payouts", "/v1/balance_transactions", "stripe_secret_key",
    ),
    "razorpay": Till(
        lambda server: server.settle(), ("created", "failed"), set_razorpay,
        "/v1/settlements", "/v1/settlements/recon", "razorpay_key_secret",
        lambda server: [*server.settlements.lines.values()],
    ),
    "paystack": Till(
        lambda server: server.settle(), ("processing", "pending", "failed"), set_paystack,
        "/settlement", "/settlement/", "paystack_secret_key",
        lambda server: [row for _, held in server.settlements.values() for row in held],
    ),
    "flutterwave": Till(
        lambda server: server.settle(), ("pending", "flagged"), set_flutterwave,
        "/v3/settlements", "/v3/settlements/", "flutterwave_secret_key",
        lambda server: [row for one in server.settlements.values() for row in one["transactions"]],
        ("settlement_amount", 1),
    ),
}  # fmt: skip
DONE = {"stripe": "paid", "razorpay": "processed", "paystack": "success", "flutterwave": "completed"}  # fmt: skip

everywhere = pytest.mark.parametrize("scene", list(TILLS), indirect=True)
by_settlements = pytest.mark.parametrize("scene", ["razorpay", "paystack", "flutterwave"], indirect=True)  # fmt: skip
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def pay_out(scene: Scene) -> Any:
    """What is in the balance goes to the shop's bank. Returns the payout's name."""
    return TILLS[scene.key].pay_out(scene.server)


def payout_of(payment: Payment) -> str | None:
    seen_afresh(payment)
    return payment.payout_reference


def listed() -> list[GatewayEvent]:
    """What the gateway tells of its payouts of the last day."""
    way = gateway(settings().payment_gateways[0])
    assert isinstance(way, PaysOut)
    return list(way.list_payouts(utcnow().replace(hour=0)))


def test_every_gateway_that_pays_out_is_here():
    assert {key for key in GATEWAYS if isinstance(gateway(key), PaysOut)} == set(TILLS)


@everywhere
def test_a_payment_that_was_paid_out_learns_its_payout(scene: Scene) -> None:
    _, payment = scene.paid()
    payout = pay_out(scene)
    for _ in range(2):
        scene.compare()
        assert payout_of(payment) == str(payout)
        assert lines() == []


@on_sqlite
@everywhere
def test_what_has_not_reached_the_bank_is_no_payout(scene: Scene) -> None:
    _, payment = scene.paid()
    payout = pay_out(scene)
    till = TILLS[scene.key]
    for status in till.elsewhere:
        till.set_status(scene.server, payout, status)
        scene.compare()
        assert payout_of(payment) is None
    till.set_status(scene.server, payout, DONE[scene.key])
    scene.compare()
    assert payout_of(payment) == str(payout)


@on_sqlite
@everywhere
def test_a_page_of_many_is_read_to_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, run_jobs: Any
) -> None:
    """By the command: two in one payout, and one in another."""
    monkeypatch.setattr(f"{scene.side.pages_in}.PAGE_ROWS", 1)
    payments = [scene.paid()[1] for _ in range(2)]
    payouts = [str(pay_out(scene))] * 2
    payments.append(scene.paid()[1])
    payouts.append(str(pay_out(scene)))
    assert by_hand.reconcile(3)[f"payments.learn_payouts {scene.key}"] == "succeeded"
    run_jobs()
    assert [payout_of(payment) for payment in payments] == payouts


@on_sqlite
@everywhere
@pytest.mark.parametrize(
    ("kind", "status", "is_inside"),
    [("refuse", 500, False), ("refuse", 429, True), ("half_body", 200, True), ("garbage", 200, False)],
)  # fmt: skip
def test_when_payouts_are_not_told_the_comparison_goes_on_and_they_are_asked_for_again(
    scene: Scene, kind: str, status: int, is_inside: bool
) -> None:
    _, payment = scene.placed()
    scene.pay(payment)
    payout = pay_out(scene)
    till = TILLS[scene.key]
    path = till.inside if is_inside else till.path
    scene.server.fault(kind, method="GET", path=path, status=status)
    scene.compare()
    assert scene.server.faults == []
    assert payout_of(payment) is None
    assert payment.status == AttemptStatus.CAPTURED
    scene.run_jobs(ahead=LATER)
    assert payout_of(payment) == str(payout)


@on_sqlite
@everywhere
def test_paid_out_and_not_captured_here_is_asked_about_and_never_taken_from_the_payout(
    scene: Scene,
) -> None:
    order, payment = scene.placed()
    scene.pay(payment)
    payout = pay_out(scene)
    for _ in range(2):
        with transaction():
            enqueue("payments.learn_payouts", {"gateway": scene.key, "days": 3}, key="test")
        scene.run_jobs()
    assert payout_of(payment) == str(payout)
    seen_afresh(order)
    assert (payment.captured_minor, order.paid_at is not None) == (order.total_minor, True)


@on_sqlite
@everywhere
def test_a_payment_of_a_payout_that_we_never_saw_is_a_line_and_one_incident(scene: Scene) -> None:
    _, ours = scene.paid()
    amount = scene.side.paid().amount_minor
    payout = pay_out(scene)
    for _ in range(2):
        scene.compare()
        assert lines() == [("payment", False, amount), ("payout", False, amount)]
        assert unknown() == 1
    assert payout_of(ours) == str(payout)


@on_sqlite
@by_settlements
def test_a_payout_that_brings_less_than_captured_less_fee_is_a_line_until_it_is_settled(
    scene: Scene,
) -> None:
    _, payment = scene.paid()
    payout = pay_out(scene)
    till = TILLS[scene.key]
    assert till.rows
    (row,) = till.rows(scene.server)
    name, units = till.less
    whole = row[name]
    row[name] = whole - units
    for _ in range(2):
        scene.compare()
        assert lines() == [("payout", True, -100)]
    assert payout_of(payment) == str(payout)
    told = db.session.scalars(sa.select(Incident.issue)).all()
    assert len([issue for issue in told if "our books differ: payout" in issue]) == 1
    row[name] = whole
    scene.compare()
    assert lines() == []


@on_sqlite
@by_settlements
def test_a_row_that_tells_little_teaches_the_payout_and_one_that_names_nothing_none(
    scene: Scene,
) -> None:
    _, payment = scene.paid()
    payout = pay_out(scene)
    till = TILLS[scene.key]
    assert till.rows
    (row,) = till.rows(scene.server)
    kept = {"entity_id", "type", "settlement_id", "settled_at", "id", "reference", "tx_ref", "created_at"}  # fmt: skip
    for name in set(row) - kept:
        del row[name]
    (event,) = listed()
    assert (event.amount_minor, event.fee_minor) == (None, None)
    scene.compare()
    assert (payout_of(payment), lines()) == (str(payout), [])
    for name in ("type", "reference", "tx_ref"):
        row.pop(name, None)
    assert listed() == []


@on_sqlite
@pytest.mark.parametrize("scene", ["razorpay"], indirect=True)
def test_a_payout_in_another_currency_teaches_no_amounts(scene: Scene) -> None:
    _, payment = scene.paid()
    payout = pay_out(scene)
    with transaction() as session:
        session.execute(sa.update(Payment).values(fee_minor=None))
    (line,) = scene.server.settlements.lines.values()
    line |= {"currency": "USD", "amount": 1, "fee": 1}
    with transaction():
        enqueue("payments.learn_payouts", {"gateway": scene.key, "days": 3}, key="test")
    scene.run_jobs()
    assert (payout_of(payment), payment.fee_minor, lines()) == (str(payout), None, [])


@on_sqlite
@everywhere
def test_another_key_is_refused(scene: Scene, configure: Callable[..., None]) -> None:
    configure(**{TILLS[scene.key].key: "sk_test_somebodyElse"})
    with pytest.raises(ProviderRefused):
        listed()
