"""The checkout offers what the place is offered, fixes it in the order, and believes no price of a form."""

import html
import re
from dataclasses import replace

import pytest
from flask import current_app
from sqlalchemy import func, select

from shop.catalog.models import Product
from shop.database import transaction
from shop.extensions import db
from shop.limits import LIMITS
from shop.orders.models import Order
from shop.preferences import change
from shop.providers import TryLater
from shop.shipping_prices import editing, live_quotes
from shop.shipping_prices.live_quotes import LiveOffer, NobodyCarries
from shop.shipping_prices.models import LiveQuote, ShippingRate
from tests.checkout.shopping import ADDRESS, HTMX, hidden_fields, open_form, put_in_cart, send
from tests.shipping_prices.conftest import Carriers, carriers, price, zone

__all__ = ["carriers", "zone"]

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def ball(in_cart):
    """The ball in the cart, which stands before the zones in the empty shop."""
    return db.session.scalars(select(Product)).one()


def previewed(client, **more):
    """The form as it stands after its figures were asked for with this address."""
    fields = open_form(client)
    data = {**ADDRESS, "rate": "standard", "method": "sandbox", **fields, "update": "1", **more}
    answer = client.post("/checkout", data=data, headers={"Sec-Fetch-Site": "same-origin"})
    return answer, hidden_fields(answer.text)


def orders():
    db.session.rollback()
    return db.session.scalars(select(Order)).all()


def reprice(minor):
    """Staff change every price while somebody is at the checkout."""
    with transaction() as session:
        for rate in session.scalars(select(ShippingRate)).all():
            values = {**editing.rate_values(rate), "price_minor": minor}
            editing.change_rate(rate.zone_id, rate.id, values, "user:1")


def words(answer):
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


def test_the_zones_methods_are_offered_and_the_price_is_fixed_in_the_order(client, ball, zone):
    zone("Metro", codes="5600??", rates=[price(minor=4900), price("Night", 14_900, days_from=0, days_to=1)])  # fmt: skip
    answer, fields = previewed(client, rate="night")
    assert "Night delivery" in words(answer)
    assert send(client, fields, rate="night").status_code == 303
    reprice(99_900)
    (order,) = orders()
    assert (order.shipping_minor, order.shipping_method, order.shipping_label) == (14_900, "night", "Night")  # fmt: skip
    assert order.total_minor == 49_900 + 14_900


def test_a_price_that_moved_meanwhile_is_shown_before_anything_is_placed(client, ball, zone):
    zone("India", rates=[price(minor=4900)])
    _, fields = previewed(client)
    reprice(9900)
    answer = send(client, fields)
    assert answer.status_code == 409
    assert "Your new total is ₹598.00" in words(answer)
    assert not orders()
    assert send(client, hidden_fields(answer.text)).status_code == 303


def test_where_no_zone_is_the_checkout_says_so_and_nothing_is_placed(client, ball, zone):
    zone("Metro", codes="11*")
    answer, fields = previewed(client)
    assert "We cannot deliver to 560034 yet. Try another address." in words(answer)
    refused = send(client, fields)
    assert refused.status_code == 422
    assert 'id="postal_code-error"' in refused.text
    assert not orders()


@ONLY_SQLITE
def test_a_made_up_way_of_delivery_does_not_help_where_there_is_none(client, ball, zone):
    zone("Metro", codes="11*")
    _, fields = previewed(client)
    assert send(client, fields, rate="standard", quoted_total="49900").status_code == 422
    assert not orders()


@ONLY_SQLITE
def test_a_country_without_a_zone_is_named(client, ball, zone):
    zone("India")
    answer, _ = previewed(client, country="SE", postal_code="11122")
    assert "We do not deliver to Sweden yet." in words(answer)


@ONLY_SQLITE
def test_a_zone_that_closed_meanwhile_places_nothing(client, ball, zone):
    zone("India")
    zone("World", "*", codes="99*")
    _, fields = previewed(client)
    with transaction():
        closed = next(one for one in editing.zones() if one.name == "India")
        values = {
            "name": "India",
            "countries": closed.countries,
            "postal_codes": closed.postal_codes,
        }
        editing.change_zone(closed.id, {**values, "is_active": False}, "user:1")
    assert send(client, fields).status_code == 422
    assert not orders()


@ONLY_SQLITE
def test_an_absurd_code_is_refused_beside_its_field(client, ball, zone):
    zone("Metro", codes="56*")
    fields = open_form(client)
    for code in ("5" * 10_000, "[*]", "*", "??????", "<b>"):
        answer = send(client, fields, postal_code=code)
        assert answer.status_code == 422, code[:9]
        assert "Enter all 6 digits" in words(answer)
    assert not orders()


