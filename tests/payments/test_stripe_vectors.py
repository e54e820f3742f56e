"""Stripe's own words: signature vectors and sample events, read as they come."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stripe

from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.gateways.stripe import API_VERSION, StripeCheckout
from shop.payments.gateways.stripe_reading import DECLINED, FAILURE_WORDS
from shop.providers import BadSignature
from tests.simulators.stripe import Stripe
from tests.simulators.stripe_objects import sign

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SAMPLES = Path(__file__).parent / "samples" / "stripe"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))
FIRST, ROTATED = "whsec_shopTestVectorSecret0001", "whsec_shopRotatedSecret0002"
MOMENT = datetime.fromtimestamp(1767225600, tz=UTC)
BODY_A = b'{"id":"evt_1VectorA","object":"event","api_version":"2026-10-28.endive","created":1767225599,"data":{"object":{"id":"cs_test_vectorA","object":"checkout.session","amount_total":7292,"currency":"usd","client_reference_id":"SH-100482","metadata":{"order_id":"100482"},"payment_intent":"pi_vectorA","payment_status":"paid","status":"complete"}},"livemode":false,"pending_webhooks":1,"request":{"id":null,"idempotency_key":null},"type":"checkout.session.completed"}'
V1_A = "8aa2e30982e187d51ab1c5aa1f5c138af67c99dfd28a7aec268b3fed77709d0a"
BODY_B = '{"id": "evt_1VectorB", "object": "event", "type": "refund.failed", "data": {"object": {"id": "re_vectorB", "object": "refund", "status": "failed", "metadata": {"name": "Åsa Öberg"}}}}'.encode()
V1_B = "bc37c297a6dc703231fe2478af2d26f02634271f50c67d3c5146b3b053ff79e4"
V1_C = "467162ba579f8fac3102e3439d9f4ce58e7293ff914adc4fa4a84bcfb0f75961"
V0_C = "7d51662442d14f4d93ead9b2e01e2fd3c4add460d87987e9cd5acab3665cb7a6"
HEADER_C = f"t=1767225600,v1={V1_C},v1={V1_A},v0={V0_C}"


@pytest.fixture
def way(app: Any, configure: Callable[..., None]) -> StripeCheckout:
    configure(stripe_secret_key="sk_test_x", stripe_webhook_secret=(FIRST,))
    return StripeCheckout()


@pytest.fixture
def then(turn_clock: Callable[..., None]) -> None:
    """The moment at which the vectors were signed."""
    turn_clock(MOMENT)


# --- vectors ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("then")
@pytest.mark.parametrize(("body", "v1"), [(BODY_A, V1_A), (BODY_B, V1_B)], ids=["A", "B"])
def test_a_vector_is_accepted_in_its_time(way: StripeCheckout, body: bytes, v1: str) -> None:
    way.verify(body, {"Stripe-Signature": f"t=1767225600,v1={v1}"})


@pytest.mark.usefixtures("then")
@pytest.mark.parametrize("secrets", [(FIRST,), (ROTATED,), (ROTATED, FIRST)])
def test_while_a_secret_is_replaced_either_will_do(
    way: StripeCheckout, configure: Callable[..., None], secrets: tuple[str, ...]
) -> None:
    configure(stripe_webhook_secret=secrets)
    way.verify(BODY_A, {"Stripe-Signature": HEADER_C})


@pytest.mark.usefixtures("then")
@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY_A, f"t=1767225600,v0={V1_A}"),
        (BODY_A, f"t=1767225600,v1={V1_A[:-1]}b"),
        (json.dumps(json.loads(BODY_A)).encode(), f"t=1767225600,v1={V1_A}"),
        (BODY_A + b"\n", f"t=1767225600,v1={V1_A}"),
        (BODY_B, f"t=1767225600,v1={V1_A}"),
    ],
    ids=["scheme", "digit", "written anew", "newline", "other body"],
)
def test_a_vector_that_was_touched_is_refused(
    way: StripeCheckout, body: bytes, header: str
) -> None:
    with pytest.raises(BadSignature):
        way.verify(body, {"Stripe-Signature": header})


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_vector_is_refused_five_minutes_off(
    way: StripeCheckout, turn_clock: Callable[..., None], seconds: int
) -> None:
    turn_clock(datetime.fromtimestamp(1767225600 + seconds, tz=UTC))
    with pytest.raises(BadSignature):
        way.verify(BODY_A, {"Stripe-Signature": f"t=1767225600,v1={V1_A}"})


@pytest.mark.usefixtures("then")
def test_the_stand_in_signs_as_the_package_expects(way: StripeCheckout) -> None:
    header = sign(BODY_B, ROTATED, FIRST, moment=1767225600)
    assert V1_B in header
    assert stripe.WebhookSignature.verify_header(BODY_B.decode(), header, FIRST, tolerance=None)
    way.verify(BODY_B, {"Stripe-Signature": header})


def test_a_vector_is_read(way: StripeCheckout) -> None:
    message = way.parse(BODY_A)
    (event,) = message.events
    assert (message.event_id, message.kind) == ("evt_1VectorA", "checkout.session.completed")
    assert (event.kind, event.amount_minor, event.currency) == (EventKind.CAPTURED, 7292, "USD")
    assert event.refs == {"payment_intent": "pi_vectorA"}


# --- samples ---------------------------------------------------------------------------------


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


KINDS = {
    "charge.dispute.closed": EventKind.DISPUTE_LOST,
    "charge.dispute.created": EventKind.DISPUTE_OPENED,
    "checkout.session.async_payment_failed": EventKind.FAILED,
    "checkout.session.async_payment_succeeded": EventKind.CAPTURED,
    "checkout.session.completed-paid": EventKind.CAPTURED,
    "checkout.session.completed-unpaid": EventKind.PENDING,
    "checkout.session.expired": EventKind.EXPIRED,
    "payment_intent.payment_failed": EventKind.TRY_FAILED,
    "payment_intent.succeeded": EventKind.CAPTURED,
    "refund.created": EventKind.REFUND_SUCCEEDED,
    "refund.failed": EventKind.REFUND_FAILED,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_verified_and_read(way: StripeCheckout, name: str) -> None:
    body = sample(name)
    way.verify(body, {"Stripe-Signature": sign(body, FIRST)})
    message = way.parse(body)
    (event,) = message.events
    told = json.loads(body)
    assert (message.event_id, message.kind) == (told["id"], told["type"])
    assert event.kind == KINDS[name]
    assert event.event_id == told["id"]
    assert event.currency == "USD"
    assert event.amount_minor in {7292, 2499}
    assert event.occurred_at


@pytest.mark.parametrize(
    "code", [*FAILURE_WORDS, "lost_card", "stolen_card", "fraudulent", "generic_decline"]
)
def test_every_reason_of_a_decline_is_told_in_words(way: StripeCheckout, code: str) -> None:
    told = json.loads(sample("payment_intent.payment_failed"))
    told["data"]["object"]["last_payment_error"]["decline_code"] = code
    (event,) = way.parse(json.dumps(told).encode()).events
    assert (event.kind, event.failure_code) == (EventKind.TRY_FAILED, code)
    assert event.failure_words == FAILURE_WORDS.get(code, DECLINED)
    # Whoever holds a stolen card is not told that it is known as stolen.
    assert (event.failure_words == DECLINED) == (code not in FAILURE_WORDS)


def read(way: StripeCheckout, name: str) -> GatewayEvent:
    return way.parse(sample(name)).events[0]


def test_a_samples_details_are_told(way: StripeCheckout) -> None:
    paid = read(way, "checkout.session.completed-paid")
    assert paid.reference == "SH-100482"
    assert paid.payer_email == "dana.whitfield@example.com"
    assert paid.method == "card"
    assert paid.refs["payment_intent"] == "pi_3S7yQwQw7vTkLmN00kVb2Xoa"
    failed = read(way, "payment_intent.payment_failed")
    assert (failed.failure_code, failed.gateway_id) == ("insufficient_funds", None)
    assert failed.failure_words == "There was not enough money on the card."
    refund = read(way, "refund.failed")
    assert refund.refund_gateway_id == "re_3S7yQwQw7vTkLmN00tGh5Kcm"
    assert refund.failure_code == "expired_or_canceled_card"
    dispute = read(way, "charge.dispute.created")
    assert dispute.dispute_reason == "product not received"
    assert dispute.evidence_due_at == datetime.fromtimestamp(1796169599, tz=UTC)
    assert dispute.refs["payment_intent"] == "pi_3S7yQwQw7vTkLmN00kVb2Xoa"


def test_a_live_event_is_not_for_a_test_key(way: StripeCheckout) -> None:
    live = sample("checkout.session.completed-paid").replace(
        b'"livemode": false', b'"livemode": true'
    )
    with pytest.raises(ValueError, match="other mode"):
        way.parse(live)


# --- every event that the page lists -----------------------------------------------------------

#: The event, whose object it carries (a sample's name), what is changed in it, and what it means.
LISTED = [
    ("checkout.session.completed", "checkout.session.completed-paid", {}, EventKind.CAPTURED),
    ("checkout.session.completed", "checkout.session.completed-unpaid", {}, EventKind.PENDING),
    ("checkout.session.async_payment_succeeded", "checkout.session.async_payment_succeeded", {}, EventKind.CAPTURED),
    ("checkout.session.async_payment_failed", "checkout.session.async_payment_failed", {}, EventKind.FAILED),
    ("checkout.session.expired", "checkout.session.expired", {}, EventKind.EXPIRED),
    ("payment_intent.succeeded", "payment_intent.succeeded", {}, EventKind.CAPTURED),
    ("payment_intent.payment_failed", "payment_intent.payment_failed", {}, EventKind.TRY_FAILED),
    ("payment_intent.canceled", "payment_intent.payment_failed", {"status": "canceled"}, None),
    ("payment_intent.processing", "payment_intent.payment_failed", {"status": "processing"}, None),
    ("refund.created", "refund.created", {"status": "pending"}, EventKind.REFUND_PENDING),
    ("refund.created", "refund.created", {"status": "requires_action"}, EventKind.REFUND_PENDING),
    ("refund.updated", "refund.created", {"status": "succeeded"}, EventKind.REFUND_SUCCEEDED),
    ("refund.updated", "refund.created", {"status": "canceled"}, EventKind.REFUND_FAILED),
    ("charge.refund.updated", "refund.created", {"status": "succeeded"}, EventKind.REFUND_SUCCEEDED),
    ("refund.failed", "refund.failed", {}, EventKind.REFUND_FAILED),
    ("charge.refunded", "refund.created", {"object": "charge", "amount_refunded": 1}, None),
    ("charge.dispute.created", "charge.dispute.created", {}, EventKind.DISPUTE_OPENED),
    ("charge.dispute.created", "charge.dispute.created", {"status": "warning_needs_response"}, EventKind.DISPUTE_OPENED),
    ("charge.dispute.updated", "charge.dispute.created", {"status": "under_review"}, EventKind.DISPUTE_OPENED),
    ("charge.dispute.updated", "charge.dispute.created", {"status": "appeal_under_review"}, EventKind.DISPUTE_OPENED),
    ("charge.dispute.funds_withdrawn", "charge.dispute.created", {}, EventKind.DISPUTE_OPENED),
    ("charge.dispute.funds_reinstated", "charge.dispute.closed", {"status": "won"}, EventKind.DISPUTE_WON),
    ("charge.dispute.closed", "charge.dispute.closed", {"status": "won"}, EventKind.DISPUTE_WON),
    ("charge.dispute.closed", "charge.dispute.closed", {"status": "lost"}, EventKind.DISPUTE_LOST),
    ("charge.dispute.closed", "charge.dispute.closed", {"status": "warning_closed"}, EventKind.DISPUTE_WON),
    ("charge.dispute.closed", "charge.dispute.closed", {"status": "prevented"}, EventKind.DISPUTE_WON),
    ("radar.early_fraud_warning.created", "refund.created", {"object": "radar.early_fraud_warning"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "changes", "means"), LISTED)
def test_every_event_of_the_page_means_something_or_nothing(
    way: StripeCheckout, kind: str, name: str, changes: dict[str, Any], means: EventKind | None
) -> None:
    event = json.loads(sample(name))
    event["type"] = kind
    event["data"]["object"].update(changes)
    message = way.parse(json.dumps(event).encode())
    assert message.kind == kind
    assert [one.kind for one in message.events] == ([means] if means else [])
    for one in message.events:
        assert one.event_id == event["id"]
        assert one.amount_minor


# --- the stand-in speaks as the samples do ---------------------------------------------------


@pytest.fixture
def stand_in() -> Any:
    server = Stripe()
    yield server
    server.stop()


def told_by(server: Stripe) -> dict[str, dict[str, Any]]:
    """One event of each kind, as the stand-in makes them."""

    def session() -> str:
        wish = {
            "mode": "payment", "success_url": "https://shop.example/",
            "line_items": [{"quantity": "1", "price_data": {"currency": "usd", "unit_amount": "7292", "product_data": {"name": "Order"}}}],
        }  # fmt: skip
        return str(server._create_session(wish, "")["id"])

    intent = server.complete(session())
    server.fail_refund(server.refund_from_dashboard(intent, 2499))
    server.close_dispute(server.dispute(intent), "lost")
    slow, bounced, declined, left = session(), session(), session(), session()
    server.complete_unpaid(slow)
    server.settle(slow)
    server.complete_unpaid(bounced)
    server.bounce(bounced)
    server.decline(declined)
    server.expire(left)
    made = {event["type"]: event for event in server.events}
    unpaid = [e for e in server.events if e["data"]["object"].get("payment_status") == "unpaid"]
    paid = [e for e in server.events if e["data"]["object"].get("payment_status") == "paid"]
    made["checkout.session.completed-unpaid"] = unpaid[0]
    made["checkout.session.completed-paid"] = paid[0]
    return made


@pytest.mark.parametrize("name", NAMES)
def test_the_stand_ins_events_have_the_samples_keys(app: Any, stand_in: Stripe, name: str) -> None:
    real, made = json.loads(sample(name)), told_by(stand_in)[name]
    assert made.keys() == real.keys()
    assert made["data"].keys() == real["data"].keys()
    assert made["data"]["object"].keys() == real["data"]["object"].keys()
    assert made["api_version"] == real["api_version"] == API_VERSION
    for key, value in real["data"]["object"].items():
        if isinstance(value, dict) and key not in {"metadata", "last_payment_error"}:
            ours = made["data"]["object"][key]
            assert ours is None or ours.keys() == value.keys(), key


def test_every_sample_is_looked_at(app: Any) -> None:
    assert set(NAMES) == set(KINDS)
