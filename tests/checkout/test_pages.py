"""The checkout's page: one form, whole without JavaScript, judged by the server alone."""

import re

import pytest
import sqlalchemy as sa

from shop.accounts import address_book
from shop.accounts.addresses import COUNTRIES
from shop.cart.models import CartLine
from shop.catalog.models import VariantPrice
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.limits import count_try
from shop.orders.models import Order, OrderStatus
from shop.payments.models import Payment
from shop.stock.models import StockLevel
from tests.checkout.shopping import (
    ADDRESS,
    HTMX,
    buy,
    hidden_fields,
    open_form,
    put_in_cart,
    send,
    sign_in,
)
from tests.factories import bring, make_product, make_user

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
MISTAKES = (
    ("email", "meera", "Enter an email like name@example.com"),
    ("email", "", "Enter your email"),
    ("tel", "123", "Enter a mobile number with 10 digits"),
    ("name", " ", "Enter the name on the door or letterbox"),
    ("postal_code", "5600", "Enter all 6 digits, like 560034"),
    ("city", "", "Enter the city"),
    ("state", "", "Choose the state"),
    ("address_line1", "", "Enter your street and house number"),
)


def orders_in_all() -> int:
    return db.session.scalar(sa.select(sa.func.count(Order.id)))


def only_order() -> Order:
    return db.session.scalars(sa.select(Order)).one()


def test_a_guest_buys_without_javascript(client):
    put_in_cart(client, make_product(price=49_900), 2)
    answer = send(client, open_form(client))
    assert answer.status_code == 303
    assert "/sandbox/pay/" in answer.headers["Location"]
    order = only_order()
    assert order.email == "meera@shopper.example"
    assert order.phone == "+919840012345"
    assert order.total_minor == 2 * 49_900 + order.shipping_minor
    assert order.shipping_address["city"] == "Bengaluru"
    assert order.billing_address == order.shipping_address
    assert order.user_id is None
    page = client.get(f"/orders/{order.token}").text
    assert "Bengaluru" in page
    assert "3rd Cross" not in page, "not even in the browser that ordered"


@ONLY_SQLITE
def test_to_htmx_the_way_out_is_a_header_and_no_page(client, in_cart):
    answer = send(client, open_form(client), htmx=True)
    assert answer.status_code == 204
    assert "/sandbox/pay/" in answer.headers["HX-Redirect"]


@ONLY_SQLITE
@pytest.mark.parametrize("method", ["bank_transfer", "cod"])
def test_a_way_to_pay_without_a_provider_leads_to_the_orders_own_page(client, method, in_cart):
    fields = hidden_fields(_preview(client, open_form(client), method=method).text)
    answer = send(client, fields, method=method)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"/orders/{only_order().token}")


def _preview(client, fields, *, htmx=False, **more):
    headers = {"Sec-Fetch-Site": "same-origin", **(HTMX if htmx else {})}
    data = {**ADDRESS, "rate": "standard", "method": "sandbox", **fields, **more}
    return client.post("/checkout/preview", data=data, headers=headers)


@ONLY_SQLITE
@pytest.mark.parametrize("htmx", [False, True])
def test_each_mistake_is_said_at_its_field_and_at_the_top_and_nothing_typed_is_lost(
    client, htmx, in_cart
):
    form = {**open_form(client), "landmark": "by the lake"}
    for field, typed, words in MISTAKES:
        answer = send(client, {**form, field: typed}, htmx=htmx)
        assert answer.status_code == 422, field
        assert "<title>Error: Checkout" in answer.text
        assert f'<a href="#{field}">{words}</a>' in answer.text
        assert re.search(rf'id="{field}-error">.*?{re.escape(words)}', answer.text, re.DOTALL)
        control = re.search(rf'<(?:input|select)[^>]*id="{field}"[^>]*>', answer.text)
        assert 'aria-invalid="true"' in control[0], field
        for name, value in {**ADDRESS, "landmark": "by the lake", field: typed}.items():
            if value.strip() and name not in {"country", "state", "billing_same"}:
                assert f'value="{value}"' in answer.text, (field, name)
        assert ("<!doctype html>" in answer.text.lower()) is not htmx
    assert orders_in_all() == 0


@ONLY_SQLITE
def test_an_unknown_way_to_pay_is_refused_with_words(client, in_cart):
    answer = send(client, open_form(client), method="gold")
    assert answer.status_code == 422
    assert "Choose how you want to pay" in answer.text
    answer = send(client, open_form(client), method="")
    assert '<a href="#method">Choose how you want to pay</a>' in answer.text
    assert orders_in_all() == 0


