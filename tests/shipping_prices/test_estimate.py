"""Product and cart say what delivery to a postal code costs and when it comes, once one is typed."""

import html

import pytest

from shop.catalog.models import Product
from shop.extensions import db
from shop.shipping_prices.live_quotes import LiveOffer, NobodyCarries
from tests.checkout.shopping import HTMX, put_in_cart
from tests.factories import make_product
from tests.shipping_prices.conftest import price


@pytest.fixture
def ball(shop):
    shop.scene("a ball", lambda: make_product("Match ball", price=49_900))
    return db.session.scalars(db.select(Product)).one()


def text_of(answer):
    assert answer.status_code == 200
    return html.unescape(answer.text)


def check(client, ball, code, **more):
    query = {"postcode": code, **more}
    return text_of(client.get(f"/products/{ball.slug}", query_string=query))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_shop_without_zones_estimates_by_its_preferences(client, ball):
    page = check(client, ball, "560 001")
    assert "Delivers to 560001 by " in page
    assert "₹99</strong>" in page
    assert "Express by " in page
    assert "₹249" in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_before_a_code_is_typed_there_is_a_field_and_nothing_more(client, ball):
    page = text_of(client.get(f"/products/{ball.slug}"))
    assert 'name="postcode" value=""' in page
    assert "Delivery and price by PIN code" in page
    assert "Delivers to" not in page
    assert "Set-Cookie" not in client.get(f"/products/{ball.slug}").headers


def test_the_zone_of_the_code_decides(client, ball, zone):
    zone("Metro", codes="5600??", rates=[price(minor=4900)])
    zone("India", rates=[price(minor=19_900)])
    assert "₹49</strong>" in check(client, ball, "560001")
    assert "₹199</strong>" in check(client, ball, "744101")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_weight_decides_and_so_the_variant(client, zone):
    heavy = make_product("Table", weight_grams=40_000)
    zone("India", rates=[price(minor=9900, up_to=1000), price(minor=99_900)])
    assert "₹999</strong>" in check(client, heavy, "560001")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_free_is_said_in_words(client, ball, zone):
    zone("India", rates=[price(free_from_minor=49_900)])
    assert ", free</strong>" in check(client, ball, "560001")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_code_is_remembered_for_this_browser_only(client, new_client, ball, zone):
    zone("India")
    check(client, ball, "560001")
    page = text_of(client.get(f"/products/{ball.slug}"))
    assert 'value="560001"' in page
    assert "Delivers to 560001" in page
    assert "560001" not in text_of(new_client().get(f"/products/{ball.slug}"))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_emptied_field_is_forgotten(client, ball):
    check(client, ball, "560001")
    check(client, ball, "")
    assert "560001" not in text_of(client.get(f"/products/{ball.slug}"))


NO_CODES = (
    "56000", "5600012", "x" * 10_000, "5" * 10_000, "<script>", "' OR 1=1", "५६०००१", "056001",
)  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_no_code_is_said_beside_the_field_and_not_remembered(client, ball):
    for code in NO_CODES:
        page = client.get(f"/products/{ball.slug}", query_string={"postcode": code}).text
        assert "Enter all 6 digits, like 560034" in page, code[:10]
        assert 'aria-describedby="postcode-error"' in page, code[:10]
        assert "<script>" not in page
        assert code not in page or len(code) <= 16, code[:10]
        assert 'value=""' in client.get(f"/products/{ball.slug}").text, code[:10]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_code_that_nobody_serves_is_told_politely_beside_the_field(client, ball, zone):
    zone("Metro", codes="56*")
    page = check(client, ball, "744301")
    assert "We cannot deliver to 744301 yet. Try another address." in page
    assert 'id="postcode-error"' in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_with_zones_in_several_countries_the_country_is_chosen(client, ball, zone):
    zone("Home", "IN")
    zone("North", "SE", rates=[price(minor=89_900)])
    page = text_of(client.get(f"/products/{ball.slug}"))
    assert '<option value="SE">Sweden</option>' in page
    assert "Delivers to 111 22 by" in check(client, ball, "11122", country="SE")
    assert "Enter all 5 digits" in check(client, ball, "560001", country="SE")
    assert "We do not deliver to" in check(client, ball, "10115", country="DE")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_country_that_is_none_is_answered_all_the_same(client, ball, zone):
    zone("Home", "IN")
    for country in ("", "xx", "ZZ", "<b>", "INDIA", "१२"):
        query = {"postcode": "560001", "country": country}
        shown = client.get(f"/products/{ball.slug}", query_string=query)
        assert shown.status_code == 200, country


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_promise_of_free_delivery_is_made_only_where_it_holds_everywhere(client, ball, zone):
    assert "Standard delivery is free over" in text_of(client.get(f"/products/{ball.slug}"))
    zone("India")
    assert "Standard delivery is free over" not in text_of(client.get(f"/products/{ball.slug}"))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_htmx_gets_the_part_with_the_estimate(client, ball):
    answer = client.get(f"/products/{ball.slug}?postcode=560001", headers=HTMX)
    assert "<html" not in answer.text
    assert 'id="estimate"' in answer.text
    assert "Delivers to 560001" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_estimate_is_nobody_elses_page(client, new_client, ball):
    first = client.get(f"/products/{ball.slug}?postcode=560001")
    assert "ETag" not in first.headers
    other = new_client().get(f"/products/{ball.slug}")
    assert "ETag" in other.headers
    assert "560001" not in other.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_a_code_product_and_list_cost_no_statement_more(
    client, ball, zone, sql_count, turn_clock
):
    pages = (f"/products/{ball.slug}", "/products")

    def told():
        turn_clock(seconds=60)  # what was changed just now is not kept for long
        for page in pages:
            client.get(page)
        with sql_count() as statements:
            for page in pages:
                client.get(page)
        return statements

    without = told()
    zone("India")
    assert len(told()) == len(without) == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_with_a_code_the_product_costs_one_statement_more(client, ball, zone, sql_count):
    zone("India")
    check(client, ball, "560001")
    with sql_count() as told:
        client.get(f"/products/{ball.slug}")
    assert len(told) <= 4


