"""By which payout each payment left, over every gateway that gathers money and pays it out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from shop.payments.gateways.razorpay_reading import periods_of
from shop.payments.models import AttemptStatus, Payment, PaymentDifference
from shop.providers import ProviderRefused
from tests.payments.scenes import Begun, Scene, paid, placed, scene, seen_afresh
from tests.payments.test_planted import lines, unknown

__all__ = ["paid", "placed", "scene"]


@dataclass(frozen=True)
class Till:
    """How a stand-in pays out: what it does, what its payouts are called on the way, where it tells of them."""

    pay_out: Callable[[Any], Any]
    #: The statuses of one that has not reached the bank, or came back.
    elsewhere: tuple[str, ...]
    #: A payout by its name, and which of its fields says when it was made.
    made: Callable[[Any, Any], dict[str, Any]]
    made_at: str
    #: Where payouts are listed, and where it is told what is in them.
    path: str
    inside: str
    #: The setting that holds the key.
    key: str
    #: The lines of payouts, as they can be changed without changing the payments.
    rows: Callable[[Any], list[dict[str, Any]]]
    #: Which of their fields, made less, make the payout bring a hundred minor units less.
    less: tuple[str, int] = ("amount", 100)


TILLS = {
    "stripe": Till(
        lambda server: server.pay_out(), ("pending", "in_transit", "failed", "canceled"),
        lambda server, name: server.payouts[name], "created",
        "/v1/payouts", "/v1/balance_transactions", "stripe_secret_key",
        lambda server: [*server.balance.values()], ("fee", -100),
    ),
    "razorpay": Till(
        lambda server: server.settle(), ("created", "failed"),
        lambda server, name: server.settlements.made[name], "created_at",
        "/v1/settlements", "/v1/settlements/recon", "razorpay_key_secret",
        lambda server: [*server.settlements.lines.values()],
    ),
    "paystack": Till(
        lambda server: server.settle(), ("processing", "pending", "failed"),
        lambda server, name: server.settlements[name][0], "createdAt",
        "/settlement", "/settlement/", "paystack_secret_key",
        lambda server: [row for _, held in server.settlements.values() for row in held],
    ),
    "flutterwave": Till(
        lambda server: server.settle(), ("pending", "flagged"),
        lambda server, name: server.settlements[name], "created_at",
        "/v3/settlements", "/v3/settlements/", "flutterwave_secret_key",
        lambda server: [row for one in server.settlements.values() for row in one["transactions"]],
        ("settlement_amount", 1),
    ),
}  # fmt: skip
DONE = {"stripe": "paid", "razorpay": "processed", "paystack": "success", "flutterwave": "completed"}  # fmt: skip

everywhere = pytest.mark.parametrize("scene", list(TILLS), indirect=True)
by_settlements = pytest.mark.parametrize("scene", ["razorpay", "paystack", "flutterwave"], indirect=True)  # fmt: skip
HOUR = 3600
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def pay_out(scene: Scene) -> Any:
    """What is in the balance goes to the shop's bank. Returns the payout's name."""
    return TILLS[scene.key].pay_out(scene.server)


def set_status(scene: Scene, payout: Any, status: str = "") -> None:
    """It goes on; without a status it has reached the bank."""
    TILLS[scene.key].made(scene.server, payout)["status"] = status or DONE[scene.key]


def set_back(scene: Scene, payout: Any, days: int) -> None:
    """It was made that long ago."""
    till = TILLS[scene.key]
    row = till.made(scene.server, payout)
    at = utcnow() - timedelta(days=days)
    is_unix = isinstance(row[till.made_at], int)
    row[till.made_at] = int(at.timestamp()) if is_unix else f"{at:%Y-%m-%dT%H:%M:%S}.000Z"
    if scene.key == "razorpay":
        for line in scene.server.settlements.lines.values():
            line["settled_at"] = int(at.timestamp())


def learn(scene: Scene, days: int = 3) -> None:
    """The job that reads the payouts, without the comparison beside it."""
    with transaction():
        enqueue("payments.learn_payouts", {"gateway": scene.key, "days": days}, key="test")
    scene.run_jobs()
    db.session.rollback()


def row_of(scene: Scene) -> dict[str, Any]:
    """The one line of the one payout."""
    (row,) = TILLS[scene.key].rows(scene.server)
    return row


def payout_of(payment: Payment) -> str | None:
    seen_afresh(payment)
    return payment.payout_reference


def listed() -> list[GatewayEvent]:
    """What the gateway tells of its payouts of the last day."""
    way = gateway(settings().payment_gateways[0])
    assert isinstance(way, PaysOut)
    return list(way.list_payouts(utcnow().replace(hour=0)))


def test_many_days_of_a_month_are_asked_for_at_once():
    """Razorpay: each day is two calls at least."""
    days = [datetime(2026, 10, 30, 12, tzinfo=UTC) + timedelta(days=day) for day in range(20)]
    periods = periods_of([{"created_at": int(day.timestamp())} for day in days])
    assert periods == [
        {"year": "2026", "month": "10", "day": "30"},
        {"year": "2026", "month": "10", "day": "31"},
        {"year": "2026", "month": "11"},
    ]
    # Late in the evening it is another day in India.
    late = datetime(2026, 10, 30, 20, tzinfo=UTC)
    days_asked = periods_of([{"created_at": int(late.timestamp())}])
    assert [one["day"] for one in days_asked] == ["30", "31"]


def test_every_gateway_that_pays_out_is_here():
    assert {key for key in GATEWAYS if isinstance(gateway(key), PaysOut)} == set(TILLS)


@pytest.mark.parametrize("scene", ["razorpay"], indirect=True)
def test_a_payment_that_was_paid_out_learns_its_payout(scene: Scene, paid: Begun) -> None:
    """What each of them tells is read without the database, and written alike for all of them."""
    _, payment = paid
    payout = pay_out(scene)
    for _ in range(2):
        scene.compare()
        assert payout_of(payment) == str(payout)
        assert lines() == []


@on_sqlite
@everywhere
def test_what_has_not_reached_the_bank_is_no_payout_and_after_the_weekend_it_is(
    scene: Scene, paid: Begun
) -> None:
    """Made before the days that are asked for: so is a line about it closed when it is over."""
    _, payment = paid
    payout = pay_out(scene)
    for status in TILLS[scene.key].elsewhere:
        set_status(scene, payout, status)
        learn(scene)
        assert payout_of(payment) is None, status
    set_back(scene, payout, 5)
    learn(scene)
    assert payout_of(payment) is None
    set_status(scene, payout)
    learn(scene)
    assert payout_of(payment) == str(payout)
    row, (name, units) = row_of(scene), TILLS[scene.key].less
    whole = row[name]
    row[name] = whole - units
    learn(scene)
    assert lines() == [("payout", True, -100)]
    row[name] = whole
    learn(scene)
    assert lines() == []
    scene.compare()
    assert lines() == []


@on_sqlite
@pytest.mark.parametrize("scene", ["flutterwave"], indirect=True)
def test_a_line_is_opened_and_closed_only_by_a_list_that_reaches_back_to_it(
    scene: Scene, paid: Begun
) -> None:
    """Flutterwave lists whole days, so that some of what is older is told."""
    _, payment = paid
    payout = pay_out(scene)
    set_back(scene, payout, 8)
    row, (name, units) = row_of(scene), TILLS[scene.key].less
    row[name] -= units
    learn(scene)
    assert (payout_of(payment), lines()) == (str(payout), [])
    learn(scene, days=30)
    assert lines() == [("payout", True, -100)]
    row[name] += units
    learn(scene)
    assert lines() == [("payout", True, -100)]
    learn(scene, days=30)
    assert lines() == []


@on_sqlite
@pytest.mark.parametrize("scene", ["paystack", "flutterwave"], indirect=True)
def test_where_the_payer_bears_the_fee_the_shop_learns_none_from_the_payout(scene: Scene) -> None:
    """Its rows tell of what was charged and of the whole fee; ours may not be known yet."""
    scene.server.fees_paid_by, scene.server.payer_bears_fees = "customer", True
    order, payment = scene.paid()
    payout = pay_out(scene)
    # Paystack's rows may leave out what was asked for.
    row_of(scene).pop("requested_amount", None)
    with transaction() as session:
        session.execute(sa.update(Payment).values(fee_minor=None))
    (event,) = listed()
    assert (event.amount_minor or 0) > order.total_minor
    assert event.fee_minor
    learn(scene)
    assert (payout_of(payment), payment.fee_minor, lines()) == (str(payout), 0, [])
    scene.compare()
    assert lines() == []


@on_sqlite
@pytest.mark.parametrize("scene", ["razorpay", "paystack"], indirect=True)
def test_what_no_fee_explains_is_a_line_and_never_learnt_as_the_fee(
    scene: Scene, paid: Begun
) -> None:
    _, payment = paid
    payout = pay_out(scene)
    row, (name, units) = row_of(scene), TILLS[scene.key].less
    with transaction() as session:
        session.execute(sa.update(Payment).values(fee_minor=None))
    row[name] -= units
    learn(scene)
    assert (payout_of(payment), payment.fee_minor) == (str(payout), None)
    assert [(what, is_ours) for what, is_ours, _ in lines()] == [("payout", True)]


@on_sqlite
@pytest.mark.parametrize("scene", ["flutterwave", "razorpay"], indirect=True)
def test_money_that_came_once_more_for_the_same_reference_is_nobodys(
    scene: Scene, paid: Begun
) -> None:
    """Its payout has come and ours has not: nothing of it is learnt, and a person looks at it."""
    _, payment = paid
    ours = dict(payment.gateway_refs)
    set_status(scene, pay_out(scene), TILLS[scene.key].elsewhere[0])
    again = paid_again(scene)
    pay_out(scene)
    for _ in range(2):
        learn(scene)
        assert (payout_of(payment), payment.gateway_refs) == (None, ours)
        assert lines() == [("payout", False, payment.captured_minor)]
        (context,) = db.session.scalars(sa.select(Incident.context)).all()
        assert context["gatewayOrderId"] == f"{payment.reference}/{again}"


@on_sqlite
@pytest.mark.parametrize("scene", ["razorpay"], indirect=True)
def test_payments_of_another_system_with_one_receipt_are_told_apart(scene: Scene) -> None:
    names = {scene.server.pay(scene.server.plant(10_000)) for _ in range(2)}
    pay_out(scene)
    scene.compare()
    assert lines() == [("payment", False, 10_000)] * 2 + [("payout", False, 10_000)] * 2
    assert set(db.session.scalars(sa.select(PaymentDifference.named))) == names
    assert unknown() == 2


def paid_again(scene: Scene) -> str:
    """The only payment is there once more, by another id. Returns that."""
    rows = scene.server.payments if scene.key == "razorpay" else scene.server.transactions
    ((name, row),) = rows.items()
    again = f"{name}X" if isinstance(name, str) else name + 1
    rows[again] = {**row, "id": again}
    return str(again)


@on_sqlite
@everywhere
def test_a_page_of_many_is_read_to_its_end(
    scene: Scene, paid: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command: two in one payout, and one in another."""
    monkeypatch.setattr(f"{scene.side.pages_in}.PAGE_ROWS", 1)
    monkeypatch.setattr("shop.payments.gateways.razorpay_calls.MOST_SETTLED", 1)
    payments = [paid[1], scene.paid()[1]]
    payouts = [str(pay_out(scene))] * 2
    payments.append(scene.paid()[1])
    payouts.append(str(pay_out(scene)))
    assert by_hand.reconcile(3)[f"payments.learn_payouts {scene.key}"] == "succeeded"
    scene.run_jobs()
    assert [payout_of(payment) for payment in payments] == payouts


