"""The owner draws zones and prices them; what is wrong is said in plain words and changes nothing."""

import html

import pytest
from sqlalchemy import select

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.extensions import db
from shop.shipping_prices import editing, tariff
from shop.shipping_prices.models import ShippingRate, ShippingZone
from tests.shipping_prices.conftest import carriers, price, zone

__all__ = ["carriers", "zone"]

HERE = "/admin/shipping"
ZONE = {"name": "Metro", "countries": "in", "postal_codes": "5600??, 11*", "is_active": "1"}
RATE = {
    "label": "Standard", "basis": "weight", "up_to": "500", "price": "99", "free_from": "5,000.00",
    "days_from": "3", "days_to": "5",
}  # fmt: skip


@pytest.fixture
def owner(staff):
    return staff("owner")


def zones():
    db.session.rollback()
    return db.session.scalars(select(ShippingZone).order_by(ShippingZone.position)).all()


def send(client, path, data, status=303):
    answer = client.send(f"{HERE}{path}", data)
    assert answer.status_code == status, answer.text
    return html.unescape(answer.text)


def actions():
    db.session.rollback()
    return [row for row in db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)) if row.startswith("shipping")]  # fmt: skip


def test_a_zone_and_its_price_are_added_changed_and_removed_and_each_is_audited(owner):
    send(owner, "/zones", ZONE)
    (made,) = zones()
    assert (made.countries, made.postal_codes, made.is_active) == ("IN", "5600??, 11*", True)
    send(owner, f"/zones/{made.id}/rates", RATE)
    rate = db.session.scalars(select(ShippingRate)).one()
    assert (rate.method, rate.up_to, rate.price_minor, rate.free_from_minor) == ("standard", 500, 9900, 500_000)  # fmt: skip
    send(owner, f"/zones/{made.id}/rates/{rate.id}", {**RATE, "price": "79.50", "is_live": "1"})
    send(owner, f"/zones/{made.id}", {**ZONE, "name": "Big cities", "is_active": ""})
    page = html.unescape(owner.get(HERE).text)
    assert "₹79.50" in page
    assert "Big cities" in page
    assert "Paused" in page
    send(owner, f"/zones/{made.id}/rates/{rate.id}/remove", {})
    send(owner, f"/zones/{made.id}/remove", {})
    assert not zones()
    assert actions() == [
        "shipping_zone.added", "shipping_rate.added", "shipping_rate.changed",
        "shipping_zone.changed", "shipping_rate.removed", "shipping_zone.removed",
    ]  # fmt: skip


def test_removing_a_zone_takes_its_prices_along(owner, zone):
    made = zone("India", rates=[price(), price("Express")])
    send(owner, f"/zones/{made.id}/remove", {})
    assert db.session.scalars(select(ShippingRate)).all() == []


WRONG_ZONES = [
    ("name", "", "Give the zone a name"), ("name", "x" * 81, "at most 80 letters"),
    ("name", "metro CITIES", "There is a zone called “metro CITIES” already"),
    ("countries", "", "Name at least one country"), ("countries", "India", "which is no such code"),
    ("countries", "IN, XX", "“XX” is no country's code"), ("countries", ", ,", "Name at least one country"),
    ("postal_codes", "56[0-9]", "which is no such code"), ("postal_codes", "5" * 13, "which is no such code"),
    ("postal_codes", "11*, 560001-560100", "“560001-560100” is a range"), ("postal_codes", "SW1 – SW9", "is a range"),
    ("postal_codes", "560001-56010", "is a range"), ("postal_codes", "1," * 3000, "too many"), ("postal_codes", "<b>", "which is no such code"),
]  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_wrong_with_a_zone_is_told_and_the_typed_words_stay(owner, zone):
    zone("Metro Cities")
    for field, typed, told in WRONG_ZONES:
        page = send(owner, "/zones", {**ZONE, "form": "new", field: typed}, 422)
        assert told in page, typed[:20]
        assert 'value="Metro"' in page or field == "name", typed[:20]
    assert len(zones()) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_hyphen_within_a_code_is_left_out(owner):
    send(owner, "/zones", {**ZONE, "postal_codes": "12345-6789\n100-0001, 560-034; 00-001, 56-*"})
    assert zones()[0].postal_codes == "123456789, 1000001, 560034, 00001, 56*"


