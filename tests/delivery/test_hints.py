"""A courier's hint is asked about, and what is said of one parcel moves no other."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.webhooks.models import WebhookEvent, WebhookRefusal

START = utcnow().replace(microsecond=0) - timedelta(hours=20)

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def test_a_hint_is_asked_about_before_anything_changes(shipped, parcels, run_parcels, the_parcel):
    parcels.tell(parcels.message(next(iter(parcels.orders.values())), 7, utcnow()))
    run_parcels()
    assert parcels.answers == [200]
    assert the_parcel().status == "pickup_scheduled"
    parcels.tell(parcels.scan(42, utcnow() - timedelta(minutes=5)))
    run_parcels()
    assert the_parcel().status == "picked_up"
    assert len(parcels.seen("GET", "/v1/external/courier/track")) == 2


def test_a_pickup_that_failed_needs_a_person_once(
    shipped, parcels, run_parcels, the_parcel, the_order
):
    for hours, code in ((1, 13), (2, 20)):
        parcels.tell(parcels.scan(code, START + timedelta(hours=hours)))
        run_parcels()
        assert the_order().attention == f"Parcel {shipped.awb} could not be picked up"
        with transaction():
            the_order().attention = None
        (there,) = parcels.orders.values()  # the same scan, in another message
        parcels.tell(parcels.message(there, code, START + timedelta(hours=hours, minutes=9)))
        run_parcels()
        assert the_order().attention is None
    assert the_parcel().status == "pickup_scheduled"
    (told,) = db.session.scalars(select(Incident)).all()
    assert (told.category, told.severity, told.repeats) == ("delivery", "medium", 1)
    assert len(parcels.seen("GET", "/v1/external/courier/track")) == 4


@sqlite_only
def test_a_failed_pickup_that_is_over_flags_nobody(shipped, parcels, run_parcels, the_order):
    parcels.scan(20, START)
    parcels.tell(parcels.scan(42, START + timedelta(hours=5)))
    run_parcels()
    assert the_order().attention is None
    assert not db.session.scalars(select(Incident)).all()


@sqlite_only
def test_a_message_about_somebody_elses_parcel_is_taken_and_ignored(shipped, parcels, run_parcels):
    strange = next(iter(parcels.orders.values())) | {"awb": "999", "reference": "OTHER-1", "id": 7}
    parcels.tell(parcels.message(strange, 7, utcnow()))
    run_parcels()
    assert parcels.answers == [200]
    assert db.session.scalars(select(WebhookEvent)).one().status == "ignored"
    assert not db.session.scalars(select(Incident)).all()


@sqlite_only
def test_a_message_with_a_wrong_token_leaves_no_row(shipped, parcels):
    for token in ("", "wrong"):
        parcels.tell(parcels.message(next(iter(parcels.orders.values())), 7, utcnow()), token)
        parcels.lose()
    assert parcels.answers == [400, 400]
    db.session.rollback()
    assert not db.session.scalars(select(WebhookEvent)).all()
    assert db.session.scalars(select(WebhookRefusal.count)).all() == [2]


@sqlite_only
def test_the_older_token_is_still_taken(shipped, parcels, run_parcels, the_parcel):
    parcels.tell(parcels.scan(42, utcnow()), "older-token")
    run_parcels()
    assert the_parcel().status == "picked_up"


@sqlite_only
def test_without_a_token_everything_is_refused(shipped, parcels, configure):
    configure(shiprocket_webhook_token=())
    parcels.tell(parcels.scan(42, utcnow()), "")
    assert parcels.answers == [400]


@sqlite_only
def test_the_panels_empty_test_call_gets_200(shipped, live):
    import requests

    answer = requests.post(
        live + "/webhooks/delivery/parcel", data=b"", headers={"x-api-key": "hook-token"}, timeout=5
    )
    assert answer.status_code == 200


@sqlite_only
def test_a_parcel_knows_its_expected_day(shipped, parcels, run_parcels, the_parcel):
    parcels.tell(parcels.scan(18, utcnow()))
    run_parcels()
    assert the_parcel().estimated_at.isoformat() == "2026-11-24T13:58:00+00:00"
