"""Parcels that are quiet are asked about, what is told is kept as it came, and the page says it plainly."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from shop.clock import local, utcnow
from shop.database import transaction
from shop.delivery import tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment, ShipmentStatus, TrackingEvent
from shop.extensions import db
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from tests.factories import make_order

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def news(parcel, status, *, minutes=-5, place="Hosur", **more):
    raw = {"activity": "scanned", "hub": place}
    scan = Scan(f"c-{status}", "Told to ASHA", status, place, utcnow() + timedelta(minutes=minutes), raw=raw)  # fmt: skip
    with transaction():
        tracking.apply(Tracking(parcel.awb, "", [scan], **more), parcel.courier, "poll")


def asked_about():
    db.session.rollback()
    return db.session.scalars(select(Job.id).where(Job.kind == "delivery.track")).all()


def poll(run_parcels=None):
    with transaction():
        enqueue("delivery.poll")
    if run_parcels:
        run_parcels()


@pytest.fixture
def quiet(booked):
    """The parcel, in a state and silent since; made real, since nothing is asked of a dry run."""

    def make(status, hours):
        then = utcnow() - timedelta(hours=hours)
        with transaction():
            row = db.session.get_one(Shipment, booked.id)
            row.status, row.is_dry_run = ShipmentStatus(status), False
            row.created_at, row.last_news_at, row.asked_at = then, then, None

    return make


HOURS = {
    "pickup_scheduled": 12, "picked_up": 6, "in_transit": 6, "out_for_delivery": 2, "rto_in_transit": 12,
}  # fmt: skip


def test_the_nearer_to_the_door_the_sooner_it_is_asked_about(quiet, run_parcels):
    for times, (status, hours) in enumerate(HOURS.items()):
        quiet(status, hours - 0.5)
        poll(run_parcels)
        assert len(asked_about()) == times, status
        quiet(status, hours + 0.5)
        poll(run_parcels)
        assert len(asked_about()) == times + 1, status


@sqlite_only
def test_a_parcel_that_has_come_to_its_end_is_left_alone(quiet, run_parcels):
    for status in ("delivered", "cancelled", "lost", "damaged", "rto_delivered"):
        quiet(status, 400)
        poll(run_parcels)
        assert not asked_about(), status


def test_who_was_asked_just_now_is_not_asked_again_at_once(quiet, run_parcels, the_parcel):
    quiet("out_for_delivery", 3)
    poll(run_parcels)
    assert the_parcel().asked_at is not None
    poll(run_parcels)
    assert len(asked_about()) == 1


def test_what_the_courier_told_is_kept_as_it_came(booked):
    news(booked, "picked_up")
    kept = db.session.scalars(select(TrackingEvent)).one()
    assert kept.raw == {"activity": "scanned", "hub": "Hosur"}


@sqlite_only
def test_of_an_absurdly_long_piece_of_news_only_the_beginning_is_kept(booked):
    scan = Scan("c", "long", "picked_up", "", utcnow(), raw={"activity": "x" * 100_000})
    with transaction():
        tracking.apply(Tracking(booked.awb, "", [scan]), booked.courier, "poll")
    kept = db.session.scalars(select(TrackingEvent)).one()
    assert len(kept.raw["cut"]) == tracking.MOST_RAW


def test_a_parcel_is_found_by_the_couriers_own_number_of_the_order(booked, the_parcel):
    scan = Scan("c", "", "picked_up", "", utcnow())
    told = Tracking("", "", [scan], order_id=booked.courier_order_id)
    with transaction():
        assert not tracking.apply(Tracking("", "", [scan], order_id="1" + told.order_id), booked.courier, "poll")  # fmt: skip
        assert tracking.apply(told, booked.courier, "poll")
    assert the_parcel().status == "picked_up"


def test_the_customer_is_told_once_that_it_comes_back(booked, run_parcels):
    for status, minutes in (("picked_up", -9), ("rto_initiated", -8), ("rto_in_transit", -7)):
        news(booked, status, minutes=minutes)
        run_parcels(also=("messaging.tell",))
    db.session.rollback()
    told = select(Notification.channel).where(Notification.template == "coming_back")
    assert db.session.scalars(told).all().count("email") == 1


@sqlite_only
def test_a_status_without_a_time_is_kept_once_and_does_not_end_the_silence(booked, the_parcel):
    def say(code, status, minutes):
        scan = Scan(code, "", status, "", utcnow() + timedelta(minutes=minutes), is_undated=True)
        with transaction():
            tracking.apply(Tracking(booked.awb, "", [scan]), booked.courier, "poll")

    for minutes in (-50, -40, -30):
        say("status-18", "in_transit", minutes)
    say("status-17", "out_for_delivery", -20)
    for minutes in (-15, -10):
        say("status-20", None, minutes)
    codes = db.session.scalars(select(TrackingEvent.code).order_by(TrackingEvent.id)).all()
    assert codes == ["status-18", "status-17", "status-20"]
    assert the_parcel().status == "out_for_delivery"
    assert the_parcel().last_news_at is None


# --- the public page ---


@sqlite_only
def test_the_page_names_depots_and_never_the_last_mile(client, booked):
    news(booked, "picked_up", minutes=-60, place="Hosur depot")
    news(booked, "out_for_delivery", place="Koramangala")
    page = client.get(f"/track/{booked.awb}").text
    assert "Hosur depot" in page
    assert "Koramangala" not in page
    assert "ASHA" not in page


@sqlite_only
def test_the_page_says_the_expected_day_and_when_it_is_late(client, booked, turn_clock):
    arrives = utcnow() + timedelta(days=2)
    news(booked, "in_transit", estimated_at=arrives)
    page = client.get(f"/track/{booked.awb}")
    assert f"Arriving {local(arrives):%A} {local(arrives).day}" in page.text
    turn_clock(days=4)
    again = client.get(f"/track/{booked.awb}", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 200
    assert "later than expected" in again.text


@sqlite_only
def test_without_the_couriers_word_the_day_told_at_checkout_counts(client, booked, the_order):
    with transaction():
        db.session.get_one(Shipment, booked.id).estimated_at = None
    expected = the_order().expected_by
    assert expected is not None
    assert f"Expected {expected:%a} {expected.day}" in client.get(f"/track/{booked.awb}").text


@sqlite_only
def test_the_couriers_own_page_is_linked_where_it_names_one(client, booked):
    assert "own page" not in client.get(f"/track/{booked.awb}").text
    news(booked, "in_transit", tracking_url="https://carrier.example/t/1")
    assert 'href="https://carrier.example/t/1"' in client.get(f"/track/{booked.awb}").text


@sqlite_only
def test_a_parcel_without_news_of_its_own_page_works_without_scripts(client, booked):
    page = client.get(f"/track/{booked.awb}").text
    assert "The courier has not scanned your parcel yet" in page
    assert 'hx-trigger="every 30s"' in page


@sqlite_only
def test_an_order_placed_knows_its_last_expected_day(app):
    order = make_order("pending_payment")
    assert order.expected_by > local(utcnow()).date()
