"""Staff decide, put away, and make good: each step once, in order, in the audit, told to the customer."""

import threading

import pytest
from sqlalchemy import func, select

from shop import books
from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.errors import Conflict
from shop.extensions import db
from shop.orders.models import OrderEvent, OrderLine
from shop.payments.models import Refund
from shop.payments.refunds import RefundLine
from shop.returns import deciding, pictures, settling
from shop.returns.models import ReturnPicture, ReturnState
from shop.stock import ledger
from shop.stock.models import StockMovement
from tests.returns.conftest import check_in, here, jobs, on_hand, picture, press, told

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def press_on_page(browser, found, what, **fields):
    return browser.post_form(f"{here(found)}/{what}", fields, page=here(found))


def what_came(found, arrived=2, goes="restock", condition="as new"):
    (line,) = found.lines
    return {
        f"arrived-{line.id}": arrived, f"goes-{line.id}": goes, f"condition-{line.id}": condition,
    }  # fmt: skip


def test_the_desk_lists_what_waits_and_the_menu_counts_it(staff, asked):
    browser = staff("support")
    shown = browser.get("/admin/returns").text
    assert asked.reference in shown
    assert "Match ball" in shown
    assert asked.reference not in browser.get("/admin/returns?show=here").text
    assert 'Returns <span class="n">1</span>' in shown


def test_the_whole_way_to_a_refund(staff, asked, the_return, run_returns, client):
    browser = staff("manager")
    variant_id, before = asked.lines[0].order_line.variant_id, 9
    assert press_on_page(browser, asked, "approve").status_code == 303
    assert the_return().state == ReturnState.APPROVED
    assert jobs("returns.book") == 1
    assert press_on_page(browser, asked, "receive").status_code == 303
    assert press_on_page(browser, asked, "check", **what_came(asked)).status_code == 303
    assert on_hand(variant_id) == before + 2
    shown = browser.get(here(asked)).text
    assert "Refund ₹200.00" in shown
    answer = press_on_page(browser, asked, "refund", seen=20_000)
    assert answer.status_code == 303

    found = the_return()
    refund = db.session.scalars(select(Refund)).one()
    assert (found.state, found.refund_minor) == (ReturnState.CLOSED, 20_000)
    assert (refund.amount_minor, refund.lines[0]["quantity"]) == (20_000, 2)
    assert on_hand(variant_id) == before + 2
    line = db.session.get_one(OrderLine, found.lines[0].order_line_id)
    assert (line.refunded_quantity, line.returned_quantity) == (2, 2)
    actions = set(
        db.session.scalars(select(AuditEntry.action).filter(AuditEntry.action.like("return.%")))
    )
    assert actions == {"return.approve", "return.receive", "return.checked", "return.refund"}
    run_returns(also=("messaging.tell",))
    assert {"return_received", "return_closed"} <= told()
    assert "₹200.00 goes back" in client.get(f"/orders/{found.order.token}/returns/{found.id}").text
    texts = db.session.scalars(select(OrderEvent.text).filter_by(kind="return")).all()
    assert f"Return {found.reference} arrived" in texts


@sqlite_only
def test_delivery_goes_back_only_where_staff_choose_so(staff, put_away, the_return):
    browser = staff("manager")
    count = press(browser, put_away, "refund", delivery="99.00", do="count")
    assert "Refund ₹299.00" in count.text
    assert press(browser, put_away, "refund", delivery="99.00", seen=20_000).status_code == 422
    assert press(browser, put_away, "refund", delivery="99.01", seen=29_901).status_code == 422
    assert press(browser, put_away, "refund", delivery="99.00", seen=29_900).status_code == 303
    assert the_return().refund_minor == 29_900


