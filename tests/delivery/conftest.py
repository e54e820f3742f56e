"""A Shiprocket of ours, and the shop set up to use it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.delivery.models import Shipment
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.models import Order
from tests.delivery.shiprocket_samples import Canned
from tests.factories import make_order
from tests.simulators.shiprocket import EMAIL, PASSWORD, Shiprocket


def connected(held: Shiprocket, configure: Callable[..., None], live: str) -> Shiprocket:
    """The shop's courier is `parcel`, for real, and this stand-in is what it speaks to."""
    held.webhook_url = live + "/webhooks/delivery/parcel"
    configure(
        courier="parcel", shiprocket_dry_run=False, shiprocket_email=EMAIL, shiprocket_password=PASSWORD,
        shiprocket_api_base=held.base, shiprocket_webhook_token=("older-token", "hook-token"),
    )  # fmt: skip
    return held


@pytest.fixture
def parcels(configure, live) -> Iterator[Shiprocket]:
    """The stand-in; the shop's courier is `parcel`, for real."""
    held = connected(Shiprocket(), configure, live)
    yield held
    held.stop()


@pytest.fixture
def the_parcel(app):
    """The only parcel, or the one of that sequence, read afresh."""

    def read(sequence: int | None = None) -> Shipment:
        db.session.rollback()
        query = select(Shipment)
        if sequence:
            query = query.where(Shipment.sequence == sequence)
        return db.session.scalars(query).one()

    return read


@pytest.fixture
def the_order(app):
    """The only order, read afresh."""

    def read() -> Order:
        db.session.rollback()
        return db.session.scalars(select(Order)).one()

    return read


#: What makes, cancels and follows parcels: neither mail nor papers nor money.
OF_PARCELS = (
    "delivery.cancel", "delivery.create", "delivery.follow", "delivery.poll", "delivery.track",
    "orders.unstick", "sandbox.", "webhooks.",
)  # fmt: skip


@pytest.fixture
def run_parcels(run_jobs) -> Callable[..., int]:
    """`run_parcels()` runs the jobs of parcels that are due; but for kinds in `also`, others wait."""

    def run(ahead: float = 0, also: tuple[str, ...] = ()) -> int:
        return int(run_jobs(ahead=ahead, kinds=OF_PARCELS + also))

    return run


@pytest.fixture
def make_paid(app, run_jobs) -> Callable[[], int]:
    """Makes a paid order of which everybody has been told; its parcel is to be booked. Returns its id."""

    def make() -> int:
        order_id = make_order("paid").id
        booking = update(Job).where(Job.kind == "delivery.create_shipment")
        with transaction() as session:
            session.execute(booking.values(run_at=in_future(hours=1)))
        run_jobs()
        with transaction() as session:
            session.execute(booking.values(run_at=utcnow()))
        return order_id

    return make


@pytest.fixture
def paid(shop, make_paid) -> Order:
    """Such an order, up to two minutes old. No courier knows of it."""
    return db.session.get_one(Order, shop.scene("delivery_paid", make_paid))


@pytest.fixture
def shipped(shop, make_paid, parcels, run_parcels, the_parcel) -> Shipment:
    """A parcel at the stand-in, waiting for its pickup."""

    def make() -> dict[str, Any]:
        make_paid()
        run_parcels()
        return parcels.memory()

    parcels.remember(shop.scene("delivery_shipped", make))
    return the_parcel()


@pytest.fixture
def booked(shop, run_parcels, the_parcel) -> Shipment:
    """A parcel of a paid order that waits for its pickup."""

    def book() -> None:
        make_order("paid")
        run_parcels(also=("delivery.keep_paper",))

    shop.scene("booked", book)
    return the_parcel()


@pytest.fixture
def canned(configure) -> Iterator[Canned]:
    """The stand-in that answers with samples."""
    held = Canned()
    configure(
        courier="parcel", shiprocket_dry_run=False, shiprocket_email="api-user@shop.example.com",
        shiprocket_password="invented-password", shiprocket_api_base=held.base,
        shiprocket_webhook_token=("hook-token",),
    )  # fmt: skip
    yield held
    held.stop()