def test_the_same_form_sent_twice_makes_one_order_and_gets_one_answer(client, in_cart):
    fields = open_form(client)
    first, second = send(client, fields), send(client, fields)
    assert first.headers["Location"] == second.headers["Location"]
    assert orders_in_all() == 1
    assert db.session.scalar(sa.select(sa.func.count(Payment.id))) == 1


@ONLY_SQLITE
def test_a_second_tab_is_led_to_the_order_of_the_first(client, in_cart):
    first, second = open_form(client), open_form(client)
    assert first["idempotency_key"] != second["idempotency_key"]
    send(client, first)
    answer = send(client, second)
    assert answer.headers["Location"].endswith(f"/orders/{only_order().token}/pay")
    assert orders_in_all() == 1


@ONLY_SQLITE
@pytest.mark.parametrize("htmx", [False, True])
def test_a_price_that_moved_stops_and_the_button_carries_the_new_total(client, htmx, in_cart):
    fields = open_form(client)
    with transaction():
        db.session.execute(sa.update(VariantPrice).values(amount_minor=39_900))
    answer = send(client, fields, htmx=htmx)
    assert answer.status_code == 409
    assert "₹499.00 to ₹399.00" in answer.text
    assert "Nothing was charged" in answer.text
    assert orders_in_all() == 0
    again = hidden_fields(answer.text)
    assert again["idempotency_key"] != fields["idempotency_key"]
    if not htmx:
        assert 'value="Meera Nair"' in answer.text
    assert send(client, {**again, "csrf_token": fields["csrf_token"]}).status_code == 303
    assert only_order().subtotal_minor == 39_900


def test_what_sold_out_is_said_with_what_is_left_and_one_more_press_buys_that(client):
    ball = make_product("Ball", stock=3)
    put_in_cart(client, ball, 3)
    fields = open_form(client)
    with transaction():
        db.session.execute(sa.update(StockLevel).values(reserved=StockLevel.on_hand - 1))
    answer = send(client, fields)
    assert answer.status_code == 409
    assert "Only 1 of Halflong Ball left. We took 2 off your order." in answer.text
    assert db.session.scalars(sa.select(CartLine.quantity)).one() == 1
    with transaction():
        db.session.execute(sa.update(StockLevel).values(reserved=0))
    assert send(client, hidden_fields(answer.text)).status_code == 303
    assert only_order().lines[0].quantity == 1


@ONLY_SQLITE
def test_when_nothing_is_left_the_cart_says_so(client):
    ball = make_product("Ball", stock=1)
    put_in_cart(client, ball)
    fields = open_form(client)
    with transaction():
        db.session.execute(sa.update(StockLevel).values(reserved=1))
    answer = send(client, fields)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/cart")
    assert "Someone bought the last Halflong Ball" in client.get("/cart").text
    with transaction():
        db.session.execute(sa.update(StockLevel).values(reserved=0))


@ONLY_SQLITE
def test_a_total_made_up_in_the_form_buys_nothing(client, in_cart):
    fields = open_form(client)
    for typed in ("1", "0", "-1", "1e3", "٤٩٩٠٠", "", "9" * 30):
        assert send(client, fields, quoted_total=typed).status_code == 409, typed
    assert orders_in_all() == 0


@ONLY_SQLITE
def test_s17_fields_that_are_not_the_forms_change_nothing(client, in_cart):
    other = make_user()
    answer = send(
        client, open_form(client), price="1", total="1", currency="JPY", discount="49900", shipping_minor="0",
        status="paid", user_id=str(other.id), cart_id="1", unit_price_minor="1",
    )  # fmt: skip
    assert answer.status_code == 303
    order = only_order()
    assert (order.subtotal_minor, order.currency, order.user_id) == (49_900, "INR", None)
    assert order.status == OrderStatus.PENDING_PAYMENT


