"""An order's money by Swish, from the page with the code to the refund, with callbacks to the live shop."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, refunds
from shop.payments.gateways.swish import identifiers
from shop.payments.models import AttemptStatus, Payment, Refund, RefundStatus
from shop.stock.models import StockLevel
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.checkout.shopping import HTMX
from tests.factories import make_order
from tests.payments.scenes import Begun, copied, seen_afresh
from tests.payments.sides.swish import settings_for
from tests.simulators.swish import Swish

#: What a second database proves nothing more of.
ONE_ENGINE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
Jobs, Clock = Callable[..., int], Callable[..., None]
WAYS = ("sandbox", "stripe", "swish", "bank_transfer", "cod")


@pytest.fixture
def server(live: str, configure: Callable[..., None]) -> Iterator[Swish]:
    made = Swish()
    # As behind something that ends TLS: Swish calls back by https only.
    configure(
        default_currency="SEK", payment_gateways=WAYS, public_url=live.replace("http:", "https:"),
        **settings_for(made),
    )  # fmt: skip
    yield made
    made.stop()


@pytest.fixture
def placed(shop: Any, server: Swish) -> Begun:
    """An order whose page is open, and that payment; they are copied."""
    return copied(shop, server, "placed-by-swish", lambda: make_order(method="swish"))


@pytest.fixture
def paid(shop: Any, server: Swish, run_news: Jobs) -> Begun:
    """An order that was paid, and that payment; they are copied."""

    def make() -> Order:
        order = make_order(method="swish")
        server.pay(next(iter(server.payments)))
        run_news()
        return order

    return copied(shop, server, "paid-by-swish", make)


def run(kind: str, run_news: Jobs, **payload: Any) -> None:
    with transaction():
        enqueue(kind, payload)
    run_news()


def page_of(payment: Payment) -> str:
    return f"/pay/swish/{payment.reference}"


def stored() -> list[WebhookEvent]:
    return list(db.session.scalars(sa.select(WebhookEvent).order_by(WebhookEvent.id)))


def test_the_shopper_scans_and_the_page_goes_on(
    server: Swish, placed: Begun, client: Any, run_news: Jobs
) -> None:
    order, payment = placed
    assert payment.status == AttemptStatus.OPEN
    shown = client.get(page_of(payment))
    assert shown.status_code == 200
    assert 'aria-label="Code to scan with the Swish app"' in shown.text
    link = re.search(r'href="(swish://paymentrequest\?token=[^"]+)"', shown.text)
    assert link
    assert str(server.tokens[str(payment.gateway_id)]) in link[1]
    asked = client.get(page_of(payment), headers=HTMX)
    assert (asked.status_code, asked.headers.get("HX-Redirect")) == (200, None)
    server.pay(str(payment.gateway_id))
    assert set(server.answers) == {200}
    run_news()
    seen_afresh(order, payment)
    assert order.paid_at
    assert (payment.status, payment.captured_minor) == (AttemptStatus.CAPTURED, order.total_minor)
    assert (payment.method, payment.payer_phone) == ("swish", "+46701234768")
    after = client.get(page_of(payment), headers=HTMX)
    assert (after.status_code, after.headers["HX-Redirect"]) == (204, f"/orders/{order.token}")


@ONE_ENGINE
def test_the_page_is_drawn_again_only_when_something_changed(
    server: Swish, placed: Begun, client: Any, turn_clock: Clock
) -> None:
    _, payment = placed
    first = client.get(page_of(payment), headers=HTMX)
    tag = first.headers["ETag"]
    again = client.get(page_of(payment), headers={**HTMX, "If-None-Match": tag})
    assert again.status_code == 304
    assert 'hx-trigger="every 2s, holdended"' in first.text
    turn_clock(minutes=2, seconds=30)
    later = client.get(page_of(payment), headers={**HTMX, "If-None-Match": tag})
    assert 'hx-trigger="every 5s, holdended"' in later.text
    turn_clock(minutes=1)
    over = client.get(page_of(payment), headers=HTMX).text
    assert "The three minutes are over" in over
    assert "swish__code" not in over


@ONE_ENGINE
def test_a_hint_changes_nothing_until_swish_says_so(
    server: Swish, placed: Begun, run_news: Jobs
) -> None:
    """Vector 2 of the provider page: the message says PAID, Swish says CREATED."""
    order, payment = placed
    name = str(payment.gateway_id)
    server.delivers = False
    server.pay(name)
    server.payments[name].update(status="CREATED", paymentReference=None, datePaid=None)
    server.deliver()
    run_news()
    seen_afresh(order, payment)
    assert (order.paid_at, payment.status) == (None, AttemptStatus.OPEN)
    assert [event.status for event in stored()] == [WebhookStatus.PROCESSED]


@ONE_ENGINE
def test_less_than_was_asked_does_not_settle(server: Swish, placed: Begun, run_news: Jobs) -> None:
    """Vector 4: paid, but 1.00."""
    order, payment = placed
    server.pay(str(payment.gateway_id), "1.00")
    run_news()
    seen_afresh(order, payment)
    assert (order.paid_at, payment.captured_minor) == (None, 100)
    assert any("too little" in issue for issue in db.session.scalars(sa.select(Incident.issue)))


@ONE_ENGINE
def test_a_message_without_its_identifier_asks_nobody(
    server: Swish, placed: Begun, client: Any
) -> None:
    """Vector 3."""
    _, payment = placed
    name = str(payment.gateway_id)
    asked = len(server.seen("GET", "/"))
    for wrong in (None, f"{server.identifiers[name]}"[:-1] + "x", "0" * 36):
        server.identifiers[name] = wrong
        server.payments[name]["status"] = "CREATED"
        server.pay(name)
    assert set(server.answers) == {400}
    assert (stored(), len(server.seen("GET", "/"))) == ([], asked)


@ONE_ENGINE
def test_a_lost_callback_is_made_up_for_within_a_minute(
    server: Swish, placed: Begun, run_news: Jobs
) -> None:
    order, payment = placed
    server.delivers = False
    server.pay(str(payment.gateway_id))
    server.lose()
    run_news()
    seen_afresh(order)
    assert order.paid_at is None
    run_news(ahead=31)
    seen_afresh(order)
    assert order.paid_at


@ONE_ENGINE
def test_an_open_request_is_asked_about_every_half_minute_until_it_is_over(
    server: Swish, placed: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    _, payment = placed
    for asks in (1, 2, 3):
        turn_clock(seconds=31)
        run_news()
        seen_afresh(payment)
        assert payment.asks == asks
    server.delivers = False
    server.fail(str(payment.gateway_id), "TM01")
    turn_clock(seconds=31)
    run_news()
    seen_afresh(payment)
    assert (payment.status, payment.ask_at) == (AttemptStatus.EXPIRED, None)
    assert db.session.scalars(sa.select(Job).where(Job.kind == "payments.verify", Job.status == "queued")).all() == []  # fmt: skip


@ONE_ENGINE
def test_a_payment_that_did_not_come_about_says_why_and_can_be_tried_again(
    server: Swish, placed: Begun, client: Any, run_news: Jobs
) -> None:
    order, payment = placed
    ways = f"/orders/{order.token}/pay"
    for end, status, words in (
        ("declined", AttemptStatus.CANCELLED, "You said no to the payment in the Swish app"),
        ("BANKIDCL", AttemptStatus.CANCELLED, "The payment was cancelled in BankID"),
        ("TM01", AttemptStatus.EXPIRED, "The payment was not approved in time"),
        ("RF07", AttemptStatus.FAILED, "Your bank declined the payment"),
    ):
        name = str(payment.gateway_id)
        _ = server.decline(name) if end == "declined" else server.fail(name, end)
        run_news()
        seen_afresh(order, payment)
        assert (order.status, payment.status) == (OrderStatus.PAYMENT_FAILED, status), end
        assert client.get(page_of(payment)).headers["Location"] == ways, end
        assert words in client.get(ways).text
        again = client.send(ways, {"method": "swish"}).headers["Location"]
        payment = attempts.latest(order.id) or payment
        seen_afresh(order)
        assert (again, order.status) == (page_of(payment), OrderStatus.PENDING_PAYMENT), end
    assert len(server.payments) == 5


@ONE_ENGINE
def test_whoever_pays_again_goes_back_to_the_open_page(
    server: Swish, placed: Begun, client: Any
) -> None:
    order, payment = placed
    ways = f"/orders/{order.token}/pay"
    assert "Continue with Swish" in client.get(ways).text
    assert client.send(ways, {"method": "swish"}).headers["Location"] == page_of(payment)
    assert len(server.payments) == 1


@ONE_ENGINE
def test_a_new_code_after_the_time_is_over_ends_the_old_one(
    server: Swish, placed: Begun, client: Any, run_news: Jobs, turn_clock: Clock
) -> None:
    order, payment = placed
    turn_clock(minutes=3, seconds=5)
    again = client.send(f"/orders/{order.token}/pay", {"method": "swish"})
    assert again.status_code == 303
    run_news()
    seen_afresh(order, payment)
    assert payment.status == AttemptStatus.SUPERSEDED
    old, new = server.payments.values()
    assert (old["status"], new["status"]) == ("CANCELLED", "CREATED")
    server.pay(new["id"])
    run_news()
    seen_afresh(order)
    assert order.paid_at


@ONE_ENGINE
def test_checking_again_asks_swish_and_stays_while_nothing_came(
    server: Swish, placed: Begun, client: Any
) -> None:
    order, payment = placed
    back = f"/pay/swish/return?reference={payment.reference}&stay=1"
    assert client.get(back).headers["Location"] == page_of(payment)
    server.delivers = False
    server.pay(str(payment.gateway_id))
    assert client.get(back).headers["Location"] == f"/orders/{order.token}"
    seen_afresh(order)
    assert order.paid_at


@ONE_ENGINE
def test_the_page_tells_its_address_to_nobody_and_no_other_address_shows_it(
    server: Swish, placed: Begun, client: Any
) -> None:
    _, payment = placed
    reference = payment.reference
    for way, name in (("swish", "NOSUCHREFERENCE"), ("stripe", reference), ("nobody", reference)):
        assert client.get(f"/pay/{way}/{name}").status_code == 404, way
    headers = client.get(page_of(payment)).headers
    assert (headers["Referrer-Policy"], headers["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert headers["Cache-Control"] == "no-store"


@ONE_ENGINE
def test_when_not_even_swish_knows_nobody_pays_again_until_it_does(
    server: Swish, placed: Begun, client: Any, run_news: Jobs, turn_clock: Clock
) -> None:
    order, payment = placed
    server.fail(str(payment.gateway_id), "DS24")
    run_news()
    seen_afresh(order, payment)
    assert payment.status == AttemptStatus.UNKNOWN
    assert any("does not know" in issue for issue in db.session.scalars(sa.select(Incident.issue)))
    assert "Do not pay again" in client.get(f"/orders/{order.token}/pay").text
    refused = client.send(f"/orders/{order.token}/pay", {"method": "swish"})
    assert refused.status_code in {409, 422}
    assert len(server.payments) == 1
    # The hold ends: what may have been paid is not sold to somebody else at once.
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 2
    server.learn(str(payment.gateway_id))
    run_news()
    seen_afresh(order)
    assert order.paid_at


@ONE_ENGINE
def test_a_doubt_that_swish_never_ends_ends_after_three_days(
    server: Swish, placed: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    _, payment = placed
    server.fail(str(payment.gateway_id), "DS24")
    run_news()
    turn_clock(hours=71, minutes=10)
    run("payments.verify", run_news, payment_id=payment.id)
    seen_afresh(payment)
    assert (payment.status, payment.failure_code) == (AttemptStatus.FAILED, "DS24")


@ONE_ENGINE
@pytest.mark.usefixtures("money_alone")
def test_an_opening_that_timed_out_is_found_and_a_new_code_replaces_it(
    server: Swish, client: Any, run_news: Jobs, turn_clock: Clock
) -> None:
    """The token came with the answer that was lost, so the first request has no page."""
    server.fault("fail_after", method="PUT", path="/swish-cpcapi/api/v2/paymentrequests")
    order = make_order(method="swish")
    payment = attempts.latest(order.id)
    assert payment
    assert (payment.status, payment.gateway_id) == (AttemptStatus.UNKNOWN, None)
    turn_clock(minutes=1)
    run("payments.ask_due", run_news)
    seen_afresh(payment)
    assert (payment.status, payment.next_step) == (AttemptStatus.OPEN, {})
    assert [payment.gateway_id] == list(server.payments)
    again = client.send(f"/orders/{order.token}/pay", {"method": "swish"})
    run_news()
    assert client.get(again.headers["Location"]).status_code == 200
    assert [one["status"] for one in server.payments.values()] == ["CANCELLED", "CREATED"]


@ONE_ENGINE
def test_when_the_hold_ends_the_request_is_cancelled_first(
    server: Swish, placed: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    order, payment = placed
    turn_clock(minutes=11)
    run("stock.expire_holds", run_news)
    seen_afresh(order, payment)
    assert server.payments[str(payment.gateway_id)]["status"] == "CANCELLED"
    assert payment.status == AttemptStatus.CANCELLED
    assert order.status == OrderStatus.PAYMENT_FAILED
    assert sum(level.reserved for level in db.session.scalars(sa.select(StockLevel))) == 0


def test_a_refund_goes_out_once_and_only_its_arrival_counts(
    server: Swish, paid: Begun, run_news: Jobs
) -> None:
    order, payment = paid
    server.settles_refunds = False
    server.fault("fail_after", method="PUT", path="/swish-cpcapi/api/v2/refunds")
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    run_news(ahead=60)
    (refund,) = db.session.scalars(sa.select(Refund))
    (name,) = server.refunds
    assert (refund.status, refund.gateway_id) == (RefundStatus.SENT, name)
    server.debit(name)
    run_news()
    seen_afresh(refund)
    assert refund.status == RefundStatus.SENT
    server.settle(name)
    run_news()
    seen_afresh(order, payment, refund)
    assert refund.status == RefundStatus.SUCCEEDED
    assert (payment.refund_held_minor, payment.refunded_minor) == (10_000, 10_000)
    assert server.refunds[name]["amount"] == "100.00"


@ONE_ENGINE
def test_a_refund_whose_news_was_lost_is_asked_for_by_its_key(
    server: Swish, paid: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    _, payment = paid
    server.delivers = False
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    server.lose()
    turn_clock(minutes=16)
    run("payments.ask_refunds", run_news)
    (refund,) = db.session.scalars(sa.select(Refund))
    assert refund.status == RefundStatus.SUCCEEDED


@ONE_ENGINE
def test_a_refund_that_failed_gives_its_hold_back(
    server: Swish, paid: Begun, run_news: Jobs
) -> None:
    _, payment = paid
    server.settles_refunds = False
    with transaction():
        refunds.request_refund(payment.id, 10_000, [], "scratched", "user:1")
    run_news()
    (name,) = server.refunds
    server.fail_refund(name, "RF07")
    run_news()
    (refund,) = db.session.scalars(sa.select(Refund))
    seen_afresh(payment)
    assert (refund.status, payment.refund_held_minor) == (RefundStatus.FAILED, 0)
    assert refund.failure_words == "Swish: the transaction was declined (RF07)"


def test_without_lists_the_daily_comparison_asks_about_each_attempt(
    server: Swish, placed: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    """A payment that we took for over, and that Swish shows as paid."""
    order, payment = placed
    name = str(payment.gateway_id)
    server.fail(name, "TM01")
    run_news()
    seen_afresh(payment)
    assert payment.status == AttemptStatus.EXPIRED
    server.delivers = False
    server.learn(name)
    turn_clock(hours=2)
    run("payments.reconcile", run_news, days=1)
    seen_afresh(order, payment)
    assert payment.status == AttemptStatus.CAPTURED
    assert order.paid_at


@ONE_ENGINE
@pytest.mark.forces("unknown_money")
def test_money_that_names_no_order_of_ours_is_reported(
    server: Swish, placed: Begun, run_news: Jobs, turn_clock: Clock
) -> None:
    """Vector 5: stored, kept for ten minutes in case our own commit is behind, then told to a person."""
    _, payment = placed
    name = str(payment.gateway_id)
    other = dict(server.payments[name], id="F" * 32, payeePaymentReference="SOMEBODYELSES")
    server.payments["F" * 32] = other
    server.identifiers["F" * 32] = identifiers("F" * 32)[0]
    server.pay("F" * 32)
    run_news()
    assert [event.status for event in stored()] == [WebhookStatus.RECEIVED]
    run_news(ahead=700)
    issues = db.session.scalars(sa.select(Incident.issue)).all()
    assert any("names no order of ours" in issue for issue in issues)