def test_what_is_written_off_is_on_no_shelf_and_the_ledger_says_why(staff, asked):
    variant_id = asked.lines[0].order_line.variant_id
    browser = staff("fulfilment")
    press(staff("manager"), asked, "approve")
    answer = press(
        browser, asked, "check", **what_came(asked, goes="write_off", condition="dented")
    )
    assert answer.status_code == 303
    assert on_hand(variant_id) == 9
    moves = db.session.execute(
        select(StockMovement.reason, StockMovement.delta, StockMovement.note)
        .filter_by(variant_id=variant_id)
        .order_by(StockMovement.id.desc())
        .limit(2)
    ).all()
    assert {(reason.value, delta) for reason, delta, _ in moves} == {
        ("restock", 2),
        ("write_off", -2),
    }
    assert f"{asked.reference}: dented" in {note for _, _, note in moves}


@sqlite_only
def test_what_did_not_come_may_be_asked_back_again(staff, asked, the_return):
    check_in(asked, arrived=1)
    line = db.session.get_one(OrderLine, asked.lines[0].order_line_id)
    assert line.returned_quantity == 1
    assert press(staff("manager"), asked, "refund", seen=10_000).status_code == 303
    assert the_return().refund_minor == 10_000


def test_a_return_after_a_refund_that_restocked_puts_nothing_back_twice(asked):
    from shop.payments import attempts
    from shop.payments.refunds import request_refund

    line = asked.lines[0].order_line
    variant_id, line_id, order_id = line.variant_id, line.id, asked.order_id
    with transaction():
        request_refund(
            attempts.latest(order_id).id,
            20_000,
            [RefundLine(line_id, 2, 20_000, True)],
            "x",
            "user:1",
        )
    assert on_hand(variant_id) == 11
    check_in(asked)
    assert on_hand(variant_id) == 12
    with transaction():
        ledger.restock_line(variant_id, line_id, 3, 77, "user:1")
    assert on_hand(variant_id) == 12


@sqlite_only
def test_of_two_people_the_slower_reads_what_happened(staff, asked):
    quick, slow = staff("manager"), staff("support")
    assert press(quick, asked, "approve").status_code == 303
    for second in ("approve", "refuse"):
        answer = press(slow, asked, second, why="too late")
        assert answer.status_code == 409, second
        assert "This return is approved since" in answer.text, second
    assert jobs("returns.book") == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_steps_out_of_order_are_refused_and_change_nothing(staff, asked, the_return):
    browser = staff("manager")
    for step, fields in (
        ("refund", {"seen": 20_000}),
        ("exchange", {}),
        ("check", what_came(asked)),
    ):
        answer = press(browser, asked, step, **fields)
        assert answer.status_code == 409, step
        assert the_return().state == ReturnState.REQUESTED, step
        assert db.session.scalar(select(func.count()).select_from(Refund)) == 0, step


@sqlite_only
def test_the_same_button_twice_pays_once(staff, put_away):
    browser = staff("manager")
    assert press(browser, put_away, "refund", seen=20_000).status_code == 303
    assert press(browser, put_away, "refund", seen=20_000).status_code == 409
    assert press(browser, put_away, "check", **what_came(put_away)).status_code == 409
    assert db.session.scalar(select(func.count()).select_from(Refund)) == 1


def test_two_people_at_the_same_moment_pay_once(app, put_away):
    return_id, ready, outcomes = put_away.id, threading.Barrier(2), []
    db.session.rollback()

    def pay():
        with app.app_context():
            ready.wait(10)
            try:
                with transaction():
                    settling.refund(return_id, 0, 20_000, "system")
                outcomes.append("paid")
            except Conflict:
                outcomes.append("refused")

    threads = [threading.Thread(target=pay) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert sorted(outcomes) == ["paid", "refused"]
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Refund)) == 1


