"""What comes after the money by Flutterwave: refunds, chargebacks, webhooks; and its stand-in."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from shop.clock import utcnow
from shop.payments.gateways.base import AttemptRef, EventKind, RefundRequest
from shop.providers import OutcomeUnknown
from tests.payments.sides import Bench
from tests.payments.sides.flutterwave import FlutterwaveSide
from tests.simulators.flutterwave import Flutterwave
from tests.simulators.flutterwave_objects import dumped, moment
from tests.simulators.receiver import Receiver

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


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


def refund_of(attempt: AttemptRef, amount_minor: int, key: str = "refund-1") -> RefundRequest:
    return RefundRequest(attempt, amount_minor, attempt.currency, key, "asked for")


def news(side: FlutterwaveSide) -> list[Any]:
    return [event for body, _ in side.told() for event in side.gateway.parse(body).events]


def token(server: Flutterwave) -> str:
    """The page made last."""
    return list(server.pages)[-1]


def transaction_of(attempt: AttemptRef) -> int:
    return int(attempt.refs["transaction"])


# --- refunds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("completed", EventKind.REFUND_SUCCEEDED), ("completed-mpgs", EventKind.REFUND_SUCCEEDED),
        ("successful", EventKind.REFUND_SUCCEEDED), ("new", EventKind.REFUND_PENDING),
        ("pending", EventKind.REFUND_PENDING), ("failed", EventKind.REFUND_FAILED),
        ("a word never seen", EventKind.REFUND_PENDING),
    ],
)  # fmt: skip
def test_a_refund_is_read_by_its_status(
    side: FlutterwaveSide, server: Flutterwave, status: str, kind: EventKind
) -> None:
    attempt = side.paid()
    server.refunds_begin = "pending"
    made = side.gateway.refund(refund_of(attempt, 5_000))
    assert made.kind == EventKind.REFUND_PENDING
    server.set_refund(int(made.refund_gateway_id or ""), status)
    _, event = side.gateway.fetch(attempt)
    assert (event.kind, event.refund_key) == (kind, "refund-1")
    assert event.failure_words == ("Flutterwave: failed" if status == "failed" else None)


def test_a_refund_that_failed_weeks_later_is_listed_and_old_ones_that_stand_are_not(
    side: FlutterwaveSide, server: Flutterwave, turn_clock: Callable[..., None]
) -> None:
    attempt = side.paid()
    came_back = side.gateway.refund(refund_of(attempt, 5_000))
    side.gateway.refund(refund_of(attempt, 6_000, "refund-2"))
    turn_clock(hours=20 * 24)
    server.set_refund(int(came_back.refund_gateway_id or ""), "failed")
    (event,) = side.gateway.list_refunds(utcnow() - timedelta(days=3))
    assert (event.kind, event.refund_key) == (EventKind.REFUND_FAILED, "refund-1")
    assert event.reference == attempt.reference


def test_a_refund_made_in_the_dashboard_leads_back_by_the_transaction(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    attempt = side.paid()
    server.refund_from_dashboard(transaction_of(attempt), "50.5")
    (event,) = side.gateway.list_refunds(utcnow() - timedelta(minutes=1))
    assert (event.kind, event.amount_minor) == (EventKind.REFUND_SUCCEEDED, 5_050)
    assert (event.refund_key, event.reference) == (None, attempt.reference)
    assert event.refs == {"transaction": attempt.refs["transaction"]}


def test_without_comments_a_refund_of_the_same_amount_leaves_the_outcome_unknown(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    server.shows_comments = False
    attempt = side.paid()
    assert side.gateway.find_refund(refund_of(attempt, 5_000)) is None
    side.gateway.refund(refund_of(attempt, 5_000))
    with pytest.raises(OutcomeUnknown, match="may be this one"):
        side.gateway.find_refund(refund_of(attempt, 5_000))
    assert side.gateway.find_refund(refund_of(attempt, 6_000, "refund-2")) is None
    server.set_refund(list(server.refunds)[-1], "failed")
    assert side.gateway.find_refund(refund_of(attempt, 5_000)) is None


def test_another_refund_of_the_same_amount_is_not_taken_for_it(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    assert side.gateway.find_refund(refund_of(attempt, 5_000, "refund-2")) is None
    side.gateway.refund(refund_of(attempt, 5_000, "refund-2"))
    assert len(server.refunds) == 2


def test_lists_that_take_no_notice_of_filters_are_sorted_out_here(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    server.filters = False
    attempt, other = side.paid(), side.paid()
    side.gateway.refund(refund_of(other, 5_000))
    server.charge_back(transaction_of(other))
    assert len(side.gateway.fetch(attempt)) == 1
    assert len(side.gateway.fetch(other)) == 3
    _, tried = side.opened()
    server.decline(token(server))
    assert [event.kind for event in side.gateway.fetch(tried)] == [
        EventKind.PENDING, EventKind.TRY_FAILED,
    ]  # fmt: skip


def test_a_refund_without_the_transactions_id_asks_for_it(side: FlutterwaveSide) -> None:
    attempt = replace(side.paid(), refs={})
    assert side.gateway.refund(refund_of(attempt, 5_000)).kind == EventKind.REFUND_SUCCEEDED


def test_a_list_that_names_a_transaction_that_is_gone_tells_nothing(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    attempt = side.paid()
    side.gateway.refund(refund_of(attempt, 5_000))
    del server.transactions[transaction_of(attempt)]
    with pytest.raises(OutcomeUnknown, match="not there"):
        side.gateway.list_refunds(utcnow() - timedelta(minutes=1))


# --- chargebacks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("initiated", EventKind.DISPUTE_OPENED), ("declined", EventKind.DISPUTE_OPENED),
        ("accepted", EventKind.DISPUTE_LOST), ("won", EventKind.DISPUTE_WON),
        ("lost", EventKind.DISPUTE_LOST), ("a word never seen", EventKind.DISPUTE_OPENED),
    ],
)  # fmt: skip
def test_a_chargeback_is_read_by_its_status(
    side: FlutterwaveSide, server: Flutterwave, status: str, kind: EventKind
) -> None:
    attempt = side.paid()
    name = server.charge_back(transaction_of(attempt), "50.5")
    server.set_chargeback(name, status)
    _, event = side.gateway.fetch(attempt)
    (listed,) = side.gateway.list_disputes(utcnow() - timedelta(days=1))
    assert event == listed
    assert (event.kind, event.dispute_gateway_id) == (kind, str(name))
    assert (event.amount_minor, event.currency) == (5_050, "NGN")
    assert (event.reference, event.refs["transaction"]) == (
        attempt.reference, attempt.refs["transaction"],
    )  # fmt: skip
    assert event.evidence_due_at
    assert timedelta(days=1) < event.evidence_due_at - utcnow() < timedelta(days=3)


def test_a_chargeback_says_why_and_how_far_it_has_come(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    attempt = side.paid()
    name = server.charge_back(transaction_of(attempt))
    assert side.gateway.fetch(attempt)[1].dispute_reason == "Product/service not received"
    server.chargebacks[name]["stage"] = "pre-arbitration"
    reason = side.gateway.fetch(attempt)[1].dispute_reason
    assert reason == "Product/service not received (pre-arbitration)"


# --- webhooks on their way -------------------------------------------------------------------


def test_webhooks_come_twice_backwards_or_not_at_all(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    server.delivers, server.copies = False, 2
    made, _ = side.opened()
    server.decline(token(server))
    side.pay(made)
    assert side.told() == []
    server.deliver(backwards=True)
    read = [side.gateway.parse(body) for body, _ in side.told()]
    kinds = [message.events[0].kind for message in read]
    assert kinds == [EventKind.CAPTURED] * 2 + [EventKind.TRY_FAILED] * 2
    assert len({message.event_id for message in read}) == 2
    side.opened()
    server.pay(token(server))
    assert server.lose() == 2


@pytest.mark.parametrize("status", [301, 204, 503])
def test_a_webhook_that_is_not_answered_200_comes_four_times(
    side: FlutterwaveSide, server: Flutterwave, status: int
) -> None:
    side.receiver.status = status
    made, _ = side.opened()
    side.pay(made)
    assert [server.deliver() for _ in range(4)] == [[status], [status], [status], []]
    assert len({body for body, _ in side.told()}) == 1


def test_the_meta_of_a_payment_may_come_along(side: FlutterwaveSide, server: Flutterwave) -> None:
    server.tells_meta = True
    made, attempt = side.opened()
    side.pay(made)
    ((body, _),) = side.told()
    assert json.loads(body)["meta_data"] == {"order": "2611.482"}
    assert news(side)[0].reference == attempt.reference


# --- the stand-in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tx_ref": ""}, "tx_ref"), ({"customer": {}}, "customer.email"), ({"amount": 0}, "amount"),
        ({"amount": 1.005}, "amount"), ({"amount": "1,850"}, "amount"), ({"currency": "INR"}, "currency"),
        ({"amount": 60.5, "currency": "UGX"}, "decimals"), ({"surprise": 1}, "surprise"),
        ({"configurations": {"session_duration": 1441}}, "session_duration"),
    ],
)  # fmt: skip
def test_the_stand_in_refuses_what_flutterwave_refuses(
    side: FlutterwaveSide, server: Flutterwave, changes: dict[str, Any], words: str
) -> None:
    good = {
        "tx_ref": "SH-1", "amount": 18_500, "redirect_url": "https://shop.example/",
        "customer": {"email": "adaeze.okafor@example.com"},
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {server.key}"}
    answer = requests.post(server.base + "/payments", json={**good, **changes}, headers=headers, timeout=5)  # fmt: skip
    assert answer.status_code == 400
    assert re.search(words, answer.json()["message"])
    assert server.pages == {}


def test_a_person_can_click_through_the_stand_ins_page(
    side: FlutterwaveSide, server: Flutterwave
) -> None:
    made, attempt = side.opened()
    page = made.next_step["url"]
    shown = requests.get(page, timeout=5).text
    assert "NGN 13,848.00" in shown
    assert "<script" not in shown

    def choose(choice: str, **more: str) -> requests.Response:
        return requests.post(page, data={"choice": choice, **more}, allow_redirects=False, timeout=5)  # fmt: skip

    back = f"{attempt.request.return_url}&status=" if attempt.request else ""
    assert choose("cancel").headers["Location"] == f"{back}cancelled&tx_ref={attempt.reference}"
    assert "Incorrect PIN. Try again." in choose("5399834697894723").text
    assert "status=failed" in choose("5399834697894723", give_up="1").headers["Location"]
    paid = choose("transfer", amount="13848").headers["Location"]
    assert paid.startswith(f"{back}successful&tx_ref={attempt.reference}&transaction_id=")
    assert side.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED
    side.gateway.close(attempt)
    assert requests.get(page, timeout=5).status_code == 410


def test_the_stand_in_writes_exact_numbers(app: Any) -> None:
    found = {"amount": Decimal("0.10"), "more": [Decimal(7), {"fee": Decimal("1.4")}]}
    assert dumped(found) == b'{"amount": 0.10, "more": [7, {"fee": 1.4}]}'
    assert moment(1_794_823_301) == "2026-11-16T10:01:41.000Z"
