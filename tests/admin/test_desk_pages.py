"""Every desk can be read to its end and back, in the order of its urgency, however much waits there."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.admin import desk_pages
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute, Payment
from shop.payments.reconciling import report_unknown
from shop.payments.refunds import request_refund
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatementLine
from shop.payments.statements.reading import read_statement
from shop.payments.statements.storing import keep_statement
from shop.preferences import change
from tests.admin.test_desks import awaited
from tests.admin.test_disputes import news
from tests.factories import make_order
from tests.payments.transfers import by_hand, csv_of

ROW = re.compile(r'<li class="money"(?: id="([\w-]+)")?><div class="money__head">(?:<a class="ord"[^>]*>([\d.]+))?')  # fmt: skip
FEW = 3


def make_few():
    """What is paid waits for a person, so that no job goes on by itself."""
    with transaction():
        change("auto_ship", "false")
    return [(order.id, reference) for order, reference in (awaited() for _ in range(FEW))]


@pytest.fixture(autouse=True)
def few(shop):
    """Orders that wait for their bank transfers, with its references."""
    found = shop.scene("few-transfers-awaited", make_few)
    return [(db.session.get_one(Order, key), reference) for key, reference in found]


def brought(*rows):
    """A statement with these lines, read but not yet matched by its jobs."""
    with transaction():
        keep_statement(read_statement(csv_of(*rows), "INR"), "bank.csv", b"x", "user:1")


def shown(page):
    """What each row of the page is called, in their order."""
    return [name or number or "unknown" for name, number in ROW.findall(page)]


def way(page, rel):
    found = re.search(rf'href="([^"]+)" rel="{rel}"', page)
    return found and found[1].replace("&amp;", "&")


def read_through(browser, address):
    """The rows of all pages, onwards from the first and back again from the last."""
    pages = [browser.get(address).text]
    while way(pages[-1], "next"):
        pages.append(browser.get(way(pages[-1], "next")).text)
    back = [pages[-1]]
    while way(back[-1], "prev"):
        back.append(browser.get(way(back[-1], "prev")).text)
    onwards = [shown(page) for page in pages]
    assert [shown(page) for page in reversed(back)] == onwards
    return onwards


def lines():
    """What the rows of the lines brought are called."""
    db.session.rollback()
    found = db.session.scalars(sa.select(BankStatementLine.id).order_by(BankStatementLine.id))
    return [f"line-{line_id}" for line_id in found]


def test_the_fifty_first_is_reached_and_more_rows_ask_no_more(staff, sql_count):
    browser = staff("manager")
    address = "/admin/desks?desk=unmatched"
    brought((1, "who", "A"), (2, "who", "B"))
    browser.get(address)
    with sql_count() as few:
        browser.get(address)
    brought(*((100 + number, "who", f"C{number}") for number in range(50)))
    with transaction():
        report_unknown(GatewayEvent(EventKind.CAPTURED, gateway_id="pi_1", amount_minor=9, currency="INR"), "stripe")  # fmt: skip
    with sql_count() as many:
        first = browser.get(address).text
    assert len(many) <= len(few)
    assert len(shown(first)) == 50
    assert "50 of 53" in first
    with sql_count() as turned:
        second = browser.get(way(first, "next")).text
    assert len(turned) <= len(few)
    assert shown(second) == [*lines()[50:], "unknown"]
    assert shown(browser.get(way(second, "prev")).text) == shown(first)


def _late(few):
    _paid_apart(few, 0)
    first, second, third = (order for order, _ in few)
    soon = utcnow().replace(microsecond=7) + timedelta(minutes=10)
    with transaction() as session:
        for order, due in ((first, soon + timedelta(hours=1)), (second, soon), (third, soon)):
            chosen = sa.update(Order).where(Order.id == order.id)
            session.execute(chosen.values(late_money_due_at=due))
    return [second.number, third.number, first.number]


def _paid_apart(few, difference):
    """Orders for which so much more came than was asked."""
    for order, _ in few:
        with transaction():
            amount = order.total_minor + difference
            matching.confirm(attempts.latest(order.id).id, by_hand(amount), "user:1")
    return [order.number for order, _ in few]


def _currency(few, run_jobs):
    _order, reference = few[0]
    event = GatewayEvent(EventKind.CAPTURED, amount_minor=500, currency="USD")
    told = make_order(lines=1)
    brought((100, reference, "A1", "USD"), (200, reference, "A2", "USD"))
    run_jobs(kinds="payments.")
    with transaction():
        recording.record(event, "sandbox", "webhook", attempts.latest(told.id).id)
    return [*lines(), told.number]


def _refunds(few):
    numbers = _paid_apart(few, 0)
    with transaction():
        for (payment_id,) in db.session.execute(sa.select(Payment.id).order_by(Payment.id)).all():
            request_refund(payment_id, 1_000, [], "x", "user:1")
    return numbers


WAITING = {
    "late": lambda few, _run_jobs: _late(few),
    "short": lambda few, _run_jobs: _paid_apart(few, -700),
    "over": lambda few, _run_jobs: _paid_apart(few, 700),
    "currency": _currency,
    "refunds": lambda few, _run_jobs: _refunds(few),
}


@pytest.mark.parametrize("desk", WAITING)
def test_every_desk_is_turned_both_ways(few, staff, run_jobs, monkeypatch, desk):
    monkeypatch.setattr(desk_pages, "ROWS", 1)
    wanted = WAITING[desk](few, run_jobs)
    pages = read_through(staff("manager"), f"/admin/desks?desk={desk}")
    assert pages == [[one] for one in wanted]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_decides_a_row_stays_on_its_page_until_that_is_empty(staff, monkeypatch):
    monkeypatch.setattr(desk_pages, "ROWS", 2)
    brought(*((100 + number, "who", f"A{number}") for number in range(4)))
    named = lines()
    browser = staff("manager")
    first = browser.get("/admin/desks?desk=unmatched").text
    second = way(first, "next")
    place = re.search(r'name="after" value="([^"]+)"', browser.get(second).text)[1]
    form = {"desk": "unmatched", "after": place}

    def set_aside(name, reason):
        address = f"/admin/desks/lines/{name.removeprefix('line-')}/ignore"
        return browser.send(address, {**form, "reason": reason})

    assert shown(set_aside(named[2], "").text) == named[2:]
    for name, left in ((named[2], named[3:]), (named[3], named[:2])):
        answer = set_aside(name, "Interest")
        assert answer.status_code == 303
        assert shown(browser.get(answer.location).text) == left


NO_PLACES = (
    "", "lines", "lines~1", "lines~-1~2", "lines~x~2", "lines~0~2", "late~1~2", "lines~²~1",
    f"lines~{10**20}~1", f"lines~737000~{10**20}", f"unknown~{10**20}",
)  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_place_that_cannot_be_read_is_the_first_page(staff):
    browser = staff("manager")
    brought((100, "who", "A"))
    for mark in NO_PLACES:
        page = browser.get("/admin/desks", query_string={"desk": "unmatched", "after": mark})
        assert (mark, page.status_code, shown(page.text)) == (mark, 200, lines())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_largest_place_that_is_read_fits_its_column(staff):
    browser = staff("manager")
    brought((100, "who", "A"))
    for mark in (f"lines~737000~{10**18 - 1}", f"unknown~{10**18 - 1}"):
        page = browser.get("/admin/desks", query_string={"desk": "unmatched", "before": mark})
        assert (mark, page.status_code) == (mark, 200)


def test_disputes_are_turned_by_their_date_and_without_one_stand_at_the_end(staff, monkeypatch):
    monkeypatch.setattr(desk_pages, "ROWS", 2)
    order = make_order("paid", lines=1)
    soon = utcnow().replace(microsecond=3) + timedelta(days=2)
    dates = {"a": soon + timedelta(days=7), "b": None, "c": soon, "d": soon, "e": None}
    for name, due in dates.items():
        news(order, EventKind.DISPUTE_OPENED, name, amount_minor=1, evidence_due_at=due)
    ids = {one.gateway_id: f"d-{one.id}" for one in db.session.scalars(sa.select(Dispute))}
    pages = read_through(staff("manager"), "/admin/disputes")
    assert pages == [[ids["c"], ids["d"]], [ids["a"], ids["b"]], [ids["e"]]]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_marks_a_dispute_stays_on_its_page_and_so_does_who_is_refused(staff, monkeypatch):
    monkeypatch.setattr(desk_pages, "ROWS", 1)
    order = make_order("paid", lines=1)
    soon = utcnow() + timedelta(days=2)
    for days, name in enumerate("abc"):
        due = soon + timedelta(days=days)
        news(order, EventKind.DISPUTE_OPENED, name, amount_minor=1, evidence_due_at=due)
    ids = {one.gateway_id: one.id for one in db.session.scalars(sa.select(Dispute))}
    browser = staff("manager")

    def pressed(page, name, what, **fields):
        """The button of the row, with all that its form carries."""
        action = f"/admin/disputes/{ids[name]}/{what}"
        form = page[page.index(f'action="{action}"') :].partition("</form>")[0]
        carried = dict(re.findall(r'name="(show|after|before)" value="([^"]+)"', form))
        return browser.send(action, {**carried, **fields})

    second = browser.get(way(browser.get("/admin/disputes").text, "next")).text
    refused = pressed(second, "b", "sent", note="x" * 400)
    assert (refused.status_code, shown(refused.text)) == (422, [f"d-{ids['b']}"])
    answer = pressed(second, "b", "sent")
    assert shown(browser.get(answer.location).text) == [f"d-{ids['c']}"]
    for name in "ac":
        pressed(browser.get("/admin/disputes").text, name, "sent")
    sent = browser.get(way(browser.get("/admin/disputes?show=sent").text, "next")).text
    answer = pressed(sent, "b", "not-sent")
    assert shown(browser.get(answer.location).text) == [f"d-{ids['c']}"]
