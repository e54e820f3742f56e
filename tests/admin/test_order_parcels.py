"""What staff do with an order's parcels: choose who carries them, try again, send them by hand."""

import pytest
from sqlalchemy import select

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping, tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment, Step
from shop.extensions import db
from shop.jobs.models import Job
from shop.jobs.queue import cancel
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.stock.models import StockLevel
from tests.factories import STAFF, make_order, make_product

GATEWAY = Actor(Who.GATEWAY, "gateway:sandbox")
BOOKING = "delivery.create_shipment"
DELIVERY = "delivery."
UPS = "1Z5R89390357567127"
HX = {"HX-Request": "true"}


def page_of(order):
    return f"/admin/orders/{order.number}"


def of(order, *rest):
    return "/".join([page_of(order), "shipments", *map(str, rest)])


def post(browser, order, *rest, **fields):
    return browser.send(of(order, *rest), fields)


def the_parcel():
    db.session.rollback()
    return db.session.scalars(select(Shipment)).one()


def actions():
    return set(
        db.session.scalars(select(AuditEntry.action).where(AuditEntry.action.like("shipment.%")))
    )


@pytest.fixture
def parked(shop, parcels, run_jobs):
    """An order whose parcel waits for a full wallet."""

    def park():
        parcels.wallet_is_empty = True
        order_id = make_order("paid").id
        run_jobs(kinds=BOOKING)
        return order_id, parcels.memory()

    order_id, memory = shop.scene("parcel-parked", park)
    parcels.remember(memory)
    return db.session.get_one(Order, order_id)


@pytest.fixture
def with_papers(shop, parcels, run_jobs):
    """An order with a parcel that was booked, with all its papers, and beside it an unpaid one."""

    def book():
        order_id, other_id = make_order("paid").id, make_order(lines=1).id
        run_jobs(kinds=DELIVERY)
        return order_id, other_id, parcels.memory()

    *keys, memory = shop.scene("parcel-with-papers", book)
    parcels.remember(memory)
    return [db.session.get_one(Order, key) for key in keys]


@pytest.fixture
def by_hand(shop):
    """An order with a parcel that staff take to a carrier."""
    return db.session.get_one(Order, shop.scene("parcel-by-hand", reserve_by_hand))


def reserve_by_hand():
    order_id = make_order("paid").id
    with transaction():
        shipping.reserve(lock_order(order_id), courier_key="manual")
    return order_id


def reserve_beside_another():
    return reserve_by_hand(), make_order(lines=1).id


def test_a_parked_parcel_says_why_and_is_tried_again_by_a_press(parked, parcels, staff, run_jobs):
    browser = staff("fulfilment")
    shown = browser.get(page_of(parked)).text
    assert "Parked" in shown
    assert "wallet is empty" in shown
    assert "Top up the wallet" in shown
    parcels.wallet_is_empty = False
    assert post(browser, parked, the_parcel().id, "again").status_code == 303
    run_jobs(kinds=BOOKING)
    assert the_parcel().step == Step.LABELLED
    assert "Parked" not in browser.get(page_of(parked)).text
    assert post(browser, parked, the_parcel().id, "again").status_code == 409
    assert actions() == {"shipment.again"}


