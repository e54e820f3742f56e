"""Mails that somebody asked for or agreed to: back in stock, a cart that was left; and low stock, to the owner."""

import re
from typing import Any

import pytest

from shop.accounts.models import User
from shop.cart.models import Cart
from shop.catalog.models import Product, Variant
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.messaging import cart_reminders, consents, stock_alerts
from shop.messaging.models import CartReminder, NotificationStatus, StockAlert
from shop.preferences import change
from shop.stock import ledger
from shop.stock.models import MovementReason
from tests import factories
from tests.checkout.shopping import put_in_cart

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

ASHA = "asha@shopper.example"
HOUR = 3_600


@pytest.fixture
def sold_out(shop) -> Variant:
    def make() -> int:
        return factories.make_product("Aurora rubber", stock=0).variants[0].id

    return db.session.get_one(Variant, shop.scene("sold out", make))


def receive(variant_id: int, units: int = 5) -> None:
    with transaction():
        ledger.receive(variant_id, units, "user:1")


def link_in(mail: Any, what: str) -> str:
    """The path of the link in the mail's text that leads there."""
    text = mail.get_body(("plain",)).get_content()
    found = re.search(rf"https?://[^/\s]+(/messages/{what}/\S+)", text)
    assert found, text
    return found[1]


# --- back in stock ----------------------------------------------------------------------------


def test_whoever_waits_is_told_once_when_it_is_back(
    app, client, sold_out, run_jobs, smtp_server, messages
):
    for _ in range(2):
        answer = client.post("/products/alerts", data={"variant_id": sold_out.id, "email": ASHA}, headers={"Origin": app.extensions["settings"].public_url})  # fmt: skip
        assert "once when it is back" in answer.text
    run_jobs()
    assert smtp_server.messages == []
    receive(sold_out.id)
    run_jobs()
    [mail] = smtp_server.messages
    assert mail["To"] == ASHA
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link_in(mail, "stop") in mail["List-Unsubscribe"]
    with transaction():
        ledger.move(sold_out.id, -5, MovementReason.WRITE_OFF, "user:1")
    receive(sold_out.id)
    run_jobs()
    assert len(smtp_server.messages) == 1
    assert messages("back_in_stock")[0].subject_kind == "stock_alert"


def test_it_is_told_when_a_hold_ends(app, run_jobs, smtp_server):
    product = factories.make_product("Aurora rubber", stock=1)
    order = factories.make_order(lines={product: 1}, email="other@shopper.example")
    with transaction():
        stock_alerts.ask_for(product.variants[0].id, ASHA, None, "en")
    run_jobs()
    smtp_server.clear()
    run_jobs(ahead=2 * HOUR)
    with transaction():
        enqueue("stock.expire_holds")
    run_jobs(ahead=2 * HOUR)
    assert order.id
    assert [mail["To"] for mail in smtp_server.messages if "back" in mail["Subject"]] == [ASHA]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_sold_out_again_before_the_mail_left_is_not_told(
    app, sold_out, run_jobs, smtp_server, messages
):
    with transaction():
        stock_alerts.ask_for(sold_out.id, ASHA, None, "en")
    with transaction():
        ledger.receive(sold_out.id, 5, "user:1")
        enqueue("messaging.tell", {"event": "back_in_stock", "stock_alert_id": db.session.scalar(db.select(StockAlert.id))})  # fmt: skip
        ledger.move(sold_out.id, -5, MovementReason.WRITE_OFF, "user:1")
    run_jobs()
    assert ASHA not in [mail["To"] for mail in smtp_server.messages]
    assert messages("back_in_stock")[0].status == NotificationStatus.SUPPRESSED


