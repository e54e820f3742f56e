"""One order: only the steps that are possible, each audited, refused when the world moved on."""

import re

import pytest

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging.models import Notification
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderEvent
from tests.factories import make_order

HX = {"HX-Request": "true"}
MESSAGES = "messaging."


def page_of(order):
    return f"/admin/orders/{order.number}"


def offered(answer):
    """The steps that the strip offers: buttons and links."""
    strip = re.search(r'id="next-step">(.*?)<div class="detail">', answer.text, re.S)[1]
    return set(re.findall(r'name="event" value="(\w+)"', strip)) | set(
        re.findall(r"/steps/(\w+)", strip)
    )


def move(browser, order, event, **fields):
    return browser.send(f"{page_of(order)}/transition", {"event": event, **fields})


def fresh(order):
    db.session.rollback()
    return db.session.get(Order, order.id, populate_existing=True)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("pending_payment", {"cancelled"}),
        ("paid", {"accepted", "cancelled"}),
        ("processing", {"packed", "cancelled"}),
        ("ready_for_shipment", {"shipped", "cancelled"}),
        ("delivered", {"returned", "archived"}),
        ("archived", {"unarchived"}),
    ],
)
def test_only_what_the_table_allows_is_offered(state, expected, staff, order_in):
    order = order_in(state)
    shown = staff("manager").get(page_of(order))
    assert offered(shown) == expected


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_may_only_look_is_offered_nothing(staff, order_in):
    order = order_in("paid")
    browser = staff("support")
    assert offered(browser.get(page_of(order))) == set()
    assert move(browser, order, "accepted").status_code == 403
    assert fresh(order).status == "paid"


def test_a_step_moves_the_order_and_names_the_person(staff, order_in):
    order = order_in("paid")
    browser = staff("fulfilment")
    answer = move(browser, order, "accepted", version=order.version)
    assert answer.status_code == 303
    assert fresh(order).status == "processing"
    line = db.session.scalars(
        db.select(OrderEvent).filter_by(order_id=order.id, kind="accepted")
    ).one()
    entry = db.session.scalars(db.select(AuditEntry).filter_by(action="order.accepted")).one()
    assert line.actor == entry.actor == f"user:{browser.user_id}"
    assert "done. It is now processing" in browser.get(page_of(order)).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_impossible_step_says_what_is_possible_and_changes_nothing(staff, order_in):
    order = order_in("pending_payment")
    answer = move(staff("manager"), order, "delivered")
    assert answer.status_code == 409
    assert "Allowed:" in answer.text
    assert fresh(order).status == "pending_payment"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_money_is_never_moved_by_a_step(staff, order_in):
    order = order_in("pending_payment")
    browser = staff("owner")
    for event in ("payment_succeeded", "refunded", "nonsense", ""):
        assert move(browser, order, event).status_code in {409, 422}, event
        assert fresh(order).status == "pending_payment", event