def test_a_refusal_says_why_and_frees_the_units(staff, asked, the_return, client, run_returns):
    browser = staff("support")
    assert press(browser, asked, "refuse", why=" ").status_code == 422
    assert press(browser, asked, "refuse", why="Worn <b>outside</b>").status_code == 303
    found = the_return()
    assert found.state == ReturnState.REFUSED
    shown = client.get(f"/orders/{found.order.token}/returns/{found.id}").text
    assert "Worn &lt;b&gt;outside&lt;/b&gt;" in shown
    assert db.session.get_one(OrderLine, found.lines[0].order_line_id).returned_quantity == 0
    run_returns(also=("messaging.tell",))
    assert "return_refused" in told()


@sqlite_only
def test_goods_that_came_otherwise_than_described_are_turned_down_until_put_away(asked, the_return):
    return_id = asked.id
    with transaction():
        deciding.approve(return_id, "user:1")
        deciding.receive(return_id, "user:1")
    with transaction():
        deciding.refuse(return_id, "These are not ours.", "user:1")
    assert the_return().state == ReturnState.REFUSED


@sqlite_only
def test_nothing_came_is_no_arrival(staff, asked):
    press(staff("manager"), asked, "approve")
    answer = press(staff("manager"), asked, "check", **what_came(asked, arrived=0))
    assert answer.status_code == 422
    assert "drop it, or wait" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_support_refunds_up_to_its_limit_only(staff, put_away, the_return):
    from shop.preferences import change

    with transaction():
        change("support_refund_minor", "15000")
    browser = staff("support")
    assert press(browser, put_away, "refund", seen=20_000).status_code == 422
    assert press(browser, put_away, "exchange").status_code == 403
    assert the_return().state == ReturnState.RECEIVED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_pictures_are_for_staff_with_the_right_only(staff, asked, client):
    with transaction() as session:
        session.add(ReturnPicture(return_id=asked.id, storage_key=pictures.keep(picture())))
    kept = db.session.scalars(select(ReturnPicture)).one()
    path = f"{here(asked)}/pictures/{kept.id}"
    shown = staff("support").get(path)
    assert shown.status_code == 200
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.headers["Content-Type"] == "image/jpeg"
    assert shown.headers["Cache-Control"] == "no-store"
    assert client.get(path).status_code == 303
    assert staff("customer").get(path).status_code == 403
    assert staff("support").get(f"/admin/returns/999/pictures/{kept.id}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_orders_pages_lead_to_its_returns_and_s44_name_no_amount_to_who_sees_none(
    staff, put_away
):
    press(staff("manager"), put_away, "refund", seen=20_000)
    db.session.rollback()
    shown = staff("fulfilment").get(f"/admin/orders/{put_away.order.number}").text
    assert f'{here(put_away)}">{put_away.reference}' in shown
    assert "200.00" not in shown
    assert "200.00" not in staff("fulfilment").get(here(put_away)).text
    assert "200.00" in staff("manager").get(here(put_away)).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_note_is_kept_for_staff(staff, asked, client):
    browser = staff("support")
    assert press(browser, asked, "note", note="Called her").status_code == 303
    assert "Called her" in browser.get(here(asked)).text
    assert "Called her" not in client.get(f"/orders/{asked.order.token}/returns/{asked.id}").text


def test_the_books_are_right_while_a_return_is_half_done(asked):
    assert books.faults() == []
    check_in(asked, arrived=1)
    assert books.faults() == []


def test_delivery_goes_back_once_however_many_ask_at_a_time(staff, put_away, monkeypatch):
    """The other refund comes between what this form read and its transaction."""
    browser = staff("manager")
    order_id = put_away.order_id

    def somebody_else():
        from shop.payments import attempts
        from shop.payments.refunds import request_refund

        with transaction():
            request_refund(attempts.latest(order_id).id, 9_900, [], "delivery", "user:9")

    monkeypatch.setattr("shop.admin.step_up.confirm", somebody_else)
    answer = press(browser, put_away, "refund", delivery="99.00", seen=29_900)
    assert answer.status_code == 422
    db.session.rollback()
    assert [one.amount_minor for one in db.session.scalars(select(Refund))] == [9_900]
