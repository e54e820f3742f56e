"""What comes of a payment at Paystack: tries, fees, refunds, disputes, and the webhooks about them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from tests.payments.sides import Bench
from tests.payments.sides.paystack import PaystackSide
from tests.simulators.paystack import SECRET_KEY, Paystack
from tests.simulators.receiver import Receiver

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def side(
    app: Any, configure: Callable[..., None], client: Any, run_jobs: Any
) -> Iterator[PaystackSide]:
    receiver = Receiver()
    made = PaystackSide("paystack", Bench(receiver, configure, client, run_jobs))
    yield made
    made.stop()
    receiver.stop()


@pytest.fixture
def server(side: PaystackSide) -> Paystack:
    return side.server


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def news(side: PaystackSide) -> list[Any]:
    return [event for body, _ in side.told() for event in side.gateway.parse(body).events]


# --- the shopper's way -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("Declined", "declined", "The bank declined the payment."),
        ("Insufficient Funds", "insufficient_funds", "There was not enough money in the account."),
        ("Timeout error", "timeout", "The bank did not answer in time. Try again in a moment."),
        ("Transaction timed out", "timeout", "The bank did not answer in time. Try again in a moment."),
        ("Processor error", "processor_error", "The bank could not process the payment. Try again in a moment."),
        ("Expired card", "expired_card", "The card has expired."),
        ("Incorrect PIN", "incorrect_pin", "The PIN was wrong."),
        ("", "declined", "The bank declined the payment."),
        ("Shipping mismatch", "declined", "The bank declined the payment."),
        ("Transaction Not Permitted to Cardholder", "not_permitted", "The card cannot be used for this kind of payment."),
        ("Denied by Fraud System", "fraud", "The payment was declined to be on the safe side."),
        ("Wrong OTP", "incorrect_otp", "The one-time code was wrong."),
    ],
)  # fmt: skip
def test_a_failed_try_leaves_the_page_open_and_is_told_in_words(
    side: PaystackSide, server: Paystack, said: str, code: str, words: str
) -> None:
    made, attempt = side.opened()
    server.decline(made.gateway_id, said)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.failure_code) == (EventKind.TRY_FAILED, code)
    assert event.failure_words == words
    assert side.gateway.fetch(attempt)[0].event_id == event.event_id
    side.pay(made)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED


@pytest.mark.parametrize("status", ["abandoned", "ongoing", "pending", "processing", "queued"])
def test_everything_that_is_not_over_may_still_be_paid(
    side: PaystackSide, server: Paystack, status: str
) -> None:
    made, attempt = side.opened()
    server.transactions[made.gateway_id]["status"] = status
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    assert side.gateway.close(attempt).kind == EventKind.PENDING


@pytest.mark.parametrize("channel", ["card", "bank", "ussd", "qr", "mobile_money", "bank_transfer"])
def test_what_was_paid_with_is_told(side: PaystackSide, server: Paystack, channel: str) -> None:
    made, attempt = side.opened()
    server.pay(made.gateway_id, channel=channel)
    (event,) = side.gateway.fetch(attempt)
    assert (event.method, event.fee_minor) == (channel, 37_750)
    assert event.payer_email == "asha@example.com"
    assert event.refs["transaction"] == str(server.transactions[made.gateway_id]["id"])


def test_a_customer_who_bears_the_fees_has_paid_what_was_asked(
    side: PaystackSide, server: Paystack
) -> None:
    server.fees_paid_by = "customer"
    made, attempt = side.opened()
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert server.transactions[made.gateway_id]["amount"] == 1_888_325
    assert (event.amount_minor, event.fee_minor) == (1_850_000, 0)


def test_less_than_was_asked_is_told_as_less(side: PaystackSide, server: Paystack) -> None:
    made, attempt = side.opened()
    server.pay(made.gateway_id, amount=1_000)
    assert side.gateway.fetch(attempt)[0].amount_minor == 1_000


def test_the_page_can_be_paid_declined_and_left(side: PaystackSide, server: Paystack) -> None:
    made, attempt = side.opened()
    url = made.next_step["url"]
    shown = requests.get(url, timeout=5).text
    assert "NGN 18500.00" in shown
    assert "left=1" in shown
    declined = requests.post(url, data={"choice": "Insufficient Funds"}, timeout=5)
    assert "Try again" in declined.text
    assert side.gateway.fetch(attempt)[0].kind == EventKind.TRY_FAILED
    paid = requests.post(url, data={"choice": "pay"}, timeout=5, allow_redirects=False)
    back = f"/pay/paystack/return?trxref={attempt.reference}&reference={attempt.reference}"
    assert paid.headers["Location"] == "http://shop.example" + back
    assert "Paid already" in requests.get(url, timeout=5).text


# --- refunds and disputes --------------------------------------------------------------------


def test_a_refund_made_in_the_dashboard_leads_back_by_the_transaction(
    side: PaystackSide, server: Paystack
) -> None:
    attempt = side.paid()
    server.refund_from_dashboard(attempt.reference, 5_000)
    _, event = side.gateway.fetch(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.REFUND_SUCCEEDED, 5_000)
    assert (event.reference, event.refund_key) == (None, None)
    assert event.refs["transaction"] == attempt.refs["transaction"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("pending", EventKind.REFUND_PENDING),
        ("processing", EventKind.REFUND_PENDING),
        ("needs-attention", EventKind.REFUND_PENDING),
        ("processed", EventKind.REFUND_SUCCEEDED),
        ("failed", EventKind.REFUND_FAILED),
    ],
)
def test_a_refund_is_queued_and_read_by_its_status(
    side: PaystackSide, server: Paystack, status: str, kind: EventKind
) -> None:
    server.refunds_go = ()
    attempt = side.paid()
    made = side.gateway.refund(refund_of(attempt, 5_000))
    assert made.kind == EventKind.REFUND_PENDING
    server.move_refund(int(str(made.refund_gateway_id)), status)
    _, event = side.gateway.fetch(attempt)
    assert (event.kind, event.refund_key) == (kind, "refund-1")
    assert bool(event.failure_words) == (status in {"needs-attention", "failed"})
    (listed,) = side.gateway.list_refunds(utcnow() + timedelta(days=10))
    assert (listed.kind, listed.reference) == (kind, attempt.reference)
    told = [event for event in news(side) if event.kind != EventKind.CAPTURED][-1]
    assert (told.kind, told.is_hint) == (kind, True)


def test_a_refund_that_needs_attention_goes_on_once_the_account_is_known(
    side: PaystackSide, server: Paystack
) -> None:
    server.refunds_go = ()
    attempt = side.paid()
    made = side.gateway.refund(refund_of(attempt, 5_000))
    url = f"{server.url}/refund/retry_with_customer_details/{made.refund_gateway_id}"
    account = {"currency": "NGN", "account_number": "0123456789", "bank_id": "9"}
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    wish = {"refund_account_details": account}
    assert requests.post(url, json=wish, headers=headers, timeout=5).status_code == 422
    server.move_refund(int(str(made.refund_gateway_id)), "needs-attention")
    assert requests.post(url, json=wish, headers=headers, timeout=5).status_code == 200
    assert side.gateway.fetch(attempt)[1].failure_words is None


def test_a_refund_without_the_transactions_id_asks_for_it(side: PaystackSide) -> None:
    attempt = replace(side.paid(), refs={})
    assert side.gateway.refund(refund_of(attempt, 5_000)).kind == EventKind.REFUND_PENDING


def test_a_refund_by_which_a_dispute_was_paid_is_not_counted_beside_it(
    side: PaystackSide, server: Paystack
) -> None:
    attempt = side.paid()
    dispute = server.dispute(attempt.reference)
    server.refunds[server.refund_from_dashboard(attempt.reference, 5_000)]["dispute"] = dispute
    server.resolve_dispute(dispute)
    kinds = [event.kind for event in side.gateway.fetch(attempt)]
    assert kinds == [EventKind.CAPTURED, EventKind.DISPUTE_LOST]
    assert side.gateway.list_refunds(utcnow()) == []


def test_refunds_of_other_payments_are_not_this_ones(side: PaystackSide, server: Paystack) -> None:
    first, second = side.paid(), side.paid()
    side.gateway.refund(refund_of(first, 5_000))
    assert len(side.gateway.fetch(second)) == 1
    assert side.gateway.find_refund(refund_of(second, 5_000)) is None


def test_money_taken_back_without_a_refund_is_one_all_the_same(
    side: PaystackSide, server: Paystack
) -> None:
    attempt = side.paid()
    server.reverse(attempt.reference)
    paid, gone = side.gateway.fetch(attempt)
    assert (paid.kind, gone.kind) == (EventKind.CAPTURED, EventKind.REFUND_SUCCEEDED)
    assert gone.amount_minor == side.amount
    assert str(gone.refund_gateway_id).startswith("reversal-")


@pytest.mark.parametrize(
    ("resolution", "kind"),
    [
        ("auto-accepted", EventKind.DISPUTE_LOST),
        ("merchant-accepted", EventKind.DISPUTE_LOST),
        ("declined", EventKind.DISPUTE_WON),
    ],
)
def test_a_dispute_is_opened_reminded_of_and_decided(
    side: PaystackSide, server: Paystack, resolution: str, kind: EventKind
) -> None:
    attempt = side.paid()
    dispute = server.dispute(attempt.reference)
    server.remind_dispute(dispute, "2030-01-02T03:04:05.000Z")
    server.resolve_dispute(dispute, resolution)
    opened, reminded, decided = [event for event in news(side) if event.dispute_gateway_id]
    assert [opened.kind, reminded.kind, decided.kind] == [
        EventKind.DISPUTE_OPENED, EventKind.DISPUTE_OPENED, kind,
    ]  # fmt: skip
    assert opened.evidence_due_at
    assert reminded.evidence_due_at.isoformat() == "2030-01-02T03:04:05+00:00"
    assert {event.dispute_gateway_id for event in (opened, reminded, decided)} == {str(dispute)}
    assert [event.kind for event in side.gateway.fetch(attempt)] == [EventKind.CAPTURED, kind]
    assert side.gateway.list_disputes(utcnow())[0].kind == kind


def test_refunds_and_disputes_are_read_to_the_end_of_their_lists(
    side: PaystackSide, server: Paystack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shop.payments.gateways.paystack.PAGE_ROWS", 2)
    attempts = [side.paid() for _ in range(4)]
    for attempt in attempts:
        side.gateway.refund(refund_of(attempt, 5_000, f"refund-{attempt.reference}"))
        server.dispute(attempt.reference)
    assert len(side.gateway.list_refunds(utcnow())) == 4
    assert len(side.gateway.list_disputes(utcnow())) == 4


def test_the_list_of_payments_reaches_back_to_pages_that_were_paid_late(
    side: PaystackSide, server: Paystack, turn_clock: Callable[..., None]
) -> None:
    made, attempt = side.opened()
    turn_clock(days=2)
    side.pay(made)
    (event,) = side.gateway.list_payments(utcnow() - timedelta(hours=1))
    assert event.reference == attempt.reference


# --- webhooks on their way -------------------------------------------------------------------


def test_webhooks_come_twice_backwards_or_not_at_all(side: PaystackSide, server: Paystack) -> None:
    server.delivers, server.copies = False, 2
    made, _ = side.opened()
    side.pay(made)
    server.dispute(made.gateway_id)
    assert side.told() == []
    server.deliver(backwards=True)
    kinds = [side.gateway.parse(body).kind for body, _ in side.told()]
    assert kinds == ["charge.dispute.create"] * 2 + ["charge.success"] * 2
    server.refund_from_dashboard(made.gateway_id, 5_000)
    assert server.lose() == 6
    assert server.deliver() == []


def test_nothing_but_200_counts_as_taken(side: PaystackSide, server: Paystack) -> None:
    made, _ = side.opened()
    side.receiver.status = 204
    side.pay(made)
    assert server.answers == [204]
    side.receiver.status = 200
    assert server.deliver() == [200]
    (first, before), (second, after) = side.told()
    assert first == second
    assert before[side.header] == after[side.header]
