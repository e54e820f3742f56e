"""The money desks: what waits has a count, a deadline and a default, and each decision is audited."""

import io
import threading

import pytest
import sqlalchemy as sa

from shop.audit.models import AuditEntry
from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.gateways.transfer_reference import transfer_reference
from shop.payments.models import Payment, Refund
from shop.payments.reconciling import report_unknown
from shop.payments.refunds import request_refund
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.preferences import change
from tests.factories import PASSWORD, make_order
from tests.payments.transfers import by_hand, csv_of
from tests.shops import counting

DESKS = "/admin/desks"
FILES = f"{DESKS}/statements"
PAYMENTS = "payments."


@pytest.fixture(autouse=True)
def unshipped(app):
    """What is paid waits for a person, so that no job goes on by itself."""
    with transaction():
        change("auto_ship", "false")


def awaited():
    order = make_order(lines=1, method="bank_transfer")
    return order, transfer_reference(attempts.latest(order.id).reference)


def bring(browser, data, name="bank.csv"):
    return browser.post(
        FILES,
        data={"csrf_token": browser.csrf_token(), "file": (io.BytesIO(data), name)},
        headers={"Sec-Fetch-Site": "same-origin"},
        content_type="multipart/form-data",
    )


def act(browser, path, desk="unmatched", **fields):
    return browser.send(f"{DESKS}/{path}", {"desk": desk, **fields})


def desk(browser, name):
    answer = browser.get(f"{DESKS}?desk={name}")
    assert answer.status_code == 200
    return answer.text


def line():
    db.session.rollback()
    return db.session.scalars(sa.select(BankStatementLine).order_by(BankStatementLine.id)).all()


def the(order):
    db.session.rollback()
    return db.session.get(Order, order.id, populate_existing=True)


def actions():
    db.session.rollback()
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def test_a_statement_is_brought_read_and_credited(staff, run_jobs):
    order, reference = awaited()
    total, number = order.total_minor, order.number
    browser = staff("manager")
    data = csv_of((total, f"pmt {reference}", "A1"), (5_000, "who is it", "A2")) + b"x;1.00;INR;;\n"
    answer = bring(browser, data)
    assert answer.status_code == 303
    run_jobs(kinds=PAYMENTS)
    page = browser.get(answer.location).text
    assert "2 new lines" in page
    assert "Could not be read" in page
    assert "is not a date" in page
    assert f'href="/admin/orders/{number}"' in page
    assert the(order).status == OrderStatus.PAID
    unmatched = desk(browser, "unmatched")
    assert "who is it" in unmatched
    assert "pmt " not in unmatched
    assert "1 unreadable" in browser.get(FILES).text
    assert "statement.imported" in actions()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty"),
        (b"PK\x03\x04 an excel file", "not as Excel or PDF"),
        (b"a;b;c\n1;2;3\n", "No headings were found"),
        (b"Date;Amount\n" + b"2026-01-01;1.00\n" * 5_200, "more than 5000 lines"),
    ],
    ids=["empty", "excel", "headings", "long"],
)
def test_a_file_that_cannot_be_taken_is_answered_in_words(staff, data, words):
    answer = bring(staff("manager"), data)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.scalar(sa.select(sa.func.count(BankStatement.id))) == 0


