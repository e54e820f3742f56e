"""Choosing who carries a parcel, before its waybill number is assigned."""

from collections.abc import Sequence

from shop.database import end_reading
from shop.delivery import parking, shipping
from shop.delivery.booking import booking_of
from shop.delivery.couriers import courier
from shop.delivery.couriers.base import LiveRate, NotServed
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import NOT_HANDED_OVER, Shipment
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.providers import ProviderError


class NoOffers(Refused):
    """The courier does not say who would carry the parcel."""


def is_open(shipment: Shipment) -> bool:
    """True while a carrier can be chosen: a courier makes the parcel, and it has no number yet."""
    return (
        shipment.courier != MANUAL
        and shipment.awb is None
        and shipment.status in NOT_HANDED_OVER
    )  # fmt: skip


def offers_for(shipment: Shipment) -> Sequence[LiveRate]:
    """Ask the courier who carries this parcel, at what price and by when; the best first.

    Called with no transaction open; the connection is given back before the call. Raises Refused
    when the carrier is settled, NoOffers in the courier's words when it gives no answer.
    """
    if not is_open(shipment):
        raise Refused("Its carrier is settled: the waybill number is assigned.")
    way, booking = courier(shipment.courier), booking_of(shipment)
    wish = shipping.rate_wish(shipping.parcel_of(shipment, shipment.order))
    end_reading()
    try:
        return way.offers(booking) if booking.order_id else way.rates(wish)
    except NotServed:
        return []
    except ProviderError as error:
        raise NoOffers(f"The courier gave no answer: {error}") from error


def choose(shipment: Shipment, offer: LiveRate) -> None:
    """Have the parcel carried by that one, and go on with its making.

    In the caller's transaction, which holds the order's lock. Raises Conflict when its number was
    assigned meanwhile, or a job makes it just now.
    """
    if not is_open(shipment):
        raise Conflict("Its waybill number has been assigned meanwhile.")
    if db.session.scalar(
        db.select(Shipment.id).where(Shipment.id == shipment.id, shipping.maker_lives())
    ):
        raise Conflict("This parcel is being booked just now. Wait a moment.")
    shipment.carrier_id, shipment.courier_name = offer.courier_id, offer.courier_name[:80]
    shipment.cost_minor = offer.price_minor
    if shipment.parked is not None:
        parking.try_again(shipment)
        return
    wish = {"order_id": shipment.order_id, "shipment_id": shipment.id}
    enqueue(parking.CREATE, wish, key=f"{shipment.order_id}:{shipment.id}")
