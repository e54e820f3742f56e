"""What is asked of Paystack, and Paystack when it is slow, cross or half there."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.payments.sides import Bench
from tests.payments.sides.paystack import PaystackSide
from tests.payments.wishes import ref_to
from tests.simulators.paystack import SECRET_KEY, Paystack
from tests.simulators.receiver import Receiver

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

OPENING = "/transaction/initialize"
ASKING = "/transaction/verify/"
BROKEN = ["hang_after", "half_body", "garbage", "fail_after"]


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for 25 seconds in a test."""
    for name in ("OPEN_SECONDS", "WORKER_SECONDS", "ASK_SECONDS"):
        monkeypatch.setattr(f"shop.payments.gateways.paystack.{name}", 0.8)


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def sent(server: Paystack, path: str) -> dict[str, Any]:
    (one,) = server.seen("POST", path)
    return dict(json.loads(one["body"]))


# --- what is asked ---------------------------------------------------------------------------


def test_the_transaction_is_asked_for_as_paystacks_page_says(
    side: PaystackSide, server: Paystack
) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    wish = sent(server, OPENING)
    assert wish["amount"] == 1_850_000
    assert isinstance(wish["amount"], int)
    assert (wish["currency"], wish["reference"]) == ("NGN", request.reference)
    assert wish["email"] == "asha@example.com"
    assert wish["metadata"]["order"] == "2611.482"
    assert "plan" not in wish
    (headers,) = [one["headers"] for one in server.seen("POST", OPENING)]
    assert headers["Authorization"] == f"Bearer {SECRET_KEY}"
    assert headers["Content-Type"] == "application/json"
    assert made.gateway_id == request.reference
    assert made.expires_at is None


def test_the_address_to_come_back_to_has_no_query_of_ours(
    side: PaystackSide, server: Paystack
) -> None:
    request = side.wish()
    side.gateway.open(request)
    wish = sent(server, OPENING)
    assert wish["callback_url"] == "http://shop.example/pay/paystack/return"
    assert wish["metadata"]["cancel_action"] == request.return_url + "&left=1"


def test_a_repeat_sends_the_same_body_later_too(
    side: PaystackSide, server: Paystack, turn_clock: Callable[..., None]
) -> None:
    request = side.wish()
    side.gateway.open(request)
    turn_clock(minutes=8)
    side.gateway.open(request)
    assert len({one["body"] for one in server.seen("POST", OPENING)}) == 1
    assert len(server.transactions) == 1


def test_the_pages_form_may_lead_to_paystack_and_nowhere_else(
    side: PaystackSide, server: Paystack, configure: Callable[..., None]
) -> None:
    assert side.gateway.redirect_hosts == ("https://checkout.paystack.com", server.url)
    configure(paystack_api_base="https://api.paystack.co")
    assert side.gateway.redirect_hosts == ("https://checkout.paystack.com",)


