"""The pretend gateway's page: each outcome, by plain forms, with what the shop is told."""

from typing import Any

import pytest

from shop.payments.gateways.base import EventKind
from shop.payments.gateways.sandbox import Sandbox


def path(opened: Any) -> str:
    return "/sandbox/pay/" + opened[0].gateway_id


def told(receiver: Any) -> list[Any]:
    """What the receiver was told, each verified first."""
    gateway = Sandbox()
    for body, headers in receiver.taken:
        gateway.verify(body, headers)
    return [gateway.parse(body) for body, _ in receiver.taken]


def choose(client: Any, opened: Any, outcome: str, **more: str) -> Any:
    return client.send(path(opened), {"outcome": outcome, **more})


def state(opened: Any) -> EventKind:
    return Sandbox().fetch(opened[1])[0].kind


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_shows_what_is_paid_and_every_outcome(client: Any, opened: Any) -> None:
    page = client.get(path(opened)).text
    assert "₹13,848.00" in page
    assert "Test mode" in page
    for words in (
        "Approve",
        "one-time code",
        "Decline",
        "pending",
        "hold has expired",
        "twice",
        "Cancel",
    ):
        assert words in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_holds_nothing_that_needs_a_script(client: Any, opened: Any) -> None:
    page = client.get(path(opened)).text
    assert "<script" not in page
    assert "style=" not in page


