"""Swish's own words: its sample callbacks read as they come, and the gate in front of them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shop.config import settings
from shop.payments.gateways.base import EventKind
from shop.payments.gateways.swish import CALLBACK_HEADER, Swish, identifiers
from shop.payments.gateways.swish_reading import PAYMENT_KINDS, REFUND_KINDS
from shop.providers import BadSignature
from tests.simulators.swish import IDENTIFIER

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SAMPLES = Path(__file__).parent / "samples" / "swish"
K = EventKind
KINDS = {
    "payment-paid": (K.CAPTURED, None),
    "payment-declined": (K.CANCELLED, None),
    "payment-cancelled": (K.CANCELLED, None),
    "payment-error-TM01": (K.EXPIRED, "TM01"),
    "payment-error-BANKIDCL": (K.CANCELLED, "BANKIDCL"),
    "payment-error-DS24-outcome-unknown": (K.IN_DOUBT, "DS24"),
    "refund-debited": (K.REFUND_PENDING, None),
    "refund-paid": (K.REFUND_SUCCEEDED, None),
    "refund-error-RF07": (K.REFUND_FAILED, "RF07"),
}
PAYMENT, REFUND = "A83F15C7D9E24B60B1724E5F08C9D3A6", "E06B92D4417F4C3D8A5910F7BC2E68D3"


@pytest.fixture
def way(app: Any) -> Swish:
    return Swish()


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def test_every_sample_is_read_here(way: Swish) -> None:
    callbacks = {path.stem for path in SAMPLES.glob("*.json")} - {"create-validation-error-422"}
    assert callbacks == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_read(way: Swish, name: str) -> None:
    body = sample(name)
    told = json.loads(body)
    way.verify(body, {CALLBACK_HEADER: identifiers(told["id"])[0]})
    message = way.parse(body)
    (event,) = message.events
    kind, code = KINDS[name]
    assert message.event_id == f"{told['status']}:{told['id']}"
    assert message.kind == f"{name.partition('-')[0]}.{told['status'].lower()}"
    assert (event.kind, event.failure_code) == (kind, code)
    # A number in payments, a string in refunds; never through a float.
    assert event.amount_minor == int(Decimal(str(told["amount"])) * 100)
    assert event.currency == "SEK"


def test_a_samples_details_are_told(way: Swish) -> None:
    paid = way.parse(sample("payment-paid")).events[0]
    assert (paid.reference, paid.gateway_id) == ("SH1004821", PAYMENT)
    assert paid.refs == {"payment_reference": "7C41D0A9B2E84F6F9A35C8E17D20B64E"}
    assert paid.occurred_at == datetime(2026, 11, 16, 10, 0, 41, 93_000, UTC)
    assert (paid.method, paid.payer_phone) == ("swish", "+46701234768")
    refund = way.parse(sample("refund-paid")).events[0]
    assert (refund.refund_gateway_id, refund.reference) == (REFUND, "R2041")
    # +0100 on the wire.
    assert refund.occurred_at == datetime(2026, 11, 17, 9, 0, 11, 120_000, UTC)
    # The payment is found by the bank's reference, whoever made the refund.
    assert refund.refs == paid.refs
    failed = way.parse(sample("refund-error-RF07")).events[0]
    assert failed.failure_words == "Swish: the transaction was declined (RF07)"


@pytest.mark.parametrize("status", [*PAYMENT_KINDS, *REFUND_KINDS])
def test_every_status_of_the_page_means_something(way: Swish, status: str) -> None:
    name = "payment-paid" if status in PAYMENT_KINDS else "refund-paid"
    body = sample(name).replace(b'"PAID"', f'"{status}"'.encode())
    (event,) = way.parse(body).events
    assert event.kind != EventKind.IGNORED


# --- the gate --------------------------------------------------------------------------------


def test_an_identifier_is_of_the_form_that_swish_takes(app: Any) -> None:
    assert IDENTIFIER.fullmatch(identifiers(PAYMENT)[0])
    assert identifiers(PAYMENT) != identifiers(REFUND)


@pytest.mark.parametrize("spoil", ["", "x", "short", "longer", "other", "upper"])
def test_one_character_off_is_refused(way: Swish, spoil: str) -> None:
    good = identifiers(PAYMENT)[0]
    spoilt = {
        "": "", "x": good[:-1] + "x", "short": good[:-1], "longer": good + "0",
        "other": identifiers(REFUND)[0], "upper": good.upper(),
    }[spoil]  # fmt: skip
    with pytest.raises(BadSignature):
        way.verify(sample("payment-paid"), {CALLBACK_HEADER: spoilt})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"id": null}']
)
def test_a_body_that_names_no_request_is_refused(way: Swish, body: bytes) -> None:
    with pytest.raises(BadSignature):
        way.verify(body, {CALLBACK_HEADER: identifiers(PAYMENT)[0]})


def test_while_the_key_is_replaced_both_are_good(
    way: Swish, configure: Callable[..., None]
) -> None:
    body, old = sample("payment-paid"), identifiers(PAYMENT)[0]
    before = settings().secret_key
    configure(secret_key="another key, long enough for this", secret_key_fallbacks=(before,))
    new = identifiers(PAYMENT)[0]
    assert new != old
    for good in (old, new):
        way.verify(body, {CALLBACK_HEADER: good})
    configure(secret_key_fallbacks=())
    with pytest.raises(BadSignature):
        way.verify(body, {CALLBACK_HEADER: old})
