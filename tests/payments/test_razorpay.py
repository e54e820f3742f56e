"""Razorpay when it is slow, cross or half there, and its orders for the script."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, PageEnd, RefundRequest
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater
from tests.payments.sides import Bench
from tests.payments.sides.razorpay import RazorpayScriptSide, RazorpaySide
from tests.payments.wishes import AMOUNT, ref_to
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, Razorpay
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
def by_script(bench: Bench) -> Iterator[RazorpayScriptSide]:
    made = RazorpayScriptSide("razorpay by script", bench)
    yield made
    made.stop()


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


# --- what is asked ---------------------------------------------------------------------------


def test_the_link_is_asked_for_as_the_reference_says(side: RazorpaySide, server: Razorpay) -> None:
    request = side.wish()
    side.gateway.open(request)
    (asked,) = server.seen("POST", LINKS)
    pair = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
    assert asked["headers"]["Authorization"] == f"Basic {pair}"
    assert asked["headers"]["Content-Type"] == "application/json"
    assert json.loads(asked["body"]) == {
        "amount": AMOUNT, "currency": "INR", "accept_partial": False,
        "expire_by": int((request.expires_at + timedelta(minutes=15)).timestamp()),
        "reference_id": request.reference, "description": "Halflong order 2611.482",
        "customer": {"email": "asha@example.com", "contact": "+919812345678"},
        "notify": {"sms": False, "email": False}, "reminder_enable": False,
        "notes": {"reference": request.reference, "order": "2611.482"},
        "callback_url": request.return_url, "callback_method": "get",
    }  # fmt: skip


def test_a_repeat_sends_the_same_body_later_too(
    side: RazorpaySide, server: Razorpay, turn_clock: Callable[..., None]
) -> None:
    request = side.wish()
    first = side.gateway.open(request)
    turn_clock(minutes=8)
    assert side.gateway.open(request) == first
    assert len({one["body"] for one in server.seen("POST", LINKS)}) == 1
    assert len(server.links) == 1


def test_the_pages_form_may_lead_to_razorpay_and_nowhere_else(
    side: RazorpaySide, server: Razorpay, configure: Callable[..., None]
) -> None:
    razorpays = ("https://rzp.io", "https://razorpay.com", "https://*.razorpay.com")
    assert side.gateway.redirect_hosts == (*razorpays, server.url)
    configure(razorpay_api_base="https://api.razorpay.com")
    assert side.gateway.redirect_hosts == razorpays


@pytest.mark.parametrize("hold_minutes", [1, 10, 60])
def test_any_hold_makes_a_link_that_razorpay_takes(side: RazorpaySide, hold_minutes: int) -> None:
    made, _ = side.opened(expires_at=utcnow() + timedelta(minutes=hold_minutes))
    assert made.expires_at
    assert made.expires_at >= utcnow() + timedelta(minutes=hold_minutes + 14)


def test_what_the_shopper_did_not_give_is_not_sent(side: RazorpaySide, server: Razorpay) -> None:
    side.opened(email="", phone="")
    assert sent(server, "POST", LINKS)[0]["customer"] == {}


def test_the_refund_names_its_payment_and_its_key(side: RazorpaySide, server: Razorpay) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    (asked,) = server.seen("POST", f"/v1/payments/{attempt.refs['payment']}/refund")
    assert asked["headers"]["X-Refund-Idempotency"] == "shop-refund-1"
    assert json.loads(asked["body"]) == {
        "amount": 5_000,
        "speed": "normal",
        "notes": {"reference": attempt.reference, "refund_key": "refund-1"},
    }


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_an_opening_without_an_answer_is_unknown_and_found_by_its_reference(
    side: RazorpaySide, server: Razorpay, kind: str
) -> None:
    server.fault(kind, path=LINKS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert len(server.seen("POST", LINKS)) == 1
    made = side.gateway.open(request)
    assert [made.gateway_id] == list(server.links)
    assert made.next_step["url"] == server.links[made.gateway_id]["short_url"]


def test_a_taken_reference_is_found_though_the_filter_is_not_heeded(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.filters_links = False
    request = side.wish()
    made = side.gateway.open(request)
    side.opened()
    assert side.gateway.open(request) == made


def test_a_taken_reference_whose_link_is_not_found_is_not_taken_for_a_no(
    side: RazorpaySide, server: Razorpay
) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    server.fault("refuse", status=400, path=LINKS, method="GET")
    with pytest.raises(ProviderRefused):
        side.gateway.open(request)
    server.links[made.gateway_id] = {**server.links[made.gateway_id]}
    server._list_links = lambda request: {"payment_links": []}  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown, match="taken"):
        side.gateway.open(request)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_refund_without_an_answer_is_unknown_and_found_by_asking(
    side: RazorpaySide, server: Razorpay, kind: str
) -> None:
    wish = refund_of(side.paid(), 5_000)
    server.fault(kind, path="/v1/payments")
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    found = side.gateway.find_refund(wish)
    assert found
    assert [found.refund_gateway_id] == list(server.refunds)
    assert side.gateway.refund(wish).refund_gateway_id == found.refund_gateway_id


def test_where_test_mode_forgets_the_key_asking_first_keeps_it_to_one_refund(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.keeps_refund_keys = False
    wish = refund_of(side.paid(), 5_000)
    server.fault("fail_after", path="/v1/payments")
    with pytest.raises(OutcomeUnknown):
        side.gateway.refund(wish)
    assert side.gateway.find_refund(wish)
    assert len(server.refunds) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_a_closing_without_an_answer_is_unknown_and_done_once(
    side: RazorpaySide, server: Razorpay, kind: str
) -> None:
    _, attempt = side.opened()
    server.fault(kind, path=LINKS)
    with pytest.raises(OutcomeUnknown):
        side.gateway.close(attempt)
    assert side.gateway.close(attempt).kind == EventKind.CANCELLED
    assert [one["event"] for _, one in server.events] == ["payment_link.cancelled"]


def test_a_cancelling_that_is_refused_leaves_the_link_open(
    side: RazorpaySide, server: Razorpay
) -> None:
    made, attempt = side.opened()
    server.fault("refuse", status=400, path=f"{LINKS}/{made.gateway_id}/cancel")
    with pytest.raises(ProviderRefused):
        side.gateway.close(attempt)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING


@pytest.mark.usefixtures("impatient")
def test_an_opening_that_never_arrived_is_opened_by_the_repeat(
    side: RazorpaySide, server: Razorpay
) -> None:
    server.fault("hang_before", path=LINKS)
    request = side.wish()
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(request)
    assert server.links == {}
    assert side.gateway.open(request).gateway_id in server.links


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (409, None), (503, None)])
def test_later_means_later(
    side: RazorpaySide, server: Razorpay, status: int, seconds: float | None
) -> None:
    headers = {"Retry-After": "7"} if seconds else {}
    server.fault("refuse", path=LINKS, status=status, headers=headers)
    with pytest.raises(TryLater) as raised:
        side.gateway.open(side.wish())
    assert raised.value.retry_after == seconds
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_no_means_no(side: RazorpaySide, server: Razorpay, status: int) -> None:
    server.fault("refuse", path=LINKS, status=status)
    with pytest.raises(ProviderRefused, match="Simulated"):
        side.gateway.open(side.wish())


@pytest.mark.parametrize("status", [302, 500, 502, 504])
def test_anything_else_is_unknown(side: RazorpaySide, server: Razorpay, status: int) -> None:
    server.fault("refuse", path=LINKS, status=status, headers={"Location": server.url + "/else"})
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(side.wish())
    assert server.seen("GET", "/else") == server.seen("POST", "/else") == []


@pytest.mark.parametrize(
    "answer", ["{}", "[]", '{"id": "plink_1"}', '{"id": null, "short_url": ""}']
)
def test_an_answer_that_says_too_little_is_unknown(
    side: RazorpaySide, server: Razorpay, answer: str
) -> None:
    server._create_link = lambda request: json.loads(answer)  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        side.gateway.open(side.wish())


def test_wrong_keys_are_refused(side: RazorpaySide, configure: Callable[..., None]) -> None:
    configure(razorpay_key_secret="another")
    with pytest.raises(ProviderRefused, match="api key provided is invalid"):
        side.gateway.open(side.wish())


def test_the_words_and_the_reason_of_a_refusal_are_razorpays(
    side: RazorpaySide, server: Razorpay
) -> None:
    with pytest.raises(ProviderRefused) as raised:
        side.gateway.open(side.wish(amount_minor=99))
    assert raised.value.words == "The amount must be atleast INR 1.00"
    assert raised.value.code == "input_validation_failed"


def test_a_link_unknown_to_razorpay_is_refused(side: RazorpaySide) -> None:
    _, attempt = side.opened()
    with pytest.raises(ProviderRefused, match="does not exist"):
        side.gateway.fetch(replace(attempt, gateway_id="plink_none"))


def test_after_five_failures_razorpay_is_left_alone(side: RazorpaySide, server: Razorpay) -> None:
    server.fault("refuse", path=LINKS, status=500, times=9)
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            side.gateway.open(side.wish())
    with pytest.raises(TryLater):
        side.gateway.open(side.wish())
    assert len(server.seen("POST", LINKS)) == 5


# --- orders with Razorpay's script -----------------------------------------------------------


def test_an_order_is_made_for_the_script(by_script: RazorpayScriptSide) -> None:
    request = by_script.wish()
    made = by_script.gateway.open(request)
    assert sent(by_script.server, "POST", ORDERS) == [
        {
            "amount": AMOUNT, "currency": "INR", "receipt": request.reference,
            "notes": {"reference": request.reference, "order": "2611.482"},
        }
    ]  # fmt: skip
    assert made.next_step == {
        "kind": "page", "key": KEY_ID, "order_id": made.gateway_id, "amount": AMOUNT, "currency": "INR",
        "description": "Halflong order 2611.482",
    }  # fmt: skip
    assert made.refs == {"order": made.gateway_id}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["hang_after", "half_body", "garbage", "fail_after"])
def test_an_order_whose_answer_was_lost_is_found_by_its_receipt(
    by_script: RazorpayScriptSide, kind: str
) -> None:
    server = by_script.server
    server.fault(kind, path=ORDERS)
    request = by_script.wish()
    with pytest.raises(OutcomeUnknown):
        by_script.gateway.open(request)
    assert by_script.gateway.open(request).gateway_id in server.orders
    assert len(server.orders) == 1


def test_an_order_cannot_be_ended_there_and_counts_as_expired_here(
    by_script: RazorpayScriptSide,
) -> None:
    made, attempt = by_script.opened()
    assert by_script.gateway.page_end == PageEnd.NEVER
    assert by_script.gateway.close(attempt).kind == EventKind.EXPIRED
    by_script.pay(made)
    assert by_script.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED


def test_after_the_setting_was_changed_open_attempts_are_still_understood(
    by_script: RazorpayScriptSide, configure: Callable[..., None]
) -> None:
    made, order = by_script.opened()
    configure(razorpay_checkout="payment_link")
    _, link = by_script.opened()
    by_script.pay(made)
    assert by_script.gateway.fetch(order)[0].kind == EventKind.CAPTURED
    configure(razorpay_checkout="checkout_js")
    assert by_script.gateway.close(link).kind == EventKind.CANCELLED


def test_the_pay_page_may_load_razorpay_and_nothing_else(
    by_script: RazorpayScriptSide, configure: Callable[..., None]
) -> None:
    url = by_script.server.url
    way: Any = by_script.gateway
    assert way.redirect_hosts == ()
    assert way.page_sources == {"script-src": (url,), "frame-src": (url,), "connect-src": (url,)}
    configure(razorpay_api_base="https://api.razorpay.com")
    assert way.script == "https://checkout.razorpay.com/v1/checkout.js"
    both = ("https://checkout.razorpay.com", "https://api.razorpay.com")
    assert way.page_sources == {"script-src": both[:1], "frame-src": both, "connect-src": both}


# --- webhooks on their way -------------------------------------------------------------------


def test_a_webhook_not_taken_is_sent_again_under_its_id(
    side: RazorpaySide, server: Razorpay, turn_clock: Callable[..., None]
) -> None:
    side.receiver.status = 503
    made, _ = side.opened()
    server.expire(made.gateway_id)
    assert server.answers == [503]
    side.receiver.status = 200
    turn_clock(hours=3)
    assert server.deliver() == [200]
    (first, before), (second, after) = side.told()
    assert (first, before["X-Razorpay-Signature"]) == (second, after["X-Razorpay-Signature"])
    assert before["X-Razorpay-Event-Id"] == after["X-Razorpay-Event-Id"]


def test_a_lost_answer_is_found_by_the_reference_alone(side: RazorpaySide) -> None:
    request = side.wish()
    made = side.gateway.open(request)
    (event,) = side.gateway.fetch(ref_to(request, None))
    assert event.gateway_id == made.gateway_id


def test_a_link_lives_until_its_time_is_over(
    side: RazorpaySide, turn_clock: Callable[..., None]
) -> None:
    _, attempt = side.opened(expires_at=utcnow() + timedelta(minutes=1))
    turn_clock(minutes=15)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.PENDING
    turn_clock(minutes=2)
    assert side.gateway.fetch(attempt)[0].kind == EventKind.EXPIRED
