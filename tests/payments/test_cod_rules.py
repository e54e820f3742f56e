"""Who may pay at the door: by amount, country, PIN code and the parcels that came back."""

import pytest
import sqlalchemy as sa

from shop.checkout import at_the_door, paying
from shop.checkout.at_the_door import NOT_OFFERED, TOO_MANY, Customer, Place
from shop.checkout.placing import place
from shop.checkout.quoting import quote
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentStatus
from shop.errors import Refused
from shop.extensions import db
from shop.orders.models import Order
from shop.preferences import PREFERENCES, change, preferences
from tests.factories import (
    ADDRESS,
    make_cart,
    make_order,
    make_product,
    make_user,
    make_wish,
    sign_in,
)
from tests.shops import counting

DEFAULTS = {key: PREFERENCES[key].default for key in at_the_door.PREFERENCES}


@pytest.fixture(autouse=True)
def in_request(app):
    """Attempts build addresses of pages."""
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        yield


def prefer(**values):
    with transaction():
        for key, value in values.items():
            change(key, str(value))


#: What is preferred, where to, for how much, and the reason against paying at the door.
REASONS = (
    ({}, "IN", "560001", 100_000, None),
    ({}, "SE", "111 22", 100_000, "Only for deliveries in India."),
    ({"cod_countries": "IN, NG"}, "SE", "", 1, "Only for deliveries in India and Nigeria."),
    ({"cod_countries": ""}, "IN", "", 1, "Not offered just now."),
    ({}, "IN", "560001", 2_500_000, None),
    ({}, "IN", "560001", 2_500_001, "Only up to ₹25,000.00."),
    ({"cod_minimum_minor": 50_000}, "IN", "560001", 50_000, None),
    ({"cod_minimum_minor": 50_000}, "IN", "560001", 49_999, "Only from ₹500.00 on."),
    ({"cod_postal_codes": "744101, 19*"}, "IN", "560001", 1, None),
    ({"cod_postal_codes": "744101, 19*"}, "IN", "744 101", 1, "The courier takes no cash at 744 101."),
    ({"cod_postal_codes": "744101, 19*"}, "IN", "190001", 1, "The courier takes no cash at 190001."),
    ({"cod_postal_codes": "19*", "cod_postal_rule": "allow"}, "IN", "190001", 1, None),
    ({"cod_postal_codes": "5600??", "cod_postal_rule": "allow"}, "IN", "560012", 1, None),
    ({"cod_postal_codes": "5600??", "cod_postal_rule": "allow"}, "IN", "560112", 1, "The courier takes no cash at 560112."),
    ({"cod_postal_codes": "", "cod_postal_rule": "allow"}, "IN", "560112", 1, None),
    ({"cod_postal_codes": "19*", "cod_postal_rule": "allow"}, "IN", "", 1, None),
)  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_reason_says_what_stands_in_the_way(app):
    for changes, country, postal_code, amount, words in REASONS:
        chosen = {**DEFAULTS, **changes}
        there = Place(country, postal_code)
        assert at_the_door.reason_against("INR", there, amount, chosen) == words, (changes, there)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("key", "typed", "kept"),
    [
        ("cod_countries", " in , ng,,", "IN, NG"),
        ("cod_postal_codes", "19*, 7441 01 ,19*", "19*, 744101"),
    ],
)
def test_lists_of_codes_are_kept_tidy(app, key, typed, kept):
    prefer(**{key: typed})
    assert preferences(key)[key] == kept


@pytest.mark.parametrize(
    ("key", "typed"),
    [("cod_countries", "India"), ("cod_postal_codes", "[0-9]"), ("cod_postal_rule", "perhaps")],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_no_code_is_refused_by_the_settings(app, key, typed):
    with pytest.raises(ValueError), transaction():  # noqa: PT011  (the words are the screen's)
        change(key, typed)


def refusals(count, *, status=ShipmentStatus.RTO_DELIVERED, **who):
    """Orders to be paid at the door whose parcels came back."""
    for _ in range(count):
        order = make_order("processing", method="cod", **who)
        with transaction() as session:
            session.add(
                Shipment(
                    order_id=order.id, sequence=9, courier="sandbox", reference=f"{order.number}-9",
                    status=status,
                )
            )  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "who"),
    [("sqlite", {"email": "eve@shopper.example"}), ("postgresql", {"phone": "+919899999999"})],
    indirect=["engine"],
    ids=["email", "phone"],
)
def test_a_guest_who_turned_down_too_many_is_refused_by_email_or_phone(app, who):
    refusals(2, **who)
    place(make_wish(method="cod", **who))
    refusals(1, **who)
    with pytest.raises(Refused) as refused:
        place(make_wish(method="cod", **who))
    assert str(refused.value) == NOT_OFFERED
    # Somebody else is not meant, and who pays first is always welcome.
    place(make_wish(method="cod", email="else@shopper.example", phone="+919811111111"))
    place(make_wish(method="sandbox", **who))


def test_a_customer_who_signed_in_reads_why_at_checkout(app, client):
    user = make_user()
    refusals(3, user=user, email=user.email)
    prefer(cod_refusals=3)
    now = quote(make_cart().id, method="cod", postal_code="560001", customer=Customer(user.id))
    [way] = [way for way in now.methods if way.key == "cod"]
    assert way.unavailable == TOO_MANY
    prefer(cod_refusals=0)
    assert (
        at_the_door.turned_down_too_many(Customer(user.id), {**DEFAULTS, "cod_refusals": 0}) is None
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_parcel_that_was_paid_or_is_still_out_does_not_count(app):
    refusals(3, status=ShipmentStatus.OUT_FOR_DELIVERY)
    refusals(3)
    with transaction() as session:
        session.execute(sa.update(Order).values(paid_at=sa.func.current_timestamp()))
    assert (
        at_the_door.turned_down_too_many(Customer(email="asha@shopper.example"), DEFAULTS) is None
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_rules_are_asked_again_while_the_order_is_placed(app):
    wish = make_wish(method="cod")
    prefer(cod_postal_codes=ADDRESS["postal_code"])
    with pytest.raises(Refused, match="takes no cash at 560001"):
        place(wish)
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_pay_page_knows_the_rules_too(app):
    prefer(cod_fee_minor=0)
    order = make_order(lines={make_product(price=50_000): 1})

    def reason():
        ways = paying.methods_for(db.session.get_one(Order, order.id), order.total_minor)
        return next(way.unavailable for way in ways if way.key == "cod")

    assert reason() is None
    prefer(cod_minimum_minor=order.total_minor + 1)
    assert reason().startswith("Only from")
    prefer(cod_minimum_minor=0, cod_refusals=1)
    refusals(1)
    assert reason() == NOT_OFFERED


@pytest.mark.parametrize(("method", "asked"), [("sandbox", 0), ("cod", 1)])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_past_parcels_are_asked_about_only_where_cash_is_chosen(app, shop, method, asked):
    wish = make_wish(method=method)
    with counting(shop.sa_engine) as told:
        place(wish)
    assert sum("FROM orders JOIN shipments" in statement for statement in told) == asked


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_checkout_shows_the_reason_beside_the_method(app, client):
    user = make_user()
    sign_in(client, user)
    make_cart({make_product(price=3_000_000): 1}, user=user)
    page = client.get("/checkout").text
    assert "Only up to ₹25,000.00." in page
