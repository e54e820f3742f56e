"""Razorpay's own words: signature vectors, sample events, and every event that its reference lists."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shop.payments.gateways.base import AttemptRef, EventKind, GatewayEvent
from shop.payments.gateways.razorpay import Razorpay as Way
from shop.payments.gateways.razorpay_reading import FAILURE_WORDS
from shop.providers import BadSignature
from tests.simulators.razorpay import Razorpay
from tests.simulators.razorpay_objects import FAILURES, hexed

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SAMPLES = Path(__file__).parent / "samples" / "razorpay"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))
KEY_SECRET, FIRST, ROTATED = "shopTestKeySecret0001", "shop-webhook-secret-0001", "shop-webhook-secret-0002"  # fmt: skip
W1 = b'{"entity":"event","account_id":"acc_QvT8mLw2Zk1bXa","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_RkM3vT8wQz1LpX","entity":"payment","amount":249900,"currency":"INR","status":"captured","order_id":"order_RkM1aB7cDe9FgH","captured":true,"notes":{"order_id":"100482"}}}},"created_at":1794823393}'
MAC_1 = "76f7d829a925d5f7e68af6bcf40415d23787caef6ea159afb2e5645411367846"
W2 = '{"entity":"event","account_id":"acc_QvT8mLw2Zk1bXa","event":"refund.processed","contains":["refund","payment"],"payload":{"refund":{"entity":{"id":"rfnd_RmC4xV9yRa2MqZ","entity":"refund","amount":99900,"currency":"INR","payment_id":"pay_RkM3vT8wQz1LpX","notes":{"customer":"मीरा"},"status":"processed"}},"payment":{"entity":{"id":"pay_RkM3vT8wQz1LpX","entity":"payment","amount":249900,"amount_refunded":99900,"refund_status":"partial"}}},"created_at":1795168860}'.encode()
MAC_2 = "d3fbc45d99adbf7f11266009bef8d972d963d8967494e05e8979c74b0e92d15b"


@pytest.fixture
def way(app: Any, configure: Callable[..., None]) -> Way:
    configure(razorpay_key_secret=KEY_SECRET, razorpay_webhook_secret=(FIRST,))
    return Way()


def signed(mac: str) -> dict[str, str]:
    return {"X-Razorpay-Signature": mac}


# --- webhook vectors -------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "mac"), [(W1, MAC_1), (W2, MAC_2)], ids=["W1", "W2"])
def test_a_vector_is_accepted(way: Way, body: bytes, mac: str) -> None:
    way.verify(body, signed(mac))


@pytest.mark.parametrize("secrets", [(ROTATED, FIRST), (FIRST, ROTATED), ("", FIRST)])
def test_while_a_secret_is_replaced_either_will_do(
    way: Way, configure: Callable[..., None], secrets: tuple[str, ...]
) -> None:
    configure(razorpay_webhook_secret=secrets)
    way.verify(W1, signed(MAC_1))


@pytest.mark.parametrize(
    ("body", "mac"),
    [
        (W1, MAC_1[:-1] + "7"),
        (W1, MAC_1[:-1]),
        (W1, MAC_1 + "0"),
        (W1, MAC_1.upper()),
        (W1, ""),
        (W1, MAC_2),
        (W1 + b"\n", MAC_1),
        (W1.replace(b"249900", b"249901"), MAC_1),
        (json.dumps(json.loads(W1)).encode(), MAC_1),
        (json.dumps(json.loads(W2)).encode(), MAC_2),
    ],
    ids=["digit", "short", "long", "upper", "empty", "other", "newline", "amount", "anew", "anew 2"],
)  # fmt: skip
def test_a_vector_that_was_touched_is_refused(way: Way, body: bytes, mac: str) -> None:
    with pytest.raises(BadSignature):
        way.verify(body, signed(mac))


def test_without_a_header_or_a_secret_nothing_is_believed(
    way: Way, configure: Callable[..., None]
) -> None:
    with pytest.raises(BadSignature):
        way.verify(W1, {})
    for secrets in ((), ("",), (ROTATED,), (KEY_SECRET,)):
        configure(razorpay_webhook_secret=secrets)
        with pytest.raises(BadSignature):
            way.verify(W1, signed(MAC_1))


def test_the_vectors_are_read(way: Way) -> None:
    paid, refunded = way.parse(W1).events[0], way.parse(W2).events[0]
    assert (paid.kind, paid.amount_minor, paid.currency) == (EventKind.CAPTURED, 249_900, "INR")
    assert paid.refs == {"order": "order_RkM1aB7cDe9FgH", "payment": "pay_RkM3vT8wQz1LpX"}
    assert (refunded.kind, refunded.amount_minor) == (EventKind.REFUND_SUCCEEDED, 99_900)
    assert refunded.refs == {"payment": "pay_RkM3vT8wQz1LpX"}


def test_without_its_header_an_event_is_told_apart_by_what_it_is_about(way: Way) -> None:
    assert way.parse(W1).event_id == "payment.captured:1794823393:pay_RkM3vT8wQz1LpX"
    assert way.parse(W2).event_id == "refund.processed:1795168860:rfnd_RmC4xV9yRa2MqZ"


# --- what the browser brings back ------------------------------------------------------------

LINK = AttemptRef(
    "PAY-2611-042-1", "plink_RkP1aB7cDe9FgH", {}, 249_900, "INR", datetime(2026, 11, 20, tzinfo=UTC)
)
BY_LINK = {
    "razorpay_payment_id": "pay_RkP3vT8wQz1LpX", "razorpay_payment_link_id": "plink_RkP1aB7cDe9FgH",
    "razorpay_payment_link_reference_id": "PAY-2611-042-1", "razorpay_payment_link_status": "paid",
    "razorpay_signature": "35a712c3830bcb029eca5b268558965aefe7f84aaf8d403c6b27efa165e054b2",
}  # fmt: skip
ORDERS = [
    ("order_RkM1aB7cDe9FgH", "pay_RkM3vT8wQz1LpX", "0221f47f425d387c6a60b1a7cc9f672385308b7c9575309395cbfefa157bc49e"),
    ("order_RkN5hJ2kLm4NpQ", "pay_RkN6rS8tUv0WxY", "d4d6073f6c4e6d218d9eaea686d78cc69c451a23acb18bdc184901d70a5e90e2"),
]  # fmt: skip


def test_a_links_return_is_genuine_when_its_signature_fits(way: Way) -> None:
    assert way.is_return_genuine(LINK, BY_LINK) is True


@pytest.mark.parametrize(
    "change",
    [
        {"razorpay_payment_link_status": "created"},
        {"razorpay_payment_id": "pay_other"},
        {"razorpay_signature": "35a712c3"},
        {"razorpay_signature": "é"},
    ],
)
def test_a_links_return_that_was_touched_is_not(way: Way, change: dict[str, str]) -> None:
    assert way.is_return_genuine(LINK, {**BY_LINK, **change}) is False


def test_a_return_of_another_attempt_is_not_genuine_here(way: Way) -> None:
    assert way.is_return_genuine(replace(LINK, reference="PAY-2611-043-1"), BY_LINK) is False
    assert way.is_return_genuine(replace(LINK, gateway_id="plink_other"), BY_LINK) is False


def test_coming_back_with_nothing_signed_says_nothing(way: Way) -> None:
    assert way.is_return_genuine(LINK, {"left": "1"}) is None


@pytest.mark.parametrize(("order_id", "payment_id", "mac"), ORDERS)
def test_an_orders_return_is_checked_with_the_order_that_we_know(
    way: Way, order_id: str, payment_id: str, mac: str
) -> None:
    brought = {
        "razorpay_payment_id": payment_id,
        "razorpay_order_id": order_id,
        "razorpay_signature": mac,
    }
    ours = replace(LINK, gateway_id=order_id)
    assert way.is_return_genuine(ours, brought) is True
    assert way.is_return_genuine(replace(ours, gateway_id="order_other"), brought) is False
    turned = {**brought, "razorpay_payment_id": order_id}
    assert way.is_return_genuine(replace(ours, gateway_id=payment_id), turned) is False


# --- samples ---------------------------------------------------------------------------------


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


KINDS = {
    "order.paid": EventKind.CAPTURED,
    "payment.authorized": EventKind.AUTHORIZED,
    "payment.captured": EventKind.CAPTURED,
    "payment.dispute.closed": EventKind.DISPUTE_WON,
    "payment.dispute.created": EventKind.DISPUTE_OPENED,
    "payment.dispute.lost": EventKind.DISPUTE_LOST,
    "payment.failed": EventKind.TRY_FAILED,
    "refund.created": EventKind.REFUND_PENDING,
    "refund.failed": EventKind.REFUND_FAILED,
    "refund.processed": EventKind.REFUND_SUCCEEDED,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_verified_and_read(way: Way, name: str) -> None:
    body = sample(name)
    way.verify(body, signed(hexed(FIRST, body)))
    message = way.parse(body)
    (event,) = message.events
    assert message.kind == name
    assert message.event_id.startswith(f"{name}:{json.loads(body)['created_at']}:")
    assert event.kind == KINDS[name]
    assert event.currency == "INR"
    assert event.amount_minor == (99_900 if name.startswith("refund.") else 249_900)
    assert event.occurred_at


def test_every_sample_is_looked_at(app: Any) -> None:
    assert set(NAMES) == set(KINDS)


def read(way: Way, name: str) -> GatewayEvent:
    return way.parse(sample(name)).events[0]


def test_a_samples_details_are_told(way: Way) -> None:
    paid = read(way, "order.paid")
    assert paid.reference == "SH-100482-1"
    assert (paid.method, paid.fee_minor) == ("upi", 5_898)
    assert (paid.payer_email, paid.payer_phone) == ("meera.iyer@example.com", "+919812345670")
    assert paid.refs == {"order": "order_RkM1aB7cDe9FgH", "payment": "pay_RkM3vT8wQz1LpX"}
    assert paid.occurred_at == datetime.fromtimestamp(1794823394, tz=UTC)
    failed = read(way, "payment.failed")
    assert failed.failure_code == "insufficient_fund"
    assert failed.failure_words == "There was not enough money in the account."
    refund = read(way, "refund.processed")
    assert refund.refund_gateway_id == "rfnd_RmC4xV9yRa2MqZ"
    assert refund.refund_key is None
    dispute = read(way, "payment.dispute.created")
    assert dispute.dispute_reason == "goods or services not received or partially received"
    assert dispute.evidence_due_at == datetime.fromtimestamp(1796169599, tz=UTC)
    assert dispute.refs == {"payment": "pay_RkM3vT8wQz1LpX"}


def test_a_try_that_brought_no_money_does_not_name_itself_as_the_payment(way: Way) -> None:
    for name in ("payment.failed", "payment.authorized"):
        assert read(way, name).refs == {"order": "order_RkM1aB7cDe9FgH"}


# --- every event of the reference ------------------------------------------------------------


def event_of(name: str, sample_of: str, **about: dict[str, Any]) -> bytes:
    """A sample under another name, with changes to its objects."""
    told = json.loads(sample(sample_of))
    told["event"] = name
    for part, changes in about.items():
        told["payload"].setdefault(part, {"entity": {}})["entity"].update(changes)
    told["contains"] = list(told["payload"])
    return json.dumps(told).encode()


A_LINK = {
    "id": "plink_RkP1aB7cDe9FgH", "reference_id": "PAY-1", "order_id": "order_RkM1aB7cDe9FgH",
    "amount": 249_900, "amount_paid": 249_900, "currency": "INR", "notes": None,
}  # fmt: skip
EVENTS: list[tuple[str, str, dict[str, dict[str, Any]], EventKind | None]] = [
    ("payment.authorized", "payment.authorized", {"payment": {"captured": True}}, EventKind.AUTHORIZED),
    ("payment.captured", "payment.captured", {"payment": {"notes": []}}, EventKind.CAPTURED),
    ("order.paid", "order.paid", {}, EventKind.CAPTURED),
    ("payment.failed", "payment.failed", {"payment": {"error_reason": ""}}, EventKind.TRY_FAILED),
    ("payment_link.paid", "order.paid", {"payment_link": {**A_LINK, "status": "paid"}}, EventKind.CAPTURED),
    ("payment_link.partially_paid", "order.paid", {"payment_link": {**A_LINK, "status": "partially_paid"}}, EventKind.CAPTURED),
    ("payment_link.expired", "order.paid", {"payment_link": {**A_LINK, "status": "expired"}}, EventKind.EXPIRED),
    ("payment_link.cancelled", "order.paid", {"payment_link": {**A_LINK, "status": "cancelled"}}, EventKind.CANCELLED),
    ("refund.created", "refund.created", {"refund": {"status": "processed"}}, EventKind.REFUND_SUCCEEDED),
    ("refund.processed", "refund.processed", {}, EventKind.REFUND_SUCCEEDED),
    ("refund.failed", "refund.failed", {}, EventKind.REFUND_FAILED),
    ("refund.speed_changed", "refund.created", {}, EventKind.REFUND_PENDING),
    ("payment.dispute.created", "payment.dispute.created", {}, EventKind.DISPUTE_OPENED),
    ("payment.dispute.under_review", "payment.dispute.created", {"dispute": {"status": "under_review"}}, EventKind.DISPUTE_OPENED),
    ("payment.dispute.action_required", "payment.dispute.created", {}, EventKind.DISPUTE_OPENED),
    ("payment.dispute.won", "payment.dispute.created", {"dispute": {"status": "won"}}, EventKind.DISPUTE_WON),
    ("payment.dispute.lost", "payment.dispute.lost", {}, EventKind.DISPUTE_LOST),
    ("payment.dispute.closed", "payment.dispute.closed", {}, EventKind.DISPUTE_WON),
    ("payment.dispute.closed", "payment.dispute.closed", {"dispute": {"amount_deducted": 1}}, EventKind.DISPUTE_LOST),
    ("payment.downtime.started", "payment.captured", {}, None),
    ("payment.downtime.updated", "payment.captured", {}, None),
    ("payment.downtime.resolved", "payment.captured", {}, None),
    ("settlement.processed", "payment.captured", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sample_of", "about", "kind"), EVENTS)
def test_every_event_is_mapped(
    way: Way, name: str, sample_of: str, about: Any, kind: EventKind | None
) -> None:
    message = way.parse(event_of(name, sample_of, **about))
    assert message.kind == name
    assert [event.kind for event in message.events] == ([kind] if kind else [])


def test_a_link_names_our_reference_and_itself(way: Way) -> None:
    body = event_of("payment_link.paid", "order.paid", payment_link={**A_LINK, "status": "paid"})
    (event,) = way.parse(body).events
    assert (event.reference, event.gateway_id) == ("PAY-1", "plink_RkP1aB7cDe9FgH")
    assert (event.method, event.fee_minor) == ("upi", 5_898)
    assert event.refs == {"order": "order_RkM1aB7cDe9FgH", "payment": "pay_RkM3vT8wQz1LpX"}


def test_a_link_paid_in_part_tells_what_came(way: Way) -> None:
    link = {**A_LINK, "status": "partially_paid", "amount_paid": 100_000}
    body = event_of("payment_link.partially_paid", "order.paid", payment_link=link)
    assert way.parse(body).events[0].amount_minor == 100_000


def test_an_address_that_razorpay_made_up_is_not_the_payers(way: Way) -> None:
    body = event_of("payment.captured", "payment.captured", payment={"email": "void@razorpay.com"})
    assert way.parse(body).events[0].payer_email is None


def test_a_fee_is_in_rupees_and_kept_only_beside_rupees(way: Way) -> None:
    body = event_of("payment.captured", "payment.captured", payment={"currency": "USD"})
    assert way.parse(body).events[0].fee_minor is None


@pytest.mark.parametrize(
    "changes",
    [{"amount": 2499.0}, {"amount": "249900"}, {"amount": True}, {"amount": None}],
)
def test_an_amount_that_is_no_whole_number_is_not_read(way: Way, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="amount"):
        way.parse(event_of("payment.captured", "payment.captured", payment=changes))


@pytest.mark.parametrize("reason", FAILURES)
def test_every_reason_of_the_reference_has_words(app: Any, reason: str) -> None:
    assert FAILURE_WORDS[reason].endswith(".")


# --- the stand-in speaks as the samples do ---------------------------------------------------


@pytest.fixture
def stand_in() -> Iterator[Razorpay]:
    server = Razorpay()
    yield server
    server.stop()


def told_by(server: Razorpay) -> dict[str, dict[str, Any]]:
    """One event of each kind, as the stand-in makes them."""
    from tests.simulators.razorpay_objects import order_object

    orders = [order_object(249_900, "INR", f"SH-{n}", {"order_id": "1"}) for n in (1, 2)]
    server.orders.update({order["id"]: order for order in orders})
    server.decline(orders[1]["id"])
    payment_id = server.pay(orders[0]["id"])
    server.fail_refund(server.refund_from_dashboard(payment_id, 99_900))
    dispute_id = server.dispute(payment_id)
    server.move_dispute(dispute_id, "lost")
    server.move_dispute(dispute_id, "closed")
    return {event["event"]: event for _, event in server.events}


@pytest.mark.parametrize("name", NAMES)
def test_the_stand_ins_events_have_the_samples_keys(
    app: Any, stand_in: Razorpay, name: str
) -> None:
    real, made = json.loads(sample(name)), told_by(stand_in)[name]
    assert made.keys() == real.keys()
    assert sorted(made["contains"]) == sorted(real["contains"])
    for part, found in real["payload"].items():
        ours = made["payload"][part]["entity"]
        assert ours.keys() | {"base_amount"} == found["entity"].keys() | {"base_amount"}
        for key, value in found["entity"].items():
            if isinstance(value, dict) and key != "notes":
                assert ours[key].keys() == value.keys(), key
