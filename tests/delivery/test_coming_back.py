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
from tests.factories import make_order, make_user, sign_in

BADGE = re.compile(r'<span class="badge" data-state="(\w+)">([^<]+)</span>')
S = ShipmentStatus


@pytest.fixture
def scan(run_jobs):
    """Scan the one parcel and let the shop hear of it."""

    def scanned(*wishes):
        for wish in wishes:
            with transaction():
                parcel = db.session.scalars(sa.select(SandboxParcel).with_for_update()).one()
                courier.scan(parcel, wish)
            run_jobs()

    return scanned


@pytest.fixture
def badges(new_client):
    """What each page's badges say of the order."""
    customer, staff = new_client(), new_client()
    buyer = make_user()
    sign_in(customer, buyer)
    sign_in(staff, make_user("owner"))

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


def test_every_page_says_that_the_parcel_comes_back(badges, run_jobs, scan):
    make_order("paid", user=badges.buyer)
    run_jobs()
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


@pytest.mark.parametrize(
    ("statuses", "is_back"),
    [
        ((S.RTO_INITIATED,), True),
        ((S.RTO_IN_TRANSIT, S.DELIVERED), True),
        ((S.RTO_IN_TRANSIT, S.IN_TRANSIT), False),
        ((S.RTO_DELIVERED,), False),
        ((S.OUT_FOR_DELIVERY,), False),
    ],
)
def test_it_comes_back_when_nothing_else_is_under_way(app, statuses, is_back):
    order = make_order("shipped", lines=len(statuses))
    with transaction():
        locked = lock_order(order.id)
        for line in locked.lines:
            shipping.reserve(locked, quantities={line.id: 1})
    parcels = db.session.scalars(sa.select(Shipment)).all()
    for parcel, status in zip(parcels, statuses, strict=True):
        parcel.status = status
    db.session.flush()

    assert is_coming_back(parcels) is is_back
    assert coming_back([order.id]) == ({order.id} if is_back else set())
    db.session.rollback()