@ONLY_SQLITE
def test_s18_a_field_given_twice_is_refused(client, in_cart):
    fields = {**ADDRESS, "rate": "standard", **open_form(client)}
    body = [*fields.items(), ("method", "sandbox"), ("method", "cod")]
    from werkzeug.datastructures import MultiDict

    answer = client.post(
        "/checkout", data=MultiDict(body), headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 400
    assert orders_in_all() == 0


@ONLY_SQLITE
def test_a_form_without_its_token_or_key_is_refused(client, in_cart):
    fields = open_form(client)
    assert send(client, {**fields, "csrf_token": ""}).status_code == 400
    assert send(client, {**fields, "idempotency_key": "x"}).status_code == 400
    assert orders_in_all() == 0


@ONLY_SQLITE
def test_an_empty_cart_leads_to_the_cart_with_a_word(client):
    answer = client.get("/checkout")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/cart")
    assert "Your cart is empty. Put something in it to check out." in client.get("/cart").text


@ONLY_SQLITE
def test_back_from_the_gateway_leads_to_the_unpaid_order_and_later_to_the_paid_one(client, in_cart):
    token = buy(client)
    assert client.get("/checkout").headers["Location"].endswith(f"/orders/{token}/pay")
    bring(only_order(), OrderStatus.PAID)
    assert client.get("/checkout").headers["Location"].endswith(f"/orders/{token}")


@ONLY_SQLITE
def test_anothers_browser_is_not_led_to_the_order(client, new_client, in_cart):
    buy(client)
    stranger = new_client()
    assert stranger.get("/checkout").headers["Location"].endswith("/cart")


@ONLY_SQLITE
def test_the_page_is_not_kept_and_its_forms_may_lead_to_the_gateways_switched_on(
    client, configure, in_cart
):
    page = client.get("/checkout")
    assert page.headers["Cache-Control"] == "no-store"
    assert "HX-Request" in page.headers["Vary"]
    assert "form-action 'self';" in page.headers["Content-Security-Policy"]
    configure(payment_gateways=("sandbox", "stripe"))
    policy = client.get("/checkout").headers["Content-Security-Policy"]
    assert "form-action 'self' https://checkout.stripe.com;" in policy
    assert "form-action 'self';" in client.get("/cart").headers["Content-Security-Policy"]


@ONLY_SQLITE
def test_the_button_names_amount_and_provider(client, in_cart):
    fields = open_form(client)
    for method, words in (
        ("sandbox", "Pay ₹598.00 with Sandbox"),
        ("bank_transfer", "Place order, pay ₹598.00 by bank transfer"),
        ("cod", "Place order, pay ₹647.00 on delivery"),
    ):
        assert words in _preview(client, fields, method=method).text


@ONLY_SQLITE
def test_choices_made_are_drawn_anew_out_of_band_and_nothing_is_written(client, sql_count, in_cart):
    fields = open_form(client)
    with sql_count() as told:
        answer = _preview(client, fields, htmx=True, rate="express")
    for part in ("rates", "methods", "hold", "summary", "pay-part"):
        assert re.search(rf'id="{part}"[^>]*hx-swap-oob="true"', answer.text), part
    assert 'id="address"' not in answer.text
    assert "Pay ₹748.00 with Sandbox" in answer.text
    assert not [line for line in told if not line.lstrip().upper().startswith("SELECT")]


@ONLY_SQLITE
def test_another_country_asks_for_other_fields_and_keeps_what_was_typed(client, in_cart):
    answer = _preview(client, open_form(client), htmx=True, country="SE", method="cod")
    assert re.search(r'id="address"[^>]*hx-swap-oob="true"', answer.text)
    assert ">Postcode<" in answer.text
    assert 'value="14, 3rd Cross"' in answer.text
    assert "Only for deliveries in India." in answer.text
    assert "That way to pay does not fit here, so we chose another." in answer.text


@ONLY_SQLITE
def test_without_javascript_the_update_button_does_the_same(client, in_cart):
    answer = send(client, open_form(client), update="1", country="SE")
    assert answer.status_code == 200
    assert "<!doctype html>" in answer.text.lower()
    assert ">Postcode<" in answer.text
    assert 'value="Meera Nair"' in answer.text
    assert orders_in_all() == 0


@ONLY_SQLITE
@pytest.mark.parametrize("country", COUNTRIES)
def test_each_country_can_be_delivered_to(client, country, in_cart):
    from tests.accounts.test_addresses import GOOD

    fields = {"state": "", **open_form(client), **GOOD[country], "country": country}
    assert send(client, fields).status_code == 303
    assert only_order().shipping_address["country"] == country


@ONLY_SQLITE
def test_a_bill_may_go_elsewhere(client, in_cart):
    fields = {
        **open_form(client), "billing_same": "", "billing_country": "SE", "billing_name": "Bolaget AB",
        "billing_postal_code": "11122", "billing_city": "Stockholm", "billing_address_line1": "Drottninggatan 1",
    }  # fmt: skip
    wrong = send(client, {**fields, "billing_postal_code": "1"})
    assert wrong.status_code == 422
    assert '<a href="#billing_postal_code">Enter all 5 digits, like 111 22</a>' in wrong.text
    assert send(client, fields).status_code == 303
    order = only_order()
    assert order.billing_address["recipient"] == "Bolaget AB"
    assert order.shipping_address["recipient"] == "Meera Nair"


@ONLY_SQLITE
def test_a_field_is_looked_at_by_itself(client, in_cart):
    form = {**ADDRESS, "csrf_token": open_form(client)["csrf_token"]}

    def looked_at(name, value):
        return client.post(
            f"/checkout/validate/{name}", data={**form, name: value},
            headers={"Sec-Fetch-Site": "same-origin", **HTMX},
        ).text  # fmt: skip

    for name in ("email", "tel", "name", "postal_code", "city", "state", "address_line1"):
        assert "field__error" not in looked_at(name, ADDRESS[name]), name
        assert "field__error" not in looked_at(name, ""), name
    for name in ("email", "tel", "postal_code", "state"):
        assert "field__error" in looked_at(name, "?"), name
    for name in ("email", "tel", "postal_code"):
        assert "data-valid" in looked_at(name, ADDRESS[name]), name
        assert "data-valid" not in looked_at(name, "?"), name


@ONLY_SQLITE
def test_a_slip_in_an_email_is_offered_its_right_form(client, in_cart):
    form = {**ADDRESS, **open_form(client), "email": "meera@gmial.com"}
    headers = {"Sec-Fetch-Site": "same-origin", **HTMX}
    answer = client.post("/checkout/validate/email", data=form, headers=headers).text
    assert "Did you mean" in answer
    answer = client.post("/checkout/validate/email", data={**form, "use_email": "meera@gmail.com"}, headers=headers).text  # fmt: skip
    assert 'value="meera@gmail.com"' in answer


@ONLY_SQLITE
def test_only_fields_of_the_form_are_looked_at(client, in_cart):
    token = open_form(client)["csrf_token"]
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = client.post("/checkout/validate/role", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 404


@ONLY_SQLITE
def test_what_a_person_types_is_text_and_nothing_else(client, in_cart):
    evil = '"><img src=x onerror=alert(1)>'
    answer = send(client, open_form(client), name=evil, email="x")
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x" in answer.text


def test_a_customer_finds_the_first_address_of_the_book_filled_in(client):
    user = make_user(name="Asha Rao")
    with transaction():
        address_book.add(
            user.id,
            {
                "recipient": "Asha Rao", "phone": "+919812345678", "line1": "12 MG Road", "city": "Pune",
                "state": "Maharashtra", "postal_code": "411004", "country": "IN",
            },
        )  # fmt: skip
    sign_in(client, user)
    put_in_cart(client, make_product())
    page = client.get("/checkout").text
    for value in (user.email, "Asha Rao", "+919812345678", "12 MG Road", "Pune", "411004"):
        assert f'value="{value}"' in page
    assert "Sign in for faster checkout" not in page
    assert send(client, hidden_fields(page), save="1").status_code == 303
    assert only_order().user_id == user.id
    assert [one.line1 for one in address_book.addresses_of(user.id)] == [
        "12 MG Road",
        "14, 3rd Cross",
    ]


@ONLY_SQLITE
def test_s47_the_eleventh_placing_within_a_minute_is_turned_away(client, turn_clock, in_cart):
    turn_clock(utcnow().replace(second=1))
    for _ in range(9):
        count_try("checkout", "address:127.0.0.1")
    assert send(client, open_form(client)).status_code == 303
    put_in_cart(client, make_product())
    answer = send(client, open_form(client))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 60
    assert orders_in_all() == 1


@ONLY_SQLITE
def test_a_mistake_in_the_form_is_not_counted_as_a_placing(client, in_cart):
    fields = open_form(client)
    for _ in range(12):
        assert send(client, fields, email="").status_code == 422
    assert send(client, fields).status_code == 303


@ONLY_SQLITE
def test_placing_and_the_page_need_few_statements(client, sql_count, in_cart):
    with sql_count() as told:
        fields = open_form(client)
    assert len(told) <= 3, "\n".join(told)
    with sql_count() as told:
        assert send(client, fields).status_code == 303
    own = [line for line in told if "sandbox_payments" not in line]
    assert len(own) <= 20, f"{len(own)}\n" + "\n".join(own)
