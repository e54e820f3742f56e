"""Rates, pickups, papers and returns, by the samples of the provider's page."""

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shop.delivery.couriers import courier, shiprocket_rates, shiprocket_returns
from shop.delivery.couriers.base import (
    LiveRate,
    NotServed,
)  # fmt: skip
from shop.delivery.couriers.pickup_slot import pickup_day
from shop.providers import Answer, BreakerOpen, OutcomeUnknown, ProviderRefused, TryLater
from tests.delivery.shiprocket_samples import (
    BOOKING,
    PARCEL,
    RETURN,
    WISH,
    sample,
)


@pytest.fixture
def engine():
    """The wire is the same on both."""
    return "sqlite"


def test_the_recommended_courier_is_tried_first():
    body = sample("serviceability_success")
    best, other = shiprocket_rates.rates_of(Answer(200, body, {}, b""))
    assert best == LiveRate(
        "43", "Delhivery Surface", 7150, 4, datetime(2026, 11, 23, 18, 30, tzinfo=UTC), is_cod=True,
        is_recommended=True,
    )  # fmt: skip
    assert (other.courier_id, other.price_minor) == ("51", 6420)


def test_carriers_that_are_blocked_or_do_not_collect_are_left_out():
    body = sample("serviceability_success")
    first, second = body["data"]["available_courier_companies"]
    answered = Answer(200, body, {}, b"")
    first["cod"] = 0
    assert [one.courier_id for one in shiprocket_rates.rates_of(answered, collect=True)] == ["51"]
    body["data"]["blocked_courier_companies"].append({"courier_company_id": 51})
    assert [one.courier_id for one in shiprocket_rates.rates_of(answered)] == ["43"]
    first["blocked"] = 1
    assert shiprocket_rates.rates_of(answered) == []
    second["rate"] = "on request"
    body["data"]["blocked_courier_companies"] = []
    assert shiprocket_rates.rates_of(answered) == []


def test_a_way_that_nobody_serves_has_no_rates(app, canned):
    canned.canned["/courier/serviceability/"] = sample("serviceability_failure_200_body_404"), 200
    with pytest.raises(NotServed):
        courier("parcel").rates(WISH)
    assert courier("parcel").offers(BOOKING) == []
    canned.canned["/courier/serviceability/"] = sample("serviceability_missing_422"), 422
    with pytest.raises(ProviderRefused, match="weight field is required"):
        courier("parcel").rates(WISH)


def test_rates_are_asked_by_pin_code_weight_and_box(app, canned):
    canned.pickup_location = "Primary"
    found = courier("parcel").rates(WISH)
    assert found[0].courier_name == "Delhivery Surface"
    for _ in range(2):
        courier("parcel").rates(WISH)
    assert len(canned.seen("GET", "/v1/external/settings/company/pickup")) == 1
    assert courier("parcel").rates(replace(WISH, currency="SEK")) == []
    assert courier("parcel").rates(replace(WISH, country="NG")) == []
    with pytest.raises(ProviderRefused, match="PIN code"):
        courier("parcel").rates(replace(WISH, postal_code="1234"))


def test_another_pickup_location_is_never_taken(app, canned, configure):
    configure(shiprocket_pickup_location="main-warehouse")
    canned.canned["/settings/company/pickup"] = sample("pickup_locations_response"), 200
    assert courier("parcel").rates(WISH)
    configure(shiprocket_pickup_location="main-warehouse ")
    with pytest.raises(ProviderRefused, match="no pickup location"):
        courier("parcel").rates(WISH)


def test_the_request_of_a_return_has_the_shape_of_the_page(app, canned):
    shop = sample("pickup_locations_response")["data"]["shipping_address"][0]
    wish = shiprocket_returns.return_wish(RETURN, shop | {"name": "Dispatch Desk"})
    assert wish == sample("return_order_request")
    for name in ("currency", "collect_from"):
        wrong = {"currency": "SEK"} if name == "currency" else {name: {"country": "NG"}}
        with pytest.raises(ProviderRefused):
            shiprocket_returns.return_wish(replace(RETURN, **wrong), shop)


