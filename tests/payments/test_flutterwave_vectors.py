"""Flutterwave's own words: the secret hash, messages of v4 told apart, and samples read as they come."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shop.payments.gateways.base import EventKind
from shop.payments.gateways.flutterwave import Flutterwave
from shop.payments.gateways.flutterwave_reading import (
    chargeback_event,
    refund_event,
    transaction_event,
)
from shop.provider_json import exact, read_json
from shop.providers import BadSignature
from tests.simulators.flutterwave_objects import (
    chargeback_object,
    refund_object,
    transaction_object,
    with_fee,
)

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SAMPLES = Path(__file__).parent / "samples" / "flutterwave"
FIRST, ROTATED = "shop-flw-secret-hash-0001", "shop-flw-secret-hash-0002"
#: v4's vectors: base64 of HMAC-SHA256 over the raw body, by the same secret hash.
F1 = b'{"data":{"amount":18500,"currency":"NGN","id":"chg_Yw3nKc8Tqz","reference":"SH-100482-1-7f3a","status":"succeeded"},"id":"wbk_Rt7Lm2QxVb9NcYk4Zp31","timestamp":1794823391019,"type":"charge.completed"}'
F1_SIGNATURE = "PVCldmuYRFA0Q2UauLtTBPOY4YWUaa0YEmFeqd2Vijw="
F2 = b'{"data":{"amount_refunded":5000,"charge_id":"chg_Yw3nKc8Tqz","id":"rfd_nQ4tVw9Lzk","status":"succeeded"},"id":"wbk_Zq8m1LtxP4aV7cN2Ykd5","timestamp":1794909601377,"type":"refund.completed"}'
F2_SIGNATURE = "5Ub3QG4KH55AoFjJnqaIuq7PmQl/Cwnkkifl2un5uT8="


@pytest.fixture
def way(app: Any, configure: Callable[..., None]) -> Flutterwave:
    configure(flutterwave_secret_key="FLWSECK_TEST-x-X", flutterwave_webhook_hash=(FIRST,))
    return Flutterwave()


def sample(name: str) -> Any:
    return read_json((SAMPLES / f"{name}.json").read_bytes(), exact)


# --- the secret hash -------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b"any body at all", F1])
def test_the_secret_hash_is_accepted_for_any_body(way: Flutterwave, body: bytes) -> None:
    way.verify(body, {"verif-hash": FIRST})
    way.verify(body, {"Verif-Hash": FIRST})


@pytest.mark.parametrize(
    "given",
    [
        "Shop-Flw-Secret-Hash-0001", "", " ", FIRST + " ", FIRST[:-1], FIRST + "0", ROTATED, "é",
        hashlib.sha256(FIRST.encode()).hexdigest(),
    ],
)  # fmt: skip
def test_anything_else_is_refused(way: Flutterwave, given: str) -> None:
    with pytest.raises(BadSignature):
        way.verify(b"{}", {"verif-hash": given})


def test_a_missing_header_is_refused(way: Flutterwave) -> None:
    with pytest.raises(BadSignature, match="missing"):
        way.verify(b"{}", {})


@pytest.mark.parametrize("secrets", [(), ("",)])
@pytest.mark.parametrize("given", ["", FIRST])
def test_without_a_secret_nobody_is_believed(
    way: Flutterwave, configure: Callable[..., None], secrets: tuple[str, ...], given: str
) -> None:
    configure(flutterwave_webhook_hash=secrets)
    with pytest.raises(BadSignature):
        way.verify(b"{}", {"verif-hash": given})


@pytest.mark.parametrize("secrets", [(FIRST,), (ROTATED, FIRST)])
def test_while_a_secret_is_replaced_either_will_do(
    way: Flutterwave, configure: Callable[..., None], secrets: tuple[str, ...]
) -> None:
    configure(flutterwave_webhook_hash=secrets)
    for secret in secrets:
        way.verify(b"{}", {"verif-hash": secret})


def test_a_message_is_a_hint_and_no_more(way: Flutterwave) -> None:
    assert way.is_authoritative is False


# --- v4 is another API -----------------------------------------------------------------------


@pytest.mark.parametrize(("body", "signature"), [(F1, F1_SIGNATURE), (F2, F2_SIGNATURE)])
def test_what_is_signed_as_v4_does_is_told_apart(
    way: Flutterwave, body: bytes, signature: str
) -> None:
    made = hmac.new(FIRST.encode(), body, hashlib.sha256).digest()
    assert base64.b64encode(made).decode() == signature
    with pytest.raises(BadSignature, match="v4"):
        way.verify(body, {"flutterwave-signature": signature})
    with pytest.raises(ValueError, match="v3"):
        way.parse(body)


def test_the_v4_sample_is_told_apart(way: Flutterwave) -> None:
    body = (SAMPLES / "v4-charge.completed.json").read_bytes()
    with pytest.raises(ValueError, match="another API version"):
        way.parse(body)


# --- samples ---------------------------------------------------------------------------------

WEBHOOKS = {
    "charge.completed-successful": (EventKind.CAPTURED, 1_850_000, "SH-100482-1-7f3a"),
    "charge.completed-failed": (EventKind.TRY_FAILED, 1_850_000, "SH-100482-1-7f3a"),
    "charge.completed-underpaid-bank-transfer": (EventKind.CAPTURED, 1_800_000, "SH-100485-1-90ab"),
}
OTHERS = {
    "verify-response-successful",
    "refund-create-response",
    "chargeback-list-item",
    "v4-charge.completed",
}


def test_every_sample_is_looked_at(app: Any) -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == {*WEBHOOKS, *OTHERS}


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_sample_is_read(way: Flutterwave, name: str) -> None:
    message = way.parse((SAMPLES / f"{name}.json").read_bytes())
    told = sample(name)["data"]
    (event,) = message.events
    assert message.kind == "charge.completed"
    assert message.event_id == f"charge.completed:{told['id']}:{told['status']}"
    assert (event.kind, event.amount_minor, event.reference) == WEBHOOKS[name]
    assert (event.currency, event.method) == ("NGN", told["payment_type"])
    assert event.occurred_at == datetime(2026, 11, 16, 10, 1, 41, tzinfo=UTC)
    assert (event.payer_email, event.payer_phone) == ("adaeze.okafor@example.com", "08031234567")


def test_a_failed_samples_reason_is_told(way: Flutterwave) -> None:
    body = (SAMPLES / "charge.completed-failed.json").read_bytes()
    (event,) = way.parse(body).events
    assert event.failure_code == "insufficient_funds"
    assert event.failure_words == "There was not enough money in the account."
    assert (event.fee_minor, event.refs) == (None, {})


def test_the_answer_to_verifying_is_read(app: Any) -> None:
    event = transaction_event(sample("verify-response-successful")["data"])
    assert (event.kind, event.amount_minor, event.fee_minor) == (EventKind.CAPTURED, 1_850_000, 25_900)  # fmt: skip
    assert event.gateway_id == event.reference == "SH-100482-1-7f3a"
    assert event.refs == {
        "transaction": "9418820", "flw_ref": "FLW-MOCK-6c1d20b74fb9a9f2b5d8e1c3a7f04e66",
    }  # fmt: skip


def test_the_answer_to_a_refund_is_read(app: Any) -> None:
    event = refund_event(sample("refund-create-response")["data"], "NGN", "SH-100482-1-7f3a")
    assert (event.kind, event.amount_minor, event.currency) == (EventKind.REFUND_SUCCEEDED, 500_000, "NGN")  # fmt: skip
    assert (event.refund_gateway_id, event.refund_key) == ("84512", None)
    assert event.refs == {"transaction": "9418820"}


def test_a_chargeback_is_read_with_its_evidence_date(app: Any) -> None:
    event = chargeback_event(sample("chargeback-list-item"), "NGN")
    assert (event.kind, event.amount_minor) == (EventKind.DISPUTE_OPENED, 1_850_000)
    assert (event.dispute_gateway_id, event.reference) == ("2221", "SH-100482-1-7f3a")
    assert event.dispute_reason == "Product/service not received"
    assert event.evidence_due_at == datetime(2026, 11, 25, 15, 59, 59, tzinfo=UTC)
    assert event.refs == {"transaction": "9418820"}


# --- every kind of webhook -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("transfer.completed", {"id": 33286, "status": "SUCCESSFUL", "reference": "SH-1"}, None),
        ("subscription.cancelled", {"id": 4147, "status": "deactivated"}, None),
        ("virtual-card.transaction", {"id": "vc_1", "status": "successful"}, None),
        ("singlebillpayment.status", {"customer": "+2348031234567", "status": "success"}, None),
        ("refund.completed", {"id": 84512, "tx_id": 9418820}, (EventKind.REFUND_PENDING, None, "9418820")),
        ("refund", {"id": 84512, "TransactionId": 9418820}, (EventKind.REFUND_PENDING, None, "9418820")),
        ("chargeback.initiated", {"id": 2221, "tx_ref": "SH-1"}, (EventKind.DISPUTE_OPENED, "SH-1", None)),
        ("chargeback.lost", {"id": 2221, "tx_ref": "SH-1", "transaction_id": 9418820}, (EventKind.DISPUTE_OPENED, "SH-1", "9418820")),
        ("refund.completed", {"id": 84512, "AmountRefunded": 5000}, None),
        ("chargeback.initiated", {}, None),
    ],
)  # fmt: skip
def test_a_webhook_leads_to_a_question_or_to_nothing(
    way: Flutterwave, kind: str, data: dict[str, Any], told: tuple[Any, ...] | None
) -> None:
    message = way.parse(json.dumps({"event": kind, "data": data}).encode())
    assert message.kind == kind
    found = [
        (event.kind, event.reference, event.refs.get("transaction")) for event in message.events
    ]
    assert found == ([told] if told else [])


def test_a_charge_that_is_under_way_is_pending(way: Flutterwave) -> None:
    told = sample("charge.completed-successful")
    told["data"]["status"] = "pending"
    (event,) = way.parse(json.dumps(told).encode()).events
    assert event.kind == EventKind.PENDING


def test_messages_are_told_apart_by_kind_object_and_status(way: Flutterwave) -> None:
    def named(**data: Any) -> str:
        body = json.dumps({"event": "bill", "data": data}).encode()
        return way.parse(body).event_id

    assert named(id=1, status="new") == named(id=1, status="new", more=2)
    several = {named(id=1, status="new"), named(id=1, status="done"), named(id=2, status="new")}
    assert len(several) == 3
    assert named(customer="a") == named(customer="a") != named(customer="b")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"id": None}, {"tx_ref": ...}, {"amount": "much"}, {"amount": 18500.005}, {"currency": "naira"},
        {"created_at": "today"}, {"amount": ...},
    ],
)  # fmt: skip
def test_a_charge_that_cannot_be_read_is_said_to_be_unreadable(
    way: Flutterwave, spoilt: dict[str, Any]
) -> None:
    told = json.loads((SAMPLES / "charge.completed-successful.json").read_bytes())
    told["data"].update(spoilt)
    told["data"] = {name: value for name, value in told["data"].items() if value is not ...}
    with pytest.raises(ValueError):  # noqa: PT011  (any of its kinds: the inbox asks for no more)
        way.parse(json.dumps(told).encode())


# --- the stand-in speaks as the samples do ---------------------------------------------------

PARAMS = {"tx_ref": "SH-1", "currency": "NGN", "customer": {"email": "adaeze.okafor@example.com"}}


def test_the_stand_ins_objects_have_the_samples_keys(app: Any) -> None:
    made = transaction_object(1, PARAMS, Decimal(18500), "card", 2)
    hook = sample("charge.completed-successful")["data"]
    assert made.keys() == hook.keys()
    assert made["customer"].keys() == hook["customer"].keys()
    assert made["card"].keys() == hook["card"].keys()
    transfer = transaction_object(1, PARAMS, Decimal(18000), "bank_transfer", 2)
    assert transfer.keys() == sample("charge.completed-underpaid-bank-transfer")["data"].keys()
    with_fee(made, is_payers=False)
    verified = sample("verify-response-successful")["data"]
    assert {*made, "meta"} == {*verified}
    assert {name: made[name] for name in ("app_fee", "charged_amount", "amount_settled")} == {
        name: verified[name] for name in ("app_fee", "charged_amount", "amount_settled")
    }
    refund = refund_object(3, made, Decimal(5000), "completed")
    assert refund.keys() == sample("refund-create-response")["data"].keys()
    chargeback = chargeback_object(4, made, Decimal(18500))
    assert chargeback.keys() == sample("chargeback-list-item").keys()
