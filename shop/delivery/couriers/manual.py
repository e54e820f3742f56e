"""The courier that is nobody's program: staff take the parcel to a carrier and type its number.

Nothing is asked of anybody. What staff do with such a parcel: shop/delivery/by_hand.py.
"""

from collections.abc import Mapping, Sequence

from shop.delivery.couriers.base import (
    Booking,
    LiveRate,
    Parcel,
    RateWish,
    ReturnParcel,
    TokenStore,
    Tracking,
    TrackingHook,
)  # fmt: skip
from shop.providers import BadSignature, ProviderRefused

KEY = "manual"
BY_STAFF = "staff book this parcel themselves"


class ManualCourier:
    """Its parcels wait for their number; no step of theirs is taken by a job."""

    key = KEY
    name = "By hand"
    is_dry_run = False
    is_authoritative = True

    def __init__(self, tokens: TokenStore) -> None:
        """Nobody is logged in anywhere."""

    def find(self, reference: str) -> Booking | None:
        """Nobody knows it."""
        return None

    def create(self, parcel: Parcel) -> Booking:
        """Refused: a person does it."""
        raise ProviderRefused(BY_STAFF)

    def offers(self, booking: Booking) -> Sequence[LiveRate]:
        """None."""
        return []

    def assign_awb(self, booking: Booking, carrier_id: str = "") -> Booking:
        """Refused: a person types the number."""
        raise ProviderRefused(BY_STAFF)

    def schedule_pickup(self, booking: Booking) -> Booking:
        """Refused."""
        raise ProviderRefused(BY_STAFF)

    def label(self, booking: Booking) -> Booking:
        """Refused: the carrier's counter prints it."""
        raise ProviderRefused(BY_STAFF)

    def manifest(self, booking: Booking) -> str:
        """Refused."""
        raise ProviderRefused(BY_STAFF)

    def invoice(self, booking: Booking) -> str:
        """Refused."""
        raise ProviderRefused(BY_STAFF)

    def paper_file(self, url: str) -> bytes:
        """Refused."""
        raise ProviderRefused(BY_STAFF)

    def cancel(self, booking: Booking) -> None:
        """Nothing stands anywhere: the parcel simply does not leave."""

    def track(self, awb: str) -> Tracking | None:
        """No news."""
        return None

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Nobody may send messages."""
        raise BadSignature("no messages are taken for parcels that staff move")

    def parse(self, body: bytes) -> TrackingHook:
        """Never reached."""
        raise ValueError("no messages are taken for parcels that staff move")

    def rates(self, wish: RateWish) -> Sequence[LiveRate]:
        """None: the shop's own table counts."""
        return []

    def create_return(self, wish: ReturnParcel) -> Booking:
        """Refused: the customer is told where to send it."""
        raise ProviderRefused(BY_STAFF)