def test_a_line_is_matched_by_the_suggestion_or_by_a_typed_number(staff, run_jobs):
    order, _reference = awaited()
    other, _reference = awaited()
    browser = staff("manager")
    bring(browser, csv_of((order.total_minor, "no name", "A1"), (77, "part of it", "A2")))
    assert f"It is for {order.number}" in desk(browser, "unmatched")
    first, second = (one.id for one in line())
    answer = act(browser, f"lines/{first}/match", number=order.number)
    assert answer.status_code == 303
    assert the(order).status == OrderStatus.PAID
    wrong = act(browser, f"lines/{second}/match", number="2601.999")
    assert wrong.status_code == 422
    assert "There is no order of that number" in wrong.text
    act(browser, f"lines/{second}/match", number=f" #{other.number}")
    assert "77 missing" not in desk(browser, "unmatched")
    assert "missing" in desk(browser, "short")
    assert [one.state for one in line()] == [LineState.MATCHED, LineState.MATCHED]
    assert actions().count("statement.matched") == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_line_that_needs_nothing_is_set_aside_with_a_reason_and_put_back(staff):
    browser = staff("manager")
    bring(browser, csv_of((5_000, "interest", "A1")))
    line_id = line()[0].id
    assert act(browser, f"lines/{line_id}/ignore", reason="  ").status_code == 422
    assert act(browser, f"lines/{line_id}/ignore", reason="Interest").status_code == 303
    assert "interest" not in desk(browser, "unmatched")
    assert "Interest" in browser.get(FILES).text
    answer = browser.send(f"{DESKS}/lines/{line_id}/put-back")
    assert answer.status_code == 303
    assert "interest" in desk(browser, "unmatched")
    assert actions()[-2:] == ["statement.ignored", "statement.put_back"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_currency_stands_on_its_own_desk_until_it_is_worth_something(staff, run_jobs):
    order, reference = awaited()
    browser = staff("manager")
    bring(browser, csv_of((12_000, reference, "A1", "USD")))
    run_jobs(kinds=PAYMENTS)
    assert "$120.00" not in desk(browser, "unmatched")
    page = desk(browser, "currency")
    assert "$120.00" in page
    assert f'value="{order.number}"' in page
    line_id = line()[0].id
    bare = act(browser, f"lines/{line_id}/match", desk="currency", number=order.number)
    assert "Enter what the bank credited in INR" in bare.text
    worth = f"{order.total_minor / 100:.2f}"
    act(browser, f"lines/{line_id}/match", desk="currency", number=order.number, worth=worth)
    assert (
        "$120.00 came in, but another amount" in browser.get(f"/admin/orders/{order.number}").text
    )
    assert the(order).status == OrderStatus.PAID


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_gateways_other_currency_and_unknown_money_stand_there_too(staff):
    from shop.payments import recording

    order = make_order()
    event = GatewayEvent(EventKind.CAPTURED, amount_minor=500, currency="USD")
    with transaction():
        recording.record(event, "sandbox", "webhook", attempts.latest(order.id).id)
        report_unknown(GatewayEvent(EventKind.CAPTURED, gateway_id="pi_1", amount_minor=900, currency="INR"), "stripe")  # fmt: skip
    browser = staff("manager")
    assert order.number in desk(browser, "currency")
    page = desk(browser, "unmatched")
    assert "₹9.00" in page
    assert "Open the incident" in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_late_money_is_taken_or_refunded_from_its_desk(staff, run_jobs):
    orders = [make_order("paid"), make_order("paid")]
    with transaction() as session:
        # As late money stands: paid, not accepted, with a deadline.
        session.execute(sa.update(Order).values(late_money_due_at=in_future(hours=3)))
    browser = staff("manager")
    page = desk(browser, "late")
    assert all(order.number in page for order in orders)
    assert (
        act(browser, f"late/{orders[0].number}", desk="late", choice="perhaps").status_code == 422
    )
    assert act(browser, f"late/{orders[0].number}", desk="late", choice="refund").status_code == 303
    assert the(orders[0]).late_money_due_at is None
    assert db.session.scalars(sa.select(Refund.order_id)).all() == [orders[0].id]
    assert actions()[-1] == "payment.late_refund"


def test_what_was_paid_too_much_goes_back_once_at_the_amount_that_was_seen(staff, run_jobs):
    order, reference = awaited()
    browser = staff("manager")
    bring(browser, csv_of((order.total_minor + 700, reference, "A1")))
    run_jobs(kinds=PAYMENTS)
    assert "₹7.00 too much" in desk(browser, "over")
    way = f"over/{order.number}"
    assert "another by now" in act(browser, way, desk="over", seen="701", password=PASSWORD).text
    answer = act(browser, way, desk="over", seen="700", password=PASSWORD)
    assert answer.status_code == 303
    assert act(browser, way, desk="over", seen="700", password=PASSWORD).status_code == 422
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [700]
    assert "too much" not in desk(browser, "over").split("Nothing waits here")[-1]
    run_jobs(kinds=PAYMENTS)
    assert "₹7.00" in desk(browser, "refunds")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_the_password_nothing_goes_back(staff, run_jobs):
    order, reference = awaited()
    browser = staff("manager")
    bring(browser, csv_of((order.total_minor + 700, reference, "A1")))
    run_jobs(kinds=PAYMENTS)
    with transaction() as session:
        from shop.accounts.models import SignIn

        session.execute(sa.update(SignIn).values(stepped_up_at=in_future(minutes=-30)))
    answer = act(browser, f"over/{order.number}", desk="over", seen="700", password="wrong")
    assert answer.status_code == 422
    assert "Enter your password" in answer.text
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_refund_by_hand_waits_for_the_banks_reference_which_stands_for_one_refund(
    staff, run_jobs
):
    refunds = []
    for _ in range(2):
        order, _reference = awaited()
        with transaction():
            matching.confirm(attempts.latest(order.id).id, by_hand(order.total_minor), "user:1")
        with transaction():
            refunds.append(
                request_refund(attempts.latest(order.id).id, 1_000, [], "x", "user:1").id
            )
    run_jobs(kinds=PAYMENTS)
    browser = staff("manager")
    assert desk(browser, "refunds").count("It was sent") == 2
    assert act(browser, f"refunds/{refunds[0]}", desk="refunds").status_code == 422
    sent = act(browser, f"refunds/{refunds[0]}", desk="refunds", bank_reference="out 1")
    assert sent.status_code == 303
    twice = act(browser, f"refunds/{refunds[1]}", desk="refunds", bank_reference="OUT 1")
    assert twice.status_code == 422
    assert "stands for a refund of order" in twice.text
    again = act(browser, f"refunds/{refunds[0]}", desk="refunds", bank_reference="OUT 2")
    assert "not waiting for a person" in again.text
    db.session.rollback()
    assert [one.status for one in db.session.scalars(sa.select(Refund).order_by(Refund.id))] == [
        "succeeded", "sent",
    ]  # fmt: skip
    entry = db.session.scalars(sa.select(AuditEntry).filter_by(action="refund.done_by_hand")).one()
    assert entry.after["bank_reference"] == "OUT 1"


def test_two_clerks_with_one_transfer_count_it_once(staff, app):
    first, _reference = awaited()
    second, _reference = awaited()
    ids = [attempts.latest(order.id).id for order in (first, second)]
    amount = first.total_minor
    browsers = [staff("manager"), staff("manager")]
    ways = [
        f"/admin/orders/{order.number}/payments/{payment_id}/received"
        for order, payment_id in zip((first, second), ids, strict=True)
    ]
    seen = {
        "amount": f"{amount / 100:.2f}", "currency": "INR",
        "booked_on": utcnow().date().isoformat(), "bank_id": "ONE-TRANSFER",
    }  # fmt: skip
    forms = [{"csrf_token": browser.csrf_token(), **seen} for browser in browsers]
    answers = []

    def press(browser, way, form):
        with app.app_context():
            answers.append(
                browser.post(way, data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code
            )

    threads = [
        threading.Thread(target=press, args=one) for one in zip(browsers, ways, forms, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 422]
    db.session.rollback()
    captured = db.session.scalars(sa.select(Payment.captured_minor)).all()
    assert sorted(captured) == [0, amount]
    assert len(line()) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.forces("unmatched_line", "refund_by_hand")
def test_what_nobody_decides_comes_to_its_default(staff, run_jobs):
    order, reference = awaited()
    browser = staff("manager")
    bring(browser, csv_of((order.total_minor + 700, reference, "A1"), (5_000, "who", "A2")))
    run_jobs(kinds=PAYMENTS)
    with transaction() as session:
        for key in ("unmatched_money_days", "overpaid_days", "refund_by_hand_days"):
            change(key, "1")
        session.execute(sa.update(Payment).values(captured_at=in_future(hours=-30)))
        session.execute(sa.update(BankStatementLine).values(booked_on=in_future(hours=-60).date()))
    with transaction():
        enqueue("payments.forgotten_money")
    run_jobs(kinds=PAYMENTS)
    assert db.session.scalars(sa.select(Refund.amount_minor)).all() == [700]
    with transaction() as session:
        session.execute(sa.update(Refund).values(created_at=in_future(hours=-30)))
        enqueue("payments.forgotten_money", key="again")
    run_jobs(kinds=PAYMENTS)
    found = {one.split(":")[0] for one in db.session.scalars(sa.select(Incident.fingerprint))}
    assert {"unmatched_line", "refund_by_hand"} <= found


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_may_not_record_money_looks_or_stays_out(staff):
    browser = staff("manager")
    bring(browser, csv_of((5_000, "who is it", "A1")))
    line_id = line()[0].id
    support = staff("support")
    assert "who is it" in desk(support, "unmatched")
    assert "Match</button>" not in desk(support, "unmatched")
    for way in (f"lines/{line_id}/match", f"lines/{line_id}/ignore", "statements"):
        assert support.send(f"{DESKS}/{way}").status_code == 403
    assert support.get(FILES).status_code == 403
    packer = staff("fulfilment")
    assert packer.get(DESKS).status_code == 403
    assert "Money desks" not in packer.get("/admin/").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_unknown_lines_files_and_orders_are_404(staff):
    browser = staff("manager")
    for way in (
        "lines/99/match",
        "lines/99/ignore",
        "lines/99/put-back",
        "late/2601.999",
        "refunds/99",
    ):
        answer = act(
            browser, way, number="2601.999", reason="x", choice="refund", bank_reference="x"
        )
        assert answer.status_code == 404, way
    assert browser.get(f"{FILES}/99").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_long_desk_takes_no_more_statements_than_a_short_one(staff, shop):
    browser = staff("manager")

    def asked():
        with counting(shop.sa_engine) as told:
            desk(browser, "unmatched")
        return len(told)

    bring(browser, csv_of((5_000, "who", "A1")))
    few = asked()
    bring(browser, csv_of(*((5_000 + n, "who", f"B{n}") for n in range(20))))
    assert asked() == few


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_home_counts_what_waits_on_the_desks(staff):
    browser = staff("manager")
    bring(browser, csv_of((5_000, "who", "A1")))
    home = browser.get("/admin/").text
    assert "Money that names no order" in home
    assert "desk=unmatched" in home