def test_the_carriers_are_shown_with_price_and_days_and_one_is_booked(
    parked,
    parcels,
    staff,
    run_jobs,
):
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    shown = browser.get(of(parked, parcel_id, "carriers")).text
    for words in ("Delhivery Surface", "Delhivery Air", "₹176.80", "2 days", "recommended"):
        assert words in shown
    assert "<dialog" in browser.get(of(parked, parcel_id, "carriers"), headers=HX).text
    strange = browser.send(of(parked, parcel_id, "carriers"), {"carrier": "99"})
    assert strange.status_code == 409
    parcels.wallet_is_empty = False
    chosen = browser.send(of(parked, parcel_id, "carriers"), {"carrier": "10"})
    assert chosen.status_code == 303
    run_jobs(kinds=BOOKING)
    assert (the_parcel().courier_name, the_parcel().cost_minor) == ("Delhivery Air", 17_680)
    assert browser.get(of(parked, parcel_id, "carriers")).status_code == 422
    assert actions() == {"shipment.carrier"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_courier_that_does_not_answer_is_told_in_the_dialog(parked, parcels, staff):
    parcels.fault("refuse", method="GET", path="/v1/external/courier/serviceability", status=429)
    answer = staff("fulfilment").get(of(parked, the_parcel().id, "carriers"))
    assert answer.status_code == 422
    assert "gave no answer" in answer.text


def test_a_parcel_is_put_together_before_its_carrier_is_chosen(parcels, staff, order_in):
    order = order_in("paid")
    browser = staff("fulfilment")
    answer = post(browser, order, "put-together")
    assert answer.headers["Location"].endswith(f"/shipments/{the_parcel().id}/carriers")
    assert "Delhivery Surface" in browser.get(answer.headers["Location"]).text
    assert parcels.orders == {}
    assert post(browser, order, "put-together").status_code == 422


def test_a_number_is_typed_and_the_parcel_handed_over(by_hand, staff):
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    kept = browser.send(of(by_hand, parcel_id, "number"), {"number": UPS.lower()})
    assert kept.status_code == 303
    assert (the_parcel().awb, the_parcel().courier_name) == (UPS, "UPS")
    shown = browser.get(page_of(by_hand)).text
    assert f"https://www.ups.com/track?tracknum={UPS}" in shown
    assert "Handed over" in shown
    assert post(browser, by_hand, parcel_id, "moved", seen="pending").status_code == 303
    assert post(browser, by_hand, parcel_id, "moved", seen="pending").status_code == 409
    assert post(browser, by_hand, parcel_id, "moved", seen="picked_up").status_code == 303
    assert db.session.scalar(select(Order.status)) == "delivered"
    assert actions() == {"shipment.number", "shipment.picked_up", "shipment.delivered"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_number_of_several_carriers_is_asked_about(by_hand, staff):
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    asked = browser.send(of(by_hand, parcel_id, "number"), {"number": "986578788855"})
    assert asked.status_code == 422
    assert 'value="fedex"' in asked.text
    assert the_parcel().awb is None
    fields = {"number": "986578788855", "candidate": "fedex"}
    assert browser.send(of(by_hand, parcel_id, "number"), fields).status_code == 303
    assert the_parcel().courier_name == "FedEx"
    empty = browser.send(of(by_hand, parcel_id, "number"), {"number": " "})
    assert empty.status_code == 422
    assert "Type the tracking number" in empty.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_staff_carry_all_parcels_no_carrier_is_asked(order_in, staff, configure):
    configure(courier="manual")
    order = order_in("paid")
    browser = staff("fulfilment")
    assert "Choose carrier" not in browser.get(page_of(order)).text
    assert post(browser, order, "put-together").status_code == 422
    assert db.session.scalars(select(Shipment)).all() == []


def test_nothing_is_handed_over_while_the_payment_is_disputed(by_hand, staff, run_jobs):
    with transaction():
        advance(lock_order(by_hand.id), "dispute_opened", GATEWAY)
        db.session.get_one(Order, by_hand.id).payment_status = "disputed"
    run_jobs(kinds=DELIVERY)
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    assert "while the payment is disputed" in db.session.scalar(select(Order.attention))
    answer = post(browser, by_hand, parcel_id, "moved", seen="pending")
    assert answer.status_code == 422
    assert "Nothing ships from this order" in answer.text
    assert the_parcel().status == "pending"
    with transaction():
        db.session.get_one(Order, by_hand.id).payment_status = "paid"
        advance(lock_order(by_hand.id), "dispute_won", GATEWAY)
    assert post(browser, by_hand, parcel_id, "moved", seen="pending").status_code == 303


def mark_shipped(browser, order, **fields):
    version = db.session.scalar(select(Order.version))
    db.session.rollback()
    wish = {"event": "shipped", "version": version, **fields}
    return browser.send(f"{page_of(order)}/transition", wish)


def test_a_number_is_not_typed_onto_a_parcel_that_the_courier_knows(
    parked, parcels, staff, run_jobs
):
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    with transaction():
        advance(lock_order(parked.id), "packed", STAFF)
    answer = mark_shipped(browser, parked, courier_name="UPS", awb=UPS)
    assert answer.status_code == 422
    assert "Cancel it there first" in answer.text
    assert the_parcel().awb is None
    post(browser, parked, parcel_id, "cancel")
    run_jobs(kinds=DELIVERY)
    assert mark_shipped(browser, parked, courier_name="UPS", awb=UPS).status_code == 303
    db.session.rollback()
    sent = db.session.scalars(select(Shipment).filter_by(status="picked_up")).one()
    assert (sent.courier, sent.awb, sent.sequence) == ("manual", UPS, 2)


def test_a_parcel_that_no_courier_knows_becomes_the_one_sent_by_hand(parcels, staff, order_in):
    order = order_in("ready_for_shipment")
    for job in db.session.scalars(select(Job).where(Job.kind == "delivery.create_shipment")):
        with transaction():
            cancel(job.id)
    with transaction():
        shipping.reserve(lock_order(order.id))
    assert mark_shipped(staff("fulfilment"), order, awb=UPS).status_code == 303
    assert (the_parcel().courier, the_parcel().awb) == ("manual", UPS)
    assert parcels.orders == {}


def test_one_parcel_is_cancelled_at_the_courier(parked, parcels, staff, run_jobs):
    browser = staff("fulfilment")
    assert post(browser, parked, the_parcel().id, "cancel").status_code == 303
    run_jobs(kinds=DELIVERY)
    assert (the_parcel().status, the_parcel().parked) == ("cancelled", None)
    assert parcels.done("cancel") == [parked.number]
    assert post(browser, parked, the_parcel().id, "cancel").status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_papers_are_kept_here_and_handed_to_staff_who_ship(with_papers, staff, client):
    order, other = with_papers
    browser, parcel_id = staff("fulfilment"), the_parcel().id
    for kind in ("label", "manifest", "invoice"):
        answer = browser.get(of(order, parcel_id, "papers", kind))
        assert answer.mimetype == "application/pdf"
        assert answer.data.startswith(b"%PDF-")
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert staff("support").get(of(order, parcel_id, "papers", "label")).status_code == 403
    assert "/account/sign-in" in client.get(of(order, parcel_id, "papers", "label")).location
    assert browser.get(of(other, parcel_id, "papers", "label")).status_code == 404
    assert browser.get(of(order, parcel_id, "papers", "secrets")).status_code == 404
    shown = browser.get(page_of(order)).text
    assert "its weight counts" in shown or "its size counts" in shown
    assert "the courier bills 0.72 kg" in shown


def test_papers_that_are_lacking_are_fetched(with_papers, staff, run_jobs):
    order = with_papers[0]
    with transaction():
        parcel = the_parcel()
        parcel.invoice_key = None
    browser = staff("fulfilment")
    assert browser.get(of(order, parcel.id, "papers", "invoice")).status_code == 404
    assert "Fetch papers" in browser.get(page_of(order)).text
    assert post(browser, order, parcel.id, "papers").status_code == 303
    run_jobs(kinds=DELIVERY)
    assert the_parcel().invoice_key
    jobs = db.session.scalars(select(Job).where(Job.kind == "delivery.keep_paper")).all()
    assert len(jobs) == 4


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_orders_parcel_is_nowhere(staff):
    by_hand, other = (db.session.get_one(Order, key) for key in reserve_beside_another())
    parcel_id = the_parcel().id
    owner, support = staff("owner"), staff("support")
    for what in ("again", "cancel", "moved", "papers", "carriers", "number", "track", "restock"):
        assert post(owner, other, parcel_id, what).status_code == 404, what
        assert post(support, by_hand, parcel_id, what).status_code == 403, what


@pytest.fixture
def come_back(app):
    """An unpaid order of two, paid at the door, whose only parcel nobody took: it is here again."""
    order = make_order("pending_payment", method="cod", lines={make_product(stock=7): 2})
    with transaction():
        made = shipping.reserve(lock_order(order.id), courier_key="sandbox")
        made.awb, made.step, made.is_dry_run = "SBX0000000009", Step.LABELLED, False
    for status in ("picked_up", "rto_initiated", "rto_delivered"):
        with transaction():
            scan = Scan(status, status, status, "Kochi", utcnow())
            assert tracking.apply(Tracking("SBX0000000009", "", [scan]), "sandbox", "poll")
    return db.session.get_one(Order, order.id)


def on_hand(order):
    db.session.rollback()
    wanted = select(StockLevel.on_hand).filter_by(variant_id=order.lines[0].variant_id)
    return db.session.scalar(wanted)


def test_what_came_back_unpaid_goes_on_the_shelf_once(come_back, staff):
    assert come_back.status == "returned"
    before, parcel_id = on_hand(come_back), the_parcel().id
    browser = staff("fulfilment")
    assert "Put back in stock" in browser.get(page_of(come_back)).text
    assert post(browser, come_back, parcel_id, "restock").status_code == 303
    assert on_hand(come_back) == before + 2
    again = post(browser, come_back, parcel_id, "restock")
    assert again.status_code == 409
    assert "in stock already" in again.text
    assert on_hand(come_back) == before + 2
    assert "shipment.restocked" in actions()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_parcel_that_did_not_come_back_is_not_restocked(by_hand, staff):
    browser = staff("owner")
    assert "Put back in stock" not in browser.get(page_of(by_hand)).text
    before = on_hand(by_hand)
    assert post(browser, by_hand, the_parcel().id, "restock").status_code == 422
    assert on_hand(by_hand) == before