@on_sqlite
@everywhere
def test_when_payouts_are_not_told_the_comparison_goes_on_and_they_are_asked_for_again(
    scene: Scene, placed: Begun
) -> None:
    _, payment = placed
    scene.pay(payment)
    payout = pay_out(scene)
    till, latest = TILLS[scene.key], payment
    faults = (
        ("refuse", 500, till.path), ("refuse", 429, till.inside),
        ("half_body", 200, till.inside), ("garbage", 200, till.path),
    )  # fmt: skip
    for number, (kind, status, path) in enumerate(faults):
        if number:
            _, latest = scene.placed()
            scene.pay(latest)
        scene.server.fault(kind, method="GET", path=path, status=status)
        with transaction():
            enqueue("payments.reconcile", key="scene")
        scene.run_jobs(ahead=HOUR * number)
        assert scene.server.faults == [], kind
        assert payout_of(payment) is None, kind
        seen_afresh(latest)
        assert latest.status == AttemptStatus.CAPTURED, kind
    scene.run_jobs(ahead=HOUR * len(faults))
    assert payout_of(payment) == str(payout)


@on_sqlite
@everywhere
def test_paid_out_and_not_captured_here_is_asked_about_and_never_taken_from_the_payout(
    scene: Scene,
    placed: Begun,
) -> None:
    order, payment = placed
    scene.pay(payment)
    payout = pay_out(scene)
    for _ in range(2):
        learn(scene)
    assert payout_of(payment) == str(payout)
    seen_afresh(order)
    assert (payment.captured_minor, order.paid_at is not None) == (order.total_minor, True)


