"""While a parcel comes back to us, no badge says that it is out for delivery."""

import re

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.models import Shipment, ShipmentStatus
from shop.delivery.story import coming_back, is_coming_back
from shop.extensions import db
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderStatus
from shop.sandbox import courier
from shop.sandbox.models import SandboxParcel
from tests.factories import let_in, make_order, make_user

BADGE = re.compile(r'<span class="badge" data-state="(\w+)">([^<]+)</span>')
S = ShipmentStatus


@pytest.fixture
def scan(run_parcels):
    """Scan the one parcel and let the shop hear of it."""

    def scanned(*wishes):
        for wish in wishes:
            with transaction():
                parcel = db.session.scalars(sa.select(SandboxParcel).with_for_update()).one()
                courier.scan(parcel, wish)
            run_parcels()

    return scanned


@pytest.fixture
def badges(new_client):
    """What each page's badges say of the order."""
    customer, staff = new_client(), new_client()
    buyer = make_user()
    let_in(customer, buyer)
    let_in(staff, make_user("owner"))

    def read():
        order = db.session.scalars(sa.select(Order)).one()
        pages = {
            "order": customer.get(f"/orders/{order.token}"),
            "own orders": customer.get("/account/orders"),
            "admin list": staff.get("/admin/orders"),
            "admin home": staff.get("/admin/"),
            "admin order": staff.get(f"/admin/orders/{order.number}"),
            "poll": staff.get(
                f"/admin/orders/{order.number}/timeline", headers={"HX-Request": "true"}
            ),
        }
        db.session.rollback()
        return {name: BADGE.findall(page.text) for name, page in pages.items()}

    read.buyer = buyer
    return read


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_page_says_that_the_parcel_comes_back(badges, run_parcels, scan):
    make_order("paid", user=badges.buyer)
    run_parcels()
    scan("next", "next", "next")
    for page, found in badges().items():
        assert ("out_for_delivery", "Out for delivery") in found, page

    scan("return")

    assert db.session.scalar(sa.select(Order.status)) == OrderStatus.OUT_FOR_DELIVERY
    for page, found in badges().items():
        assert ("returned", "Coming back") in found, page
        assert "out_for_delivery" not in dict(found), page

    scan("next", "next")

    for page, found in badges().items():
        assert ("returned", "Returned") in found, page
        assert "Coming back" not in dict(found).values(), page


def test_it_comes_back_when_nothing_else_is_under_way(app):
    made = {lines: make_order("shipped", lines=lines).id for lines in (1, 2)}
    for order_id in made.values():
        with transaction():
            locked = lock_order(order_id)
            for line in locked.lines:
                shipping.reserve(locked, quantities={line.id: 1})
    for statuses, is_back in (
        ((S.RTO_INITIATED,), True),
        ((S.RTO_IN_TRANSIT, S.DELIVERED), True),
        ((S.RTO_IN_TRANSIT, S.IN_TRANSIT), False),
        ((S.RTO_DELIVERED,), False),
        ((S.OUT_FOR_DELIVERY,), False),
    ):
        order_id = made[len(statuses)]
        parcels = db.session.scalars(sa.select(Shipment).filter_by(order_id=order_id)).all()
        for parcel, status in zip(parcels, statuses, strict=True):
            parcel.status = status
        db.session.flush()

        assert is_coming_back(parcels) is is_back, statuses
        assert coming_back([order_id]) == ({order_id} if is_back else set()), statuses
        db.session.rollback()
