"""What every way to pay promises, whoever stands behind it.

With TEST_STRIPE_SECRET_KEY=sk_test_… in the environment the same promises are asked of Stripe's
real test mode, as far as they can be kept without a browser.
"""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import tests.conftest
from shop.clock import utcnow
from shop.payments.gateways import GATEWAYS, gateway
from shop.payments.gateways.base import EventKind, RefundRequest
from shop.providers import BadSignature, ProviderRefused, TryLater
from tests.payments.gateway_sides import (
    STRIPE_SECRETS,
    RealStripeSide,
    SandboxSide,
    Side,
    StripeSide,
)
from tests.payments.wishes import AMOUNT, ref_to
from tests.simulators.receiver import Receiver
from tests.simulators.stripe import Stripe

# The gateways read no table; the sandbox's own rows are proven on both engines in tests/sandbox.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

REAL_KEY = os.environ.get("TEST_STRIPE_SECRET_KEY", "")
REAL_STRIPE = "real stripe"
REAL = [REAL_STRIPE] if REAL_KEY else []
ONLINE = [key for key in GATEWAYS if gateway(key).is_online]
OFFLINE = [key for key in GATEWAYS if not gateway(key).is_online]
ENDED = {EventKind.CANCELLED, EventKind.EXPIRED}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def side_of(
    app: Any,
    live: str,
    receiver: Receiver,
    configure: Callable[..., None],
    client: Any,
    run_jobs: Any,
) -> Iterator[Callable[[str], Side]]:
    """Makes the counterpart of a gateway; a new provider needs a branch here and nothing else."""
    servers: list[Stripe] = []

    def make(name: str) -> Side:
        if name == "sandbox":
            return SandboxSide(receiver, client, run_jobs)
        if name == "stripe":
            server = Stripe()
            servers.append(server)
            secrets = {"stripe_secret_key": server.key, "stripe_webhook_secret": STRIPE_SECRETS}
            configure(stripe_api_base=server.url, **secrets)
            return StripeSide(receiver, server)
        if name == REAL_STRIPE:
            for found in socket.getaddrinfo("api.stripe.com", 443):
                tests.conftest.LOOPBACK.add(str(found[4][0]))
            configure(stripe_secret_key=REAL_KEY, stripe_webhook_secret=STRIPE_SECRETS)
            return RealStripeSide("stripe", receiver)
        return Side(name, receiver)

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(params=[*GATEWAYS, *REAL])
def side(request: pytest.FixtureRequest, side_of: Callable[[str], Side]) -> Side:
    """Every way to pay."""
    return side_of(request.param)


@pytest.fixture(params=[*ONLINE, *REAL])
def online(request: pytest.FixtureRequest, side_of: Callable[[str], Side]) -> Side:
    """Every way to pay behind which a provider stands."""
    return side_of(request.param)


@pytest.fixture(params=ONLINE)
def payable(request: pytest.FixtureRequest, side_of: Callable[[str], Side]) -> Side:
    """Every one that a test can pay by itself: Stripe's real page needs a person."""
    return side_of(request.param)


@pytest.fixture(params=OFFLINE)
def offline(request: pytest.FixtureRequest, side_of: Callable[[str], Side]) -> Side:
    """Every way to pay without a provider."""
    return side_of(request.param)


def refund_of(attempt: Any, amount_minor: int, key: str) -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


# --- opening ---------------------------------------------------------------------------------


def test_it_has_words_for_the_shopper(side: Side) -> None:
    assert side.gateway.label
    assert side.gateway.explanation
    assert side.gateway.unavailable("INR", "IN", AMOUNT) is None


def test_an_opening_says_what_comes_next(side: Side) -> None:
    made, _ = side.opened()
    assert made.gateway_id
    if side.gateway.is_online:
        assert made.next_step["kind"] == "redirect"
        assert made.next_step["url"].startswith("http")
        assert made.expires_at
        assert made.expires_at > utcnow()
    else:
        assert made.next_step["kind"] == "instructions"
        assert any("13,848.00" in value for _, value in made.next_step["rows"])


def test_one_key_opens_one_payment(side: Side) -> None:
    request = side.wish()
    first, second = side.gateway.open(request), side.gateway.open(request)
    assert first == second


def test_a_key_used_for_another_amount_is_refused(online: Side) -> None:
    request = online.wish()
    online.gateway.open(request)
    with pytest.raises(ProviderRefused):
        online.gateway.open(replace(request, amount_minor=AMOUNT - 100))


def test_an_opening_whose_answer_was_lost_is_found(online: Side) -> None:
    request = online.wish()
    made = online.gateway.open(request)
    (event,) = online.gateway.fetch(ref_to(request, None))
    assert (event.kind, event.gateway_id) == (EventKind.PENDING, made.gateway_id)


def test_an_opening_whose_answer_was_lost_can_be_closed(online: Side) -> None:
    request = online.wish()
    made = online.gateway.open(request)
    event = online.gateway.close(ref_to(request, None))
    assert event.kind in ENDED
    assert event.gateway_id == made.gateway_id