@on_sqlite
@everywhere
def test_a_payment_of_a_payout_that_we_never_saw_is_a_line_and_one_incident(
    scene: Scene, paid: Begun
) -> None:
    _, ours = paid
    amount = scene.side.paid().amount_minor
    payout = pay_out(scene)
    for _ in range(2):
        scene.compare()
        assert lines() == [("payment", False, amount), ("payout", False, amount)]
        assert unknown() == 1
    assert payout_of(ours) == str(payout)


@on_sqlite
@by_settlements
def test_a_payout_that_brings_less_than_captured_less_fee_is_one_incident_until_it_is_settled(
    scene: Scene,
    paid: Begun,
) -> None:
    _, payment = paid
    payout = pay_out(scene)
    row, (name, units) = row_of(scene), TILLS[scene.key].less
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
    paid: Begun,
) -> None:
    _, payment = paid
    payout = pay_out(scene)
    row = row_of(scene)
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
def test_a_payout_in_another_currency_teaches_no_amounts(scene: Scene, paid: Begun) -> None:
    _, payment = paid
    payout = pay_out(scene)
    with transaction() as session:
        session.execute(sa.update(Payment).values(fee_minor=None))
    (line,) = scene.server.settlements.lines.values()
    line |= {"currency": "USD", "amount": 1, "fee": 1}
    learn(scene)
    assert (payout_of(payment), payment.fee_minor, lines()) == (str(payout), None, [])


@on_sqlite
@everywhere
def test_another_key_is_refused(scene: Scene, configure: Callable[..., None]) -> None:
    configure(**{TILLS[scene.key].key: "sk_test_somebodyElse"})
    with pytest.raises(ProviderRefused):
        listed()
