"""An order's money by Razorpay's window over a page of the shop."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts
from shop.payments.models import AttemptStatus, Payment, PaymentEvent
from tests.checkout.shopping import HTMX, open_form, put_in_cart, send
from tests.factories import make_order, make_product
from tests.payments.sides.razorpay import RAZORPAY_SECRETS
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, WEBHOOK_SECRET, Razorpay

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
WAYS = ("sandbox", "razorpay", "bank_transfer", "cod")


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Razorpay]:
    made = Razorpay()
    configure(
        razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET, razorpay_api_base=made.url,
        razorpay_webhook_secret=RAZORPAY_SECRETS, payment_gateways=WAYS,
    )  # fmt: skip
    made.endpoints.append((f"{live}/webhooks/razorpay", WEBHOOK_SECRET))
    yield made
    made.stop()


@pytest.fixture
def by_script(server: Razorpay, configure: Callable[..., None]) -> Razorpay:
    configure(razorpay_checkout="checkout_js")
    return server


def latest(order: Order) -> Payment:
    payment = attempts.latest(order.id)
    assert payment
    return payment


def placed() -> tuple[Order, Payment]:
    order = make_order(method="razorpay", lines={make_product(stock=3): 1})
    return order, latest(order)


def seen_afresh(*rows: Any) -> None:
    db.session.rollback()
    for row in rows:
        db.session.refresh(row)


def run(kind: str, run_news: Callable[..., int]) -> None:
    with transaction():
        enqueue(kind)
    run_news()


def issues() -> list[str]:
    return list(db.session.scalars(sa.select(Incident.issue)))


def page_of(payment: Payment) -> str:
    return f"/pay/razorpay/{payment.reference}"


def policy_of(answer: Any) -> dict[str, str]:
    directives = answer.headers["Content-Security-Policy"].split("; ")
    return dict(one.partition(" ")[::2] for one in directives)


def test_from_the_checkout_by_the_window_to_a_paid_order(
    by_script: Razorpay, client: Any, run_news: Callable[..., int]
) -> None:
    put_in_cart(client, make_product(price=129_900))
    answer = send(client, open_form(client), method="razorpay")
    page = client.get(answer.headers["Location"])
    assert page.status_code == 200, page.headers
    told = dict(re.findall(r'data-([a-z]+)="([^"]*)"', page.text))
    order = db.session.scalars(sa.select(Order)).one()
    order_id = str(latest(order).gateway_id)
    assert (told["key"], told["order"]) == (KEY_ID, order_id)
    assert (told["amount"], told["currency"]) == (str(order.total_minor), "INR")
    by_script.delivers = False
    handed = by_script.handed_over(order_id, by_script.pay(order_id))
    back = {"reference": latest(order).reference, **handed}
    shown = client.post("/pay/razorpay/return", data=back)
    assert (shown.status_code, shown.headers["Location"]) == (303, f"/orders/{order.token}")
    seen_afresh(order)
    assert order.paid_at
    gone_on = client.get(answer.headers["Location"])
    assert (gone_on.status_code, gone_on.headers["Location"]) == (303, f"/orders/{order.token}")
    by_script.deliver()
    run_news()
    assert db.session.scalars(sa.select(PaymentEvent.changed)).all().count("captured") == 1


def test_what_the_window_hands_over_is_a_hint_only(by_script: Razorpay, client: Any) -> None:
    order, payment = placed()
    handed = by_script.handed_over(str(payment.gateway_id), "pay_madeUp")
    for signature in (handed["razorpay_signature"], "0" * 64):
        back = {**handed, "reference": payment.reference, "razorpay_signature": signature}
        assert client.post("/pay/razorpay/return", data=back).status_code == 303
        seen_afresh(order)
        assert order.paid_at is None


def test_only_the_pay_page_lets_the_script_in(by_script: Razorpay, client: Any) -> None:
    order, payment = placed()
    page = client.get(page_of(payment))
    policy, url = policy_of(page), by_script.url
    assert policy["script-src"] == f"'self' {url}"
    assert (policy["frame-src"], policy["connect-src"]) == (url, f"'self' {url}")
    assert (policy["default-src"], policy["style-src"]) == ("'none'", "'self'")
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    for other in (f"/orders/{order.token}", f"/orders/{order.token}/pay", "/"):
        strict = client.get(other)
        assert policy_of(strict)["script-src"] == "'self'"
        assert "frame-src" not in policy_of(strict)
        assert strict.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_part_of_the_page_is_drawn_again_without_its_scripts(
    by_script: Razorpay, client: Any, turn_clock: Callable[..., None]
) -> None:
    _, payment = placed()
    part = client.get(page_of(payment), headers=HTMX)
    assert 'id="razorpay-open"' in part.text
    assert "<script" not in part.text
    turn_clock(minutes=11)
    over = client.get(page_of(payment), headers=HTMX)
    assert "time to pay is over" in over.text
    assert 'id="razorpay-open"' not in over.text


def test_an_order_that_stays_payable_is_watched_after_the_hold(
    by_script: Razorpay, run_news: Callable[..., int], turn_clock: Callable[..., None]
) -> None:
    order, payment = placed()
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    seen_afresh(order, payment)
    assert (payment.status, order.status) == (AttemptStatus.EXPIRED, OrderStatus.PAYMENT_FAILED)
    by_script.delivers = False
    by_script.pay(str(payment.gateway_id))
    turn_clock(minutes=9)
    run("payments.ask_due", run_news)
    seen_afresh(order, payment)
    assert order.paid_at
    assert payment.status == AttemptStatus.CAPTURED
    assert any("the stock was taken again" in issue for issue in issues())


def test_the_stand_ins_window_pays_for_a_person(by_script: Razorpay) -> None:
    _, payment = placed()
    window = f"{by_script.url}/checkout/{payment.gateway_id}?key={KEY_ID}"
    assert 'value="pay"' in requests.get(window, timeout=5).text
    assert "dismissed" in requests.post(window, data={"choice": "abandon"}, timeout=5).text
    assert "razorpay_signature" in requests.post(window, data={"choice": "pay"}, timeout=5).text
    script = requests.get(f"{by_script.url}/v1/checkout.js", timeout=5)
    assert "window.Razorpay" in script.text