def test_a_return_is_ordered_and_a_known_one_is_found_again(app, canned):
    way = courier("parcel")
    canned.canned["/orders/create/return"] = sample("return_order_success"), 200
    made = way.create_return(RETURN)
    assert (made.order_id, made.shipment_id, made.is_return) == ("1503990021", "1500117730", True)
    canned.canned["/orders/create/return"] = sample("return_order_failure_422_taken"), 422
    canned.canned["/orders"] = {"data": []}, 200
    with pytest.raises(ProviderRefused, match="already been taken"):
        way.create_return(RETURN)
    row = {
        "id": 9,
        "channel_order_id": "SHOP-1042-RET1",
        "status_code": 21,
        "shipments": [{"id": 8}],
    }
    canned.canned["/orders"] = {"data": [row]}, 200
    again = way.create_return(RETURN)
    assert (again.order_id, again.shipment_id, again.postal_code) == ("9", "8", "682 016")


def test_a_manifest_is_made_printed_or_comes_later(app, canned):
    way, path = courier("parcel"), "/manifests/generate"
    canned.canned[path] = sample("generate_manifest_success"), 200
    assert way.manifest(BOOKING) == "https://files.example.com/manifest/MANIFEST-0312.pdf"
    canned.canned[path] = sample("generate_manifest_failure_200_empty_url"), 200
    with pytest.raises(TryLater):
        way.manifest(BOOKING)
    canned.canned[path] = sample("generate_manifest_already_400"), 400
    canned.canned["/manifests/print"] = {"manifest_url": "https://files.example.com/m.pdf"}, 200
    assert way.manifest(BOOKING) == "https://files.example.com/m.pdf"
    (sent,) = canned.seen("POST", "/v1/external/manifests/print")
    assert json.loads(sent["body"]) == {"order_ids": [1502847719]}


def test_an_invoice_has_its_address_or_is_refused(app, canned):
    way = courier("parcel")
    canned.canned["/orders/print/invoice"] = sample("print_invoice_success"), 200
    assert way.invoice(BOOKING) == "https://files.example.com/invoices/Retail00118.pdf"
    canned.canned["/orders/print/invoice"] = sample("print_invoice_failure_400"), 400
    with pytest.raises(ProviderRefused, match="could not be created"):
        way.invoice(BOOKING)


def test_an_order_is_found_on_a_later_page_of_the_search(app, canned):
    for number in range(40):
        canned._make({"order_id": f"2611.04{number}"})
    canned._make({"order_id": "2611.04"})
    for number in range(40, 60):
        canned._make({"order_id": f"2611.04{number}"})
    assert courier("parcel").find("2611.04").reference == "2611.04"
    assert len(canned.seen("GET", "/v1/external/orders")) == 5


def test_pickup_is_read_from_within(app, canned, configure):
    configure(shiprocket_pickup_time="")
    canned.canned["/courier/generate/pickup"] = sample("generate_pickup_success"), 200
    made = courier("parcel").schedule_pickup(BOOKING)
    assert made.pickup_at == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    (sent,) = canned.seen("POST", "/v1/external/courier/generate/pickup")
    assert json.loads(sent["body"]) == sample("generate_pickup_request")


@pytest.mark.parametrize(
    ("at", "day"),
    [("17:59", "2026-11-20"), ("18:00", "2026-11-21"), ("08:00", "2026-11-20")],
)
def test_pickup_is_asked_for_today_until_the_slot_ends(app, canned, turn_clock, at, day):
    turn_clock(datetime.fromisoformat(f"2026-11-20T{at}:00+05:30"))
    canned.canned["/courier/generate/pickup"] = sample("generate_pickup_success"), 200
    courier("parcel").schedule_pickup(BOOKING)
    (sent,) = canned.seen("POST", "/v1/external/courier/generate/pickup")
    assert json.loads(sent["body"])["pickup_date"] == [day]


@pytest.mark.parametrize(
    ("now", "slot", "day"),
    [
        ("2026-11-21T18:30", "10:00-18:00", "2026-11-23"),
        ("2026-11-22T09:00", "10:00-18:00", "2026-11-23"),
        ("2026-11-21T17:00", "10:00-18:00", "2026-11-21"),
        ("2026-11-20T13:00", "09:00-13:00", "2026-11-21"),
        ("2026-12-31T23:00", "10:00-18:00", "2027-01-01"),
        ("2026-11-20T13:00", "", None),
    ],
)
def test_nobody_is_asked_to_come_on_a_sunday(now, slot, day):
    found = pickup_day(datetime.fromisoformat(now), slot)
    assert (found.isoformat() if found else None) == day


