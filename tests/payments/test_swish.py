"""Swish when it is slow, cross or half there, and what only Swish does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.payments.gateways.swish import Code, environment_of
from shop.payments.gateways.swish_reading import instruction_id
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.payments.sides import Bench
from tests.payments.sides.swish import SwishSide
from tests.payments.wishes import AMOUNT, ref_to
from tests.simulators.certificates import Authority
from tests.simulators.receiver import Receiver
from tests.simulators.swish import ID, NUMBER, Swish

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

PAYMENTS = "/swish-cpcapi/api/v2/paymentrequests"
REFUNDS = "/swish-cpcapi/api/v2/refunds"


@pytest.fixture
def side(
    app: Any, configure: Callable[..., None], client: Any, run_jobs: Any
) -> Iterator[SwishSide]:
    receiver = Receiver()
    made = SwishSide("swish", Bench(receiver, configure, client, run_jobs))
    yield made
    made.stop()
    receiver.stop()


@pytest.fixture
def server(side: SwishSide) -> Swish:
    return side.server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    for name in ("OPEN_SECONDS", "WORKER_SECONDS", "ASK_SECONDS"):
        monkeypatch.setattr(f"shop.payments.gateways.swish.{name}", 0.5)


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


# --- what is asked ---------------------------------------------------------------------------


def test_the_request_is_made_as_swishs_page_says(side: SwishSide, server: Swish) -> None:
    request = side.wish(amount_minor=24_905)
    made = side.gateway.open(request)
    (sent,) = server.seen("PUT", PAYMENTS)
    wish = json.loads(sent["body"])
    assert (wish["amount"], wish["currency"], wish["payeeAlias"]) == ("249.05", "SEK", NUMBER)
    assert wish["payeePaymentReference"] == request.reference
    assert wish["callbackUrl"] == request.webhook_url
    assert wish["message"] == "Order 2611.482"
    assert "payerAlias" not in wish
    assert ID.fullmatch(made.gateway_id)
    assert [made.gateway_id] == list(server.payments)
    assert made.expires_at
    assert timedelta(seconds=175) < made.expires_at - utcnow() <= timedelta(minutes=3)


def test_the_page_gets_the_token_and_the_way_back(side: SwishSide, server: Swish) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    token = server.tokens[made.gateway_id]
    assert made.next_step["token"] == token
    link = side.gateway.app_link(made.next_step)
    assert link.startswith(f"swish://paymentrequest?token={token}&callbackurl=http%3A%2F%2F")
    assert link.endswith(f"reference%3D{request.reference}%26stay%3D1")


def test_the_code_is_a_square_with_a_rim_and_no_empty_strokes(side: SwishSide) -> None:
    made, _ = side.opened()
    code = side.gateway.code(made.next_step)
    assert (code.side - 8 - 17) % 4 == 0
    assert "M0 " not in code.path
    assert code.path.startswith("M4 4h7v1h-7z")
    assert Code.of([[False, True], [True, True]]) == Code(2, "M1 0h1v1h-1zM0 1h2v1h-2z")


def test_the_refund_names_the_banks_reference_and_ours(side: SwishSide, server: Swish) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_050))
    (sent,) = server.seen("PUT", REFUNDS)
    wish = json.loads(sent["body"])
    assert wish["originalPaymentReference"] == attempt.refs["payment_reference"]
    assert (wish["amount"], wish["payerAlias"]) == ("50.50", NUMBER)
    assert wish["payerPaymentReference"] == attempt.reference
    assert wish["message"] == "Refund of order 2611.482"


def test_a_payment_whose_reference_was_not_learnt_can_still_go_back(side: SwishSide) -> None:
    made, attempt = side.opened()
    side.pay(made)
    assert side.gateway.refund(refund_of(attempt, 5_000)).kind == EventKind.REFUND_PENDING


def test_the_merchants_number_may_be_written_with_gaps(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    for number, written in enumerate(("123 467 93 04", "123-467 9304", NUMBER), start=1):
        configure(swish_payee_alias=written)
        side.opened()
        assert len(server.payments) == number, written


def test_it_takes_kronor_from_one_up(side: SwishSide) -> None:
    for *wish, is_taken in (
        ("SEK", "SE", 100, True), ("SEK", "NO", 24_900, True), ("SEK", "SE", 99, False),
        ("SEK", "SE", 10**14, False), ("EUR", "SE", 24_900, False), ("INR", "IN", 24_900, False),
    ):  # fmt: skip
        assert (side.gateway.unavailable(*wish) is None) == is_taken, wish


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "garbage", "fail_after"])
def test_an_opening_without_an_answer_is_found_and_opens_nothing_more(
    side: SwishSide, server: Swish, kind: str
) -> None:
    server.fault(kind, method="PUT", path=PAYMENTS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    made = side.gateway.open(request)
    assert [made.gateway_id] == list(server.payments)
    # The token came with the answer that was lost: there is nothing to show.
    assert made.next_step == {}
    (event,) = side.gateway.fetch(ref_to(request, made))
    assert event.kind == EventKind.PENDING


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "garbage", "fail_after"])
def test_a_refund_without_an_answer_is_found_and_goes_out_once(
    side: SwishSide, server: Swish, kind: str
) -> None:
    wish = refund_of(side.paid(), 5_000)
    server.fault(kind, method="PUT", path=REFUNDS)
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    found = side.gateway.find_refund(wish)
    assert found
    assert found.kind == EventKind.REFUND_SUCCEEDED
    again = side.gateway.refund(wish)
    assert again.refund_gateway_id == found.refund_gateway_id
    assert len(server.refunds) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_cancelling_without_an_answer_can_be_repeated(
    side: SwishSide, server: Swish, kind: str
) -> None:
    _, attempt = side.opened()
    server.fault(kind, method="PATCH")
    with pytest.raises(OutcomeUnknown):
        side.gateway.close(attempt)
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_before", "half_body", "garbage", "refuse"])
def test_a_question_without_a_whole_answer_tells_nothing(
    side: SwishSide, server: Swish, kind: str
) -> None:
    attempt = side.paid()
    server.fault(kind, method="GET")
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


def test_a_busy_swish_is_asked_later(side: SwishSide, server: Swish) -> None:
    for status in (429, 503):
        server.fault("refuse", method="PUT", status=status, headers={"Retry-After": "7"})
        with pytest.raises(TryLater) as said:
            side.gateway.open(side.wish())
        assert said.value.retry_after == 7, status


def test_a_cancelling_that_lost_the_race_tells_of_the_money(side: SwishSide) -> None:
    made, attempt = side.opened()
    side.pay(made)
    event = side.gateway.close(attempt)
    assert (event.kind, event.amount_minor) == (EventKind.CAPTURED, AMOUNT)
    assert event.refs["payment_reference"]


def test_an_answer_about_another_request_is_not_believed(side: SwishSide, server: Swish) -> None:
    _, attempt = side.opened()
    server.payments[str(attempt.gateway_id)]["payeePaymentReference"] = "SOMEBODYELSES"
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


def test_an_answer_that_cannot_be_read_tells_nothing(side: SwishSide, server: Swish) -> None:
    attempt = side.paid()
    held = server.payments[str(attempt.gateway_id)]
    whole = dict(held)
    for name, strange in (
        ("status", "SOMETHING NEW"), ("amount", None), ("amount", "ett"), ("datePaid", "today"),
    ):  # fmt: skip
        held.update(whole | {name: strange})
        with pytest.raises(OutcomeUnknown):
            side.gateway.fetch(attempt)


def test_a_refund_that_cannot_be_read_tells_nothing(side: SwishSide, server: Swish) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    server.refunds[instruction_id("refund-1")]["status"] = "SOMETHING NEW"
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


# --- what Swish refuses ----------------------------------------------------------------------


def test_a_refusal_says_what_was_wrong(side: SwishSide) -> None:
    for changes, code, words in (
        ({"webhook_url": "http://shop.example/webhooks/swish"}, "RP03", "PUBLIC_URL"),
        ({"reference": "A B"}, "FF08", "reference"),
        ({"currency": "EUR"}, "AM03", "currency"),
        ({"amount_minor": 99}, "AM06", "below the agreed minimum"),
        ({"amount_minor": 10**14}, "AM02", "too large"),
    ):
        with pytest.raises(ProviderRefused) as said:
            side.gateway.open(side.wish(**changes))
        assert said.value.code == code
        assert words in said.value.words


def test_every_error_of_a_refusal_is_told(side: SwishSide) -> None:
    wrong = side.wish(webhook_url="http://shop.example/", amount_minor=5)
    with pytest.raises(ProviderRefused, match=r"RP03.*AM06"):
        side.gateway.open(wrong)


def test_a_number_that_is_not_the_certificates_is_refused(
    side: SwishSide, configure: Callable[..., None]
) -> None:
    configure(swish_payee_alias="1231181189")
    with pytest.raises(ProviderRefused, match="SWISH_PAYEE_ALIAS"):
        side.gateway.open(side.wish())


def test_a_number_that_is_not_enrolled_is_refused(side: SwishSide, server: Swish) -> None:
    server.is_enrolled = False
    with pytest.raises(ProviderRefused, match="not enrolled"):
        side.gateway.open(side.wish())


def test_a_bank_with_a_fault_is_tried_again(
    side: SwishSide, server: Swish, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = refund_of(side.paid(), 5_000)
    monkeypatch.setattr(server, "_faults", lambda *_: ["FF10"])
    with pytest.raises(TryLater, match="FF10"):
        side.gateway.refund(wish)


def test_a_payment_of_long_ago_cannot_go_back(
    side: SwishSide, turn_clock: Callable[..., None]
) -> None:
    attempt = side.paid()
    turn_clock(days=400)
    with pytest.raises(ProviderRefused, match="13 months"):
        side.gateway.refund(refund_of(attempt, 5_000))


# --- certificates ----------------------------------------------------------------------------


def test_without_the_certificate_nothing_is_sent(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    configure(swish_cert_file="/nowhere/cert.pem")
    with pytest.raises(TryLater, match="SWISH_CERT_FILE"):
        side.gateway.open(side.wish())
    assert server.requests == []


def test_a_certificate_of_somebody_else_is_turned_down(
    side: SwishSide, server: Swish, configure: Callable[..., None], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").sign(NUMBER)
    configure(swish_cert_file=str(stranger.cert), swish_key_file=str(stranger.key))
    with pytest.raises((TryLater, OutcomeUnknown)):
        side.gateway.open(side.wish())
    assert server.requests == []


def test_an_expired_certificate_is_turned_down(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    old = server.clients.sign("old", ends=datetime(2024, 1, 1, tzinfo=UTC))
    configure(swish_cert_file=str(old.cert), swish_key_file=str(old.key))
    with pytest.raises((TryLater, OutcomeUnknown)):
        side.gateway.open(side.wish())
    assert server.requests == []


def test_a_swish_that_is_not_swish_is_not_spoken_to(
    side: SwishSide, server: Swish, configure: Callable[..., None], tmp_path: Path
) -> None:
    configure(swish_ca_file=str(Authority(tmp_path, "another").file))
    with pytest.raises(TryLater, match="TLS"):
        side.gateway.open(side.wish())
    assert server.requests == []


# --- how a payment ends ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TM01", EventKind.EXPIRED), ("BANKIDCL", EventKind.CANCELLED), ("DS24", EventKind.IN_DOUBT),
        ("RF07", EventKind.FAILED), ("FF10", EventKind.FAILED), ("ACMT03", EventKind.FAILED),
        ("BANKIDONGOING", EventKind.FAILED), ("BANKIDUNKN", EventKind.FAILED),
        ("VR01", EventKind.FAILED), ("NEW99", EventKind.FAILED),
    ],
)  # fmt: skip
def test_an_error_is_told_as_what_it_means(
    side: SwishSide, server: Swish, code: str, kind: EventKind
) -> None:
    made, attempt = side.opened()
    server.fail(made.gateway_id, code)
    (event,) = side.gateway.fetch(attempt)
    assert (event.kind, event.failure_code) == (kind, code)
    assert event.failure_words
    assert code not in event.failure_words


def test_a_doubt_of_three_days_ends_as_not_paid(side: SwishSide, server: Swish) -> None:
    made, attempt = side.opened()
    server.fail(made.gateway_id, "DS24")
    old = replace(attempt, created_at=utcnow() - timedelta(hours=71, minutes=1))
    (event,) = side.gateway.fetch(old)
    assert (event.kind, event.failure_code) == (EventKind.FAILED, "DS24")
    server.learn(made.gateway_id)
    assert side.gateway.fetch(old)[0].kind == EventKind.CAPTURED


@pytest.mark.parametrize("status", ["CREATED", "DEBITED", "VALIDATED", "INITIATED"])
def test_a_refund_counts_only_when_it_has_arrived(
    side: SwishSide, server: Swish, status: str
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    server.refunds[instruction_id("refund-1")]["status"] = status
    assert side.gateway.fetch(attempt)[-1].kind == EventKind.REFUND_PENDING


def test_swish_keeps_no_lists(side: SwishSide) -> None:
    since = utcnow() - timedelta(days=3)
    assert side.gateway.list_payments(since) is None
    assert [*side.gateway.list_refunds(since), *side.gateway.list_disputes(since)] == []


# --- withdrawn where money is real -----------------------------------------------------------


@pytest.fixture
def real_money(side: SwishSide, configure: Callable[..., None]) -> None:
    configure(shop_env="production", swish_environment="production")


@pytest.mark.usefixtures("real_money")
def test_mock_withdraws_swish_and_asks_for_nothing_new(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    assert side.gateway.unavailable("SEK", "SE", AMOUNT) is None
    configure(swish_environment="mock")
    words = side.gateway.unavailable("SEK", "SE", AMOUNT)
    assert words == "Swish is switched off at the moment."
    with pytest.raises(ProviderRefused):
        side.gateway.open(side.wish())
    assert server.seen("PUT", PAYMENTS) == []


@pytest.mark.usefixtures("real_money")
def test_what_was_open_when_swish_was_withdrawn_is_finished(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    paid = side.paid()
    _, waiting = side.opened()
    lost = side.wish()
    side.gateway.open(lost)
    configure(swish_environment="mock")
    assert environment_of(paid) == environment_of(ref_to(lost, None)) == "production"
    assert side.gateway.fetch(paid)[0].kind == EventKind.CAPTURED
    assert side.gateway.refund(refund_of(paid, 5_000)).kind == EventKind.REFUND_PENDING
    assert side.gateway.close(waiting).kind == EventKind.CANCELLED
    found = side.gateway.open(lost)
    assert found.gateway_id == instruction_id(lost.reference)
    assert side.gateway.close(ref_to(lost, found)).kind == EventKind.CANCELLED


# --- pretend money ---------------------------------------------------------------------------


@pytest.fixture
def pretend(side: SwishSide, configure: Callable[..., None]) -> None:
    configure(swish_environment="mock", swish_cert_file="", swish_key_file="")


@pytest.mark.usefixtures("pretend")
def test_pretend_money_speaks_to_nobody(side: SwishSide, server: Swish) -> None:
    made, attempt = side.opened()
    assert made.next_step["is_pretend"]
    assert "pretend" in side.gateway.label
    assert side.gateway.fetch(attempt) == []
    old = replace(attempt, created_at=utcnow() - timedelta(minutes=6))
    assert side.gateway.fetch(old)[0].kind == EventKind.EXPIRED
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED
    back = side.gateway.refund(refund_of(attempt, 5_000))
    assert (back.kind, back.amount_minor) == (EventKind.REFUND_SUCCEEDED, 5_000)
    assert side.gateway.find_refund(refund_of(attempt, 5_000)) is None
    assert server.requests == []


@pytest.mark.usefixtures("pretend")
def test_an_attempt_remembers_with_whom_it_was_opened(
    side: SwishSide, server: Swish, configure: Callable[..., None]
) -> None:
    _, pretended = side.opened()
    configure(swish_environment="test")
    assert environment_of(pretended) == "mock"
    assert side.gateway.fetch(pretended) == []
    assert server.requests == []


@pytest.mark.usefixtures("pretend")
def test_pretend_money_is_never_given_back_as_real(
    side: SwishSide, configure: Callable[..., None]
) -> None:
    _, pretended = side.opened()
    configure(shop_env="production", swish_environment="production")
    with pytest.raises(ProviderRefused, match="pretend"):
        side.gateway.refund(refund_of(pretended, 5_000))