WRONG_PRICES = [
    ("label", " ", "Give the method a name"), ("price", "", "The price: Enter an amount"),
    ("price", "-1", "The price: Enter an amount"), ("price", "1e3", "The price: Enter an amount"),
    ("price", "99.999", "The price: Enter an amount"), ("price", "9" * 20, "too large"),
    ("free_from", "many", "“Free from”: Enter an amount"), ("up_to", "0", "a weight in whole grams"),
    ("up_to", "1.5", "a weight in whole grams"), ("up_to", "9" * 12, "a weight in whole grams"),
    ("days_from", "", "two whole numbers"), ("days_from", "6", "cannot come before"),
    ("days_to", "91", "nor after 90 days"), ("days_to", "५", "two whole numbers"),
]  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_wrong_with_a_price_is_told_and_nothing_is_written(owner, zone):
    made = zone("India", rates=[])
    path, form = f"/zones/{made.id}/rates", f"zone-{made.id}-add"
    for field, typed, told in WRONG_PRICES:
        assert told in send(owner, path, {**RATE, "form": form, field: typed}, 422), (field, typed)
    assert not db.session.scalars(select(ShippingRate)).all()


def test_the_rows_of_a_method_go_by_one_measure_and_each_to_a_bound_of_its_own(owner, zone):
    made = zone("India", rates=[price(up_to=500)])
    assert "up to there already" in send(owner, f"/zones/{made.id}/rates", RATE, 422)
    by_value = {**RATE, "basis": "value", "up_to": "1000"}
    assert "goes by weight already" in send(owner, f"/zones/{made.id}/rates", by_value, 422)
    send(owner, f"/zones/{made.id}/rates", {**RATE, "up_to": ""})


def test_zones_are_moved_up_and_down(owner, zone):
    first, second = zone("First"), zone("Second")
    send(owner, f"/zones/{second.id}/move", {"to": "up"})
    assert [one.name for one in zones()] == ["Second", "First"]
    send(owner, f"/zones/{second.id}/move", {"to": "up"})
    send(owner, f"/zones/{first.id}/move", {"to": "down"})
    assert [one.name for one in zones()] == ["Second", "First"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_zone_that_another_hides_is_pointed_out(owner, zone):
    zone("India")
    zone("Metro", codes="56*")
    assert "Never reached: India stands before it" in html.unescape(owner.get(HERE).text)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_zone_without_prices_is_pointed_out(owner, zone):
    zone("India", rates=[])
    assert "No prices yet" in owner.get(HERE).text


def test_a_shop_without_zones_begins_with_todays_prices_and_nothing_changes(owner):
    before = tariff.offer(tariff.Place("IN", "560001"), tariff.Goods(100, "INR"), {"free_shipping_minor": 500_000, "standard_shipping_minor": 9900, "express_shipping_minor": 24900}, has_zones=False)  # fmt: skip
    send(owner, "/start", {})
    after = tariff.offer(tariff.Place("SE", "x"), tariff.Goods(100, "INR"), {}, has_zones=True)
    assert after.rates == before.rates
    assert after.free_from_minor == before.free_from_minor
    assert "There are zones already" in send(owner, "/start", {}, 422)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_postal_code_can_be_tried(owner, zone):
    zone("Metro", codes="56*", rates=[price(minor=4900, up_to=1000), price(minor=8900)])
    zone("India")

    def tried(**query):
        return html.unescape(owner.get(HERE, query_string={"country": "IN", **query}).text)

    page = tried(postcode="560001", weight="999", value="100")
    assert "Standard: ₹49.00" in page
    assert "Also named by India" in page
    assert "Standard: ₹89.00" in tried(postcode="560001", weight="1001", value="100")
    assert "We do not deliver to Sweden" in tried(country="SE", postcode="11122")
    for absurd in ({"postcode": "9" * 10_000}, {"postcode": "1", "weight": "x", "value": "-"}, {"postcode": "", "country": "<b>"}):  # fmt: skip
        assert owner.get(HERE, query_string=absurd).status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_only_the_owner_sets_prices(staff):
    for role in ("manager", "support", "fulfilment"):
        person = staff(role)
        assert person.get(HERE).status_code == 403, role
        assert person.send(f"{HERE}/zones", ZONE).status_code == 403, role


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_zones_price_is_not_found(owner, zone):
    one, other = zone("One"), zone("Other")
    rate = other.rates[0].id
    for path in (f"/zones/{one.id}/rates/{rate}", "/zones/999", f"/zones/{one.id}/rates/999/remove"):  # fmt: skip
        assert owner.send(f"{HERE}{path}", {**ZONE, **RATE}).status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_zones_cost_no_more_statements(owner, zone, sql_count):
    def told():
        with sql_count() as statements:
            owner.get(HERE)
        return len(statements)

    zone("One")
    few = told()
    for number in range(5):
        zone(f"Zone {number}", codes=f"{number}*")
    assert told() == few


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_shop_has_so_many_zones_and_no_more(app, monkeypatch, zone):
    monkeypatch.setattr(editing, "MOST_ZONES", 1)
    zone("One")
    values = {"name": "Two", "countries": "IN", "postal_codes": "", "is_active": True}
    with pytest.raises(editing.Refused, match="at most 1 zones"), transaction():
        editing.add_zone(values, "system")
