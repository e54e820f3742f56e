"""From placing to the door, each step is told once."""

import pytest

from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.orders.lifecycle import advance, may
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.gateways.transfer_reference import shown, transfer_reference
from tests import factories

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

#: What tells, and what is told of: the parcel's booking and the refund.
NEWS = ("messaging.", "delivery.create_shipment", "delivery.cancel_shipments", "payments.")


def test_each_step_of_an_order_is_one_mail(app, run_jobs, smtp_server):
    order = factories.make_order("paid")
    number = order.number
    run_jobs(kinds=NEWS)
    for event, _reached in factories.WAY[:-1]:
        with transaction():
            order = db.session.get_one(Order, order.id)
            # The courier's booking has packed it already.
            if may(order, event, factories.STAFF.who):
                advance(order, event, factories.STAFF)
        run_jobs(kinds=NEWS)
    run_jobs()
    awb = db.session.scalars(db.select(Shipment.awb)).one()

    assert [mail["Subject"] for mail in smtp_server.messages] == [
        f"We have your order {number}",
        f"New order {number}, ₹1,097.00",
        f"Order {number} is on its way",
        f"Order {number} is arriving today",
        f"Order {number} is delivered",
    ]
    shipped = smtp_server.messages[2].get_body(("plain",)).get_content()
    assert f"Tracking number: {awb}" in shipped
    assert f"/track/{awb}" in shipped
    assert {mail["To"] for mail in smtp_server.messages} == {order.email, "owner@halflong.example"}


@sqlite_only
def test_a_paid_order_that_is_cancelled_is_told_so_and_its_refund(app, run_jobs, smtp_server):
    order = factories.make_order("paid")
    run_jobs(kinds=NEWS)
    with transaction():
        advance(db.session.get_one(Order, order.id), "cancelled", factories.STAFF)
    run_jobs(kinds=NEWS)
    run_jobs(ahead=120, kinds=NEWS)
    subjects = [mail["Subject"] for mail in smtp_server.messages]
    assert subjects.count(f"Order {order.number} is cancelled") == 1
    assert subjects.count("₹1,097.00 is on its way back") == 1
    cancelled = next(mail for mail in smtp_server.messages if "is cancelled" in mail["Subject"])
    text = cancelled.get_body(("plain",)).get_content()
    assert "₹1,097.00 that you paid goes back" in text or "has gone back" in text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_bank_transfer_is_answered_with_where_to_send_it(app, run_jobs, smtp_server):
    order = factories.make_order(method="bank_transfer")
    run_jobs(kinds="messaging.")
    [mail] = smtp_server.messages
    assert mail["To"] == order.email
    reference = shown(transfer_reference(attempts.latest(order.id).reference))
    assert f"Reference: {reference}" in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_instructions_go_to_who_chose_another_way_meanwhile(app, run_jobs, smtp_server):
    order = factories.make_order(method="bank_transfer")
    with transaction():
        db.session.get_one(Order, order.id).payment_method = "sandbox"
    run_jobs(kinds="messaging.")
    assert smtp_server.messages == []
