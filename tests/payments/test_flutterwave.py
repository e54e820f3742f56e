"""Flutterwave when it is slow, cross or half there, and what only Flutterwave does."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.payments.gateways.flutterwave_reading import (
    DECLINED,
    failure_words,
    major_amount,
    minor_amount,
)
from shop.provider_json import exact, read_json
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.payments.sides import Bench
from tests.payments.sides.flutterwave import FlutterwaveSide
from tests.payments.wishes import AMOUNT, ref_to
from tests.simulators.flutterwave import Flutterwave
from tests.simulators.flutterwave_objects import DECLINES
from tests.simulators.receiver import Receiver

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

PAYMENTS = "/v3/payments"
CUT_OFF = ["hang_after", "half_body", "garbage", "fail_after"]


@pytest.fixture
def side(
    app: Any, configure: Callable[..., None], client: Any, run_jobs: Any
) -> Iterator[FlutterwaveSide]:
    receiver = Receiver()
    made = FlutterwaveSide("flutterwave", Bench(receiver, configure, client, run_jobs))
    yield made
    made.stop()
    receiver.stop()


@pytest.fixture
def server(side: FlutterwaveSide) -> Flutterwave:
    return side.server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    for name in ("OPEN_SECONDS", "WORKER_SECONDS", "ASK_SECONDS"):
        monkeypatch.setattr(f"shop.payments.gateways.flutterwave.{name}", 0.8)


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def news(side: FlutterwaveSide) -> list[Any]:
    return [event for body, _ in side.told() for event in side.gateway.parse(body).events]


def token(server: Flutterwave) -> str:
    """The page made last."""
    return list(server.pages)[-1]


def transaction_of(attempt: AttemptRef) -> int:
    return int(attempt.refs["transaction"])


# --- what is asked ---------------------------------------------------------------------------


def test_the_page_is_asked_for_as_flutterwaves_page_says(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    (sent,) = server.seen("POST", PAYMENTS)
    assert sent["headers"]["Authorization"] == f"Bearer {server.key}"
    assert sent["headers"]["Content-Type"] == "application/json"
    (page,) = server.pages.values()
    assert page.params["tx_ref"] == request.reference
    assert page.params["currency"] == "NGN"
    assert page.params["redirect_url"] == request.return_url
    assert page.params["customer"] == {"email": request.email, "phonenumber": request.phone}
    assert page.params["meta"] == {"order": request.order_number}
    assert page.params["customizations"]["description"] == request.description
    assert page.params["configurations"] == {"session_duration": 40}
    assert 39 * 60 < page.params["bank_transfer_options"]["expires"] <= 40 * 60
    assert made.expires_at == request.expires_at + timedelta(minutes=30)
    assert made.next_step["url"] == made.refs["link"] == server.link_of(token(server))


@pytest.mark.parametrize(
    ("currency", "amount_minor", "written"),
    [
        ("NGN", 1_850_000, "18500"), ("NGN", 1_850_005, "18500.05"), ("NGN", 1_850_050, "18500.50"),
        ("NGN", 1, "0.01"), ("USD", 29, "0.29"), ("KES", 99_999_999_999, "999999999.99"),
        ("UGX", 60_001, "60001"), ("RWF", 7, "7"), ("XAF", 1_250, "1250"), ("XOF", 1_250, "1250"),
    ],
)  # fmt: skip
def test_an_amount_is_sent_digit_for_digit_and_read_back(
    side: FlutterwaveSide, server: Flutterwave, currency: str, amount_minor: int, written: str
) -> None:
    made, attempt = side.opened(amount_minor=amount_minor, currency=currency)
    (sent,) = server.seen("POST", PAYMENTS)
    assert sent["body"].startswith(f'{{"amount": {written}, '.encode())
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.amount_minor, event.currency) == (amount_minor, currency)


def test_no_amount_is_changed_on_its_way(app: Any) -> None:
    for amount_minor in (*range(1, 2_000), *range(10**11, 10**11 + 200)):
        (read,) = read_json(f"[{major_amount(amount_minor, 'NGN')}]".encode(), exact)
        assert minor_amount(read, "NGN") == amount_minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (Decimal("18500.005"), "NGN"), (Decimal("60000.5"), "UGX"), (True, "NGN"), (None, "NGN"),
        (-5, "NGN"), (10**14, "NGN"), ("1,850", "NGN"), ("١٨", "NGN"), ("1e3", "NGN"), ("", "NGN"),
        (Decimal("1E+400"), "NGN"), (Decimal("1." + "0" * 60 + "1"), "NGN"), (1.5, "NGN"),
    ],
)  # fmt: skip
def test_an_amount_that_cannot_be_counted_is_refused(app: Any, amount: Any, currency: str) -> None:
    with pytest.raises(ValueError, match=r"amount|fraction"):
        minor_amount(amount, currency)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_no_json(app: Any, number: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        read_json(f'{{"amount": {number}}}'.encode(), exact)


def test_the_pages_form_may_lead_to_flutterwave_and_nowhere_else(
    side: FlutterwaveSide, server: Flutterwave, configure: Callable[..., None]
) -> None:
    assert side.gateway.redirect_hosts == ("https://checkout.flutterwave.com", server.url)
    configure(flutterwave_api_base="https://api.flutterwave.com/v3")
    assert side.gateway.redirect_hosts == ("https://checkout.flutterwave.com",)


@pytest.mark.parametrize(
    ("hold_minutes", "session"), [(1, 31), (10, 40), (60, 90), (3 * 24 * 60, 24 * 60)]
)
def test_any_hold_makes_a_page_that_flutterwave_takes(
    side: FlutterwaveSide, server: Flutterwave, hold_minutes: int, session: int
) -> None:
    made, _ = side.opened(expires_at=utcnow() + timedelta(minutes=hold_minutes))
    (page,) = server.pages.values()
    assert page.params["configurations"]["session_duration"] == session
    assert made.expires_at
    assert made.expires_at <= utcnow() + timedelta(minutes=session)


def test_a_page_whose_address_cannot_be_kept_is_not_used(
    side: FlutterwaveSide, server: Flutterwave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "link_of", lambda name: f"{server.url}/{name}{'x' * 100}")
    with pytest.raises(ProviderRefused, match="too long"):
        side.gateway.open(side.wish())


@pytest.mark.parametrize(
    ("currency", "is_possible"),
    [("NGN", True), ("GHS", True), ("UGX", True), ("EGP", True), ("INR", False), ("SEK", False)],
)
def test_a_currency_it_does_not_take_is_said_before(
    side: FlutterwaveSide, currency: str, is_possible: bool
) -> None:
    assert (side.gateway.unavailable(currency, "NG", 1) is None) == is_possible


def test_the_refund_names_its_transaction_and_its_key(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_050))
    (sent,) = server.seen("POST", f"/v3/transactions/{transaction_of(attempt)}/refund")
    assert sent["body"] == b'{"amount": 50.50, "comments": "refund-1"}'


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", CUT_OFF)
def test_an_opening_without_an_answer_is_unknown_and_opened_anew(
    side: FlutterwaveSide, server: Flutterwave, kind: str
) -> None:
    server.fault(kind, path=PAYMENTS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert len(server.seen("POST", PAYMENTS)) == 1
    made = side.gateway.open(request)
    assert made.refs["link"] == server.link_of(token(server))
    server.pay(token(server))
    (event,) = side.gateway.fetch(ref_to(request, made))
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, AMOUNT)


def test_nothing_is_opened_anew_once_somebody_has_tried_to_pay(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    request = side.wish()
    side.gateway.open(request)
    server.decline(token(server))
    with pytest.raises(ProviderRefused, match="Duplicate"):
        side.gateway.open(request)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", CUT_OFF)
def test_a_refund_without_an_answer_is_unknown_and_found_by_asking(
    side: FlutterwaveSide, server: Flutterwave, kind: str
) -> None:
    wish = refund_of(side.paid(), 5_000)
    server.fault(kind, path="/v3/transactions")
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    found = side.gateway.find_refund(wish)
    assert found
    assert [found.refund_gateway_id] == [str(name) for name in server.refunds]
    assert side.gateway.refund(wish).refund_gateway_id == found.refund_gateway_id
    assert len(server.refunds) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", CUT_OFF)
def test_a_closing_without_an_answer_is_unknown_and_done_once(
    side: FlutterwaveSide, server: Flutterwave, kind: str
) -> None:
    _, attempt = side.opened()
    server.fault(kind, path=PAYMENTS)
    with pytest.raises(OutcomeUnknown):
        side.gateway.close(attempt)
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED


@pytest.mark.parametrize("kind", ["half_body", "garbage"])
def test_an_answer_that_cannot_be_read_tells_nothing(
    side: FlutterwaveSide, server: Flutterwave, kind: str
) -> None:
    attempt = side.paid()
    for ask in (
        lambda: side.gateway.fetch(attempt),
        lambda: side.gateway.find_refund(refund_of(attempt, 5_000)),
        lambda: side.gateway.list_payments(utcnow()),
        lambda: side.gateway.list_refunds(utcnow()),
        lambda: side.gateway.list_disputes(utcnow()),
    ):
        server.fault(kind, method="GET")
        with pytest.raises(OutcomeUnknown):
            ask()


@pytest.mark.parametrize(
    "spoilt",
    [{"amount": "a lot"}, {"amount": 1.005}, {"created_at": "yesterday"}, {"currency": None}, {"id": "x"}],
)  # fmt: skip
def test_a_transaction_that_cannot_be_read_tells_nothing(
    side: FlutterwaveSide, server: Flutterwave, spoilt: dict[str, Any]
) -> None:
    attempt = side.paid()
    server.transactions[transaction_of(attempt)].update(spoilt)
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (409, None), (503, None)])
def test_later_means_later(
    side: FlutterwaveSide, server: Flutterwave, status: int, seconds: float | None
) -> None:
    headers = {"Retry-After": "7"} if seconds else {}
    server.fault("refuse", path=PAYMENTS, status=status, headers=headers)
    with pytest.raises(TryLater) as raised:
        side.gateway.open(side.wish())
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_no_means_no(side: FlutterwaveSide, server: Flutterwave, status: int) -> None:
    server.fault("refuse", path=PAYMENTS, status=status)
    with pytest.raises(ProviderRefused, match="Simulated"):
        side.gateway.open(side.wish())


@pytest.mark.parametrize("status", [302, 500, 502, 504])
def test_anything_else_is_unknown(side: FlutterwaveSide, server: Flutterwave, status: int) -> None:
    server.fault("fail_after", path=PAYMENTS, status=status, headers={"Location": "/else"})
    request = side.wish()
    with pytest.raises((OutcomeUnknown, ProviderRefused) if status == 302 else OutcomeUnknown):
        side.gateway.open(request)
    assert server.seen("GET", "/else") == server.seen("POST", "/else") == []


def test_a_wrong_key_is_refused(side: FlutterwaveSide, configure: Callable[..., None]) -> None:
    configure(flutterwave_secret_key="FLWSECK_TEST-other-X")
    with pytest.raises(ProviderRefused, match="Invalid authorization key"):
        side.gateway.open(side.wish())
    with pytest.raises(ProviderRefused, match="Invalid authorization key"):
        side.gateway.fetch(ref_to(side.wish(), None))


@pytest.mark.parametrize("status", [400, 404])
def test_no_transaction_was_found_means_that_nobody_has_paid(
    side: FlutterwaveSide, server: Flutterwave, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    from tests.simulators.flutterwave_objects import Refusal

    def none(_tries: Any) -> Any:
        raise Refusal(status, "No transaction was found for this id")

    made, attempt = side.opened()
    server.begin(token(server))
    monkeypatch.setattr(server, "by_reference", none)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.gateway_id) == (EventKind.PENDING, made.gateway_id)


# --- the shopper's way -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("Insufficient Funds", "insufficient_funds", "There was not enough money in the account."),
        ("Do Not Honour", "do_not_honour", "The bank declined the payment without giving a reason."),
        ("Declined", "declined", DECLINED),
        ("Fraudulent", "fraudulent", "The bank declined the payment to be on the safe side."),
        ("Incorrect PIN", "incorrect_pin", "The PIN was wrong."),
        ("Invalid Transaction", "invalid_transaction", "The card cannot be used for this kind of payment."),
        ("Wrong OTP", "wrong_otp", "The one-time code was wrong or came too late."),
        ("Transaction timed out", "transaction_timed_out", "The bank did not answer in time. Try again in a moment."),
        ("", None, DECLINED),
    ],
)  # fmt: skip
def test_a_declined_try_is_told_in_words_and_leaves_the_page_open(
    side: FlutterwaveSide, server: Flutterwave, said: str, code: str | None, words: str
) -> None:
    made, attempt = side.opened()
    server.decline(token(server), said)
    (event,) = news(side)
    assert (event.kind, event.failure_code, event.failure_words) == (EventKind.TRY_FAILED, code, words)  # fmt: skip
    assert event.reference == attempt.reference
    stands, told = side.gateway.fetch(attempt)
    assert stands.kind == EventKind.PENDING
    assert (told.kind, told.failure_words, told.event_id) == (EventKind.TRY_FAILED, words, event.event_id)  # fmt: skip
    side.pay(made)
    assert [event.kind for event in side.gateway.fetch(attempt)] == [EventKind.CAPTURED]


def test_every_test_card_that_fails_has_words_of_its_own(app: Any) -> None:
    words = [failure_words(said) for said in DECLINES.values()]
    assert DECLINED not in words
    assert len(set(words)) == len(DECLINES)


@pytest.mark.parametrize("told", [0, -1], ids=["the first", "the last"])
def test_whichever_try_is_told_the_paid_one_is_found(
    side: FlutterwaveSide, server: Flutterwave, told: int
) -> None:
    _, attempt = side.opened()
    server.by_reference = lambda tries: tries[told]
    name = token(server)
    server.decline(name)
    paid = server.pay(name)
    server.decline(name, "Do Not Honour")
    server.transactions[paid]["id"] = str(paid)  # lists are known to give ids as text
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.refs["transaction"]) == (EventKind.CAPTURED, str(paid))
    assert side.gateway.close(attempt).kind == EventKind.CAPTURED


def test_a_shopper_who_has_paid_waits_for_one_answer(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    made, attempt = side.opened()
    side.pay(made)
    side.gateway.fetch(attempt)
    assert len(server.seen("GET", "/v3/")) == 1


def test_a_page_that_ran_out_is_over_with_the_reason_of_the_last_try(
    side: FlutterwaveSide, server: Flutterwave, turn_clock: Callable[..., None]
) -> None:
    _, attempt = side.opened()
    server.decline(token(server))
    turn_clock(minutes=39)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    turn_clock(minutes=2)
    (event,) = side.gateway.fetch(attempt)
    assert event.kind == EventKind.EXPIRED
    assert event.failure_words == "There was not enough money in the account."


def test_a_page_that_nobody_used_is_over_by_its_time(
    side: FlutterwaveSide, turn_clock: Callable[..., None]
) -> None:
    _, attempt = side.opened()
    turn_clock(minutes=41)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.failure_words) == (EventKind.EXPIRED, None)


def test_a_transfer_under_way_keeps_the_page_from_ending_for_ten_minutes(
    side: FlutterwaveSide, server: Flutterwave, turn_clock: Callable[..., None]
) -> None:
    _, attempt = side.opened()
    transfer = server.begin(token(server), method="bank_transfer")
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    assert side.gateway.close(attempt).kind == EventKind.PENDING
    assert server.pages[token(server)].is_disabled
    turn_clock(minutes=11)
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED
    server.succeed(transfer)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.method) == (EventKind.CAPTURED, "bank_transfer")
    assert news(side)[-1].kind == EventKind.CAPTURED


def test_a_page_is_ended_by_its_address_and_no_other(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    _, attempt = side.opened()
    _, other = side.opened()
    side.gateway.close(attempt)
    first, second = server.pages.values()
    assert (first.is_open, second.is_open) == (False, True)
    with pytest.raises(ProviderRefused, match="not found"):
        side.gateway.close(replace(other, refs={"link": other.refs["link"] + "x"}))


@pytest.mark.parametrize(("typed", "amount_minor"), [("18000", 1_800_000), ("18500.75", 1_850_075)])
def test_a_transfer_of_another_sum_is_told_as_it_came(
    side: FlutterwaveSide, server: Flutterwave, typed: str, amount_minor: int
) -> None:
    _, attempt = side.opened(amount_minor=1_850_000)
    server.pay(token(server), method="bank_transfer", amount=typed)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, amount_minor)


@pytest.mark.parametrize(("is_payers", "fee"), [(False, 25_900), (True, 0)])
def test_the_fee_is_what_is_kept_of_the_sum_that_counts(
    side: FlutterwaveSide, server: Flutterwave, is_payers: bool, fee: int
) -> None:
    server.payer_bears_fees = is_payers
    made, attempt = side.opened(amount_minor=1_850_000)
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.amount_minor, event.fee_minor) == (1_850_000, fee)


def test_a_fee_of_thousandths_is_rounded(side: FlutterwaveSide, server: Flutterwave) -> None:
    made, attempt = side.opened()
    side.pay(made)
    (paid,) = server.transactions.values()
    del paid["amount_settled"]
    paid["app_fee"] = Decimal("1.405")
    assert side.gateway.fetch(attempt)[0].fee_minor == 141
    paid["app_fee"] = None
    assert side.gateway.fetch(attempt)[0].fee_minor is None


def test_who_paid_is_told_where_it_is_known(side: FlutterwaveSide, server: Flutterwave) -> None:
    made, attempt = side.opened()
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.payer_email, event.payer_phone) == ("asha@example.com", "+919812345678")
    (paid,) = server.transactions.values()
    paid["customer"]["phone_number"] = "N/A"
    paid["flw_ref"] = "N/A"
    (event,) = side.gateway.fetch(attempt)
    assert event.payer_phone is None
    assert event.refs == {"transaction": str(paid["id"])}


def test_an_answer_about_another_payment_is_not_believed(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    other = side.paid()
    _, attempt = side.opened()
    server.decline(token(server))
    server.by_reference = lambda _tries: server.transactions[transaction_of(other)]
    with pytest.raises(OutcomeUnknown, match="another payment"):
        side.gateway.fetch(attempt)
    with pytest.raises(OutcomeUnknown, match="another payment"):
        side.gateway.fetch(replace(attempt, refs=other.refs))


def test_a_second_success_for_one_reference_names_no_order(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    made, attempt = side.opened()
    name = token(server)
    first, second = server.pay(name), server.pay(name)
    told = side.gateway.list_payments(utcnow() - timedelta(minutes=1))
    named = {event.gateway_id: event for event in told}
    assert named[made.gateway_id].reference == attempt.reference
    assert named[made.gateway_id].refs["transaction"] == str(first)
    stranger = named[f"{attempt.reference}/{second}"]
    assert (stranger.reference, stranger.refs, stranger.event_id) == (None, {}, None)
    assert stranger.amount_minor == AMOUNT


def test_only_money_is_listed_also_of_pages_made_days_before(
    side: FlutterwaveSide, server: Flutterwave, turn_clock: Callable[..., None]
) -> None:
    attempt = side.paid()
    side.opened()
    server.decline(token(server))
    server.begin(token(server))
    turn_clock(hours=60)
    (event,) = side.gateway.list_payments(utcnow() - timedelta(hours=1))
    assert event.reference == attempt.reference
