"""Every sample of the provider's page means here what the page says."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shop.delivery.couriers import courier
from shop.delivery.couriers import shiprocket_words as said
from shop.delivery.couriers.base import (
    Booking,
    NotServed,
    Parcel,
    WalletEmpty,
)  # fmt: skip
from shop.providers import BadSignature, OutcomeUnknown, ProviderRefused, TryLater
from tests.delivery.shiprocket_samples import (
    BOOKING,
    PARCEL,
    SAMPLES,
    sample,
    sample_bytes,
)


@pytest.fixture
def engine():
    """The wire is the same on both."""
    return "sqlite"


def test_create_is_accepted_when_it_is_new(app, canned):
    canned.canned["/orders/create/adhoc"] = sample("order_create_success"), 200
    made = courier("parcel").create(PARCEL)
    assert (made.order_id, made.shipment_id) == ("1502847719", "1499003852")
    assert not made.is_cancelled
    assert made.awb == ""


def test_the_request_has_the_shape_of_the_page(app, canned, configure):
    configure(shiprocket_pickup_location="main-warehouse")
    wish, page = said.order_wish(PARCEL), sample("order_create_request")
    assert wish == page


def test_the_cash_request_has_the_fields_of_the_page(app, canned):
    cash = Parcel(**{**PARCEL.__dict__, "collect_minor": 125_700})
    wish = said.order_wish(cash)
    assert wish["payment_method"] == sample("order_create_request_cod")["payment_method"]
    wrong = Parcel(**{**PARCEL.__dict__, "collect_minor": 125_600})
    with pytest.raises(ProviderRefused):
        said.order_wish(wrong)


def test_a_cancelled_record_counts_as_cancelled(app, canned):
    canned.canned["/orders/create/adhoc"] = sample("order_create_duplicate_cancelled_200"), 200
    assert courier("parcel").create(PARCEL).is_cancelled


def test_a_living_record_with_its_waybill_is_adopted(app, canned):
    canned.canned["/orders/create/adhoc"] = sample("order_create_duplicate_live_200"), 200
    assert courier("parcel").create(PARCEL).awb == "788830567028"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("order_create_failure_400_channel", 400),
        ("order_create_failure_422", 422),
        ("order_create_wrong_pickup_200", 200),
    ],
)
def test_a_refused_order_is_refused_for_certain(app, canned, name, status):
    canned.canned["/orders/create/adhoc"] = sample(name), status
    with pytest.raises(ProviderRefused):
        courier("parcel").create(PARCEL)


def test_a_reference_that_is_taken_leads_to_its_order(app, canned):
    canned.canned["/orders/create/adhoc"] = (
        {"message": "Oops!", "errors": {"order_id": ["The order id has already been taken."]}},
        422,
    )
    canned.canned["/orders"] = sample("orders_search_response"), 200
    assert courier("parcel").create(PARCEL).awb == "788830567028"


def test_an_order_is_found_by_its_whole_reference(app, canned):
    canned.canned["/orders"] = sample("orders_search_response"), 200
    way = courier("parcel")
    found = way.find("SHOP-1042")
    assert (found.order_id, found.shipment_id, found.awb) == (
        "1502847719", "1499003852", "788830567028",
    )  # fmt: skip
    assert found.pickup_at is None
    assert way.find("SHOP-104") is None


def test_a_waybill_number_is_read(app, canned):
    canned.canned["/courier/assign/awb"] = sample("assign_awb_success"), 200
    made = courier("parcel").assign_awb(BOOKING)
    assert (made.awb, made.courier_name) == ("788830567028", "Delhivery Surface")
    assert made.applied_grams == 750
    assert made.tracking_url == "https://shiprocket.co/tracking/788830567028"
    assert made.pickup_at is None
    (sent,) = canned.seen("POST", "/v1/external/courier/assign/awb")
    assert json.loads(sent["body"]) == {"shipment_id": 1499003852}


def test_the_carrier_that_staff_chose_is_the_only_one_asked(app, canned):
    canned.canned["/courier/assign/awb"] = sample("assign_awb_failure_200_not_serviceable"), 200
    with pytest.raises(NotServed):
        courier("parcel").assign_awb(BOOKING, "43")
    (sent,) = canned.seen("POST", "/v1/external/courier/assign/awb")
    assert json.loads(sent["body"]) == sample("assign_awb_request")


def test_misleading_words_about_a_cancelled_order_are_set_right(app, canned):
    canned.canned["/courier/assign/awb"] = {"message": ["Delivery pincode is empty"]}, 400
    row = {"id": 1502847719, "channel_order_id": "SHOP-1042", "status_code": 5, "shipments": []}
    canned.canned["/orders"] = {"data": [row]}, 200
    with pytest.raises(ProviderRefused, match="cancelled at the courier"):
        courier("parcel").assign_awb(BOOKING)


@pytest.mark.parametrize(
    ("name", "status"),
    [("assign_awb_failure_200_already_assigned", 200), ("assign_awb_failure_400_reassign", 400)],
)
def test_a_number_assigned_before_is_adopted(app, canned, name, status):
    canned.canned["/courier/assign/awb"] = sample(name), status
    canned.canned["/orders"] = sample("orders_search_response"), 200
    assert courier("parcel").assign_awb(BOOKING).awb == "788830567028"


@pytest.mark.parametrize(
    "name", ["assign_awb_failure_wallet_350", "assign_awb_failure_wallet_nested"]
)
def test_an_empty_wallet_is_told_apart(app, canned, name):
    canned.canned["/courier/assign/awb"] = sample(name), 200
    with pytest.raises(WalletEmpty, match="recharge"):
        courier("parcel").assign_awb(BOOKING)


@pytest.mark.parametrize(
    ("name", "status"),
    [("assign_awb_failure_200_not_serviceable", 200), ("assign_awb_failure_422", 422)],
)
@pytest.mark.parametrize(
    ("served", "served_status"),
    [
        ("serviceability_success", 200),
        ("serviceability_failure_200_body_404", 200),
        ("serviceability_missing_422", 422),
    ],
)
def test_a_refused_waybill_is_refused_after_others_were_tried(
    app, canned, name, status, served, served_status
):
    canned.canned["/courier/assign/awb"] = sample(name), status
    canned.canned["/courier/serviceability/"] = sample(served), served_status
    with pytest.raises(ProviderRefused):
        courier("parcel").assign_awb(BOOKING)


def test_a_cancellation_is_accepted_with_or_without_a_body(app, canned):
    canned.canned["/orders/cancel/shipment/awbs"] = sample("cancel_shipment_response"), 200
    canned.canned["/orders/cancel"] = {}, 204
    courier("parcel").cancel(Booking("1502847719", "1499003852", awb="788830567028"))
    sent = [json.loads(one["body"]) for one in canned.seen("POST", "/v1/external/orders/cancel")]
    assert sent == [sample("cancel_shipment_request"), sample("cancel_order_request")]


def test_a_500_for_a_cancellation_tells_nothing(app, canned):
    canned.canned["/orders/cancel"] = sample("cancel_order_failure_500"), 500
    with pytest.raises(OutcomeUnknown):
        courier("parcel").cancel(BOOKING)


def test_a_rate_limit_means_later(app, canned):
    canned.canned["/orders"] = sample("rate_limited_429"), 429
    with pytest.raises(TryLater):
        courier("parcel").find("SHOP-1042")


def test_an_expired_token_means_one_log_in_and_one_repeat(app, canned):
    canned.canned["/orders"] = sample("unauthorized_401"), 401
    with pytest.raises(ProviderRefused, match="fresh token"):
        courier("parcel").find("SHOP-1042")
    assert canned.logins == 2


@pytest.mark.parametrize(
    ("name", "status"), [("login_failure_400", 400), ("login_blocked_403", 403)]
)
def test_a_refused_log_in_is_not_tried_again(app, canned, name, status):
    canned.canned["/auth/login"] = sample(name), status
    for _ in range(3):
        with pytest.raises(TryLater) as raised:
            courier("parcel").find("SHOP-1042")
        assert raised.value.retry_after > 1700
    assert len(canned.seen("POST", "/v1/external/auth/login")) == 1


def test_the_log_in_is_sent_as_the_page_says(app, canned):
    canned.canned["/auth/login"] = sample("login_response"), 200
    canned.tokens[sample("login_response")["token"]] = float("inf")
    canned.canned["/orders"] = sample("orders_search_response"), 200
    courier("parcel").find("SHOP-1042")
    (sent,) = canned.seen("POST", "/v1/external/auth/login")
    assert json.loads(sent["body"]) == sample("login_request")


@pytest.mark.parametrize(
    ("name", "last", "count"),
    [("track_by_awb_delivered", "delivered", 6), ("track_by_shipment_in_transit", "in_transit", 4)],
)
def test_tracking_is_read_oldest_first(app, canned, name, last, count):
    canned.canned["/courier/track/awb/788830567028"] = sample(name), 200
    news = courier("parcel").track("788830567028")
    assert len(news.scans) == count
    assert news.scans[-1].status == last
    assert news.scans[0].status is None
    assert [scan.occurred_at for scan in news.scans] == sorted(
        scan.occurred_at for scan in news.scans
    )
    assert news.estimated_at == datetime(2026, 11, 24, 13, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrap", [lambda body: body, lambda body: [body], lambda body: {"788830567028": body}]
)
def test_tracking_is_found_in_arrays_and_under_its_number(app, canned, wrap):
    canned.canned["/courier/track/awb/788830567028"] = wrap(sample("track_by_awb_delivered")), 200
    assert courier("parcel").track("788830567028").scans


def test_no_activity_yet_is_no_news(app, canned):
    canned.canned["/courier/track/awb/1"] = sample("track_by_awb_no_activity_200"), 200
    assert courier("parcel").track("1") is None


HOOKS = {
    "webhook_picked_up": "picked_up", "webhook_in_transit": "in_transit",
    "webhook_in_transit_suffixed_order_id": "in_transit", "webhook_out_for_delivery": "out_for_delivery",
    "webhook_delivered": "delivered", "webhook_legacy_shape_delivered": "delivered",
    "webhook_rto_initiated": "rto_initiated", "webhook_rto_delivered": "rto_delivered",
    "webhook_cancelled": "cancelled", "webhook_undelivered": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "status"), HOOKS.items())
def test_a_message_is_read_by_the_shipment_table(app, canned, name, status):
    hook = courier("parcel").parse(sample_bytes(name))
    assert hook.tracking.awb == "788830567028"
    assert hook.tracking.scans[-1].status == status
    assert hook.tracking.scans[-1].is_failed_attempt == (name == "webhook_undelivered")


def test_a_message_of_the_older_shape_names_our_reference(app, canned):
    body = sample_bytes("webhook_legacy_shape_delivered")
    assert courier("parcel").parse(body).tracking.reference == "SHOP-1042"


def test_a_message_about_a_return_is_told_apart(app, canned):
    hook = courier("parcel").parse(sample_bytes("webhook_return_picked_up"))
    assert hook.kind == "return"
    assert hook.tracking is None
    assert hook.returning.reference == "SHOP-1042-RET1"
    assert hook.returning.scans[-1].status == "picked_up"


@pytest.mark.parametrize("body", [b"", b"{}", b" "])
def test_the_panels_test_call_is_a_ping(app, canned, body):
    assert courier("parcel").parse(body).tracking is None


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"\xff\xfe"])
def test_what_cannot_be_read_is_a_value_error(app, canned, body):
    with pytest.raises(ValueError):  # noqa: PT011
        courier("parcel").parse(body)


def test_messages_are_told_apart_by_number_status_and_time(app, canned):
    way, body = courier("parcel"), sample("webhook_delivered")
    first = way.parse(json.dumps(body).encode()).event_id
    assert way.parse(json.dumps(body, indent=1).encode()).event_id == first
    assert way.parse(json.dumps({**body, "shipment_status_id": 17}).encode()).event_id != first
    assert way.parse(json.dumps({**body, "current_timestamp": "x"}).encode()).event_id != first


def test_the_message_token_is_checked(app, canned, configure):
    way = courier("parcel")
    way.verify(b"", {"X-Api-Key": "hook-token"})
    for headers in (
        {},
        {"X-Api-Key": ""},
        {"X-Api-Key": "hook-toke"},
        {"X-Api-Key": "hook-token "},
    ):
        with pytest.raises(BadSignature):
            way.verify(b"", headers)
    configure(shiprocket_webhook_token=())
    for headers in ({}, {"X-Api-Key": ""}, {"X-Api-Key": "hook-token"}):
        with pytest.raises(BadSignature):
            way.verify(b"", headers)


def test_every_status_of_the_table_is_known_or_left_alone():
    known = {int(code) for code in sample("status_codes_shipment")}
    assert set(said.MEANING) <= known
    # Numbers of the order table that mean something else in the shipment table.
    assert said.MEANING[18] == "in_transit"
    assert said.MEANING.get(20) is None
    assert said.MEANING[19] == "pickup_scheduled"
    assert said.MEANING[5] == "pickup_scheduled"
    assert sample("status_codes_order_partial")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-20 17:48:00", "2026-11-20T12:18:00+00:00"),
        ("20 11 2026 17:48:00", "2026-11-20T12:18:00+00:00"),
        ("19 Nov 2026, 02:23 PM", "2026-11-19T08:53:00+00:00"),
        ("28th Aug 2018 07:11 PM", "2018-08-28T13:41:00+00:00"),
        ({"date": "2026-11-20 10:05:31.214508", "timezone": "Asia/Kolkata"}, "2026-11-20T04:35:31.214508+00:00"),
        ("Jul 01, 2024", "2024-06-30T18:30:00+00:00"),
        ("0000-00-00 00:00:00", None),
        ("soon", None),
        (None, None),
        (5, None),
    ],
)  # fmt: skip
def test_times_are_indian_in_all_their_ways(written, read):
    found = said.moment(written)
    assert (found.isoformat() if found else None) == read


def test_every_sample_was_looked_at():
    source = "".join(
        path.read_text() for path in Path(__file__).parent.glob("test_shiprocket_*.py")
    )
    names = {path.stem for path in SAMPLES.glob("*.json")}
    assert [
        name for name in sorted(names)
        if f'"{name}"' not in source
    ] == []  # fmt: skip
