"""Another one is sent for what came back: at the same price, from the shelf, and never beside the money."""

import pytest
from sqlalchemy import func, select

from shop.catalog.models import Seller, Variant
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.messaging.models import Notification
from shop.orders.models import Order, PaymentStatus
from shop.payments.refunds import RefundLine
from shop.returns import asking, claims, deciding, settling
from shop.returns.deciding import Checked
from shop.returns.models import Disposition, ReturnState
from shop.stock import ledger
from tests.factories import let_in, make_order, make_product, make_user
from tests.returns.conftest import arrive, check_in, jobs, on_hand, press, told

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_an_exchange_sends_another_one_that_costs_nothing(
    staff, put_away, the_return, client, run_returns
):
    sold = put_away.lines[0].order_line
    other = db.session.scalars(
        select(Variant).where(
            Variant.id != sold.variant_id,
            Variant.product_id == db.session.get_one(Variant, sold.variant_id).product_id,
        )
    ).one()
    line_id, other_id = put_away.lines[0].id, other.id
    seller = db.session.execute(select(Seller.sales_count, Seller.sales_minor)).one()
    browser = staff("fulfilment")
    answer = press(browser, put_away, "exchange", **{f"swap-{line_id}": other_id})
    assert answer.status_code == 303

    found = the_return()
    made = found.replacement
    assert found.state == ReturnState.CLOSED
    assert (made.status, made.total_minor, made.email) == ("paid", 0, found.order.email)
    (line,) = made.lines
    assert (line.variant_id, line.quantity, line.total_minor) == (other_id, 2, 0)
    assert on_hand(other_id) == 10
    assert db.session.execute(select(Seller.sales_count, Seller.sales_minor)).one() == seller
    assert press(browser, put_away, "exchange").status_code == 409
    shown = client.get(f"/orders/{found.order.token}/returns/{found.id}").text
    assert made.number in shown
    own = client.get(f"/orders/{made.token}").text
    assert "Nothing to pay" in own
    assert jobs("delivery.create_shipment") == 2
    assert db.session.scalar(select(func.count()).select_from(Order)) == 2
    arrive(db.session.get_one(Order, made.id))
    run_returns(also=("messaging.tell",))
    sent = db.session.scalars(select(Notification.template).filter_by(order_id=made.id))
    assert set(sent) == {"exchange_sent", "order_delivered"}


def test_an_exchange_without_stock_changes_nothing(staff, asked, the_return):
    check_in(asked, goes=Disposition.WRITE_OFF)
    variant_id = asked.lines[0].order_line.variant_id
    with transaction():
        ledger.move(variant_id, -8, ledger.MovementReason.WRITE_OFF, "system", "gone")
    answer = press(staff("manager"), asked, "exchange")
    assert answer.status_code == 409
    assert "not enough of it in stock" in answer.text
    assert the_return().state == ReturnState.RECEIVED
    assert db.session.scalar(select(func.count()).select_from(Order)) == 1
    assert on_hand(variant_id) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_only_variants_at_the_same_price_are_sent_instead(staff, put_away):
    stranger = make_product().variants[0].id
    line_id = put_away.lines[0].id
    answer = press(staff("manager"), put_away, "exchange", **{f"swap-{line_id}": stranger})
    assert answer.status_code == 422
    assert db.session.scalar(select(func.count()).select_from(Order)) == 1


