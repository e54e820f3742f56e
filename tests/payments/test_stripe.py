"""Stripe when it is slow, cross or half there, and what only Stripe does."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.payments.gateways.stripe_reading import our_amount, stripe_amount
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.payments.sides import Bench
from tests.payments.sides.stripe import StripeSide
from tests.payments.wishes import AMOUNT, ref_to
from tests.simulators.receiver import Receiver
from tests.simulators.stripe import Stripe
from tests.simulators.stripe_objects import parse_form

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

SESSIONS = "/v1/checkout/sessions"


@pytest.fixture
def side(
    app: Any, configure: Callable[..., None], client: Any, run_jobs: Any
) -> Iterator[StripeSide]:
    receiver = Receiver()
    made = StripeSide("stripe", Bench(receiver, configure, client, run_jobs))
    yield made
    made.stop()
    receiver.stop()


@pytest.fixture
def server(side: StripeSide) -> Stripe:
    return side.server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    monkeypatch.setattr("shop.payments.gateways.stripe.OPEN_SECONDS", 0.8)
    monkeypatch.setattr("shop.payments.gateways.stripe.WORKER_SECONDS", 0.8)
    monkeypatch.setattr("shop.payments.gateways.stripe.ASK_SECONDS", 0.8)


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def news(side: StripeSide) -> list[Any]:
    return [event for body, _ in side.told() for event in side.gateway.parse(body).events]


# --- what is asked ---------------------------------------------------------------------------


def test_the_session_is_asked_for_as_stripes_page_says(side: StripeSide, server: Stripe) -> None:
    request = side.wish()
    side.gateway.open(request)
    (sent,) = server.seen("POST", SESSIONS)
    assert sent["headers"]["Idempotency-Key"] == request.idempotency_key
    assert sent["headers"]["Stripe-Version"] == "2026-10-28.endive"
    assert sent["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    (session,) = server.sessions.values()
    assert session["client_reference_id"] == request.reference
    assert session["metadata"]["reference"] == request.reference
    assert server.intent_data[session["id"]]["metadata"]["reference"] == request.reference
    assert session["adaptive_pricing"] == {"enabled": False}
    assert (session["amount_total"], session["currency"]) == (AMOUNT, "inr")
    assert session["success_url"] == request.return_url
    assert session["cancel_url"] == request.return_url + "&left=1"
    assert session["customer_email"] == "asha@example.com"
    assert session["expires_at"] >= time.time() + 30 * 60


def test_a_repeat_sends_the_same_body_later_too(
    side: StripeSide, server: Stripe, turn_clock: Callable[..., None]
) -> None:
    request = side.wish()
    first = side.gateway.open(request)
    turn_clock(minutes=8)
    assert side.gateway.open(request) == first
    bodies = {sent["body"] for sent in server.seen("POST", SESSIONS)}
    assert len(bodies) == 1
    assert len(server.sessions) == 1


def test_the_pages_form_may_lead_to_stripe_and_nowhere_else(
    side: StripeSide, server: Stripe, configure: Callable[..., None]
) -> None:
    assert side.gateway.redirect_hosts == ("https://checkout.stripe.com", server.url)
    configure(stripe_api_base="https://api.stripe.com")
    assert side.gateway.redirect_hosts == ("https://checkout.stripe.com",)


@pytest.mark.parametrize("hold_minutes", [1, 10, 60])
def test_any_hold_makes_a_session_that_stripe_takes(side: StripeSide, hold_minutes: int) -> None:
    side.opened(expires_at=utcnow() + timedelta(minutes=hold_minutes))


def test_the_refund_names_its_payment_and_its_key(side: StripeSide, server: Stripe) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    (sent,) = server.seen("POST", "/v1/refunds")
    assert sent["headers"]["Idempotency-Key"] == "refund-1"
    (refund,) = server.refunds.values()
    assert refund["metadata"] == {"reference": attempt.reference, "refund_key": "refund-1"}


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_an_opening_without_an_answer_is_unknown_and_found_by_its_key(
    side: StripeSide, server: Stripe, kind: str
) -> None:
    server.fault(kind, path=SESSIONS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert len(server.seen("POST", SESSIONS)) == 1
    made = side.gateway.open(request)
    assert [made.gateway_id] == list(server.sessions)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_refund_without_an_answer_is_unknown_and_found_by_asking(
    side: StripeSide, server: Stripe, kind: str
) -> None:
    wish = refund_of(side.paid(), 5_000)
    server.fault(kind, path="/v1/refunds")
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    found = side.gateway.find_refund(wish)
    assert found
    assert [found.refund_gateway_id] == list(server.refunds)
    assert side.gateway.refund(wish).refund_gateway_id == found.refund_gateway_id


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_closing_without_an_answer_is_unknown_and_done_once(
    side: StripeSide, server: Stripe, kind: str
) -> None:
    _, attempt = side.opened()
    server.fault(kind, path=SESSIONS)
    with pytest.raises(OutcomeUnknown):
        side.gateway.close(attempt)
    assert side.gateway.close(attempt).kind == EventKind.EXPIRED


@pytest.mark.usefixtures("impatient")
def test_an_opening_that_never_arrived_is_opened_by_the_repeat(
    side: StripeSide, server: Stripe
) -> None:
    server.fault("hang_before", path=SESSIONS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert server.sessions == {}
    assert side.gateway.open(request).gateway_id in server.sessions


def test_an_error_that_stripe_keeps_for_the_key_stays_unknown(
    side: StripeSide, server: Stripe
) -> None:
    server.fault("fail_stored", path=SESSIONS, status=500)
    request = side.wish()
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            side.gateway.open(request)
    assert server.sessions == {}


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (409, None), (503, None)])
def test_later_means_later(
    side: StripeSide, server: Stripe, status: int, seconds: float | None
) -> None:
    headers = {"Retry-After": "7"} if seconds else {}
    server.fault("refuse", path=SESSIONS, status=status, headers=headers)
    with pytest.raises(TryLater) as raised:
        side.gateway.open(side.wish())
    assert raised.value.retry_after == seconds
    assert len(server.seen("POST", SESSIONS)) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_no_means_no(side: StripeSide, server: Stripe, status: int) -> None:
    server.fault("refuse", path=SESSIONS, status=status)
    with pytest.raises(ProviderRefused):
        side.gateway.open(side.wish())


@pytest.mark.parametrize("status", [302, 500, 502, 504])
def test_anything_else_is_unknown(side: StripeSide, server: Stripe, status: int) -> None:
    server.fault("refuse", path=SESSIONS, status=status, headers={"Location": server.url + "/else"})
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(side.wish())
    assert server.seen("GET", "/else") == server.seen("POST", "/else") == []


def test_a_wrong_key_is_refused(side: StripeSide, configure: Callable[..., None]) -> None:
    configure(stripe_secret_key="sk_test_other")
    with pytest.raises(ProviderRefused, match="Invalid API Key"):
        side.gateway.open(side.wish())


def test_the_other_mode_is_refused(side: StripeSide, server: Stripe) -> None:
    server.livemode = True
    with pytest.raises(ProviderRefused, match="other mode"):
        side.gateway.open(side.wish())


def test_a_session_unknown_to_stripe_is_refused(side: StripeSide) -> None:
    _, attempt = side.opened()
    with pytest.raises(ProviderRefused):
        side.gateway.fetch(replace(attempt, gateway_id="cs_test_none"))


def test_after_five_failures_stripe_is_left_alone(side: StripeSide, server: Stripe) -> None:
    server.fault("refuse", path=SESSIONS, status=500, times=9)
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            side.gateway.open(side.wish())
    with pytest.raises(TryLater):
        side.gateway.open(side.wish())
    assert len(server.seen("POST", SESSIONS)) == 5


# --- the shopper's way -----------------------------------------------------------------------


def test_a_declined_try_is_told_and_leaves_the_page_open(side: StripeSide, server: Stripe) -> None:
    made, attempt = side.opened()
    server.decline(made.gateway_id, "expired_card")
    (event,) = news(side)
    assert (event.kind, event.failure_code) == (EventKind.TRY_FAILED, "expired_card")
    assert event.failure_words == "The card has expired."
    assert event.reference == attempt.reference
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    side.pay(made)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED


@pytest.mark.parametrize("ending", ["settle", "bounce"])
def test_a_slow_method_is_pending_until_it_is_settled(
    side: StripeSide, server: Stripe, ending: str
) -> None:
    made, attempt = side.opened()
    server.complete_unpaid(made.gateway_id)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    assert side.gateway.close(attempt).kind == EventKind.PENDING
    getattr(server, ending)(made.gateway_id)
    last = news(side)[-1]
    assert last.kind == (EventKind.CAPTURED if ending == "settle" else EventKind.FAILED)
    assert last.gateway_id == made.gateway_id


def test_a_page_that_ran_out_is_told(side: StripeSide, server: Stripe) -> None:
    made, attempt = side.opened()
    server.expire(made.gateway_id)
    (event,) = news(side)
    assert (event.kind, event.reference) == (EventKind.EXPIRED, attempt.reference)


def test_what_was_paid_with_is_learnt_by_asking(side: StripeSide, server: Stripe) -> None:
    made, attempt = side.opened()
    server.complete(made.gateway_id, method="sepa_debit")
    (event,) = side.gateway.fetch(attempt)
    assert event.method == "sepa_debit"
    assert event.refs["charge"].startswith("ch_")


# --- refunds and disputes --------------------------------------------------------------------


def test_a_refund_made_in_the_dashboard_leads_back_by_the_intent(
    side: StripeSide, server: Stripe
) -> None:
    attempt = side.paid()
    server.refund_from_dashboard(attempt.refs["payment_intent"], 5_000)
    event = news(side)[-1]
    assert (event.kind, event.amount_minor) == (EventKind.REFUND_SUCCEEDED, 5_000)
    assert (event.reference, event.refund_key) == (None, None)
    assert event.refs["payment_intent"] == attempt.refs["payment_intent"]


def test_a_refund_may_be_pending_and_arrive(side: StripeSide, server: Stripe) -> None:
    attempt = side.paid()
    server.refunds_begin = "pending"
    made = side.gateway.refund(refund_of(attempt, 5_000))
    assert made.kind == EventKind.REFUND_PENDING
    server.succeed_refund(str(made.refund_gateway_id))
    assert news(side)[-1].kind == EventKind.REFUND_SUCCEEDED


def test_a_refund_may_come_back_days_later(side: StripeSide, server: Stripe) -> None:
    attempt = side.paid()
    made = side.gateway.refund(refund_of(attempt, 5_000))
    server.fail_refund(str(made.refund_gateway_id))
    event = news(side)[-1]
    assert (event.kind, event.refund_key) == (EventKind.REFUND_FAILED, "refund-1")
    assert event.failure_words == "Stripe: expired or canceled card"
    (listed,) = side.gateway.list_refunds(utcnow() + timedelta(days=10))
    assert listed.kind == EventKind.REFUND_FAILED


def test_a_refund_without_the_intents_id_asks_for_it(side: StripeSide) -> None:
    attempt = replace(side.paid(), refs={})
    assert side.gateway.refund(refund_of(attempt, 5_000)).kind == EventKind.REFUND_SUCCEEDED


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("won", EventKind.DISPUTE_WON),
        ("lost", EventKind.DISPUTE_LOST),
        ("warning_closed", EventKind.DISPUTE_WON),
        ("under_review", EventKind.DISPUTE_OPENED),
    ],
)
def test_a_dispute_is_read_by_its_status(
    side: StripeSide, server: Stripe, status: str, kind: EventKind
) -> None:
    attempt = side.paid()
    dispute_id = server.dispute(attempt.refs["payment_intent"])
    server.close_dispute(dispute_id, status)
    event = news(side)[-1]
    assert (event.kind, event.dispute_gateway_id) == (kind, dispute_id)


# --- amounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "ours", "theirs"),
    [
        ("INR", 129_900, 129_900), ("SEK", 12_345, 12_345), ("JPY", 500, 500), ("KRW", 9_900, 9_900),
        ("UGX", 60_000, 6_000_000), ("ISK", 5, 500), ("HUF", 129_900, 129_900), ("KWD", 12_340, 12_340),
        ("MGA", 5_000, 5_000),
    ],
)  # fmt: skip
def test_an_amount_is_counted_as_stripe_counts(
    app: Any, currency: str, ours: int, theirs: int
) -> None:
    assert stripe_amount(ours, currency) == theirs
    assert our_amount(theirs, currency) == ours


def test_an_amount_that_stripe_cannot_take_is_refused(side: StripeSide) -> None:
    with pytest.raises(ProviderRefused):
        stripe_amount(12_345, "KWD")
    with pytest.raises(ValueError, match="fraction"):
        our_amount(550, "ISK")
    assert side.gateway.unavailable("KWD", "KW", 12_345)


@pytest.mark.parametrize(
    ("currency", "amount", "is_possible"),
    [("INR", 99_999_999, True), ("INR", 100_000_000, False), ("USD", 50, True), ("USD", 49, False)],
)
def test_too_much_and_too_little_are_said_before(
    side: StripeSide, currency: str, amount: int, is_possible: bool
) -> None:
    assert (side.gateway.unavailable(currency, "IN", amount) is None) == is_possible


def test_whole_yen_are_paid_to_the_yen(side: StripeSide, server: Stripe) -> None:
    made, attempt = side.opened(amount_minor=5_400, currency="JPY")
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.amount_minor, event.currency) == (5_400, "JPY")


# --- webhooks on their way -------------------------------------------------------------------


def test_webhooks_come_twice_backwards_or_not_at_all(side: StripeSide, server: Stripe) -> None:
    server.delivers, server.copies = False, 2
    made, _ = side.opened()
    side.pay(made)
    assert side.told() == []
    server.deliver(backwards=True)
    kinds = [side.gateway.parse(body).kind for body, _ in side.told()]
    assert kinds == ["checkout.session.completed"] * 2 + ["payment_intent.succeeded"] * 2
    server.dispute(server.sessions[made.gateway_id]["payment_intent"])
    assert server.lose() == 2
    assert server.deliver() == []


def test_a_webhook_not_taken_is_signed_anew_and_sent_again(
    side: StripeSide, server: Stripe, turn_clock: Callable[..., None]
) -> None:
    side.receiver.status = 503
    made, _ = side.opened()
    server.expire(made.gateway_id)
    assert server.answers == [503]
    side.receiver.status = 200
    turn_clock(hours=3)
    assert server.deliver() == [200]
    (first, before), (second, after) = side.told()
    assert first == second
    assert before["Stripe-Signature"] != after["Stripe-Signature"]
    side.gateway.verify(second, after)


def test_nested_forms_are_read_as_stripe_reads_them(app: Any) -> None:
    from werkzeug.datastructures import MultiDict

    form = MultiDict(
        [("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("d[]", "x"), ("d[]", "y"), ("e", "z")]
    )
    assert parse_form(form) == {"a": {"b": [{"c": "1"}, {"c": "2"}]}, "d": ["x", "y"], "e": "z"}


def test_a_lost_answer_is_found_by_the_reference_alone(side: StripeSide) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    assert side.gateway.fetch(ref_to(request, None))[0].gateway_id == made.gateway_id
