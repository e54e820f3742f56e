"""Money by hand: figures worked out by the shop, never above what is left, never without the password."""

import re

import pytest

from shop.accounts.models import SignIn
from shop.audit.models import AuditEntry
from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.delivery import shipping
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.models import Order, OrderLine
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Payment, Refund
from shop.payments.refunds import request_refund
from shop.preferences import change
from shop.promotions import gift_cards
from shop.stock.models import StockLevel
from tests.factories import PASSWORD, make_order, make_product

REASON = "Customer returned it"
SEEN = {"currency": "INR", "booked_on": utcnow().date().isoformat(), "bank_id": "BANK-1"}


def page_of(order):
    return f"/admin/orders/{order.number}"


def refund(browser, order, **fields):
    wish = {"do": "refund", "reason": REASON, **fields}
    return browser.send(f"{page_of(order)}/refunds", wish)


def refunds():
    db.session.rollback()
    return db.session.scalars(db.select(Refund).order_by(Refund.id)).all()


@pytest.fixture
def order(shop):
    def deliver():
        return make_order("delivered", lines={make_product(price=100_000, stock=5): 3}).id

    return db.session.get_one(Order, shop.scene("three-delivered", deliver))


def test_a_refund_by_units_is_counted_and_restocked(order, staff):
    line = order.lines[0]
    before = db.session.scalar(db.select(StockLevel.on_hand).filter_by(variant_id=line.variant_id))
    wish = {f"qty-{line.id}": "2", f"restock-{line.id}": "1"}
    answer = refund(staff("manager"), order, seen="200000", **wish)
    assert answer.status_code == 303
    made = refunds()[0]
    assert (made.amount_minor, made.reason, made.status) == (200_000, REASON, "requested")
    db.session.rollback()
    assert db.session.get(OrderLine, line.id).refunded_quantity == 2
    level = db.session.scalar(db.select(StockLevel.on_hand).filter_by(variant_id=line.variant_id))
    assert level == before + 2
    assert db.session.scalar(db.select(Job.kind).filter_by(kind="payments.refund"))
    entry = db.session.scalars(db.select(AuditEntry).filter_by(action="refund.requested")).one()
    assert entry.subject == f"order:{order.number}"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_figures_come_from_the_shop_and_not_from_the_form(order, staff):
    line = order.lines[0]
    browser = staff("manager")
    shown = browser.send(
        f"{page_of(order)}/refund/preview",
        {f"qty-{line.id}": "1", "seen": "1", "amount": "1", "total": "1"},
        headers={"HX-Request": "true"},
    )
    assert "Refund ₹1,000.00" in shown.text
    assert refunds() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_amount_on_the_button_is_the_amount_refunded(order, staff):
    line = order.lines[0]
    browser = staff("manager")
    answer = refund(browser, order, seen="100000", **{f"qty-{line.id}": "2"})
    assert answer.status_code == 422
    assert "This comes to ₹2,000.00" in answer.text
    assert refunds() == []
    seen = re.search(r'name="seen" value="(\d+)"', answer.text)[1]
    assert refund(browser, order, seen=seen, **{f"qty-{line.id}": "2"}).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_javascript_the_form_works_out_its_figures(order, staff):
    line = order.lines[0]
    answer = staff("manager").send(
        f"{page_of(order)}/refunds",
        {"do": "count", f"qty-{line.id}": "3"},
    )
    assert answer.status_code == 200
    assert "Refund ₹3,000.00" in answer.text
    assert "<html" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_units_than_are_left_and_no_numbers_are_refused(order, staff):
    line_id = order.lines[0].id
    browser = staff("manager")
    for typed in ("4", "-1", "1.5", "1e1", "２", "99999999999", "one"):
        answer = refund(browser, order, seen="300000", **{f"qty-{line_id}": typed})
        assert answer.status_code == 422, typed
        assert refunds() == [], typed


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_never_more_than_is_left(order, staff):
    line = order.lines[0]
    browser = staff("manager")
    refund(browser, order, seen="200000", **{f"qty-{line.id}": "2"})
    again = refund(browser, order, seen="200000", **{f"qty-{line.id}": "2"})
    assert again.status_code == 422
    assert "Only 1 of" in again.text
    assert "of 1</span>" in again.text
    assert len(refunds()) == 1


