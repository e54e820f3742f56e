"""What a courier is: the words it speaks to the shop, and the errors it may raise.

A courier is one file that knows no table and no request. Errors that leave it are shop.providers'
only, and WalletEmpty. Each step of making a shipment is its own call; the shop remembers which
were done, and asks (`find`) before it repeats one whose outcome is unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shop.providers import ProviderRefused


class WalletEmpty(ProviderRefused):
    """The account at the courier must be topped up; trying again would not help."""


@dataclass(frozen=True)
class ParcelLine:
    """What is in the parcel. `unit_minor` is the price with tax, in minor units."""

    name: str
    sku: str
    quantity: int
    unit_minor: int
    discount_minor: int
    tax_rate_bp: int
    hsn_code: str


@dataclass(frozen=True)
class Parcel:
    """A parcel to be carried. Grams and millimetres; amounts in minor units of `currency`."""

    reference: str
    order_number: str
    placed_at: datetime
    email: str
    phone: str
    #: recipient, phone, line1, line2, landmark, city, state, postal_code, country.
    to: Mapping[str, str]
    lines: Sequence[ParcelLine]
    currency: str
    goods_minor: int
    shipping_minor: int
    discount_minor: int
    #: To be collected at the door; 0 when it is paid.
    collect_minor: int
    weight_grams: int
    length_mm: int
    width_mm: int
    height_mm: int


@dataclass(frozen=True)
class Booking:
    """What the courier knows of a parcel so far. Empty fields are steps not done yet."""

    order_id: str
    shipment_id: str
    #: Ours.
    reference: str = ""
    awb: str = ""
    courier_name: str = ""
    pickup_at: datetime | None = None
    label_url: str = ""
    estimated_at: datetime | None = None
    is_cancelled: bool = False
    cost_minor: int | None = None


@dataclass(frozen=True)
class Scan:
    """One piece of tracking news. `status` is a shop.delivery ShipmentStatus value, or None."""

    code: str
    words: str
    status: str | None
    place: str
    occurred_at: datetime
    #: The courier tried to deliver and could not.
    is_failed_attempt: bool = False
    #: The courier came for it, or should have, and did not take it.
    is_failed_pickup: bool = False


@dataclass(frozen=True)
class Tracking:
    """A parcel's news: by which ids it names the parcel, its scans, oldest first, and the expected day."""

    awb: str
    reference: str
    scans: Sequence[Scan]
    estimated_at: datetime | None = None


@dataclass(frozen=True)
class TrackingHook:
    """A verified tracking message, read: its unique id and its news. `tracking` is None for set-up pings."""

    event_id: str
    kind: str
    tracking: Tracking | None


class TokenStore(Protocol):
    """Where a courier's one log-in is kept, for all processes."""

    def token(
        self, credentials: str, log_in: Callable[[], tuple[str, datetime]], stale: str = ""
    ) -> str:
        """The token in force; `log_in` (token, its end) is called by one process when it must be.

        `stale` is a token that was refused just now. Raises TryLater while log-ins are held off.
        """


class Courier(Protocol):
    """One way to carry parcels. The steps in order: create, assign_awb, schedule_pickup, label.

    It is made with the TokenStore that keeps its log-in.
    """

    key: str
    name: str
    #: True when nothing real is booked.
    is_dry_run: bool
    #: False where webhooks are hints: `track` is asked before anything changes.
    is_authoritative: bool

    def find(self, reference: str) -> Booking | None:
        """Ask for a booking by our reference. None when the courier has none."""

    def create(self, parcel: Parcel) -> Booking:
        """Make the order at the courier. A booking that `is_cancelled` wants another reference.

        Raises ProviderRefused when the answer is neither a fresh order nor ours.
        """

    def assign_awb(self, booking: Booking) -> Booking:
        """Get the waybill number. "Already assigned" is success."""

    def schedule_pickup(self, booking: Booking) -> Booking:
        """Ask for pickup. "Already in queue" is success."""

    def label(self, booking: Booking) -> Booking:
        """Get the label's address."""

    def label_file(self, url: str) -> bytes:
        """The label itself. It carries the buyer's address: kept privately, fetched once."""

    def cancel(self, booking: Booking) -> None:
        """Cancel what was booked. Raises ProviderRefused once it is picked up."""

    def track(self, awb: str) -> Tracking | None:
        """Ask for the parcel's news; None when there are none yet."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Check the message's token. Raises BadSignature."""

    def parse(self, body: bytes) -> TrackingHook:
        """Read a verified body. Raises ValueError when it cannot be read."""

    def rates(self, postal_code: str, country: str, weight_grams: int) -> Sequence[Any]:
        """Live rates at checkout; an empty list where there are none."""