def test_a_payment_approved_is_told_once_and_the_browser_goes_back(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    answer = choose(client, opened, "ok")
    assert answer.status_code == 303
    assert answer.location == opened[1].request.return_url
    run_jobs()
    (message,) = told(receiver)
    assert message.kind == "payment.captured"
    assert message.events[0].kind == EventKind.CAPTURED
    assert message.events[0].amount_minor == 1_384_800
    assert message.events[0].reference == opened[1].reference
    assert state(opened) == EventKind.CAPTURED


def test_a_decline_carries_its_reason(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "decline", reason="expired_card")
    run_jobs()
    (event,) = told(receiver)[0].events
    assert (event.kind, event.failure_code) == (EventKind.FAILED, "expired_card")
    assert event.failure_words == "The card has expired."
    assert state(opened) == EventKind.FAILED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_reason_that_is_not_offered_becomes_a_known_one(client: Any, opened: Any) -> None:
    choose(client, opened, "decline", reason="<b>x</b>")
    assert Sandbox().fetch(opened[1])[0].failure_code == "insufficient_funds"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_leaving_changes_nothing(client: Any, opened: Any, receiver: Any, run_jobs: Any) -> None:
    answer = choose(client, opened, "abandon")
    assert answer.location == opened[1].request.return_url + "&left=1"
    assert run_jobs() == 0
    assert receiver.taken == []
    assert state(opened) == EventKind.PENDING


def test_a_pending_payment_settles_by_webhook_after_a_minute(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "pending")
    run_jobs()
    assert receiver.taken == []
    assert state(opened) == EventKind.PENDING
    run_jobs(ahead=61)
    assert len(receiver.taken) == 1
    assert state(opened) == EventKind.CAPTURED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_pending_payment_that_was_closed_takes_no_money(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "pending")
    assert Sandbox().close(opened[1]).kind == EventKind.CANCELLED
    run_jobs(ahead=61)
    assert receiver.taken == []


def test_a_late_payment_comes_after_the_page_was_ended(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "late")
    run_jobs(ahead=9 * 60)
    assert receiver.taken == []
    assert Sandbox().close(opened[1]).kind == EventKind.CANCELLED
    run_jobs(ahead=12 * 60)
    assert state(opened) == EventKind.CAPTURED
    assert len(receiver.taken) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_closed_page_offers_to_pay_late(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    Sandbox().close(opened[1])
    page = client.get(path(opened)).text
    assert "This page is closed" in page
    assert 'value="ok"' not in page
    choose(client, opened, "pay_late")
    run_jobs()
    assert len(receiver.taken) == 1
    assert state(opened) == EventKind.CAPTURED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_page_past_its_time_is_closed(client: Any, opened: Any, turn_clock: Any) -> None:
    turn_clock(minutes=11)
    assert "This page is closed" in client.get(path(opened)).text
    assert state(opened) == EventKind.EXPIRED
    assert choose(client, opened, "ok").status_code == 422
    assert state(opened) == EventKind.EXPIRED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_same_webhook_comes_twice_when_asked_for(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "twice")
    run_jobs()
    first, second = told(receiver)
    assert first.event_id == second.event_id


def test_no_webhook_comes_when_asked_for_and_the_gateway_tells_when_asked(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    choose(client, opened, "no_webhook")
    assert run_jobs() == 0
    assert receiver.taken == []
    assert state(opened) == EventKind.CAPTURED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_webhook_comes_before_the_return_when_asked_for(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    waiting = choose(client, opened, "webhook_first")
    shown = client.get(waiting.location)
    assert "Confirming" in shown.text
    assert shown.headers["Refresh"] == f"1; url={waiting.location}?waited=1"
    run_jobs()
    assert len(receiver.taken) == 1
    assert client.get(waiting.location).location == opened[1].request.return_url


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nobody_waits_for_a_webhook_for_ever(client: Any, opened: Any) -> None:
    waiting = choose(client, opened, "webhook_first")
    assert client.get(waiting.location + "?waited=15").status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_one_time_code_must_be_right(client: Any, opened: Any) -> None:
    step = choose(client, opened, "code")
    assert 'autocomplete="one-time-code"' in step.text
    wrong = client.send(path(opened) + "/code", {"code": "000000"})
    assert wrong.status_code == 422
    assert "not the code" in wrong.text
    assert state(opened) == EventKind.PENDING
    right = client.send(path(opened) + "/code", {"code": "482913"})
    assert right.status_code == 303
    assert state(opened) == EventKind.CAPTURED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_outcome_is_asked_for_again(client: Any, opened: Any) -> None:
    assert choose(client, opened, "free").status_code == 422
    assert state(opened) == EventKind.PENDING


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_paid_payment_is_not_decided_again(client: Any, opened: Any) -> None:
    choose(client, opened, "ok")
    assert choose(client, opened, "decline").status_code == 409
    assert state(opened) == EventKind.CAPTURED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_next_attempt_names_the_last_failure(client: Any, opened: Any, wish: Any) -> None:
    choose(client, opened, "decline", reason="insufficient_funds")
    again = Sandbox().open(wish())
    page = client.get("/sandbox/pay/" + again.gateway_id).text
    assert "attempt 2" in page
    assert "insufficient funds" in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_form_without_its_token_changes_nothing(client: Any, opened: Any) -> None:
    assert client.post(path(opened), data={"outcome": "ok"}).status_code == 400
    assert state(opened) == EventKind.PENDING


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_page_is_not_there(client: Any, app: Any) -> None:
    assert client.get("/sandbox/pay/sbx_none").status_code == 404


def test_a_webhook_that_is_refused_is_sent_again(
    client: Any, opened: Any, receiver: Any, run_jobs: Any
) -> None:
    receiver.status = 503
    choose(client, opened, "ok")
    run_jobs()
    receiver.status = 200
    run_jobs(ahead=30)
    first, second = told(receiver)
    assert first.event_id == second.event_id
    assert run_jobs(ahead=3600) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_in_production_no_address_of_the_sandbox_exists(
    client: Any, app: Any, configure: Any
) -> None:
    configure(shop_env="production")
    for rule in app.url_map.iter_rules():
        if rule.endpoint.split(".")[0] in {"sandbox", "sandbox_api"}:
            values = dict.fromkeys(rule.arguments, "x")
            url = rule.build(values)[1]  # type: ignore[index]
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            assert client.open(url, method=method).status_code in {400, 404}
            assert client.get(url).status_code in {404, 405}
    assert client.get("/sandbox/").status_code == 404
    assert client.post("/sandbox/api/payments", json={}).status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_button_for_going_back_is_not_the_choice_above_it(client, opened):
    """A browser sends the radio's value, and then the button's own."""
    answer = client.send(path(opened), {"outcome": ["ok", "abandon"]})
    assert answer.status_code == 303
    assert state(opened) == EventKind.PENDING