def deliver_cheap():
    return make_order("delivered", lines={make_product(price=10_000): 1}).id


@pytest.fixture
def by_card(shop, configure):
    """One unit of ₹1,000.00, of which a gift card paid ₹300.00."""
    configure(payment_gateways=("sandbox", "gift_card"))

    def deliver():
        with transaction():
            code = gift_cards.issue(30_000, "INR", "user:1")[1]
        return make_order("delivered", lines={make_product(price=100_000): 1}, gift_code=code).id

    return db.session.get_one(Order, shop.scene("delivered-by-card-and-sandbox", deliver))


def test_a_line_paid_by_two_payments_goes_back_in_one_step(by_card, staff):
    order, browser, line = by_card, staff("manager"), by_card.lines[0]
    card = db.session.scalar(db.select(Payment.id).filter_by(gateway="gift_card"))
    assert f'<option value="{card}">' in browser.get(f"{page_of(order)}/refund").text
    shown = browser.get(f"{page_of(order)}/refund?payment={card}").text
    assert f'<option value="{card}" selected>' in shown
    assert "goes back to the others" in shown
    answer = refund(browser, order, payment=str(card), seen="100000", **{f"qty-{line.id}": "1"})
    assert answer.status_code == 303
    assert [(one.payment_id == card, one.amount_minor) for one in refunds()] == [
        (True, 30_000), (False, 70_000),
    ]  # fmt: skip
    said = browser.get(page_of(order)).text
    assert "Refund of ₹300.00 sent to Gift card, ₹700.00 sent to Sandbox." in said
    assert browser.get(f"{page_of(order)}/refund?payment=987654").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_disputed_money_is_neither_offered_nor_chosen(by_card, staff):
    payment = {one.gateway: one for one in db.session.scalars(db.select(Payment))}
    disputed, card = payment["sandbox"], payment["gift_card"]
    news = GatewayEvent(
        EventKind.DISPUTE_OPENED, reference=disputed.reference, amount_minor=disputed.captured_minor,
        currency="INR", dispute_gateway_id="dp_1",
    )  # fmt: skip
    with transaction():
        recording.record(news, "sandbox", "webhook")
    order, browser, line = by_card, staff("manager"), by_card.lines[0]
    offered = browser.get(page_of(order)).text
    assert f"/refund?payment={card.id}" in offered
    assert f"/refund?payment={disputed.id}" not in offered
    shown = browser.get(f"{page_of(order)}/refund").text
    assert "Up to ₹300.00 can go back to Gift card payment" in shown
    assert "The disputed payment waits for its outcome" in shown
    assert f'<input type="hidden" name="payment" value="{card.id}">' in shown
    answer = refund(browser, order, seen="100000", **{f"qty-{line.id}": "1"})
    assert answer.status_code == 422
    assert "Not more than ₹300.00 of this order can be refunded now." in answer.text
    assert browser.get(f"{page_of(order)}/refund?payment={disputed.id}").status_code == 303
    assert "This payment is disputed. Wait for the outcome" in browser.get(page_of(order)).text
    assert refunds() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_delivery_goes_back_up_to_what_was_paid_for_it(shop, staff):
    cheap = db.session.get_one(Order, shop.scene("one-cheap-delivered", deliver_cheap))
    assert cheap.shipping_minor > 0
    browser = staff("manager")
    paid = f"{cheap.shipping_minor / 100:.2f}"
    too_much = refund(browser, cheap, seen="0", shipping=f"{cheap.shipping_minor / 100 + 1:.2f}")
    assert too_much.status_code == 422
    assert refund(browser, cheap, seen=str(cheap.shipping_minor), shipping=paid).status_code == 303
    assert refunds()[0].amount_minor == cheap.shipping_minor
    twice = refund(browser, cheap, seen=str(cheap.shipping_minor), shipping=paid)
    assert twice.status_code == 422
    assert len(refunds()) == 1