@ONLY_SQLITE
def test_leaving_the_codes_field_brings_its_prices_along(client, ball, zone):
    zone("Metro", codes="5600??", rates=[price(minor=4900)])
    data = {**ADDRESS, **open_form(client), "rate": "standard"}
    answer = client.post("/checkout/validate/postal_code", data=data, headers=HTMX)
    assert answer.text.lstrip().startswith('<div class="field')
    assert 'id="rates" hx-swap-oob="true"' in answer.text
    assert "₹49.00" in answer.text
    refused = client.post("/checkout/validate/postal_code", data={**data, "postal_code": "744301"}, headers=HTMX)  # fmt: skip
    assert "We cannot deliver to 744301 yet" in html.unescape(refused.text)
    wrong = client.post("/checkout/validate/postal_code", data={**data, "postal_code": "12"}, headers=HTMX)  # fmt: skip
    assert "hx-swap-oob" not in wrong.text


@ONLY_SQLITE
def test_the_code_typed_in_the_cart_is_filled_in(client, ball):
    client.get("/cart?postcode=560001")
    assert 'name="postal_code" type="text" value="560001"' in client.get("/checkout").text


# --- the courier's own price ---


@pytest.fixture
def live_zone(zone, carriers):
    zone("India", rates=[price(minor=9900, is_live=True)])
    return carriers


def test_the_couriers_price_is_shown_and_fixed_in_the_order(client, ball, live_zone, sql_count):
    answer, fields = previewed(client)
    assert "₹576.00" in answer.text
    assert fields["live_token"]
    with sql_count() as told:
        assert send(client, fields).status_code == 303
    own = [line for line in told if "sandbox_payments" not in line]
    assert len(own) <= 20, "\n".join(own)
    assert orders()[0].shipping_minor == 7700
    assert len(live_zone.asked) == 1


@ONLY_SQLITE
def test_a_failing_courier_costs_no_order(client, ball, live_zone):
    from shop.providers import OutcomeUnknown

    live_zone.answer = OutcomeUnknown("4 s are over")
    _, fields = previewed(client)
    assert send(client, fields).status_code == 303
    assert orders()[0].shipping_minor == 9900


@ONLY_SQLITE
def test_where_no_courier_goes_nothing_is_placed(client, ball, live_zone):
    live_zone.answer = NobodyCarries()
    answer, fields = previewed(client)
    assert "We cannot deliver to 560034 yet" in words(answer)
    assert send(client, fields).status_code == 422
    assert not orders()


@ONLY_SQLITE
def test_placing_keeps_the_price_that_its_page_showed(client, ball, live_zone):
    _, fields = previewed(client)
    live_zone.answer = [LiveOffer(9_999, None)]
    live_quotes.ask(live_zone.asked[0])
    assert send(client, fields).status_code == 303
    assert orders()[0].shipping_minor == 7700


def test_a_price_that_is_too_old_is_asked_for_again_and_shown(client, ball, live_zone, turn_clock):
    _, fields = previewed(client)
    turn_clock(minutes=31)
    live_zone.answer = [LiveOffer(8_800, None)]
    answer = send(client, fields)
    assert answer.status_code == 409
    assert "₹587.00" in answer.text
    assert not orders()
    assert send(client, hidden_fields(answer.text)).status_code == 303
    assert orders()[0].shipping_minor == 8800


@pytest.mark.parametrize("token", ["made-up", "", "x" * 10_000])
@ONLY_SQLITE
def test_a_tampered_price_is_refused(client, ball, live_zone, token):
    """The total is compared with what the kept answer says; the form's own words change nothing."""
    _, fields = previewed(client)
    answer = send(client, fields, live_token=token, quoted_total="49901", quoted_now="49901")
    assert answer.status_code == 409
    assert not orders()


def unpreviewed(client, total="59800"):
    """The form without its courier's answer, sent with goods and the table's price as the total."""
    fields = open_form(client)
    return {**fields, "live_token": "", "quoted_total": total, "quoted_now": total}


def test_the_tables_price_cannot_be_had_by_not_asking_the_courier(client, ball, live_zone):
    live_zone.answer = [LiveOffer(70_000, None)]
    answer = send(client, unpreviewed(client))
    assert answer.status_code == 409
    assert "₹1,199.00" in answer.text
    assert not orders()
    assert send(client, hidden_fields(answer.text)).status_code == 303
    assert orders()[0].shipping_minor == 70_000