def comes_back(order_id, resolution):
    """The order arrives, one unit of it is sent back for that, and put away. Returns the return's key."""
    order = arrive(db.session.get_one(Order, order_id))
    wish = {f"qty-{order.lines[0].id}": "1", "reason": "faulty", "resolution": resolution}
    form = asking.read_form(order, wish, [])
    with transaction():
        again = asking.request_return(order_id, form, [], "customer")
        seen = {again.lines[0].id: Checked(1, "", Disposition.RESTOCK)}
        deciding.approve(again.id, "user:1")
        deciding.check_in(again.id, seen, "user:1")
        return again.id


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_replacement_goes_back_for_goods_and_not_for_money(put_away, the_return):
    return_id = put_away.id
    with transaction():
        made_id = settling.exchange(return_id, {}, "2611.900", "user:1").replacement_order_id
    again_id = comes_back(made_id, "refund")
    with pytest.raises(Refused, match="Nothing is left to pay"), transaction():
        settling.refund(again_id, 0, 0, "user:1")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_replacement_is_not_cancelled_by_its_customer_who_would_get_nothing(shop, client):
    user = make_user()
    order = arrive(make_order("paid", lines={make_product(stock=5): 1}, user=user))
    sent = {f"qty-{order.lines[0].id}": "1", "reason": "faulty", "resolution": "exchange"}
    form, order_id = asking.read_form(order, sent, []), order.id
    with transaction():
        found = asking.request_return(order_id, form, [], "customer")
        deciding.approve(found.id, "user:1")
        seen = {found.lines[0].id: Checked(1, "", Disposition.WRITE_OFF)}
        deciding.check_in(found.id, seen, "user:1")
        settling.exchange(found.id, {}, "2611.901", "user:1")
    made = db.session.scalars(select(Order).filter_by(number="2611.901")).one()
    page = f"/orders/{made.token}"
    let_in(client, user)
    assert "Cancel this order" not in client.get(page).text
    answer = client.post_form(f"{page}/cancel", page="/none")
    assert answer.status_code == 409
    assert "replaces what you sent back" in answer.text


def refund_units(found, units):
    """By the order's own refund form, as it were: two at 100.00 each."""
    from shop.payments import attempts
    from shop.payments.refunds import request_refund

    line_id, order_id = found.lines[0].order_line_id, found.order_id
    lines = [RefundLine(line_id, units, 10_000 * units)]
    with transaction():
        request_refund(attempts.latest(order_id).id, 10_000 * units, lines, "x", "user:1")


def test_what_was_refunded_meanwhile_is_not_exchanged_and_is_closed_otherwise(
    staff, put_away, the_return, client, run_returns
):
    refund_units(put_away, 2)
    browser = staff("manager")
    answer = press(browser, put_away, "exchange")
    assert answer.status_code == 422
    assert "only 1 can be exchanged" in answer.text
    assert db.session.scalar(select(func.count()).select_from(Order)) == 1
    assert press(browser, put_away, "settle", why=" ").status_code == 422
    assert press(browser, put_away, "settle", why="By the refund form").status_code == 303
    found = the_return()
    assert (found.state, found.refund_minor, found.replacement) == (ReturnState.CLOSED, 0, None)
    assert press(browser, put_away, "exchange").status_code == 409
    shown = client.get(f"/orders/{found.order.token}/returns/{found.id}").text
    assert "It is settled" in shown
    assert "By the refund form" not in shown
    (left,) = claims.returnable(found.order)
    assert left.quantity == 1
    run_returns(also=("messaging.tell",))
    assert "return_closed" in told()


@sqlite_only
def test_goods_do_not_leave_once_the_money_is_gone_or_questioned(staff, put_away, the_return):
    browser = staff("fulfilment")
    for status in (PaymentStatus.REFUNDED, PaymentStatus.DISPUTED):
        with transaction():
            db.session.get_one(Order, put_away.order_id).payment_status = status
        answer = press(browser, put_away, "exchange")
        assert answer.status_code == 422, status
        assert "nothing is sent for it" in answer.text, status
        assert the_return().state == ReturnState.RECEIVED, status
    with transaction():
        db.session.get_one(Order, put_away.order_id).payment_status = PaymentStatus.PAID


@sqlite_only
def test_a_replacement_is_not_replaced_once_the_first_order_was_refunded(put_away):
    first_id, return_id = put_away.order_id, put_away.id
    with transaction():
        made_id = settling.exchange(return_id, {}, "2611.902", "user:1").replacement_order_id
    again_id = comes_back(made_id, "exchange")
    with transaction():
        db.session.get_one(Order, first_id).payment_status = PaymentStatus.REFUNDED
    with pytest.raises(Refused, match="was refunded"), transaction():
        settling.exchange(again_id, {}, "2611.903", "user:1")
    with transaction():
        db.session.get_one(Order, first_id).payment_status = PaymentStatus.PAID


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_refund_form_says_what_was_exchanged(staff, put_away):
    browser = staff("manager")
    assert press(browser, put_away, "exchange").status_code == 303
    shown = browser.get(f"/admin/orders/{put_away.order.number}/refund").text
    assert "2 exchanged already" in shown