def test_supports_refunds_of_an_order_come_singly_and_together_to_no_more_than_its_limit(
    order, staff
):
    with transaction():
        change("support_refund_minor", "150000")
    quantity = f"qty-{order.lines[0].id}"
    one = {"seen": "100000", quantity: "1"}
    browser = staff("support")
    two = refund(browser, order, seen="200000", **{quantity: "2"})
    assert two.status_code == 422
    assert "up to ₹1,500.00" in two.text
    assert refund(browser, order, **one).status_code == 303
    again = refund(browser, order, **one)
    assert again.status_code == 422
    assert "up to ₹1,500.00" in again.text
    assert refund(staff("support"), order, **one).status_code == 303
    assert refund(staff("manager"), order, **one).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_those_who_may_not_refund_are_refused(order, staff):
    line = order.lines[0]
    browser = staff("fulfilment")
    assert browser.get(f"{page_of(order)}/refund").status_code == 403
    assert refund(browser, order, seen="100000", **{f"qty-{line.id}": "1"}).status_code == 403
    assert refunds() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s40_after_ten_minutes_the_password_is_asked_for(order, staff):
    browser, line = staff("manager"), order.lines[0]
    with transaction() as session:
        session.scalars(db.select(SignIn)).one().stepped_up_at = in_future(minutes=-11)
    asked = {"seen": "100000", f"qty-{line.id}": "1"}
    assert 'name="password"' in browser.get(f"{page_of(order)}/refund").text
    without = refund(browser, order, **asked)
    assert without.status_code == 422
    assert "Enter your password" in without.text
    assert refund(browser, order, **asked, password="not the one").status_code == 422
    assert refunds() == []
    assert refund(browser, order, **asked, password=PASSWORD).status_code == 303
    assert len(refunds()) == 1
    assert browser.get(page_of(order)).status_code == 200
    assert 'name="password"' not in browser.get(f"{page_of(order)}/refund").text


@pytest.fixture
def by_bank(shop):
    """An order that waits for a bank transfer."""
    key = shop.scene("by-bank", lambda: make_order(lines=1, method="bank_transfer").id)
    return db.session.get_one(Order, key)


def test_a_bank_transfer_is_marked_received(by_bank, staff):
    order = by_bank
    payment = attempts.latest(order.id)
    browser = staff("manager")
    way = f"{page_of(order)}/payments/{payment.id}/received"
    assert browser.send(way, {**SEEN, "amount": "1e5"}).status_code == 422
    total = f"{order.total_minor / 100:.2f}"
    assert browser.send(way, {**SEEN, "amount": total, "note": "statement 7"}).status_code == 303
    db.session.rollback()
    assert db.session.get(Order, order.id).status == "paid"
    assert db.session.scalar(db.select(AuditEntry.id).filter_by(action="payment.confirmed"))


def test_the_gateway_is_asked_by_a_button(order_in, staff):
    order = order_in("pending_payment")
    payment = attempts.latest(order.id)
    browser = staff("support")
    from shop.sandbox import gateway as pretend

    with transaction():
        pretend.pay(pretend.find(payment.reference, lock=True), webhooks=0)
    answer = browser.send(
        f"{page_of(order)}/payments/{payment.id}/ask",
        {},
        follow_redirects=True,
    )
    assert "Sandbox says: captured" in answer.text
    db.session.rollback()
    assert db.session.get(Payment, payment.id).status == "captured"


def test_late_money_waits_for_a_choice_and_is_refunded_by_it(staff):
    ball = make_product(stock=1)
    order = make_order(lines={ball: 1})
    payment = attempts.latest(order.id)
    from shop.payments import recording
    from shop.payments.gateways.base import EventKind, GatewayEvent
    from shop.stock import ledger, reservations
    from shop.stock.models import MovementReason, ReservationState

    event = GatewayEvent(
        EventKind.CAPTURED,
        reference=payment.reference,
        amount_minor=payment.amount_minor,
        currency="INR",
    )
    with transaction():
        reservations.release(order.id, ReservationState.EXPIRED)
        ledger.move(ball.variants[0].id, -1, MovementReason.WRITE_OFF, "system")
        recording.record(event, "sandbox", "webhook")
    browser = staff("manager")
    assert "Late money." in browser.get(page_of(order)).text
    assert "Late money" in browser.get("/admin/").text
    refused = browser.send(f"{page_of(order)}/late-money", {"choice": "accept"})
    assert refused.status_code == 422
    assert "Not everything is in stock" in refused.text
    browser.send(f"{page_of(order)}/late-money", {"choice": "refund"})
    assert [made.amount_minor for made in refunds()] == [order.total_minor]
    assert db.session.get(Order, order.id).late_money_due_at is None