def test_nobody_listening_means_try_later(online: Side, configure: Callable[..., None]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    configure(stripe_api_base=nobody, sandbox_api_base=nobody)
    with pytest.raises(TryLater):
        online.gateway.open(online.wish())


# --- asking and ending -----------------------------------------------------------------------


def test_an_open_payment_has_brought_no_money(side: Side) -> None:
    _, attempt = side.opened()
    (event,) = side.gateway.fetch(attempt)
    assert event.kind == EventKind.PENDING
    assert event.reference == attempt.reference


def test_a_paid_one_tells_amount_currency_and_our_reference(payable: Side) -> None:
    made, attempt = payable.opened()
    payable.pay(made)
    (event,) = payable.gateway.fetch(attempt)
    assert event.kind == EventKind.CAPTURED
    assert (event.amount_minor, event.currency) == (AMOUNT, "INR")
    assert (event.reference, event.gateway_id) == (attempt.reference, made.gateway_id)


def test_closing_ends_the_page(side: Side) -> None:
    _, attempt = side.opened()
    assert side.gateway.close(attempt).kind in ENDED
    if side.gateway.is_online:
        assert side.gateway.fetch(attempt)[0].kind in ENDED


def test_closing_twice_is_closing_once(side: Side) -> None:
    _, attempt = side.opened()
    first, second = side.gateway.close(attempt), side.gateway.close(attempt)
    assert first.kind == second.kind


def test_closing_after_the_money_came_says_so(payable: Side) -> None:
    made, attempt = payable.opened()
    payable.pay(made)
    event = payable.gateway.close(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, AMOUNT)


# --- refunds ---------------------------------------------------------------------------------


def test_money_goes_back_in_parts_until_nothing_is_left(payable: Side) -> None:
    attempt = payable.paid()
    for key, amount in (("refund-1", 100_000), ("refund-2", AMOUNT - 100_000)):
        event = payable.gateway.refund(refund_of(attempt, amount, key))
        assert event.kind in {EventKind.REFUND_SUCCEEDED, EventKind.REFUND_PENDING}
        assert (event.amount_minor, event.refund_key) == (amount, key)
        assert event.refund_gateway_id
    _, *refunds = payable.gateway.fetch(attempt)
    assert {one.refund_key for one in refunds} == {"refund-1", "refund-2"}
    assert sum(one.amount_minor or 0 for one in refunds) == AMOUNT


def test_one_refund_key_gives_the_money_back_once(payable: Side) -> None:
    attempt = payable.paid()
    first = payable.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    second = payable.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    assert first.refund_gateway_id == second.refund_gateway_id
    assert len(payable.gateway.fetch(attempt)) == 2


def test_more_than_was_paid_is_refused(payable: Side) -> None:
    attempt = payable.paid()
    with pytest.raises(ProviderRefused):
        payable.gateway.refund(refund_of(attempt, AMOUNT + 1, "refund-1"))
    payable.gateway.refund(refund_of(attempt, AMOUNT, "refund-2"))
    with pytest.raises(ProviderRefused):
        payable.gateway.refund(refund_of(attempt, 1, "refund-3"))


def test_what_was_not_paid_cannot_go_back(online: Side) -> None:
    _, attempt = online.opened()
    with pytest.raises(ProviderRefused):
        online.gateway.refund(refund_of(attempt, 100, "refund-1"))


def test_a_refund_is_found_by_our_key(payable: Side) -> None:
    attempt = payable.paid()
    wish = refund_of(attempt, 5_000, "refund-1")
    assert payable.gateway.find_refund(wish) is None
    made = payable.gateway.refund(wish)
    found = payable.gateway.find_refund(wish)
    assert found
    assert found.refund_gateway_id == made.refund_gateway_id


# --- webhooks --------------------------------------------------------------------------------


def test_a_payment_is_told_signed_and_with_our_reference(payable: Side) -> None:
    made, attempt = payable.opened()
    payable.pay(made)
    read = []
    for body, headers in payable.told():
        payable.gateway.verify(body, headers)
        read.append(payable.gateway.parse(body))
    assert len({message.event_id for message in read}) == len(read) > 0
    for message in read:
        for event in message.events:
            assert (event.kind, event.reference) == (EventKind.CAPTURED, attempt.reference)
            assert (event.amount_minor, event.currency) == (AMOUNT, "INR")
            assert event.occurred_at


def test_a_refund_and_a_dispute_are_told(payable: Side) -> None:
    attempt = payable.paid()
    payable.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    payable.dispute(attempt)
    payable.lose_dispute(attempt)
    kinds = [
        event.kind for body, _ in payable.told() for event in payable.gateway.parse(body).events
    ]
    wanted = [EventKind.REFUND_SUCCEEDED, EventKind.DISPUTE_OPENED, EventKind.DISPUTE_LOST]
    assert [kind for kind in kinds if kind != EventKind.CAPTURED] == wanted
    assert payable.gateway.fetch(attempt)[-1].kind == EventKind.DISPUTE_LOST


BODY = b'{"id": "evt_1", "type": "of no interest", "object": "event", "data": {"object": {}}}'


def test_a_good_signature_passes_whatever_the_case_of_the_header(online: Side) -> None:
    (name, value), *_ = online.signed(BODY).items()
    online.gateway.verify(BODY, {name: value})
    online.gateway.verify(BODY, {name.lower(): value})


@pytest.mark.parametrize("age", [299, -299])
def test_a_signature_may_be_five_minutes_off(online: Side, age: int) -> None:
    online.gateway.verify(BODY, online.signed(BODY, age=age))


@pytest.mark.parametrize("age", [302, -302, 10**9])
def test_a_signature_of_another_time_is_refused(online: Side, age: int) -> None:
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY, online.signed(BODY, age=age))


