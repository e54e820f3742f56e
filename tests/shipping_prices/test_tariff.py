"""Which zone counts, which row of it, and what is said where there is none."""

from datetime import date

import pytest

from shop.shipping_prices import tariff
from shop.shipping_prices.days import arrives, working_days_after
from shop.shipping_prices.goods import Goods, packed
from shop.shipping_prices.places import Place, matches, plain
from shop.shipping_prices.tariff import Row, Zone
from tests.shipping_prices.conftest import price

PREFERENCES = {
    "free_shipping_minor": 500_000,
    "standard_shipping_minor": 9900,
    "express_shipping_minor": 24900,
}
BALL = Goods(49_900, "INR", 250, (200, 150, 60))
HOME = Place("IN", "560001")


def row(**more):
    values = {
        "method": "standard", "label": "Standard", "basis": "weight", "up_to": None, "currency": "INR",
        "price_minor": 9900, "free_from_minor": None, "days_from": 3, "days_to": 5, "is_live": False,
    }  # fmt: skip
    return Row(**{**values, **more})


# --- pure rules ---


@pytest.mark.parametrize(("code", "patterns", "is_in"), [
    ("560001", ["560001"], True), ("560001", ["56*"], True), ("560001", ["5600??"], True),
    ("560001", ["5600?"], False), ("560001", ["*"], True), ("560001", ["57*", "560*"], True),
    ("SW1A 1AA", ["SW1A1AA"], True), ("sw1a-1aa", ["SW*"], True), ("560001", [], False),
    ("", ["*"], True), ("", ["56*"], False), ("5" * 10_000, ["5*"], True), ("9" * 10_000, ["5*"], False),
    ("[!x]", ["560001"], False), ("56*", ["560001"], False),
])  # fmt: skip
def test_stars_take_any_rest_and_question_marks_any_one(code, patterns, is_in):
    assert matches(code, patterns) == is_in


def test_a_code_is_cut_to_what_a_code_can_have():
    assert len(plain("a" * 10_000)) == 16
    assert len(Place("IN", "1" * 10_000).words) == 12


@pytest.mark.parametrize(("countries", "patterns", "place", "is_in"), [
    (["IN"], [], HOME, True), (["SE"], [], HOME, False), (["*"], [], HOME, True),
    (["IN", "SE"], ["56*"], HOME, True), (["*"], ["11*"], HOME, False),
])  # fmt: skip
def test_a_zone_holds_its_countries_and_of_them_its_codes(countries, patterns, place, is_in):
    assert Zone(1, "Z", countries, patterns).holds(place) == is_in


def test_where_patterns_overlap_the_first_zone_counts():
    near, far = Zone(1, "Near", ["IN"], ["5600*"]), Zone(2, "Far", ["IN"], ["56*", "5600??"])
    assert tariff.zone_of([near, far], HOME) is near
    assert tariff.zone_of([far, near], HOME) is far


@pytest.mark.parametrize(("grams", "bound"), [(1, 500), (500, 500), (501, 1000), (1000, 1000), (1001, None)])  # fmt: skip
def test_of_a_methods_rows_the_lowest_bound_that_holds_counts(grams, bound):
    rows = [row(up_to=None), row(up_to=500), row(up_to=1000)]
    (counting,) = tariff._counting(Zone(1, "Z", ["IN"], [], rows), Goods(100, "INR", grams))
    assert counting.up_to == bound


def test_rows_may_go_by_the_orders_value():
    rows = [row(basis="value", up_to=100_000), row(basis="value", price_minor=0)]
    zone = Zone(1, "Z", ["IN"], [], rows)
    assert tariff._counting(zone, Goods(100_000, "INR"))[0].price_minor == 9900
    assert tariff._counting(zone, Goods(100_001, "INR"))[0].price_minor == 0


def test_a_price_in_another_currency_is_not_taken_for_one_in_this():
    zone = Zone(1, "Z", ["IN"], [], [row(currency="USD")])
    assert tariff._counting(zone, BALL) == []


@pytest.mark.parametrize(("worth", "costs"), [(99_999, 9900), (100_000, 0), (100_001, 0)])
def test_goods_worth_enough_travel_free(worth, costs):
    assert row(free_from_minor=100_000).price_of(Goods(worth, "INR"), 9900) == costs


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_shop_without_zones_charges_its_preferences(app):
    offer = tariff.offer(HOME, BALL, PREFERENCES, has_zones=False)
    assert [(rate.key, rate.price_minor) for rate in offer.rates] == [("standard", 9900), ("express", 24900)]  # fmt: skip
    free = tariff.offer(HOME, Goods(500_000, "INR"), PREFERENCES, has_zones=False)
    assert [rate.price_minor for rate in free.rates] == [0, 24900]


def test_a_box_holds_all_heights_on_the_largest_floor():
    goods = packed([(2, 100, (60, 200, 150)), (1, 50, (10, 300, 20))], 900, "INR")
    assert (goods.weight_grams, goods.size_mm) == (250, (300, 150, 130))
    assert packed([], 0, "INR").size_mm == (0, 0, 0)


def test_sundays_are_no_working_days():
    assert working_days_after(date(2026, 11, 20), 2) == date(2026, 11, 23)
    assert arrives(date(2026, 11, 23), date(2026, 11, 24)) == "Arrives Mon 23 Nov to Tue 24 Nov"
    assert arrives(date(2026, 11, 23), date(2026, 11, 23)) == "Arrives Mon 23 Nov"


# --- with the table ---


def offered(place=HOME, goods=BALL):
    return tariff.offer(place, goods, PREFERENCES, has_zones=True)


def test_the_first_zone_by_position_gives_its_methods_in_their_order(app, zone):
    zone("Metro", codes="5600??", rates=[price(minor=4900), price("Express", 14_900, days_from=1, days_to=1)])  # fmt: skip
    zone("India", rates=[price(minor=9900)])
    zone("World", "*", rates=[price(minor=99_900)])
    assert [(rate.label, rate.price_minor) for rate in offered().rates] == [("Standard", 4900), ("Express", 14_900)]  # fmt: skip
    assert [rate.price_minor for rate in offered(Place("IN", "744101")).rates] == [9900]
    assert [rate.price_minor for rate in offered(Place("SE", "111 22")).rates] == [99_900]
    assert offered().zone == "Metro"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_paused_zone_counts_for_nobody(app, zone):
    zone("Metro", codes="56*", rates=[price(minor=1)], is_active=False)
    zone("India")
    assert offered().zone == "India"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("place", "words"), [
    (Place("IN", "744301"), "We cannot deliver to 744301 yet. Try another address."),
    (Place("SE", "111 22"), "We do not deliver to Sweden yet."),
    (Place("IN", ""), "Enter your PIN code to see how we deliver and what it costs."),
    (Place("IN", "9" * 10_000), "We cannot deliver to 999999999999 yet. Try another address."),
])  # fmt: skip
def test_where_no_zone_is_it_says_so(app, zone, place, words):
    zone("Metro", codes="56*")
    assert offered(place).rates == []
    assert offered(place).refusal == words


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_too_heavy_for_every_row_is_not_carried(app, zone):
    zone("India", rates=[price(up_to=1000)])
    assert offered(goods=Goods(100, "INR", 1001)).refusal.startswith("We cannot deliver this much to 560001")  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_one_statement_reads_all_zones(app, zone, sql_count):
    for number in range(5):
        zone(f"Zone {number}", codes=f"{number}*", rates=[price(), price("Express")])
    with sql_count() as told:
        offered()
    assert len(told) == 1
