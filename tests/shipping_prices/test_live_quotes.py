"""The courier's own prices: asked outside transactions, kept for minutes, read back while placing."""

from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from shop.database import transaction
from shop.delivery import live_rates
from shop.delivery.couriers import base
from shop.extensions import db
from shop.providers import OutcomeUnknown, TryLater
from shop.shipping_prices import live_quotes, tariff
from shop.shipping_prices.days import today, working_days_after
from shop.shipping_prices.goods import Goods
from shop.shipping_prices.live_quotes import LiveOffer, LiveWish, NobodyCarries
from shop.shipping_prices.models import LiveQuote
from shop.shipping_prices.places import Place
from tests.shipping_prices.conftest import price

WISH = LiveWish("IN", "560001", 250, (200, 150, 60), 49_900, "INR")
BALL = Goods(49_900, "INR", 250, (200, 150, 60))
HOME = Place("IN", "560001")
SOON, LATER = timedelta(days=1), timedelta(days=9)


def offered(token=""):
    return tariff.offer(HOME, BALL, {}, has_zones=True, token=token)


@pytest.mark.parametrize(("grams", "size", "band"), [
    (1, (0, 0, 0), 500), (500, (0, 0, 0), 500), (501, (0, 0, 0), 1000), (0, (0, 0, 0), 500),
    (250, (300, 200, 100), 1500), (250, (100, 100, 100), 500),
])  # fmt: skip
def test_the_band_is_by_what_is_billed_of_weight_and_volume(grams, size, band):
    assert LiveWish("IN", "1", grams, size, 1, "INR").band_grams == band


def test_until_the_courier_was_asked_the_table_counts_and_the_question_is_named(zone, carriers):
    zone("India", rates=[price(is_live=True)])
    assert [rate.price_minor for rate in offered().rates] == [9900]
    assert offered().wish == WISH
    assert not carriers.asked


def test_what_the_courier_told_counts_in_place_of_the_table(zone, carriers):
    zone("India", rates=[price(is_live=True), price("Pick-up desk", 100)])
    token = live_quotes.ask(offered().wish).token
    assert [rate.price_minor for rate in offered().rates] == [7700, 100]
    assert offered().wish is None
    assert offered().token == token
    assert len(carriers.asked) == 1


@pytest.mark.parametrize("error", [TryLater("busy"), OutcomeUnknown("time-out"), base.ProviderRefused("no")])  # fmt: skip
def test_when_it_fails_the_table_counts_and_it_is_left_alone_for_a_minute(
    zone, carriers, turn_clock, error
):
    zone("India", rates=[price(is_live=True)])
    carriers.answer = error
    live_quotes.ask(offered().wish)
    assert [rate.price_minor for rate in offered().rates] == [9900]
    assert offered().wish is None
    turn_clock(seconds=61)
    assert offered().wish is not None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_nobody_carries_there_is_no_live_method(zone, carriers):
    zone("India", rates=[price(is_live=True)])
    carriers.answer = NobodyCarries()
    live_quotes.ask(offered().wish)
    assert offered().rates == []
    assert "cannot deliver to 560001" in offered().refusal


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_method_takes_the_cheapest_carrier_that_keeps_its_days(zone, carriers):
    zone("India", rates=[
        price("Standard", days_to=9, is_live=True), price("Express", days_from=1, days_to=1, is_live=True),
    ])  # fmt: skip
    carriers.answer = [LiveOffer(5_000, today() + LATER), LiveOffer(20_000, today() + SOON)]
    live_quotes.ask(offered().wish)
    assert [rate.price_minor for rate in offered().rates] == [5_000, 20_000]
    carriers.answer = [LiveOffer(5_000, today() + LATER)]
    with transaction() as session:
        session.query(LiveQuote).delete()
    live_quotes.ask(offered().wish)
    assert [rate.key for rate in offered().rates] == ["standard"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_courier_slower_than_the_slowest_method_is_still_offered(zone, carriers):
    zone("India", rates=[price(days_from=1, days_to=2, is_live=True)])
    late = working_days_after(today(), 8)
    carriers.answer = [LiveOffer(5_000, late)]
    live_quotes.ask(offered().wish)
    assert [(rate.price_minor, rate.by) for rate in offered().rates] == [(5_000, late)]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_goods_worth_enough_travel_free_whatever_the_courier_says(zone, carriers):
    zone("India", rates=[price(is_live=True, free_from_minor=49_900)])
    live_quotes.ask(offered().wish)
    assert offered().rates[0].price_minor == 0


def test_an_answer_is_fresh_for_others_for_ten_minutes_and_held_for_its_page_for_thirty(
    zone, carriers, turn_clock
):
    zone("India", rates=[price(is_live=True)])
    token = live_quotes.ask(offered().wish).token
    turn_clock(minutes=11)
    assert offered().token == ""
    assert offered(token).rates[0].price_minor == 7700
    turn_clock(minutes=20)
    assert offered(token).rates[0].price_minor == 9900


def test_a_page_keeps_its_price_when_another_shopper_was_told_a_newer_one(zone, carriers):
    zone("India", rates=[price(is_live=True)])
    wish = offered().wish
    token = live_quotes.ask(wish).token
    carriers.answer = [LiveOffer(8_800, None)]
    live_quotes.ask(wish)
    assert offered(token).rates[0].price_minor == 7700
    assert offered().rates[0].price_minor == 8800


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_made_up_name_of_an_answer_counts_for_nothing(zone, carriers):
    zone("India", rates=[price(is_live=True)])
    for token in ("made-up", "x" * 64, "", "' OR 1=1"):
        assert offered(token).rates[0].price_minor == 9900, token


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_name_of_another_ways_answer_counts_for_nothing(zone, carriers):
    zone("India", rates=[price(is_live=True)])
    elsewhere = LiveWish("IN", "744101", 250, (200, 150, 60), 49_900, "INR")
    carriers.answer = [LiveOffer(1, None)]
    token = live_quotes.ask(elsewhere).token
    assert offered(token).rates[0].price_minor == 9900


def test_the_courier_is_never_asked_inside_a_transaction(zone, carriers):
    with pytest.raises(RuntimeError, match="already open"), transaction():
        live_quotes.ask(WISH)


def test_old_answers_are_forgotten(zone, carriers, turn_clock):
    live_quotes.ask(WISH)
    turn_clock(hours=25)
    with transaction():
        live_quotes.forget_old()
    assert db.session.scalar(select(func.count(LiveQuote.id))) == 0


# --- how the shop's courier is asked ---


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_sandbox_courier_tells_prices_by_weight(app, live):
    offers = live_rates.ask(WISH)
    assert len(offers) == 2
    assert all(one.price_minor > 0 for one in offers)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_carriers_days_become_the_day_by_which_it_comes(app):
    told = base.LiveRate("1", "X", 100, estimated_days=3)
    assert live_rates._arrival(told) == today() + timedelta(days=3)
    assert live_rates._arrival(base.LiveRate("1", "X", 100)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nobody_serving_is_told_apart_from_not_answering(app, monkeypatch):
    class Courier:
        @staticmethod
        def rates(wish):
            raise base.NotServed("nobody")

    monkeypatch.setattr(live_rates, "courier", lambda key: Courier)
    with pytest.raises(NobodyCarries):
        live_rates.ask(WISH)


def test_a_day_is_kept_as_a_day(zone, carriers):
    carriers.answer = [LiveOffer(1, date(2026, 11, 24))]
    zone("India", rates=[price(is_live=True)])
    live_quotes.ask(WISH)
    assert [(rate.price_minor, rate.by) for rate in offered().rates] == [(1, date(2026, 11, 24))]