def test_an_altered_byte_is_refused(online: Side) -> None:
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY.replace(b"evt_1", b"evt_2"), online.signed(BODY))


def test_another_secret_is_refused(online: Side) -> None:
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY, online.signed(BODY, secret="whsec_somebody"))
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY, online.signed(BODY, secret=""))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:-1],
        lambda value: value + "0",
        lambda value: value.replace("v1=", "v0="),
        lambda value: value.partition(",")[2],
        lambda value: value.partition(",")[0],
        lambda value: value.replace("t=", "t=1,t="),
        lambda value: value.replace("t=", "t=+"),
        lambda value: value.replace("t=", "t=٣"),
        lambda value: value.partition("v1=")[0] + "v1=é",
        lambda value: "",
        lambda value: "nonsense",
        lambda value: "t=,v1=",
    ],
)  # fmt: skip
def test_a_spoilt_header_is_refused(online: Side, spoil: Callable[[str], str]) -> None:
    spoilt = {name: spoil(value) for name, value in online.signed(BODY).items()}
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY, spoilt)


def test_a_missing_header_is_refused(online: Side) -> None:
    with pytest.raises(BadSignature):
        online.gateway.verify(BODY, {"Content-Type": "application/json"})


def test_one_good_signature_among_several_is_enough(online: Side) -> None:
    good = online.signed(BODY)[online.header]
    moment, _, ours = good.partition(",")
    several = f"{moment},v1={'0' * 64},v0={'1' * 64},{ours}"
    online.gateway.verify(BODY, {online.header: several})


def test_every_secret_in_force_is_accepted(online: Side) -> None:
    for secret in online.secrets():
        online.gateway.verify(BODY, online.signed(BODY, secret=secret))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b"null", b"7", b'"text"', b"\xff\xfe", b'{"id": "evt_1"}',
        b'{"id": "evt_1", "type": "payment.captured", "data": {}}',
        b'{"id": "evt_1", "type": "payment.captured", "data": null}',
        b'{"id": "evt_1", "object": "event", "type": "refund.created", "data": {"object": {}}}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_to_be_unreadable(side: Side, body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any of its kinds: the inbox asks for no more)
        side.gateway.parse(body)


def test_an_unknown_kind_changes_nothing(online: Side) -> None:
    message = online.gateway.parse(BODY)
    assert (message.event_id, message.kind) == ("evt_1", "of no interest")
    assert [event for event in message.events if event.kind != EventKind.IGNORED] == []


# --- the gateway's own lists -----------------------------------------------------------------


def test_the_lists_hold_what_was_paid_refunded_and_disputed(payable: Side) -> None:
    since = utcnow() - timedelta(minutes=1)
    attempt = payable.paid()
    payable.opened()
    payable.gateway.refund(refund_of(attempt, 5_000, "refund-1"))
    payable.dispute(attempt)
    (payment,) = payable.gateway.list_payments(since)
    (refund,) = payable.gateway.list_refunds(since)
    (dispute,) = payable.gateway.list_disputes(since)
    assert (payment.kind, payment.reference) == (EventKind.CAPTURED, attempt.reference)
    assert (refund.kind, refund.refund_key) == (EventKind.REFUND_SUCCEEDED, "refund-1")
    assert dispute.kind == EventKind.DISPUTE_OPENED
    assert dispute.evidence_due_at


def test_a_long_list_is_read_to_its_end(payable: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop.payments.gateways.stripe.PAGE_ROWS", 2)
    monkeypatch.setattr("shop.sandbox.gateway.PAGE_ROWS", 2)
    references = {payable.paid().reference for _ in range(5)}
    since = utcnow() - timedelta(minutes=1)
    assert {event.reference for event in payable.gateway.list_payments(since)} == references


# --- without a provider ----------------------------------------------------------------------


def test_without_a_provider_no_webhook_is_believed(offline: Side) -> None:
    with pytest.raises(BadSignature):
        offline.gateway.verify(BODY, {})


def test_without_a_provider_there_is_nothing_to_list(offline: Side) -> None:
    since = utcnow() - timedelta(days=3)
    way = offline.gateway
    assert [*way.list_payments(since), *way.list_refunds(since), *way.list_disputes(since)] == []


def test_without_a_provider_a_refund_waits_for_a_person(offline: Side) -> None:
    _, attempt = offline.opened()
    wish = refund_of(attempt, 5_000, "refund-1")
    assert offline.gateway.refund(wish).kind == EventKind.REFUND_PENDING
    assert offline.gateway.find_refund(wish) is None