def test_the_slower_of_two_people_reads_who_was_quicker(staff, order_in):
    order = order_in("paid")
    quick, slow = staff("manager", name="Mira Sen"), staff("fulfilment")
    seen = order.version
    move(quick, order, "accepted", version=seen)
    late = move(slow, order, "accepted", version=seen)
    assert late.status_code == 409
    assert "Mira Sen already moved this to Processing" in late.text
    assert slow.get(page_of(order)).status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_with_htmx_a_refusal_is_a_fragment_that_is_swapped(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    answer = browser.send(f"{page_of(order)}/transition", {"event": "delivered"}, headers=HX)
    assert answer.status_code == 409
    assert "<html" not in answer.text
    assert 'role="alert"' in answer.text


def test_cancelling_says_first_what_it_does(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    asked = browser.get(f"{page_of(order)}/steps/cancelled")
    assert "All that was paid is refunded" in asked.text
    move(browser, order, "cancelled", version=order.version, reason="customer called")
    assert fresh(order).status == "cancelled"
    assert "customer called" in browser.get(page_of(order)).text


def test_shipping_by_hand_makes_a_parcel_with_its_number(staff, order_in):
    order = order_in("ready_for_shipment")
    browser = staff("fulfilment")
    answer = move(
        browser, order, "shipped", courier_name="Northline", awb="NL 1", version=order.version
    )
    assert answer.status_code == 303
    parcel = db.session.scalars(db.select(Shipment).filter_by(order_id=order.id)).one()
    assert (parcel.courier, parcel.awb, parcel.status) == ("manual", "NL1", "picked_up")
    assert fresh(order).fulfilment_status == "shipped"
    move(browser, order, "delivered")
    assert fresh(order).fulfilment_status == "delivered"
    assert "NL1" in browser.get(page_of(order)).text


def test_only_the_owner_corrects_a_state_and_says_why(staff, order_in):
    order = order_in("delivered")
    assert move(staff("manager"), order, "corrected", to="paid", reason="x").status_code == 403
    owner = staff("owner")
    assert "Say why" in move(owner, order, "corrected", to="paid").text
    assert (
        move(owner, order, "corrected", to="processing", reason="scanned wrongly").status_code
        == 303
    )
    assert fresh(order).status == "processing"


def test_a_note_is_for_staff_and_is_text(staff, order_in):
    order = order_in("paid")
    browser = staff("support")
    browser.send(f"{page_of(order)}/notes", {"note": "<b>fragile</b>"})
    shown = browser.get(page_of(order)).text
    assert "&lt;b&gt;fragile&lt;/b&gt;" in shown
    assert "<b>fragile</b>" not in shown
    note = db.session.scalars(db.select(OrderEvent).filter_by(kind="note")).one()
    assert note.for_customer is False
    assert "fragile" not in browser.get(f"{page_of(order)}?show=customer").text
    assert browser.send(f"{page_of(order)}/notes", {"note": " "}).status_code == 422


def test_the_timeline_is_asked_for_and_answers_304_while_nothing_happens(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    address = f"{page_of(order)}/timeline"
    first = browser.get(address, headers=HX)
    again = {**HX, "If-None-Match": first.headers["ETag"]}
    assert browser.get(address, headers=again).status_code == 304
    with transaction():
        advance(db.session.get(Order, order.id), "accepted", Actor(Who.ADMIN, "user:1"))
    changed = browser.get(address, headers=again)
    assert changed.status_code == 200
    assert "Being packed" in changed.text
    assert f'id="st-{order.id}" hx-swap-oob="true"' in changed.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_fulfilment_reads_neither_mail_nor_money(staff):
    order = make_order("paid", lines=1, email="secret@there.example")
    shown = staff("fulfilment").get(page_of(order)).text
    assert "secret@there.example" not in shown
    assert "₹" not in shown
    assert "Payment attempts" not in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_support_reads_only_the_end_of_payment_references(staff, order_in):
    order = order_in("paid")
    payment = db.session.execute(db.text("SELECT reference, gateway_id FROM payments")).one()
    shown = staff("support").get(page_of(order)).text
    assert payment.reference not in shown
    assert payment.gateway_id not in shown
    assert payment.gateway_id in staff("manager").get(page_of(order)).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_order_that_does_not_exist_is_404_everywhere(staff):
    browser = staff("owner")
    for way in ("", "/timeline", "/refund", "/steps/cancelled"):
        assert browser.get(f"/admin/orders/9999.999{way}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_parts_of_another_order_are_404(staff):
    mine, other = make_order("paid", lines=1), make_order("paid", lines=1)
    payment_id = db.session.execute(
        db.text("SELECT id FROM payments WHERE order_id = :o"), {"o": other.id}
    ).scalar()
    with transaction() as session:
        message = Notification(
            order_id=other.id,
            template="order_confirmed",
            channel="email",
            recipient="a@b.example",
            dedupe_key="x",
        )
        session.add(message)
    browser = staff("owner")
    for way in (
        f"payments/{payment_id}/ask",
        f"payments/{payment_id}/received",
        f"messages/{message.id}/resend",
    ):
        answer = browser.send(f"{page_of(mine)}/{way}", {"amount": "1.00"})
        assert answer.status_code == 404, way


def test_a_message_can_be_sent_again(staff, run_jobs, smtp_server, order_in):
    order = order_in("paid")
    run_jobs(kinds=MESSAGES)
    browser = staff("support")
    link = re.search(r'action="([^"]+/resend)"', browser.get(page_of(order)).text)[1]
    sent = len(smtp_server.messages)
    browser.send(link, {})
    run_jobs(kinds=MESSAGES)
    assert len(smtp_server.messages) == sent + 1


def test_a_parcel_is_booked_once_however_often_it_is_asked_for(staff, order_in):
    order = order_in("paid")
    browser = staff("fulfilment")
    for _ in range(2):
        browser.send(f"{page_of(order)}/shipments", {})
    jobs = db.session.scalars(db.select(Job).filter_by(kind="delivery.create_shipment")).all()
    assert len(jobs) == 1


def test_the_mark_is_taken_off_by_a_person(staff, order_in):
    order = order_in("paid")
    with transaction():
        db.session.get(Order, order.id).attention = "Paid twice"
    browser = staff("manager")
    assert "Paid twice" in browser.get(page_of(order)).text
    browser.send(f"{page_of(order)}/attention", {})
    assert fresh(order).attention is None
    assert "Looked at: Paid twice" in browser.get(page_of(order)).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_thirty_actions_a_minute_are_enough_for_one_person(staff, turn_clock):
    turn_clock(utcnow().replace(second=1))
    order = make_order(lines=1)
    browser = staff("support")
    token = browser.csrf_token()

    def answer():
        return browser.post(
            f"{page_of(order)}/notes", data={"csrf_token": token, "note": "n"}
        ).status_code

    codes = [answer() for _ in range(31)]
    assert codes == [303] * 30 + [429]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_number_of_statements_does_not_grow_with_the_story(staff, sql_count, order_in):
    order = order_in("delivered")
    browser = staff("manager")

    def statements():
        with sql_count() as told:
            assert browser.get(page_of(order)).status_code == 200
        return len(told)

    few = statements()
    with transaction() as session:
        for number in range(20):
            session.add(
                OrderEvent(
                    order_id=order.id,
                    kind="note",
                    actor="user:1",
                    text=str(number),
                    occurred_at=utcnow(),
                )
            )
    assert statements() == few <= 24
