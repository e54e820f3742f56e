"""What comes after the page by Razorpay: tries, promised money, refunds, disputes, lists, amounts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.providers import OutcomeUnknown, ProviderRefused
from tests.payments.sides import Bench
from tests.payments.sides.razorpay import RazorpaySide
from tests.payments.wishes import AMOUNT
from tests.simulators.razorpay import Razorpay
from tests.simulators.receiver import Receiver

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

LINKS, ORDERS = "/v1/payment_links", "/v1/orders"


@pytest.fixture
def bench(app: Any, configure: Callable[..., None], client: Any, run_jobs: Any) -> Iterator[Bench]:
    receiver = Receiver()
    yield Bench(receiver, configure, client, run_jobs)
    receiver.stop()


@pytest.fixture
def side(bench: Bench) -> Iterator[RazorpaySide]:
    made = RazorpaySide("razorpay", bench)
    yield made
    made.stop()


@pytest.fixture
def server(side: RazorpaySide) -> Razorpay:
    return side.server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    for name in ("OPEN_SECONDS", "WORKER_SECONDS", "ASK_SECONDS"):
        monkeypatch.setattr(f"shop.payments.gateways.razorpay.{name}", 0.8)


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def news(side: RazorpaySide) -> list[Any]:
    return [event for body, _ in side.told() for event in side.gateway.parse(body).events]


def sent(server: Razorpay, method: str, path: str) -> list[dict[str, Any]]:
    return [json.loads(one["body"]) for one in server.seen(method, path)]


# --- the shopper's way -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("insufficient_fund", "There was not enough money in the account."),
        ("payment_timed_out", "The payment took too long and was stopped."),
        ("card_number_invalid", "The card number was wrong."),
    ],
)
def test_a_declined_try_is_told_and_leaves_the_page_open(
    side: RazorpaySide, server: Razorpay, reason: str, words: str
) -> None:
    made, attempt = side.opened()
    server.decline(made.gateway_id, reason)
    (event,) = news(side)
    assert (event.kind, event.failure_code) == (EventKind.TRY_FAILED, reason)
    assert event.failure_words == words
    assert event.reference == attempt.reference
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    side.pay(made)
    (paid,) = side.gateway.fetch(attempt)
    assert paid.kind == EventKind.CAPTURED
    assert server.payments[paid.refs["payment"]]["status"] == "captured"


def test_a_link_that_ran_out_is_told(side: RazorpaySide, server: Razorpay) -> None:
    made, attempt = side.opened()
    server.expire(made.gateway_id)
    (event,) = news(side)
    assert (event.kind, event.reference) == (EventKind.EXPIRED, attempt.reference)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.EXPIRED
    assert side.gateway.close(attempt).kind == EventKind.EXPIRED


def test_what_was_paid_with_and_what_it_cost_is_learnt_by_asking(
    side: RazorpaySide, server: Razorpay
) -> None:
    made, attempt = side.opened()
    payment_id = server.pay(made.gateway_id, method="card")
    (event,) = side.gateway.fetch(attempt)
    assert (event.method, event.fee_minor) == ("card", AMOUNT * 236 // 10_000)
    assert event.refs == {"payment": payment_id, "order": server.payments[payment_id]["order_id"]}


def test_a_link_that_does_not_name_its_order_is_read_by_its_payments(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.links_name_orders = False
    attempt = side.paid()
    (event,) = side.gateway.fetch(replace(attempt, refs={}))
    assert (event.kind, event.refs["payment"]) == (EventKind.CAPTURED, attempt.refs["payment"])


def test_a_link_whose_payments_are_not_told_is_believed_all_the_same(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.links_name_orders = False
    attempt = side.paid()
    server.links[str(attempt.gateway_id)]["payments"] = None
    (event,) = side.gateway.fetch(replace(attempt, refs={}))
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, AMOUNT)


def test_what_came_in_short_is_told_as_what_came(side: RazorpaySide, server: Razorpay) -> None:
    made, attempt = side.opened()
    server.pay(made.gateway_id, amount=100_000)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, 100_000)
    assert side.gateway.close(attempt).kind == EventKind.CAPTURED


def test_four_messages_tell_of_one_payment(side: RazorpaySide) -> None:
    side.paid()
    kinds = [side.gateway.parse(body).kind for body, _ in side.told()]
    assert kinds == ["payment.authorized", "payment.captured", "order.paid", "payment_link.paid"]
    assert {event.reference for event in news(side)} == {news(side)[-1].reference}


# --- promised money --------------------------------------------------------------------------


def test_promised_money_is_taken_when_it_is_seen(side: RazorpaySide, server: Razorpay) -> None:
    server.captures_itself = False
    made, attempt = side.opened()
    payment_id = server.pay(made.gateway_id)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, AMOUNT)
    assert sent(server, "POST", f"/v1/payments/{payment_id}/capture") == [
        {"amount": AMOUNT, "currency": "INR"}
    ]
    side.gateway.fetch(attempt)
    assert len(server.seen("POST", f"/v1/payments/{payment_id}/capture")) == 1


def test_money_promised_twice_is_taken_once(side: RazorpaySide, server: Razorpay) -> None:
    made, attempt = side.opened()
    promised = {server.authorize(made.gateway_id), server.authorize(made.gateway_id)}
    for _ in range(2):
        (event,) = side.gateway.fetch(attempt)
        assert event.amount_minor == AMOUNT
        (other,) = promised - {event.refs["payment"]}
        assert server.payments[other]["status"] == "authorized"


def test_the_order_of_a_link_may_be_known_from_the_message_alone(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.captures_itself = server.links_name_orders = False
    made, attempt = side.opened()
    server.pay(made.gateway_id)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    (promised,) = news(side)
    assert (promised.kind, promised.reference) == (EventKind.AUTHORIZED, attempt.reference)
    knowing = replace(attempt, refs=promised.refs)
    assert side.gateway.fetch(knowing)[0].kind == EventKind.CAPTURED


def test_razorpays_own_capture_may_be_quicker(
    side: RazorpaySide, server: Razorpay, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.captures_itself = False
    made, attempt = side.opened()
    payment_id = server.pay(made.gateway_id)
    refused = server._capture_asked

    def too_late(request: Any, name: str) -> Any:
        server.capture(name)
        return refused(request, name)

    monkeypatch.setattr(server, "_capture_asked", too_late)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.refs["payment"]) == (EventKind.CAPTURED, payment_id)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_capture_without_an_answer_is_asked_about_and_done_once(
    side: RazorpaySide, server: Razorpay, kind: str
) -> None:
    server.captures_itself = False
    made, attempt = side.opened()
    server.pay(made.gateway_id)
    server.fault(kind, path="/v1/payments/")
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)
    (event,) = side.gateway.fetch(attempt)
    assert event.kind == EventKind.CAPTURED
    assert [one["event"] for _, one in server.events].count("payment.captured") == 1


def test_promised_money_that_cannot_be_taken_is_under_way(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.captures_itself = False
    made, attempt = side.opened()
    server.pay(made.gateway_id)
    server.fault("refuse", status=400, path="/v1/payments/", times=2)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.reference) == (EventKind.AUTHORIZED, attempt.reference)
    assert event.gateway_id == made.gateway_id
    assert side.gateway.close(attempt).kind == EventKind.PENDING
    assert side.gateway.close(attempt).kind == EventKind.CAPTURED


def test_money_that_the_bank_confirms_after_the_link_was_cancelled_is_told(
    side: RazorpaySide, server: Razorpay
) -> None:
    made, attempt = side.opened()
    server.decline(made.gateway_id)
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED
    server.capture(server.authorize(made.gateway_id, late=True))
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.reference) == (EventKind.CAPTURED, attempt.reference)
    assert news(side)[-1].kind == EventKind.CAPTURED


def test_promised_money_that_went_back_by_itself_never_came(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.captures_itself = False
    made, attempt = side.opened()
    server.give_back_uncaptured(server.pay(made.gateway_id))
    (event,) = side.gateway.fetch(attempt)
    assert event.kind == EventKind.PENDING
    assert side.gateway.list_payments(utcnow() - timedelta(minutes=1)) == []


# --- refunds and disputes --------------------------------------------------------------------


def test_a_payment_given_back_in_full_was_paid_all_the_same(
    side: RazorpaySide, server: Razorpay
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, AMOUNT))
    assert server.payments[attempt.refs["payment"]]["status"] == "refunded"
    captured, refund = side.gateway.fetch(attempt)
    assert (captured.kind, refund.kind) == (EventKind.CAPTURED, EventKind.REFUND_SUCCEEDED)


def test_a_refund_made_in_the_dashboard_leads_back_by_the_payment(
    side: RazorpaySide, server: Razorpay
) -> None:
    attempt = side.paid()
    server.refund_from_dashboard(attempt.refs["payment"], 5_000)
    event = news(side)[-1]
    assert (event.kind, event.amount_minor) == (EventKind.REFUND_SUCCEEDED, 5_000)
    assert (event.reference, event.refund_key) == (attempt.reference, None)
    assert event.refs["payment"] == attempt.refs["payment"]


def test_a_refund_may_be_pending_and_arrive(side: RazorpaySide, server: Razorpay) -> None:
    attempt = side.paid()
    server.refunds_begin = "pending"
    made = side.gateway.refund(refund_of(attempt, 5_000))
    assert made.kind == EventKind.REFUND_PENDING
    server.process_refund(str(made.refund_gateway_id))
    assert (news(side)[-1].kind, news(side)[-1].refund_key) == (
        EventKind.REFUND_SUCCEEDED,
        "refund-1",
    )


def test_a_refund_may_fail_days_later(side: RazorpaySide, server: Razorpay) -> None:
    attempt = side.paid()
    made = side.gateway.refund(refund_of(attempt, 5_000))
    server.fail_refund(str(made.refund_gateway_id))
    event = news(side)[-1]
    assert (event.kind, event.refund_key) == (EventKind.REFUND_FAILED, "refund-1")
    assert event.failure_words == "Razorpay could not make the refund"
    (listed,) = side.gateway.list_refunds(utcnow() + timedelta(days=10))
    assert listed.kind == EventKind.REFUND_FAILED


def test_too_low_a_balance_is_a_no(side: RazorpaySide, server: Razorpay) -> None:
    attempt = side.paid()
    server.balance = 4_999
    with pytest.raises(ProviderRefused, match="enough balance"):
        side.gateway.refund(refund_of(attempt, 5_000))


def test_a_refund_without_the_payments_id_asks_for_it(side: RazorpaySide) -> None:
    attempt = replace(side.paid(), refs={})
    assert side.gateway.refund(refund_of(attempt, 5_000)).kind == EventKind.REFUND_SUCCEEDED


@pytest.mark.parametrize(
    ("phase", "status", "told", "kind"),
    [
        ("chargeback", "won", "won", EventKind.DISPUTE_WON),
        ("chargeback", "lost", "lost", EventKind.DISPUTE_LOST),
        ("chargeback", "under_review", "under_review", EventKind.DISPUTE_OPENED),
        ("chargeback", "open", "action_required", EventKind.DISPUTE_OPENED),
        ("fraud", "closed", "closed", EventKind.DISPUTE_WON),
    ],
)
def test_a_dispute_is_read_by_its_status(
    side: RazorpaySide, server: Razorpay, phase: str, status: str, told: str, kind: EventKind
) -> None:
    attempt = side.paid()
    dispute_id = server.dispute(attempt.refs["payment"], phase)
    server.move_dispute(dispute_id, status, told)
    event = news(side)[-1]
    assert (event.kind, event.dispute_gateway_id) == (kind, dispute_id)
    assert event.reference == attempt.reference
    assert side.gateway.fetch(attempt)[-1].kind == kind


def test_another_payments_dispute_is_not_this_ones(side: RazorpaySide, server: Razorpay) -> None:
    server.dispute(side.paid().refs["payment"])
    assert [event.kind for event in side.gateway.fetch(side.paid())] == [EventKind.CAPTURED]


# --- lists -----------------------------------------------------------------------------------


def test_lists_reach_back_further_than_asked_and_not_for_ever(
    side: RazorpaySide, server: Razorpay
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    server.dispute(attempt.refs["payment"])
    since = utcnow()
    for rows in (server.payments, server.refunds, server.disputes):
        (row,) = rows.values()
        row["created_at"] -= 4 * 24 * 3600
    way = side.gateway
    assert len(way.list_payments(since)) == len(way.list_refunds(since)) == 1
    assert len(way.list_disputes(since)) == 1
    for rows in (server.payments, server.refunds, server.disputes):
        (row,) = rows.values()
        row["created_at"] -= 365 * 24 * 3600
    assert [*way.list_payments(since), *way.list_refunds(since), *way.list_disputes(since)] == []


def test_a_list_that_is_not_cut_into_pages_comes_to_an_end(
    side: RazorpaySide, server: Razorpay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop.payments.gateways.razorpay_calls.PAGE_ROWS", 1)
    attempt = side.paid()
    server.dispute(attempt.refs["payment"])
    whole = {"entity": "collection", "count": 1, "items": list(server.disputes.values())}
    monkeypatch.setattr("tests.simulators.razorpay._page", lambda *_: whole)
    assert len(side.gateway.list_disputes(utcnow())) == 1


# --- amounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "amount", "is_possible"),
    [
        ("INR", 100, True), ("INR", 99, False), ("USD", 50, True), ("JPY", 295, True),
        ("KWD", 99_990, True), ("KWD", 99_991, False), ("KRW", 5_000, False), ("SEK", 5_000, False),
    ],
)  # fmt: skip
def test_what_cannot_be_charged_is_not_offered(
    side: RazorpaySide,
    configure: Callable[..., None],
    currency: str,
    amount: int,
    is_possible: bool,
) -> None:
    configure(razorpay_currencies=("INR", "USD", "JPY", "KWD", "KRW"))
    assert (side.gateway.unavailable(currency, "IN", amount) is None) == is_possible


def test_only_rupees_are_taken_unless_the_account_is_activated_for_more(side: RazorpaySide) -> None:
    assert side.gateway.unavailable("USD", "US", 5_000)
    assert side.gateway.unavailable("INR", "SE", 5_000) is None


def test_what_cannot_be_charged_exactly_is_refused_before_it_is_sent(
    side: RazorpaySide, server: Razorpay
) -> None:
    with pytest.raises(ProviderRefused):
        side.gateway.open(side.wish(currency="KWD", amount_minor=99_991))
    assert server.requests == []


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 295), ("KWD", 99_990)])
def test_other_currencies_are_paid_to_the_last_unit(
    side: RazorpaySide, server: Razorpay, currency: str, amount: int
) -> None:
    made, attempt = side.opened(amount_minor=amount, currency=currency)
    assert server.links[made.gateway_id]["amount"] == amount
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.amount_minor, event.currency) == (amount, currency)