@sqlite_only
def test_one_click_in_the_mail_program_stops_all_alerts(
    app, client, sold_out, run_jobs, smtp_server
):
    other = factories.make_product("Other rubber", stock=0).variants[0]
    for variant in (sold_out, other):
        with transaction():
            stock_alerts.ask_for(variant.id, ASHA, None, "en")
    receive(sold_out.id)
    run_jobs()
    path = link_in(smtp_server.messages[0], "stop")
    answer = client.get(path)
    assert "Stop these emails" in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    states = db.select(StockAlert.state).order_by(StockAlert.id)
    assert list(db.session.scalars(states)) == ["told", "waiting"], "looking changes nothing"
    done = client.post(
        path,
        data={"List-Unsubscribe": "One-Click"},
        headers={"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert done.status_code == 200
    db.session.rollback()
    assert list(db.session.scalars(states)) == ["stopped", "stopped"]
    receive(other.id)
    run_jobs()
    assert len(smtp_server.messages) == 1


@pytest.mark.parametrize("token", ["x", "MQ.x", "1"])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_link_that_is_not_ours_opens_nothing(client, token):
    assert client.get(f"/messages/stop/{token}").status_code == 404
    assert client.get(f"/messages/cart/{token}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_form_stands_where_something_is_sold_out(app, client, sold_out):
    slug = db.session.get_one(Product, sold_out.product_id).slug
    page = client.get(f"/products/{slug}").text
    assert 'action="/products/alerts"' in page
    assert f'name="variant_id" value="{sold_out.id}"' in page
    answer = client.post("/products/alerts", data={"variant_id": sold_out.id, "email": "no"}, headers={"Origin": app.extensions["settings"].public_url})  # fmt: skip
    assert answer.status_code == 422
    assert "Enter an email like" in answer.text
    assert db.session.scalar(db.select(db.func.count(StockAlert.id))) == 0
    full = factories.make_product("Full").slug
    assert 'action="/products/alerts"' not in client.get(f"/products/{full}").text
    assert "Notify me when Halflong Aurora rubber is back" in client.get("/products").text


# --- low stock --------------------------------------------------------------------------------


def test_the_owner_hears_when_a_shelf_runs_low_once_a_day(app, run_jobs, smtp_server):
    variant_id = factories.make_product("Aurora rubber", stock=5).variants[0].id
    for delta in (-1, -1, -1, 2, -2):
        with transaction():
            ledger.move(variant_id, delta, MovementReason.ADJUST, "user:1")
    run_jobs()
    [mail] = smtp_server.messages
    assert mail["To"] == "owner@halflong.example"
    assert "Aurora rubber" in mail["Subject"]


def test_selling_runs_it_low_too(app, run_jobs, smtp_server):
    product = factories.make_product("Aurora rubber", stock=4)
    factories.make_order("paid", lines={product: 1})
    run_jobs(kinds="messaging.")
    low = [mail for mail in smtp_server.messages if mail["Subject"].startswith("Low stock")]
    assert len(low) == 1


# --- carts that were left ---------------------------------------------------------------------


def fill_cart(client: Any, product: Product, units: int = 2) -> None:
    put_in_cart(client, product, units)


def agree(client: Any, email: str = ASHA, remind: str = "1") -> Any:
    token = client.csrf_token()
    data = {"csrf_token": token, "email": email, "remind": remind}
    return client.post("/cart/reminder", data=data, headers={"Sec-Fetch-Site": "same-origin"})


def sweep(run_jobs: Any, hours: float) -> None:
    with transaction():
        enqueue("messaging.left_carts")
    run_jobs(ahead=hours * HOUR)


def test_a_cart_is_told_of_once_and_its_link_fills_another_browser(
    app, client, new_client, run_jobs, smtp_server
):
    fill_cart(client, factories.make_product("Aurora rubber"))
    assert agree(client).status_code == 303
    sweep(run_jobs, 1)
    assert smtp_server.messages == []
    sweep(run_jobs, 5)
    sweep(run_jobs, 6)
    [mail] = smtp_server.messages
    assert mail["To"] == ASHA
    assert "One-Click" in mail["List-Unsubscribe-Post"]
    assert "Aurora rubber" in mail.get_body(("plain",)).get_content()

    path, phone = link_in(mail, "cart"), new_client()
    assert "Open my cart" in phone.get(path).text
    assert "Aurora rubber" not in phone.get("/cart").text, "looking changes nothing"
    assert phone.post_form(path, {}, page=path).headers["Location"] == "/cart"
    assert "Aurora rubber" in phone.get("/cart").text
    phone.post_form(path, {}, page=path)
    assert 'value="2"' in phone.get("/cart").text, "twice brings no more of it"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_the_box_nobody_is_reminded(app, client, run_jobs, smtp_server):
    fill_cart(client, factories.make_product())
    agree(client, remind="")
    sweep(run_jobs, 5)
    assert smtp_server.messages == []


def test_unticking_takes_it_back(app, client, run_jobs, smtp_server):
    fill_cart(client, factories.make_product())
    agree(client)
    agree(client, remind="")
    sweep(run_jobs, 5)
    assert smtp_server.messages == []
    assert not consents.agreed("email", ASHA, "reminders")


@sqlite_only
def test_who_ordered_meanwhile_is_not_reminded(app, client, run_jobs, smtp_server, messages):
    fill_cart(client, factories.make_product())
    agree(client)
    factories.make_order(lines=1, email="Asha@shopper.example")
    sweep(run_jobs, 5)
    assert [row.status for row in messages("abandoned_cart")] == [NotificationStatus.SUPPRESSED]
    assert not any("cart" in mail["Subject"] for mail in smtp_server.messages)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_cart_that_somebody_is_at_is_let_be(app, client, run_jobs, smtp_server, turn_clock):
    product = factories.make_product()
    fill_cart(client, product)
    agree(client)
    turn_clock(hours=3)
    fill_cart(client, product, 1)
    sweep(run_jobs, 2)
    assert smtp_server.messages == []


@sqlite_only
def test_stopping_it_ends_reminders_of_later_carts(app, client, new_client, run_jobs, smtp_server):
    fill_cart(client, factories.make_product())
    agree(client)
    sweep(run_jobs, 5)
    client.post(link_in(smtp_server.messages[0], "stop"))
    assert not consents.agreed("email", ASHA, "reminders")
    assert consents.agreed("email", ASHA, "transactional"), "receipts still come"


def test_a_customer_who_switched_it_on_needs_no_box_and_alone_opens_the_cart(
    app, client, new_client, run_jobs, smtp_server
):
    person = factories.make_user(email=ASHA, email_confirmed_at=utcnow())
    with transaction():
        consents.grant("email", ASHA, "reminders", "account", person.id)
    factories.make_cart({factories.make_product("Aurora rubber"): 1}, user=person)
    sweep(run_jobs, 5)
    [mail] = smtp_server.messages
    path = link_in(mail, "cart")
    assert "/account/sign-in" in new_client().get(path).headers["Location"]
    factories.sign_in(client, person)
    assert client.get(path).status_code == 200


def test_a_forgotten_cart_takes_its_reminder_along(app, client, run_jobs):
    fill_cart(client, factories.make_product())
    agree(client)
    with transaction() as session:
        session.execute(db.delete(Cart))
    assert db.session.scalar(db.select(db.func.count(CartReminder.id))) == 0
    assert cart_reminders.of_cart(1) is None


def test_offers_by_telephone_go_to_accounts_that_agreed_to_them(
    app, configure, run_jobs, sold_out, messages
):
    configure(sms_channel="twilio", messages_dry_run=True)
    with transaction() as session:
        change("quiet_from", "")
        for number in ("+919812345678", "+919812345679"):
            person = User(
                email=f"{number[-4:]}@shopper.example", name="Asha", phone=number, password_hash="x"
            )
            session.add(person)
            session.flush()
            stock_alerts.ask_for(sold_out.id, person.email, person.id, "en")
        consents.grant("sms", "+919812345678", "marketing", "account")
    receive(sold_out.id)
    run_jobs()
    told = [row for row in messages("back_in_stock") if row.channel == "sms"]
    assert [(row.recipient, row.status) for row in told] == [
        ("+919812345678", NotificationStatus.SENT)
    ]
