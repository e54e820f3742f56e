"""Work at the courier once a parcel is made: its papers, and cancelling it.

Making one: booking.py. Asking where it is: asking.py.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from flask import Flask
from sqlalchemy import select

from shop.delivery import following, papers, parking, shipping, tracking
from shop.delivery.booking import CreateShipment, booking_of
from shop.delivery.couriers import courier
from shop.delivery.couriers.base import Booking
from shop.delivery.models import (
    GIVEN_BACK,
    NOT_HANDED_OVER,
    Shipment,
    Step,
)  # fmt: skip
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import cancel, enqueue
from shop.orders.lifecycle import SYSTEM
from shop.orders.locking import lock_order
from shop.orders.models import Order, PaymentStatus
from shop.providers import TryLater

log = structlog.get_logger()

REFUSED_WORDS = ("shiprocket", "kartrocket", "sr", "kr")


def init_app(app: Flask) -> None:
    """Warn at the start when the courier's panel would refuse our address for its webhooks."""
    found = app.extensions["settings"]
    address = found.public_url.lower()
    words = [word for word in REFUSED_WORDS if word in address]
    if found.courier == "parcel" and words:
        log.warning(
            "courier.webhook_address_refused", address=urlsplit(address).netloc, words=words,
            hint="Shiprocket's panel refuses webhook addresses that hold these words",
        )  # fmt: skip


# --- its papers ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fetching:
    """A paper to be fetched and kept; `url` is empty where the courier must be asked for it."""

    shipment_id: int
    courier_key: str
    kind: str
    url: str
    booking: Booking


@handles_outward(
    "delivery.keep_paper",
    # After the buyer's mail: a paper is wanted when somebody packs.
    Policy(limit=45, attempts=8, base=10, cap=3600, priority=30, incident=("delivery", "low")),
)
class KeepPaper:
    """Fetch {"shipment_id", "kind"} once: the courier's address for it does not live for ever."""

    def prepare(self, work: Work) -> Fetching | None:
        """Nothing to do when it is here, or when the parcel will not leave."""
        kind = work.payload["kind"]
        shipment = db.session.get_one(Shipment, work.payload["shipment_id"])
        if shipment.is_dry_run or shipment.status in GIVEN_BACK or papers.key_of(shipment, kind):
            return None
        url = shipment.label_url or "" if kind == "label" else ""
        if kind == "label" and not url:
            return None
        return Fetching(shipment.id, shipment.courier, kind, url, booking_of(shipment))

    def call(self, request: Fetching) -> str:
        """Ask where it is, fetch and store; doing it twice changes nothing."""
        way = courier(request.courier_key)
        url = request.url
        if not url:
            asked = way.manifest if request.kind == "manifest" else way.invoice
            url = asked(request.booking)
        return papers.keep(request.kind, request.booking.reference, way.paper_file(url))

    def record(self, work: Work, request: Fetching, answer: str) -> None:
        """Its key below STORAGE_URL."""
        shipment = db.session.get_one(Shipment, request.shipment_id)
        papers.set_key(shipment, request.kind, answer)


# --- cancelling ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cancelling:
    """A parcel to be cancelled at its courier."""

    shipment_id: int
    courier_key: str
    booking: Booking
    ask_first: bool


@handles_outward(
    shipping.CANCEL,
    Policy(limit=30, attempts=8, base=30, cap=3600, priority=5, incident=("delivery", "high")),
)
class CancelShipments:
    """Cancel what was not handed over, one parcel a round: {"order_id"}, or only {"shipment_id"} of it."""

    def prepare(self, work: Work) -> Cancelling | None:
        """The next parcel; one that the courier never heard of ends here."""
        order = lock_order(work.payload["order_id"])
        for shipment in _still_here(order, work.payload.get("shipment_id")):
            _wait_for_its_maker(shipment, work)
            _stop_its_maker(shipment, work)
            shipment.booked_by_job = work.job_id
            if shipment.is_dry_run or (shipment.step == Step.RESERVED and shipment.trying is None):
                shipping.mark_cancelled(shipment, order)
                continue
            ask_first = work.attempt > 1 or shipment.courier_order_id is None
            return Cancelling(shipment.id, shipment.courier, booking_of(shipment), ask_first)
        following.settle_cash(order, SYSTEM)
        return None

    def call(self, request: Cancelling) -> None:
        """Ask before repeating, and where it is not known whether there is anything to cancel.

        What the courier told before counts even where its search does not find the parcel.
        """
        way, booking = courier(request.courier_key), request.booking
        if request.ask_first:
            found = way.find(booking.reference)
            booking = found or booking
            if booking.is_cancelled or not booking.order_id:
                return
        way.cancel(booking)

    def record(self, work: Work, request: Cancelling, answer: None) -> bool:
        """The units may ship again; then the next parcel."""
        shipment, order = tracking.locked(request.shipment_id)
        shipping.mark_cancelled(shipment, order)
        return True

    def gave_up(self, work: Work, words: str) -> None:
        """It may be on its way: a person must stop it. The order's other parcels get jobs of their own."""
        order = lock_order(work.payload["order_id"])
        order.attention = f"A parcel could not be cancelled: {words}"[:300]
        if "shipment_id" in work.payload:
            return
        for other in _still_here(order, None):
            if other.booked_by_job != work.job_id:
                wish = {"order_id": order.id, "shipment_id": other.id}
                enqueue(work.kind, wish, key=f"{order.id}:{other.id}")


def _still_here(order: Order, shipment_id: int | None) -> list[Shipment]:
    query = select(Shipment).where(
        Shipment.order_id == order.id, Shipment.status.in_(NOT_HANDED_OVER)
    )
    if shipment_id is not None:
        query = query.where(Shipment.id == shipment_id)
    return list(
        db.session.scalars(
            query.order_by(Shipment.id).with_for_update().execution_options(populate_existing=True)
        )
    )


def _wait_for_its_maker(shipment: Shipment, work: Work) -> None:
    """A call that makes this parcel may be under way: its outcome must be recorded first."""
    making = db.session.scalar(
        select(Job.id).where(
            Job.id == shipment.booked_by_job,
            Job.id != work.job_id,
            Job.status == JobStatus.RUNNING,
        )
    )
    if making is not None:
        raise TryLater("the parcel is being booked just now")


def _stop_its_maker(shipment: Shipment, work: Work) -> None:
    """A job that waits to try the booking again would find no parcel and begin another."""
    waiting = db.session.scalar(
        select(Job.id).where(
            Job.id == shipment.booked_by_job, Job.id != work.job_id, Job.kind == parking.CREATE
        )
    )
    if waiting is not None:
        cancel(waiting)


# --- when money went back or is questioned ---------------------------------------------------


@handles(
    "delivery.follow_money",
    Policy(limit=30, attempts=5, base=5, cap=300, incident=("delivery", "medium")),
)
def follow_money(work: Work) -> None:
    """What is refunded is not awaited any more; what waits for its pickup is held: {"order_id"}."""
    order = lock_order(work.payload["order_id"])
    following.catch_up(order)
    waiting = [one for one in shipping.of_order(order.id) if one.status in NOT_HANDED_OVER]
    if waiting and order.payment_status == PaymentStatus.DISPUTED:
        order.attention = (
            f"Parcel {waiting[0].awb or waiting[0].reference} waits for its pickup while the payment"
            " is disputed: hold it back, or cancel it"
        )


__all__ = ["CreateShipment"]  # imported so that its handler is registered with these