# --- the courier's own price ---


def test_a_code_typed_just_now_is_asked_about_and_a_remembered_one_is_not(client, ball, zone, carriers, turn_clock):  # fmt: skip
    zone("India", rates=[price(is_live=True)])
    assert "₹77</strong>" in check(client, ball, "560001")
    assert len(carriers.asked) == 1
    check(client, ball, "560001")
    assert len(carriers.asked) == 1
    turn_clock(minutes=45)
    assert "₹99</strong>" in text_of(client.get(f"/products/{ball.slug}"))
    assert len(carriers.asked) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_no_courier_goes_it_is_said(client, ball, zone, carriers):
    zone("India", rates=[price(is_live=True)])
    carriers.answer = NobodyCarries()
    assert "We cannot deliver to 560001 yet" in check(client, ball, "560001")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_asks_too_often_is_told_the_tables_price(client, ball, zone, carriers):
    zone("India", rates=[price(is_live=True)])
    for number in range(22):
        page = check(client, ball, f"5600{number:02}")
    assert "₹99</strong>" in page
    assert len(carriers.asked) == 20


# --- the cart ---


def cart(client, **query):
    return text_of(client.get("/cart", query_string=query))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_cart_estimates_its_whole_weight_and_worth(client, ball, zone):
    zone("India", rates=[price(minor=9900, up_to=600), price(minor=15_900)])
    put_in_cart(client, ball, 2)
    assert "Shown at checkout" in cart(client)
    assert "₹99</strong>" in cart(client, postcode="560001")
    put_in_cart(client, ball, 1)
    page = cart(client)
    assert "₹159</strong>" in page
    assert "Standard delivery to 560001" in page
    assert "₹1,656.00" in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_cart_says_what_is_missing_for_free_delivery_to_this_place(client, ball, zone):
    zone("India", rates=[price(free_from_minor=100_000)])
    put_in_cart(client, ball)
    assert "to go for free delivery" not in cart(client)
    assert "₹501.00 to go for free delivery" in cart(client, postcode="560001")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_cart_says_that_a_place_is_not_served(client, ball, zone):
    zone("Metro", codes="56*")
    put_in_cart(client, ball)
    page = cart(client, postcode="744301")
    assert "We cannot deliver to 744301 yet" in page
    assert "Total so far" in page


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_carts_estimate_is_a_form_by_get_and_htmx_swaps_the_cart(client, ball):
    put_in_cart(client, ball)
    assert 'method="get" action="/cart" hx-get="/cart" hx-target="#cart"' in cart(client)
    part = client.get("/cart?postcode=560001", headers=HTMX)
    assert "<html" not in part.text
    assert "Delivers to 560001" in part.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_click_with_a_remembered_code_takes_at_most_10_statements(client, ball, zone, carriers, sql_count):  # fmt: skip
    zone("India", rates=[price(is_live=True)])
    put_in_cart(client, ball)
    cart(client, postcode="560001")
    token = client.csrf_token()
    line = db.session.execute(db.text("SELECT id FROM cart_lines")).scalar_one()
    db.session.rollback()
    with sql_count() as told:
        client.post(f"/cart/items/{line}", data={"csrf_token": token, "delta": "1"}, headers=HTMX)
    assert len(told) <= 10, "\n".join(told)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_empty_cart_needs_no_estimate(client, ball):
    assert "postcode" not in cart(client)
    assert client.get("/cart?postcode=560001").status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_carriers_day_is_told_in_the_estimate(client, ball, zone, carriers):
    from datetime import timedelta

    from shop.pages import day
    from shop.shipping_prices.days import today

    zone("India", rates=[price(is_live=True)])
    soon = today() + timedelta(days=2)
    carriers.answer = [LiveOffer(6_600, soon)]
    assert f"by {day(soon)}, ₹66</strong>" in check(client, ball, "560001")
