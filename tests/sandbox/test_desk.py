"""The desk: what the pretend gateway's own people do."""

from typing import Any

import pytest

from shop.payments.gateways.base import EventKind
from shop.payments.gateways.sandbox import Sandbox


@pytest.fixture
def paid(client: Any, opened: Any) -> Any:
    client.send("/sandbox/pay/" + opened[0].gateway_id, {"outcome": "no_webhook"})
    return opened


def act(client: Any, opened: Any, action: str) -> Any:
    url = f"/sandbox/payments/{opened[0].gateway_id}/{action}"
    return client.send(url)


def test_an_open_payment_is_settled_by_hand(client: Any, opened: Any) -> None:
    assert "Pay now" in client.get("/sandbox/").text
    act(client, opened, "settle")
    assert Sandbox().fetch(opened[1])[0].kind == EventKind.CAPTURED


def test_a_refund_from_the_gateways_side_is_told(
    client: Any, paid: Any, receiver: Any, run_jobs: Any
) -> None:
    act(client, paid, "refund")
    run_jobs()
    (message,) = [Sandbox().parse(body) for body, _ in receiver.taken]
    (event,) = message.events
    assert (event.kind, event.amount_minor) == (EventKind.REFUND_SUCCEEDED, 1_384_800)
    assert "Refund from here" not in client.get("/sandbox/").text


@pytest.mark.parametrize(
    ("action", "kind"), [("win", EventKind.DISPUTE_WON), ("lose", EventKind.DISPUTE_LOST)]
)
def test_a_dispute_is_opened_and_decided(
    client: Any, paid: Any, receiver: Any, run_jobs: Any, action: str, kind: EventKind
) -> None:
    act(client, paid, "dispute")
    act(client, paid, action)
    run_jobs()
    events = [Sandbox().parse(body).events[0] for body, _ in receiver.taken]
    assert [event.kind for event in events] == [EventKind.DISPUTE_OPENED, kind]
    assert events[0].evidence_due_at
    assert events[0].dispute_gateway_id == events[1].dispute_gateway_id


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_was_not_paid_cannot_be_disputed(client: Any, opened: Any) -> None:
    assert act(client, opened, "dispute").status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_desk_is_for_development_only(client: Any, app: Any, configure: Any) -> None:
    configure(shop_env="staging")
    assert client.get("/sandbox/").status_code == 404
