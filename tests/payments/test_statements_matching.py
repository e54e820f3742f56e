"""A line of a statement pays the order that it names, once; all else waits for a person."""

import pytest
import sqlalchemy as sa

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus, PaymentStatus
from shop.payments import attempts, transfers
from shop.payments.gateways.transfer_reference import shown, transfer_reference
from shop.payments.models import AttemptStatus, PartStatus, Payment, PaymentPart, Refund
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.payments.statements.reading import read_statement
from shop.payments.statements.storing import keep_statement
from shop.preferences import change
from shop.stock.models import Reservation, ReservationState
from tests.factories import make_order, make_product
from tests.payments.conftest import let_only_money_move
from tests.payments.transfers import by_hand, csv_of


@pytest.fixture(autouse=True)
def in_request(app):
    """Attempts build addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


@pytest.fixture
def waiting(shop):
    """What `awaited` returns, copied into the empty shop, where only money moves."""

    def make():
        let_only_money_move()
        return awaited()

    return shop.scene("awaited_transfer", make)


def awaited(**more):
    """An order that waits for a transfer, its total in minor units, and its reference."""
    order = make_order(method="bank_transfer", **more)
    payment = attempts.latest(order.id)
    return order.id, order.total_minor, transfer_reference(payment.reference)


def bring(*rows, name="bank.csv"):
    """Import a file of (amount, text, bank id) lines of today, and credit what names a payment."""
    data = csv_of(*rows)
    with transaction():
        statement_id = keep_statement(read_statement(data, "INR"), name, data, "user:1").id
    waiting = sa.select(Job.payload).filter_by(kind="payments.match_line").order_by(Job.id)
    for payload in db.session.scalars(waiting).all():
        with transaction():
            matching.match_line(payload["line_id"])
    return db.session.get_one(BankStatement, statement_id)


def line():
    db.session.expire_all()
    return db.session.scalars(sa.select(BankStatementLine).order_by(BankStatementLine.id)).all()


def the(order_id):
    db.session.expire_all()
    return db.session.get_one(Order, order_id)


def fingerprints():
    return sorted(f.split(":")[0] for f in db.session.scalars(sa.select(Incident.fingerprint)))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_reference_is_found_however_it_is_written(waiting):
    order_id, total, reference = waiting
    bring(
        (100, f"pmt {shown(reference)} thanks", "A1"),
        (200, f"pmt {reference.lower()} thanks", "A2"),
        (total - 300, f"pmt {' '.join(reference)} thanks", "A3"),
    )
    assert [one.reference for one in line()] == [reference] * 3
    assert the(order_id).status == OrderStatus.PAID


def test_an_exact_transfer_pays_by_its_job_and_says_which_line_did(waiting, run_money):
    order_id, total, reference = waiting
    data = csv_of((total, reference, "A1"))
    with transaction():
        keep_statement(read_statement(data, "INR"), "bank.csv", data, "user:1")
    run_money()
    order, found = the(order_id), line()[0]
    assert (order.status, order.payment_status) == (OrderStatus.PAID, PaymentStatus.PAID)
    assert found.state == LineState.MATCHED
    assert found.payment.order_id == order_id
    assert found.payment.captured_minor == total


def test_a_file_imported_twice_and_an_overlapping_one_change_nothing(waiting):
    order_id, total, reference = waiting
    rows = [(total, reference, "A1"), (5_000, "somebody", ""), (5_000, "somebody", "")]
    assert bring(*rows).new_lines == 3
    again = bring(*rows)
    assert (again.new_lines, again.known_lines) == (0, 3)
    overlapping = bring(*rows[1:], (7_000, "other", ""))
    assert (overlapping.new_lines, overlapping.known_lines) == (1, 2)
    assert len(line()) == 4
    assert the(order_id).payment_status == PaymentStatus.PAID
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_bank_id_with_other_money_is_kept_for_a_person_and_credits_nothing(waiting):
    _order, total, reference = waiting
    bring((total, reference, "A1"))
    other_id, other_total, other_reference = awaited()
    bring((other_total + 1, other_reference, "A1"))
    assert the(other_id).status == OrderStatus.PENDING_PAYMENT
    assert [one.state for one in line()] == [LineState.MATCHED, LineState.UNMATCHED]
    assert "same bank id" in line()[1].remark


def test_several_transfers_add_up_to_what_is_due(waiting):
    order_id, total, reference = waiting
    bring((30_000, reference, "A1"))
    order = the(order_id)
    assert (order.status, order.payment_status) == (
        OrderStatus.PENDING_PAYMENT, PaymentStatus.PARTIALLY_PAID,
    )  # fmt: skip
    assert "Paid too little" in order.attention
    rest = attempts.latest(order_id)
    assert (rest.status, rest.amount_minor) == (AttemptStatus.OPEN, total - 30_000)
    assert dict(rest.next_step["rows"])["Amount"] == f"₹{(total - 30_000) / 100:,.2f}"
    told = db.session.scalars(sa.select(Job.key).filter_by(kind="messaging.tell")).all()
    assert f"payment_instructions:{rest.id}" in told
    # By the first reference again, and by the new one.
    bring((10_000, reference, "A2"))
    bring((total - 40_000, transfer_reference(attempts.latest(order_id).reference), "A3"))
    order = the(order_id)
    assert (order.status, order.payment_status) == (OrderStatus.PAID, PaymentStatus.PAID)
    captured = db.session.scalars(
        sa.select(Payment.captured_minor).where(Payment.captured_minor > 0)
    )
    assert sorted(captured) == sorted([30_000, 10_000, total - 40_000])
    assert "short" in fingerprints()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_rest_that_never_comes_sends_the_first_transfer_back(waiting, run_money):
    order_id, _total, reference = waiting
    bring((30_000, reference, "A1"))
    with transaction() as session:
        session.execute(sa.update(Reservation).values(expires_at=utcnow()))
        enqueue("stock.expire_holds")
    run_money()
    assert the(order_id).status == OrderStatus.CANCELLED
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [30_000]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_than_asked_pays_and_the_excess_can_go_back(waiting):
    order_id, total, reference = waiting
    bring((total + 700, reference, "A1"))
    assert the(order_id).status == OrderStatus.PAID
    assert fingerprints() == ["overpaid"]
    assert line()[0].payment.refundable_minor == total + 700


def test_another_currency_waits_until_a_person_says_what_it_is_worth(waiting):
    order_id, total, reference = waiting
    bring((12_000, reference, "A1", "USD"))
    found = line()[0]
    assert (found.state, found.remark) == (LineState.UNMATCHED, matching.OTHER_CURRENCY)
    assert the(order_id).status == OrderStatus.PENDING_PAYMENT
    assert fingerprints() == ["mismatch"]
    number = the(order_id).number
    with pytest.raises(Refused, match="Enter what the bank credited in INR"), transaction():
        matching.match_by_hand(found.id, number, "user:1")
    with transaction():
        matching.match_by_hand(found.id, number, "user:1", total)
    assert the(order_id).status == OrderStatus.PAID
    assert line()[0].state == LineState.MATCHED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.forces("late_money")
def test_money_after_the_hold_follows_the_late_money_policy(waiting, run_money):
    order_id, total, reference = waiting
    _expire(run_money, order_id)
    assert the(order_id).status == OrderStatus.CANCELLED
    bring((total, reference, "A1"))
    assert the(order_id).status == OrderStatus.PAID
    assert fingerprints() == ["late_money"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_money_too_late_and_too_little_goes_back_at_once(waiting, run_money):
    order_id, total, reference = waiting
    _expire(run_money, order_id)
    bring((total - 1, reference, "A1"))
    assert the(order_id).status == OrderStatus.CANCELLED
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [total - 1]


def _expire(run_money, order_id):
    with transaction() as session:
        session.execute(sa.update(Reservation).values(expires_at=utcnow()))
        session.execute(sa.update(Order).values(expires_at=utcnow()))
        enqueue("stock.expire_holds")
    run_money()
    with transaction():
        enqueue("orders.cancel_unpaid")
    run_money()
    states = db.session.scalars(sa.select(Reservation.state)).all()
    assert set(states) == {ReservationState.EXPIRED}


@pytest.mark.parametrize("part", [1.0, 0.4])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_second_transfer_is_sent_back_whatever_its_amount(waiting, part):
    order_id, total, reference = waiting
    bring((total, reference, "A1"))
    again = int(total * part)
    bring((again, reference, "A2"))
    refund = db.session.scalars(sa.select(Refund)).one()
    assert (refund.amount_minor, refund.reason) == (again, "paid twice")
    assert the(order_id).payment_status == PaymentStatus.PAID
    assert refund.status == "requested"


def test_a_transfer_confirmed_by_hand_is_known_when_the_file_comes(waiting):
    order_id, total, reference = waiting
    with transaction():
        matching.confirm(attempts.latest(order_id).id, by_hand(total, bank_id="a 1"), "user:1")
    assert bring((total, reference, "A1")).known_lines == 1
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 0
    # A file that shows no bank id: a person looks whether it is the same money.
    bring((total, reference, ""))
    assert line()[1].remark == matching.TWIN
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 0


def test_one_transfer_never_counts_for_two_orders(waiting):
    first, total, _reference = waiting
    second, _total, _reference = awaited()
    with transaction():
        matching.confirm(attempts.latest(first).id, by_hand(total, bank_id="A1"), "user:1")
    with (
        pytest.raises(Refused, match=f"counted already, for order {the(first).number}"),
        transaction(),
    ):
        matching.confirm(attempts.latest(second).id, by_hand(total, bank_id="a1"), "user:2")
    assert the(second).status == OrderStatus.PENDING_PAYMENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_by_hand_takes_the_line_that_a_file_brought(waiting):
    order_id, total, _reference = waiting
    bring((total, "no reference", "A1"))
    with pytest.raises(Refused, match="The statement shows"), transaction():
        matching.confirm(attempts.latest(order_id).id, by_hand(total + 1, bank_id="A1"), "user:1")
    with transaction():
        matching.confirm(attempts.latest(order_id).id, by_hand(total, bank_id="A1"), "user:1")
    [only] = line()
    assert (only.state, only.file_line) == (LineState.MATCHED, 2)
    assert the(order_id).status == OrderStatus.PAID


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_transfer_by_hand_needs_the_banks_id_and_an_amount(waiting):
    order_id, total, _reference = waiting
    payment_id = attempts.latest(order_id).id
    seen = by_hand(total)
    for bank_id in ("", "  ", "NONREF", "000"):
        named = type(seen)(total, "INR", seen.booked_on, bank_id)
        with pytest.raises(Refused, match="bank's id"), transaction():
            matching.confirm(payment_id, named, "user:1")
    with pytest.raises(Refused, match="above zero"), transaction():
        matching.confirm(payment_id, by_hand(0), "user:1")


def test_a_line_without_reference_is_only_suggested_and_a_person_matches_it(waiting):
    order_id, total, _reference = waiting
    awaited(lines={make_product(price=77_700): 1})
    bring((total, "for the bats", "A1"))
    [found] = line()
    assert (found.state, found.payment_id) == (LineState.UNMATCHED, None)
    assert the(order_id).status == OrderStatus.PENDING_PAYMENT
    assert matching.suggestions([found]) == {found.id: [the(order_id).number]}
    with transaction():
        matching.match_by_hand(found.id, the(order_id).number, "user:7")
    assert the(order_id).status == OrderStatus.PAID
    entry = db.session.scalars(sa.select(AuditEntry).filter_by(action="statement.matched")).one()
    assert entry.after["bank_id"] == "A1"
    with pytest.raises(Refused, match="counted already"), transaction():
        matching.match_by_hand(found.id, the(order_id).number, "user:8")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_line_matched_to_an_order_paid_by_card_goes_back(money_alone):
    order = make_order("paid")
    total, number = order.total_minor, order.number
    bring((total, "again by bank", "A1"))
    with transaction():
        assert matching.match_by_hand(line()[0].id, number, "user:7").changed == "second"
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [total]
    assert the(order.id).payment_status == PaymentStatus.PAID


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_transfer_for_an_order_that_waits_for_a_card_pays_it(money_alone):
    order = make_order()
    bring((order.total_minor, "by bank after all", "A1"))
    with transaction():
        matching.match_by_hand(line()[0].id, order.number, "user:7")
    order = the(order.id)
    assert order.status == OrderStatus.PAID
    payments = db.session.scalars(sa.select(Payment).order_by(Payment.id)).all()
    assert [(p.gateway, p.status) for p in payments] == [
        ("sandbox", AttemptStatus.SUPERSEDED), ("bank_transfer", AttemptStatus.CAPTURED),
    ]  # fmt: skip


def test_setting_a_line_aside_needs_a_reason_and_can_be_taken_back(money_alone):
    bring((5_000, "interest", "A1"))
    line_id = line()[0].id
    with pytest.raises(Refused, match="Say why"), transaction():
        matching.set_aside(line_id, " ", "user:7")
    with transaction():
        matching.set_aside(line_id, "Interest of the bank", "user:7")
    assert (line()[0].state, line()[0].remark) == (LineState.IGNORED, "Interest of the bank")
    with transaction():
        matching.put_back(line_id, "user:7")
    assert line()[0].state == LineState.UNMATCHED
    actions = set(db.session.scalars(sa.select(AuditEntry.action)))
    assert {"statement.imported", "statement.ignored", "statement.put_back"} <= actions


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_money_going_out_is_kept_and_waits_for_nobody(waiting):
    order_id, _total, reference = waiting
    bring((-5_000, reference, "A1"))
    assert line()[0].state == LineState.IGNORED
    assert the(order_id).status == OrderStatus.PENDING_PAYMENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_two_references_in_one_text_are_for_a_person(waiting):
    first, total, reference = waiting
    _second, _total, other = awaited()
    bring((2 * total, f"{reference} and {other}", "A1"))
    assert line()[0].state == LineState.UNMATCHED
    assert the(first).status == OrderStatus.PENDING_PAYMENT


def test_money_that_nobody_looked_at_becomes_an_incident_once(money_alone, run_money):
    bring((5_000, "who is it", "A1"))
    with transaction() as session:
        change("unmatched_money_days", "1")
        session.execute(sa.update(BankStatementLine).values(booked_on=sa.func.date("2026-01-02")))
    for _ in range(2):
        with transaction():
            enqueue("payments.forgotten_money")
        run_money()
    assert fingerprints() == ["unmatched_line"]


def test_a_transfer_that_is_turned_down_tells_the_customer_why(waiting):
    order_id, _total, _reference = waiting
    payment_id = attempts.latest(order_id).id
    with pytest.raises(Refused, match="customer should read"), transaction():
        transfers.reject(payment_id, "", "user:1")
    with transaction():
        transfers.reject(payment_id, "Nothing came within three days", "user:1")
    assert the(order_id).status == OrderStatus.PAYMENT_FAILED
    assert attempts.latest(order_id).failure_words == "Nothing came within three days"
    with pytest.raises(Refused, match="not waited for"), transaction():
        transfers.reject(payment_id, "again", "user:1")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_parts_of_an_order_paid_by_several_transfers_sum_to_its_total(waiting):
    order_id, total, reference = waiting
    for number, amount in enumerate((100, 200, 300), start=1):
        bring((amount, reference, f"A{number}"))
    parts = db.session.scalars(sa.select(PaymentPart).where(PaymentPart.order_id == order_id)).all()
    assert sum(p.amount_minor for p in parts if p.status != PartStatus.WAIVED) == total
    assert sum(p.amount_minor for p in parts if p.status == PartStatus.PAID) == 600


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_transfer_that_was_replaced_is_not_asked_about_for_ever(waiting, run_money):
    _order, _total, reference = waiting
    bring((100, reference, "A1"))
    run_money()
    assert db.session.scalars(sa.select(Payment.ask_at)).all() == [None, None, None]
