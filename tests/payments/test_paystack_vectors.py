"""Paystack's own words: signature vectors and sample messages, read as they come."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.gateways.paystack import Paystack as Way
from shop.payments.gateways.paystack_reading import transaction_event
from shop.providers import BadSignature
from tests.simulators.paystack import Paystack
from tests.simulators.paystack_objects import fees_on, sign, with_fees

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SAMPLES = Path(__file__).parent / "samples" / "paystack"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json") if path.stem != "verify-response-abandoned")  # fmt: skip
KEY = "sk_test_shopPaystackVector0001"
P1 = rb'{"event":"charge.success","data":{"id":5120984417,"domain":"test","status":"success","reference":"SH-100482-1-7f3a","amount":1850000,"requested_amount":1850000,"currency":"NGN","channel":"card","paid_at":"2026-11-16T10:03:11.000Z","metadata":{"order_id":"100482","return":"https:\/\/shop.example\/checkout\/return"},"customer":{"email":"adaeze.okafor@example.com"}}}'
H1 = "16a118e06c034307d9d2f6745a3a9a66a5b6437a72fc6afc2047e369be7ab828d253ed8e535e86f8dbfa994f0ee580b32eef064aa88c0730d20ee258f6df6b55"
P2 = '{"event":"refund.processed","data":{"status":"processed","transaction_reference":"SH-100482-1-7f3a","refund_reference":"904417728106","amount":"500000","currency":"NGN","processor":"mpgs_zen","customer":{"first_name":"Adaéze","last_name":"Okafor","email":"adaeze.okafor@example.com"},"integration":530417,"domain":"test"}}'.encode()
H2 = "fc85ae092c216d00cdd061d9d37e947b57d4acead61c9641bc1083be26dcf14c72fb01bed023d33f824f924ed67699d54a7cae0e3fa5d8bc8ca4810706c57e5d"


@pytest.fixture
def way(app: Any, configure: Callable[..., None]) -> Way:
    configure(paystack_secret_key=KEY)
    return Way()


# --- vectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "header"), [(P1, H1), (P2, H2)], ids=["P1", "P2"])
def test_a_vector_is_accepted(way: Way, body: bytes, header: str) -> None:
    way.verify(body, {"X-Paystack-Signature": header})
    assert sign(body, KEY) == header


def test_the_vectors_are_whole(app: Any) -> None:
    assert (len(P1), len(P2)) == (366, 323)


@pytest.mark.parametrize(("body", "header"), [(P1, H1), (P2, H2)], ids=["P1", "P2"])
def test_a_body_written_anew_is_refused(way: Way, body: bytes, header: str) -> None:
    anew = json.dumps(json.loads(body), separators=(",", ":")).encode()
    with pytest.raises(BadSignature):
        way.verify(anew, {"X-Paystack-Signature": header})


@pytest.mark.parametrize(
    "header",
    [
        H1[:-1] + "4", H1[:-1], H1 + "0", H1.upper(), H2, "", "sha512=" + H1, H1[:64],
        "16a118e06c034307d9d2f6745a3a9a66a5b6437a72fc6afc2047e369be7ab828",
    ],
)  # fmt: skip
def test_a_header_that_was_touched_is_refused(way: Way, header: str) -> None:
    with pytest.raises(BadSignature):
        way.verify(P1, {"X-Paystack-Signature": header})


@pytest.mark.parametrize("body", [P1 + b"\n", P1.replace(b"1850000", b"1850001", 1), b"", P2])
def test_a_body_that_was_touched_is_refused(way: Way, body: bytes) -> None:
    with pytest.raises(BadSignature):
        way.verify(body, {"X-Paystack-Signature": H1})


def test_without_the_header_or_without_a_key_nothing_is_believed(
    way: Way, configure: Callable[..., None]
) -> None:
    with pytest.raises(BadSignature):
        way.verify(P1, {"Content-Type": "application/json"})
    configure(paystack_secret_key="")
    with pytest.raises(BadSignature):
        way.verify(P1, {"X-Paystack-Signature": sign(P1, "")})


def test_while_the_key_is_rolled_the_one_before_is_accepted_too(
    way: Way, configure: Callable[..., None]
) -> None:
    configure(paystack_secret_key="sk_test_new", paystack_previous_secret_key=KEY)
    way.verify(P1, {"X-Paystack-Signature": H1})
    way.verify(P1, {"X-Paystack-Signature": sign(P1, "sk_test_new")})
    configure(paystack_previous_secret_key="")
    with pytest.raises(BadSignature):
        way.verify(P1, {"X-Paystack-Signature": H1})


def test_the_vectors_are_read(way: Way) -> None:
    paid, refund = way.parse(P1), way.parse(P2)
    assert (paid.event_id, paid.kind) == ("charge.success:5120984417", "charge.success")
    assert paid.events[0].amount_minor == 1_850_000
    assert refund.event_id == "refund.processed:SH-100482-1-7f3a:904417728106:500000"
    assert (refund.events[0].amount_minor, refund.events[0].currency) == (500_000, "NGN")


# --- samples ---------------------------------------------------------------------------------


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def read(way: Way, name: str) -> GatewayEvent:
    (event,) = way.parse(sample(name)).events
    return event


KINDS = {
    "charge.dispute.create": EventKind.DISPUTE_OPENED,
    "charge.dispute.resolve": EventKind.DISPUTE_LOST,
    "charge.success": EventKind.CAPTURED,
    "charge.success-fees-paid-by-customer": EventKind.CAPTURED,
    "refund.failed": EventKind.REFUND_FAILED,
    "refund.needs-attention": EventKind.REFUND_PENDING,
    "refund.pending": EventKind.REFUND_PENDING,
    "refund.processed": EventKind.REFUND_SUCCEEDED,
    "refund.processing": EventKind.REFUND_PENDING,
}


def test_every_sample_is_looked_at(app: Any) -> None:
    assert set(NAMES) == set(KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_verified_and_read(way: Way, name: str) -> None:
    body = sample(name)
    way.verify(body, {"x-paystack-signature": sign(body, KEY)})
    message, told = way.parse(body), json.loads(body)
    event = read(way, name)
    assert message.kind == told["event"]
    assert message.event_id.startswith(message.kind)
    assert event.kind == KINDS[name]
    assert str(event.reference).startswith("SH-10048")
    assert event.currency == "NGN"
    assert event.amount_minor in {1_850_000, 500_000}
    assert event.is_hint == name.startswith("refund.")


def test_each_sample_is_a_message_of_its_own(way: Way) -> None:
    assert len({way.parse(sample(name)).event_id for name in NAMES}) == len(NAMES)


def test_a_paid_samples_details_are_told(way: Way) -> None:
    paid = read(way, "charge.success")
    assert paid.reference == paid.gateway_id == "SH-100482-1-7f3a"
    assert paid.refs == {"transaction": "5120984417"}
    assert (paid.method, paid.fee_minor) == ("card", 37_750)
    assert (paid.payer_email, paid.payer_phone) == ("adaeze.okafor@example.com", "+2348031234567")
    assert paid.occurred_at == datetime(2026, 11, 16, 10, 3, 11, tzinfo=UTC)


def test_fees_that_the_customer_bears_are_neither_our_money_nor_our_cost(way: Way) -> None:
    paid = read(way, "charge.success-fees-paid-by-customer")
    assert (paid.amount_minor, paid.fee_minor) == (1_850_000, 0)


def test_the_disputes_details_are_told(way: Way) -> None:
    opened, lost = read(way, "charge.dispute.create"), read(way, "charge.dispute.resolve")
    assert opened.dispute_gateway_id == lost.dispute_gateway_id == "1408233"
    assert opened.dispute_reason == "chargeback"
    assert opened.evidence_due_at == datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    assert opened.occurred_at == datetime(2026, 11, 23, 9, 12, 40, tzinfo=UTC)
    assert lost.occurred_at == datetime(2026, 11, 24, 18, 0, 2, tzinfo=UTC)
    assert opened.refs == {"transaction": "5120984417"}


def test_a_refund_that_needs_attention_says_what_to_do(way: Way) -> None:
    assert "bank details" in str(read(way, "refund.needs-attention").failure_words)
    assert read(way, "refund.failed").failure_words == "Paystack could not pay the refund out"
    assert read(way, "refund.pending").failure_words is None


def test_an_abandoned_page_may_still_be_paid(way: Way) -> None:
    event = transaction_event(json.loads(sample("verify-response-abandoned"))["data"])
    assert (event.kind, event.reference) == (EventKind.PENDING, "SH-100499-1-c41d")
    assert (event.method, event.fee_minor, event.occurred_at) == (None, None, None)


# --- every kind of the page, and what is odd -------------------------------------------------


def message(kind: str, of: str, **changes: Any) -> bytes:
    told = json.loads(sample(of))
    return json.dumps({"event": kind, "data": {**told["data"], **changes}}).encode()


@pytest.mark.parametrize(
    ("kind", "of", "changes", "wanted"),
    [
        ("charge.success", "charge.success", {}, EventKind.CAPTURED),
        ("charge.failed", "charge.success", {"status": "failed"}, EventKind.TRY_FAILED),
        ("charge.success", "charge.success", {"status": "ongoing"}, EventKind.PENDING),
        ("charge.dispute.create", "charge.dispute.create", {}, EventKind.DISPUTE_OPENED),
        ("charge.dispute.remind", "charge.dispute.create", {}, EventKind.DISPUTE_OPENED),
        ("charge.dispute.create", "charge.dispute.create", {"status": "pending"}, EventKind.DISPUTE_OPENED),
        ("charge.dispute.create", "charge.dispute.create", {"status": "awaiting-bank-feedback", "resolution": "declined"}, EventKind.DISPUTE_OPENED),
        ("charge.dispute.resolve", "charge.dispute.resolve", {}, EventKind.DISPUTE_LOST),
        ("charge.dispute.resolve", "charge.dispute.resolve", {"resolution": "merchant-accepted"}, EventKind.DISPUTE_LOST),
        ("charge.dispute.resolve", "charge.dispute.resolve", {"resolution": "declined"}, EventKind.DISPUTE_WON),
        ("charge.dispute.resolve", "charge.dispute.resolve", {"status": "archived", "resolution": "declined"}, EventKind.DISPUTE_WON),
        ("charge.dispute.resolve", "charge.dispute.resolve", {"resolution": "something-new"}, EventKind.DISPUTE_LOST),
        ("charge.dispute.resolve", "charge.dispute.create", {"status": "resolved"}, EventKind.DISPUTE_OPENED),
        ("refund.pending", "refund.pending", {}, EventKind.REFUND_PENDING),
        ("refund.processing", "refund.processing", {}, EventKind.REFUND_PENDING),
        ("refund.needs-attention", "refund.needs-attention", {}, EventKind.REFUND_PENDING),
        ("refund.processed", "refund.processed", {"amount": 500000}, EventKind.REFUND_SUCCEEDED),
        ("refund.failed", "refund.failed", {"amount": "500000"}, EventKind.REFUND_FAILED),
    ],
)  # fmt: skip
def test_every_kind_is_read(
    way: Way, kind: str, of: str, changes: dict[str, Any], wanted: EventKind
) -> None:
    (event,) = way.parse(message(kind, of, **changes)).events
    assert event.kind == wanted
    assert event.amount_minor in {1_850_000, 500_000}


@pytest.mark.parametrize(
    "kind", ["transfer.success", "subscription.create", "customeridentification.failed"]
)
def test_other_kinds_change_nothing_and_have_a_name(way: Way, kind: str) -> None:
    first, second = (
        way.parse(json.dumps({"event": kind, "data": {"code": code}}).encode()) for code in "ab"
    )
    assert (first.kind, list(first.events)) == (kind, [])
    assert first.event_id != second.event_id


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("charge.success", {"currency": None}),
        ("charge.success", {"currency": ""}),
        ("charge.success", {"amount": 18500.5}),
        ("charge.success", {"amount": -1}),
        ("charge.success", {"amount": True}),
        ("charge.success", {"amount": None}),
        ("charge.success", {"reference": None, "id": None, "amount": ""}),
        ("charge.success", {"paid_at": "yesterday"}),
        ("refund.processed", {"currency": None}),
        ("refund.processed", {"status": "shelved"}),
        ("charge.dispute.create", {"transaction": None}),
        ("charge.success", {"domain": "live"}),
    ],
)
def test_what_is_missing_or_odd_is_said_to_be_unreadable(
    way: Way, name: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any of its kinds: the inbox asks for no more)
        way.parse(message(name, name, **changes))


def test_two_equal_part_refunds_look_alike_and_are_hints(way: Way) -> None:
    first, second = way.parse(sample("refund.pending")), way.parse(sample("refund.pending"))
    assert first.event_id == second.event_id
    assert first.events[0].is_hint
    assert first.events[0].refund_gateway_id is None


def test_less_than_asked_is_told_as_less(way: Way) -> None:
    (event,) = way.parse(message("charge.success", "charge.success", amount=1_000)).events
    assert event.amount_minor == 1_000


# --- the stand-in speaks as the samples do ---------------------------------------------------


@pytest.fixture
def stand_in() -> Iterator[Paystack]:
    server = Paystack()
    yield server
    server.stop()


def told_by(server: Paystack) -> dict[str, dict[str, Any]]:
    """One message of each kind, as the stand-in makes them."""
    reference = server.plant(1_850_000)
    server.pay(reference)
    for status in ("failed", "needs-attention", "processed"):
        server.refunds_go = ("processing", status)
        server.refund_from_dashboard(reference, 500_000)
    server.resolve_dispute(server.dispute(reference))
    made = {event["event"]: event for event in server.events}
    server.fees_paid_by = "customer"
    server.pay(server.plant(1_850_000))
    made["charge.success-fees-paid-by-customer"] = server.events[-1]
    return made


@pytest.mark.parametrize("name", NAMES)
def test_the_stand_ins_messages_have_the_samples_keys(
    app: Any, stand_in: Paystack, name: str
) -> None:
    real, made = json.loads(sample(name)), told_by(stand_in)[name]
    assert made.keys() == real.keys()
    assert made["data"].keys() == real["data"].keys()
    for key, value in real["data"].items():
        ours = made["data"][key]
        if isinstance(value, dict) and key != "metadata":
            assert ours.keys() == value.keys(), key
        elif value is not None:
            assert type(ours) is type(value), key


def test_the_stand_in_reckons_fees_as_the_samples_do(app: Any) -> None:
    assert fees_on(1_850_000) == 37_750
    assert with_fees(1_850_000) == (1_888_325, 38_325)
