"""Anyone with the number sees where the parcel is, and nothing about whose it is."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from flask import url_for

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import tracking
from shop.delivery.couriers.base import Scan, Tracking
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.orders.models import Order

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def parcel(booked):
    return booked


def scanned(parcel, status, minutes=-5):
    scan = Scan("c", "Handed to ASHA RAO at the gate", status, "Koramangala", utcnow() + timedelta(minutes=minutes))  # fmt: skip
    with transaction():
        tracking.apply(Tracking(parcel.awb, parcel.reference, [scan]), parcel.courier, "webhook")


@sqlite_only
def test_the_page_shows_the_stage_and_no_name_or_place(client, parcel):
    scanned(parcel, "out_for_delivery")
    page = client.get(f"/track/{parcel.awb}")
    assert page.status_code == 200
    assert "Out for delivery today" in page.text
    assert parcel.awb in page.text
    for secret in ("Asha", "ASHA", "MG Road", "Koramangala", "Bengaluru", "asha@"):
        assert secret not in page.text


@sqlite_only
def test_the_page_asks_again_until_the_parcel_has_arrived(client, parcel):
    assert 'hx-trigger="every 30s"' in client.get(f"/track/{parcel.awb}").text
    scanned(parcel, "delivered")
    assert "hx-trigger" not in client.get(f"/track/{parcel.awb}").text


@sqlite_only
def test_an_unchanged_page_is_not_sent_again(client, parcel):
    first = client.get(f"/track/{parcel.awb}")
    again = {"If-None-Match": first.headers["ETag"]}
    assert client.get(f"/track/{parcel.awb}", headers=again).status_code == 304
    # The same address answers htmx with a part of the page: that is another thing.
    assert (
        client.get(f"/track/{parcel.awb}", headers={**again, "HX-Request": "true"}).status_code
        == 200
    )
    scanned(parcel, "picked_up")
    assert client.get(f"/track/{parcel.awb}", headers=again).status_code == 200


@sqlite_only
def test_a_failed_attempt_is_told_in_our_words(client, parcel):
    scanned(parcel, "out_for_delivery", -9)
    scan = Scan("c", "Consignee ASHA RAO refused", None, "Kochi", utcnow(), True)
    with transaction():
        tracking.apply(Tracking(parcel.awb, "", [scan]), parcel.courier, "webhook")
    page = client.get(f"/track/{parcel.awb}").text
    assert "Could not deliver, the courier tries again" in page
    assert "ASHA" not in page


@sqlite_only
def test_htmx_gets_the_part_alone(client, parcel):
    part = client.get(f"/track/{parcel.awb}", headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert part.strip().startswith('<div class="stack u-gap-24" id="parcel"')


@sqlite_only
def test_an_unknown_number_is_404(client, parcel):
    for number in ("NOPE", "%00", "' OR 1=1", "x", "a b", "9" * 61, "a/b", "%0A"):
        for path in (f"/track/{number}", f"/track/{quote(number, safe='%')}"):
            assert client.get(path).status_code == 404, path


def test_the_page_costs_few_statements(client, parcel, sql_count):
    scanned(parcel, "picked_up")
    client.get(f"/track/{parcel.awb}")
    with sql_count() as told:
        client.get(f"/track/{parcel.awb}")
    assert len(told) <= 3, told


def test_the_orders_token_opens_its_tracking_as_json(client, parcel, the_order):
    scanned(parcel, "in_transit")
    answer = client.get(f"/api/orders/{the_order().token}/tracking")
    assert answer.status_code == 200
    told = answer.json
    assert told["order"] == the_order().number
    assert told["status"] == "in_transit"
    assert told["parcels"][0]["awb"] == parcel.awb
    assert told["parcels"][0]["events"][0]["status"] == "in_transit"


def test_a_number_that_staff_typed_has_its_page(client, parcel):
    parcel_id = parcel.id
    for number in ("AB/12.7", "No.55#3", "7?x=1", "ÅÄ-9", "%2F"):
        with transaction():
            db.session.get_one(Shipment, parcel_id).awb = number
        assert client.get(f"/track/{quote(number, safe='')}").status_code == 200, number
        with client.application.test_request_context():
            address = url_for("delivery.track_page", awb=number)
        assert client.get(address).status_code == 200, number


@sqlite_only
def test_an_orders_tracking_goes_into_no_index_and_no_referrer(client, parcel, the_order):
    for path in (f"/api/orders/{the_order().token}/tracking", "/api/orders/x/tracking", f"/track/{parcel.awb}"):  # fmt: skip
        answer = client.get(path)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer.headers["X-Robots-Tag"]


@sqlite_only
def test_another_token_is_404(client, parcel):
    for token in ("x", "2611.001", "%27", "%00"):
        assert client.get(f"/api/orders/{token}/tracking").status_code == 404, token


def test_the_desk_moves_a_parcel(client, parcel, run_parcels):
    page = client.get("/sandbox/parcels")
    assert "Next scan: picked up" in page.text
    assert "Next scan: picked up" in client.get("/sandbox/").text
    sent = client.post_form(f"/sandbox/parcels/{parcel.awb}/next", page="/sandbox/parcels")
    assert sent.status_code == 303
    run_parcels()
    assert db.session.query(Order.status).scalar() == "shipped"
    assert client.post_form(f"/sandbox/parcels/{parcel.awb}/fail", page="/sandbox/parcels").status_code == 409  # fmt: skip
    assert client.post(f"/sandbox/parcels/{parcel.awb}/next").status_code in {400, 403}


@sqlite_only
def test_the_pretend_couriers_api_wants_its_secret(client, parcel):
    assert client.get(f"/sandbox/api/parcels/{parcel.reference}").status_code == 401
    assert client.get(f"/sandbox/api/parcels/track/{parcel.awb}").status_code == 401


@sqlite_only
def test_in_production_nothing_of_it_exists(client, parcel, configure):
    configure(shop_env="production")
    try:
        for path in ("/sandbox/parcels", f"/sandbox/api/parcels/{parcel.reference}"):
            assert client.get(path).status_code == 404
    finally:
        configure(shop_env="development")


@sqlite_only
def test_a_label_is_kept_below_the_storage_and_nowhere_else(parcel):
    from shop.delivery import papers
    from shop.errors import NotFound

    assert papers.read(parcel.label_key).startswith(b"%PDF-1.4")
    for key in (None, "", "labels/../secret", "/etc/passwd", "labels/none.pdf", "labels/.pdf/x"):
        with pytest.raises(NotFound):
            papers.read(key)


@sqlite_only
def test_the_start_warns_of_an_address_that_the_panel_refuses(app, caplog):
    import structlog

    from shop.delivery import jobs

    class Held:
        extensions = {
            "settings": type(
                "S", (), {"public_url": "https://classroom.example", "courier": "parcel"}
            )
        }

    with structlog.testing.capture_logs() as told:
        jobs.init_app(Held)
    assert told[0]["event"] == "courier.webhook_address_refused"
    assert told[0]["words"] == ["sr"]