@ONLY_SQLITE
def test_nor_by_asking_so_often_that_no_more_questions_are_allowed(
    client, ball, live_zone, monkeypatch
):
    monkeypatch.setitem(LIMITS, "live_rates", replace(LIMITS["live_rates"], most=3))
    live_zone.answer = [LiveOffer(70_000, None)]
    for number in range(4):
        previewed(client, postal_code=f"5601{number:02}")
    assert len(live_zone.asked) == 3
    for _ in range(2):
        answer = send(client, unpreviewed(client))
        assert answer.status_code == 409
        assert "₹1,199.00" in answer.text
    assert not orders()


@ONLY_SQLITE
def test_where_no_courier_goes_not_asking_does_not_help(client, ball, live_zone):
    live_zone.answer = NobodyCarries()
    answer = send(client, unpreviewed(client))
    assert answer.status_code == 409
    assert "We cannot deliver to 560034 yet" in words(answer)
    assert send(client, unpreviewed(client)).status_code == 422
    assert not orders()


@ONLY_SQLITE
def test_a_courier_that_does_not_answer_lets_the_unasked_place_at_the_tables_price(
    client, ball, live_zone, turn_clock
):
    live_zone.answer = TryLater("busy")
    answer = send(client, unpreviewed(client))
    assert answer.status_code == 409
    # The page that says so stands, however long ago the courier failed to answer.
    turn_clock(minutes=5)
    assert send(client, hidden_fields(answer.text)).status_code == 303
    assert orders()[0].shipping_minor == 9900
    assert len(live_zone.asked) == 1


# --- paid at the door ---


@pytest.fixture
def dearer_at_the_door(live_zone):
    """Carriers that take 30 rupees for the cash, and one place where they take none."""

    class Asked(Carriers):
        def __call__(self, wish):
            self.asked.append(wish)
            if wish.collect and wish.postal_code == "110001":
                raise NobodyCarries
            return [LiveOffer(7_700 + 3_000 * wish.collect, None)]

    current_app.extensions["live_rates"] = held = Asked()
    return held


def test_the_courier_is_asked_for_what_collecting_costs(client, ball, dearer_at_the_door):
    answer, fields = previewed(client, method="cod")
    assert "₹107.00" in answer.text
    assert send(client, fields, method="cod").status_code == 303
    assert orders()[0].shipping_minor == 10_700
    assert [wish.collect for wish in dearer_at_the_door.asked[-1:]] == [True]


@ONLY_SQLITE
def test_the_price_for_who_pays_before_is_not_had_at_the_door(client, ball, dearer_at_the_door):
    _, paid = previewed(client)
    _, at_the_door = previewed(client, method="cod")
    cheaper = str(int(at_the_door["quoted_total"]) - 3_000)
    stolen = {**at_the_door, "live_token": paid["live_token"], "quoted_total": cheaper}
    assert send(client, {**stolen, "quoted_now": cheaper}, method="cod").status_code == 409
    assert not orders()


@ONLY_SQLITE
def test_where_nobody_takes_cash_it_is_said_and_paying_before_goes_on(client, ball, dearer_at_the_door):  # fmt: skip
    answer, fields = previewed(client, method="cod", postal_code="110001")
    assert "No courier takes cash at 110001. Choose another way to pay." in words(answer)  # fmt: skip
    assert send(client, fields, method="cod", postal_code="110001").status_code == 422
    _, paid = previewed(client, postal_code="110001")
    assert send(client, paid, postal_code="110001").status_code == 303
    assert orders()[0].shipping_minor == 7_700


@ONLY_SQLITE
def test_a_way_to_pay_that_does_not_fit_is_not_priced_by(client, ball, dearer_at_the_door):
    with transaction():
        change("cod_limit_minor", "10000")
    answer, fields = previewed(client, method="cod")
    assert "₹576.00" in answer.text
    assert send(client, fields).status_code == 303
    assert orders()[0].shipping_minor == 7_700


@ONLY_SQLITE
def test_the_answer_for_another_place_buys_nothing_here(client, ball, live_zone):
    live_zone.answer = [LiveOffer(1, None)]
    _, cheap = previewed(client, postal_code="110001")
    live_zone.answer = [LiveOffer(70_000, None)]
    _, fields = previewed(client)
    stolen = {**fields, "live_token": cheap["live_token"], "quoted_total": cheap["quoted_total"]}
    assert send(client, {**stolen, "quoted_now": cheap["quoted_now"]}).status_code == 409
    assert not orders()


def test_the_courier_is_asked_once_for_all_who_send_so_much_there(client, new_client, ball, live_zone):  # fmt: skip
    other = new_client()
    put_in_cart(other, ball)
    for browser in (client, other):
        previewed(browser)
        previewed(browser)
    assert len(live_zone.asked) == 1
    assert db.session.scalar(select(func.count(LiveQuote.id))) == 1