def test_the_refund_names_its_payment_its_amount_and_its_key(
    side: PaystackSide, server: Paystack
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    assert sent(server, "/refund") == {
        "transaction": attempt.reference, "amount": 5_000, "currency": "NGN",
        "merchant_note": f"shop refund refund-1 of {attempt.reference}",
    }  # fmt: skip


@pytest.mark.parametrize("currency", ["NGN", "GHS", "ZAR", "KES", "USD"])
def test_each_currency_of_paystack_is_paid_in_subunits(
    side: PaystackSide, server: Paystack, currency: str
) -> None:
    assert side.gateway.unavailable(currency, "NG", 100) is None
    made, attempt = side.opened(currency=currency, amount_minor=12_345)
    side.pay(made)
    (event,) = side.gateway.fetch(attempt)
    assert (event.amount_minor, event.currency) == (12_345, currency)


@pytest.mark.parametrize("currency", ["INR", "XOF", "EGP", "SEK", "EUR"])
def test_other_currencies_are_declined_before(side: PaystackSide, currency: str) -> None:
    said = side.gateway.unavailable(currency, "NG", 100)
    assert said == f"This way to pay takes no payments in {currency}."


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", BROKEN)
def test_an_opening_without_an_answer_is_unknown_and_found_without_its_address(
    side: PaystackSide, server: Paystack, kind: str
) -> None:
    server.fault(kind, path=OPENING)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert len(server.seen("POST", OPENING)) == 1
    made = side.gateway.open(request)
    assert (made.gateway_id, made.next_step) == (request.reference, {})
    assert list(server.transactions) == [request.reference]


@pytest.mark.usefixtures("impatient")
def test_an_opening_that_never_arrived_is_opened_by_the_repeat(
    side: PaystackSide, server: Paystack
) -> None:
    server.fault("hang_before", path=OPENING)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert server.transactions == {}
    assert side.gateway.open(request).next_step["url"].startswith(server.url)


def test_a_used_reference_is_known_by_the_words_of_older_answers_too(
    side: PaystackSide, server: Paystack
) -> None:
    server.has_codes = False
    request = side.wish()
    side.gateway.open(request)
    assert side.gateway.open(request).next_step == {}
    with pytest.raises(ProviderRefused, match="another sum"):
        side.gateway.open(replace(request, amount_minor=100))
    with pytest.raises(ProviderRefused, match="another sum"):
        side.gateway.open(replace(request, currency="GHS"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_refund_without_an_answer_is_unknown_and_found_by_asking(
    side: PaystackSide, server: Paystack, kind: str
) -> None:
    wish = refund_of(side.paid(), 5_000)
    server.fault(kind, path="/refund")
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    found = side.gateway.find_refund(wish)
    assert found
    assert [found.refund_gateway_id] == [str(number) for number in server.refunds]
    assert side.gateway.refund(wish).refund_gateway_id == found.refund_gateway_id
    assert len(server.refunds) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_question_without_an_answer_changes_nothing(
    side: PaystackSide, server: Paystack, kind: str
) -> None:
    made, attempt = side.opened()
    side.pay(made)
    server.fault(kind, method="GET", path=ASKING)
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED


@pytest.mark.parametrize(
    "kind_and_status", [("refuse", 500), ("fail_after", 500), ("half_body", 200)]
)
def test_before_a_refund_is_asked_for_it_is_known_whether_there_is_one(
    side: PaystackSide, server: Paystack, kind_and_status: tuple[str, int]
) -> None:
    attempt = side.paid()
    kind, status = kind_and_status
    server.fault(kind, method="GET", path="/refund", status=status)
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(refund_of(attempt, 5_000))
    assert server.refunds == {}


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (503, None)])
def test_later_means_later(
    side: PaystackSide, server: Paystack, status: int, seconds: float | None
) -> None:
    headers = {"Retry-After": "7"} if seconds else {}
    server.fault("refuse", path=OPENING, status=status, headers=headers)
    with pytest.raises(TryLater) as raised:
        side.gateway.open(side.wish())
    assert raised.value.retry_after == seconds
    assert len(server.seen("POST", OPENING)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_no_means_no_in_paystacks_words(side: PaystackSide, server: Paystack, status: int) -> None:
    server.fault("refuse", path=OPENING, status=status)
    with pytest.raises(ProviderRefused, match="Simulated"):
        side.gateway.open(side.wish())


@pytest.mark.parametrize("status", [302, 500, 502, 504])
def test_anything_else_is_unknown(side: PaystackSide, server: Paystack, status: int) -> None:
    server.fault("refuse", path=ASKING, method="GET", status=status)
    _, attempt = side.opened()
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


def test_a_wrong_key_is_refused(side: PaystackSide, configure: Callable[..., None]) -> None:
    configure(paystack_secret_key="sk_test_other")
    with pytest.raises(ProviderRefused, match="Invalid key") as raised:
        side.gateway.open(side.wish())
    assert raised.value.code == "invalid_key"


def test_the_other_mode_is_refused(side: PaystackSide, server: Paystack) -> None:
    server.domain = "live"
    _, attempt = side.opened()
    with pytest.raises(ProviderRefused, match="other mode"):
        side.gateway.fetch(attempt)


def test_a_transaction_unknown_to_paystack_is_refused(side: PaystackSide) -> None:
    with pytest.raises(ProviderRefused, match="not found"):
        side.gateway.fetch(ref_to(side.wish(), None))


def test_an_answer_about_another_transaction_tells_nothing(
    side: PaystackSide, server: Paystack
) -> None:
    made, attempt = side.opened()
    server.transactions[made.gateway_id]["reference"] = "SOMEBODY-ELSE"
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


@pytest.mark.parametrize(
    "changes", [{"amount": None}, {"currency": None}, {"id": None}, {"paid_at": "yesterday"}]
)
def test_an_answer_that_cannot_be_read_tells_nothing(
    side: PaystackSide, server: Paystack, changes: dict[str, Any]
) -> None:
    made, attempt = side.opened()
    side.pay(made)
    server.transactions[made.gateway_id].update(changes)
    with pytest.raises(OutcomeUnknown):
        side.gateway.fetch(attempt)


def test_after_five_failures_paystack_is_left_alone(side: PaystackSide, server: Paystack) -> None:
    server.fault("refuse", path=OPENING, status=500, times=9)
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            side.gateway.open(side.wish())
    with pytest.raises(TryLater):
        side.gateway.open(side.wish())
    assert len(server.seen("POST", OPENING)) == 5