def test_a_pickup_asked_for_before_is_done(app, canned):
    canned.canned["/courier/generate/pickup"] = sample("generate_pickup_already_queued_400"), 400
    canned.canned["/orders"] = sample("orders_search_response"), 200
    courier("parcel").schedule_pickup(BOOKING)


def test_a_refused_pickup_is_refused(app, canned):
    canned.canned["/courier/generate/pickup"] = sample("generate_pickup_invalid_400"), 400
    with pytest.raises(ProviderRefused, match="Invalid shipment id"):
        courier("parcel").schedule_pickup(BOOKING)


def test_a_label_has_its_address_or_comes_later(app, canned):
    canned.canned["/courier/generate/label"] = sample("generate_label_success"), 200
    assert courier("parcel").label(BOOKING).label_url.startswith("https://files.example.com/")
    canned.canned["/courier/generate/label"] = sample("generate_label_failure_200"), 200
    with pytest.raises(TryLater):
        courier("parcel").label(BOOKING)


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com/a.pdf", "https://127.0.0.1/a.pdf", "https://169.254.169.254/latest",
        "https://[::1]/a.pdf", "file:///etc/passwd", "https://10.0.0.8/a.pdf",
    ],
)  # fmt: skip
def test_a_labels_address_may_not_lead_inwards(app, canned, url):
    with pytest.raises(ProviderRefused):
        courier("parcel").paper_file(url)


@pytest.fixture
def papers_host(monkeypatch):
    """papers.example: at a public address when first looked up, on this machine afterwards.

    Gives its port, and the first byte that it was sent by each who came.
    """
    real, asked, heard = socket.getaddrinfo, [], []

    def turning(host, port, *args, **kwargs):
        if host != "papers.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def hear(server):
        reached, _ = server.accept()
        with reached:
            heard.append(reached.recv(1))

    monkeypatch.setattr(socket, "getaddrinfo", turning)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        listening = threading.Thread(target=hear, args=(server,))
        listening.start()
        yield server.getsockname()[1], heard, listening
        listening.join()


def test_a_name_that_turns_inwards_is_refused_at_the_connection(app, canned, papers_host):
    port, heard, listening = papers_host
    with pytest.raises(ProviderRefused, match="leads inwards"):
        courier("parcel").paper_file(f"https://papers.example:{port}/a.pdf")
    listening.join()
    assert heard == [b""]


def test_who_is_public_at_the_connection_is_spoken_to_by_tls(app, canned, papers_host, monkeypatch):
    port, heard, listening = papers_host
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: ("93.184.215.14", port))
    with pytest.raises((TryLater, OutcomeUnknown)):
        courier("parcel").paper_file(f"https://papers.example:{port}/a.pdf")
    listening.join()
    # A TLS handshake begins with this byte.
    assert heard == [b"\x16"]


def test_a_return_goes_its_whole_way_at_the_stand_in(app, canned):
    way = courier("parcel")
    canned.refused_couriers = {None, 43}
    made = way.create_return(RETURN)
    assert way.create_return(RETURN).order_id == made.order_id
    assigned = way.assign_awb(made)
    assert (assigned.is_return, assigned.courier_name) == (True, "Xpressbees Surface")
    asked = canned.orders[int(made.order_id)]["wish"]
    assert (asked["pickup_pincode"], asked["shipping_pincode"]) == (682_016, 682_030)
    news = way.parse(json.dumps(canned.scan(42, datetime.now(UTC), assigned.awb)).encode())
    assert (news.kind, news.returning.awb) == ("return", assigned.awb)
    assert way.track(assigned.awb).scans[-1].status == "picked_up"
    assert canned.done("return") == ["SHOP-1042-RET1"]


def test_the_checkout_does_not_wait_for_a_slow_courier(app, canned, monkeypatch):
    courier("parcel").rates(WISH)
    monkeypatch.setattr("shop.delivery.couriers.shiprocket.RATE_SECONDS", 0.1)
    canned.fault("slow", method="GET", path="/v1/external/courier/serviceability", slow_ms=400)
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        courier("parcel").rates(WISH)


def test_a_courier_that_fails_for_prices_is_still_booked_with(app, canned):
    for _ in range(5):
        canned.fault("refuse", method="GET", path="/v1/external/courier/serviceability", status=503)
    for _ in range(5):
        with pytest.raises(TryLater):
            courier("parcel").rates(WISH)
    with pytest.raises(BreakerOpen):
        courier("parcel").rates(WISH)
    assert courier("parcel").create(PARCEL).order_id
