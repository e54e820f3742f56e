"""GET /api/payments/verify/<reference>: it asks the gateway, and answers only those whose order it is."""

from typing import Any

import pytest

from shop.payments import attempts
from shop.payments.models import AttemptStatus, Payment
from tests.factories import make_order, make_user, sign_in
from tests.payments.scenes import Begun, Scene, placed, scene, seen_afresh

__all__ = ["placed", "scene"]

ONLINE = ["stripe", "razorpay", "paystack", "flutterwave", "swish"]
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def asked(client: Any, payment: Payment, token: str | None = None) -> Any:
    """What the address answers this browser."""
    query = f"?token={token}" if token is not None else ""
    return client.get(f"/api/payments/verify/{payment.reference}{query}")


@pytest.mark.parametrize("scene", ONLINE, indirect=True)
def test_whoever_holds_the_orders_token_is_told_how_the_payment_stands(
    scene: Scene, placed: Begun, client: Any
) -> None:
    order, payment = placed
    open_, link = asked(client, payment, order.token), f"/orders/{order.token}"
    assert open_.json == {
        "reference": payment.reference, "status": "open", "paid": False, "order": link,
    }  # fmt: skip
    scene.pay(payment)
    paid = asked(client, payment, order.token)
    assert (paid.status_code, paid.mimetype) == (200, "application/json")
    assert paid.json == {
        "reference": payment.reference, "status": "captured", "paid": True, "order": link,
    }  # fmt: skip
    seen_afresh(order, payment)
    assert (payment.status, bool(order.paid_at)) == (AttemptStatus.CAPTURED, True)


@pytest.mark.parametrize("scene", ONLINE, indirect=True)
def test_nobody_else_is_told_anything_and_the_gateway_is_not_asked(
    scene: Scene, placed: Begun, client: Any, new_client: Any
) -> None:
    _, payment = placed
    other, _ = scene.placed()
    stranger = new_client()
    sign_in(stranger, make_user())
    before = len(scene.server.requests)
    for browser in (client, stranger):
        for token in (None, "", "nonsense", other.token):
            assert asked(browser, payment, token).status_code == 404
    assert client.get(f"/api/payments/verify/NOBODY?token={other.token}").status_code == 404
    assert len(scene.server.requests) == before


@pytest.mark.parametrize("scene", ["stripe"], indirect=True)
def test_the_orders_owner_needs_no_token(scene: Scene, new_client: Any) -> None:
    owner = make_user()
    order = make_order(method=scene.key, lines={scene.product: 1}, user=owner)
    payment = attempts.latest(order.id)
    assert payment
    browser = new_client()
    sign_in(browser, owner)
    scene.pay(payment)
    answer = asked(browser, payment)
    assert (answer.status_code, answer.json["status"]) == (200, "captured")
    assert answer.json["order"] == f"/orders/{order.token}"


@pytest.mark.parametrize("scene", ["stripe"], indirect=True)
def test_a_gateway_that_is_silent_leaves_the_last_known_state(
    scene: Scene, placed: Begun, client: Any
) -> None:
    order, payment = placed
    scene.pay(payment)
    scene.server.fault("refuse", method="GET", path="/v1/checkout/sessions", status=503)
    answer = asked(client, payment, order.token)
    assert (answer.status_code, answer.json["status"], answer.json["paid"]) == (200, "open", False)