def test_cash_on_delivery_is_paid_when_it_is_delivered_by_hand(staff):
    order = make_order("processing", lines=1, method="cod")
    browser = staff("manager")
    for event in ("packed", "shipped", "delivered"):
        browser.send(f"{page_of(order)}/transition", {"event": event})
    db.session.rollback()
    delivered = db.session.get(Order, order.id)
    assert (delivered.status, delivered.payment_status) == ("delivered", "paid")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s18_a_field_given_twice_is_refused(order, staff):
    browser = staff("manager")
    fields = {"seen": "100000", f"qty-{order.lines[0].id}": "1", "reason": REASON}
    for named, value in fields.items():
        twice = {**fields, named: [value, "3"]}
        assert refund(browser, order, **twice).status_code == 400, named
        assert refunds() == [], named


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_recording_money_by_hand_is_the_managers(by_bank, staff):
    order = by_bank
    payment = attempts.latest(order.id)
    way = f"{page_of(order)}/payments/{payment.id}/received"
    for role in ("support", "fulfilment"):
        browser = staff(role)
        assert "Mark received" not in browser.get(page_of(order)).text
        assert browser.send(way, {"amount": "1.00"}).status_code == 403


@pytest.fixture
def packed(shop):
    """A paid order of three, two of them in a parcel that waits for its pickup."""

    def pack():
        made = make_order("processing", lines={make_product(price=100_000, stock=5): 3})
        with transaction():
            order = db.session.get(Order, made.id)
            shipping.reserve(order, {order.lines[0].id: 2})
        return made.id

    return db.session.get_one(Order, shop.scene("two-of-three-packed", pack))


def on_hand(order):
    db.session.rollback()
    wanted = db.select(StockLevel.on_hand).filter_by(variant_id=order.lines[0].variant_id)
    return db.session.scalar(wanted)


def test_what_is_in_a_parcel_does_not_go_back_on_the_shelf(packed, staff):
    line, before = packed.lines[0], on_hand(packed)
    browser = staff("manager")
    assert "2 in parcel 1" in browser.get(f"{page_of(packed)}/refund").text
    wish = {f"qty-{line.id}": "2", f"restock-{line.id}": "1"}
    answer = refund(browser, packed, seen="200000", **wish)
    assert answer.status_code == 422
    assert "Not more than 1 of" in answer.text
    assert refunds() == []
    assert on_hand(packed) == before
    answer = refund(browser, packed, seen="100000", **{**wish, f"qty-{line.id}": "1"})
    assert answer.status_code == 303
    assert on_hand(packed) == before + 1
    assert db.session.get(Order, packed.id).attention is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_parcel_that_holds_refunded_units_gets_a_person(packed, staff):
    line = packed.lines[0]
    answer = refund(staff("manager"), packed, seen="200000", **{f"qty-{line.id}": "2"})
    assert answer.status_code == 303
    db.session.rollback()
    said = db.session.get(Order, packed.id).attention
    assert said == "Parcel 1 still holds refunded units: cancel it first"


def test_a_form_is_judged_again_once_the_order_is_locked(order, staff, monkeypatch):
    """The other refund comes between what this form read and its transaction."""
    line_id, order_id = order.lines[0].id, order.id
    browser = staff("manager")

    def somebody_else():
        with transaction():
            request_refund(attempts.latest(order_id).id, 9_900, [], REASON, "user:9")

    monkeypatch.setattr("shop.admin.step_up.confirm", somebody_else)
    wish = {f"qty-{line_id}": "1", "shipping": "99.00"}
    answer = refund(browser, order, seen="109900", **wish)
    assert answer.status_code == 422
    assert [one.amount_minor for one in refunds()] == [9_900]
