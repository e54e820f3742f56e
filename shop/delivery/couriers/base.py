"""What a courier is: the words it speaks to the shop, and the errors it may raise.

A courier is one file that knows no table and no request. Errors that leave it are shop.providers'
only, and WalletEmpty. Each step of making a shipment is its own call; the shop remembers which
were done, and asks (`find`) before it repeats one whose outcome is unknown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shop.providers import ProviderRefused


class WalletEmpty(ProviderRefused):
    """The account at the courier must be topped up; trying again would not help."""


class NotServed(ProviderRefused):
    """No courier of the account carries this parcel to that address."""


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
class ReturnParcel:
    """A parcel that goes from the customer back to the shop; it is paid for by the shop.

    `reference` is new and used once, such as "2611.042-RET1". Grams and millimetres; amounts in
    minor units of `currency`.
    """

    reference: str
    order_number: str
    asked_at: datetime
    email: str
    phone: str
    #: Where it is collected: the customer's address, with the fields of Parcel.to.
    collect_from: Mapping[str, str]
    lines: Sequence[ParcelLine]
    currency: str
    goods_minor: int
    weight_grams: int
    length_mm: int
    width_mm: int
    height_mm: int


@dataclass(frozen=True)
class RateWish:
    """A parcel that may be sent: what it would cost. Grams, millimetres, minor units."""

    postal_code: str
    country: str
    weight_grams: int
    length_mm: int
    width_mm: int
    height_mm: int
    goods_minor: int
    currency: str
    #: To be paid at the door.
    collect: bool = False


@dataclass(frozen=True)
class LiveRate:
    """One carrier's price for a parcel, in minor units of the wish's currency, and its days."""

    courier_id: str
    courier_name: str
    price_minor: int
    estimated_days: int | None = None
    estimated_at: datetime | None = None
    #: True when it collects at the door.
    is_cod: bool = False
    #: The one that the courier's own rule would take.
    is_recommended: bool = False


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
    #: From the customer to the shop.
    is_return: bool = False
    #: The carrier's own page about the parcel.
    tracking_url: str = ""
    #: What the carrier bills by, in grams; None where it does not say.
    applied_grams: int | None = None
    #: The customer's postal code, the goods' worth in minor units, and whether they are paid at the door.
    postal_code: str = ""
    goods_minor: int = 0
    collect: bool = False


STAGES = frozenset(
    {
        "pending", "pickup_scheduled", "picked_up", "in_transit", "out_for_delivery", "delivered",
        "cancelled", "lost", "damaged", "rto_initiated", "rto_in_transit", "rto_delivered",
    }
)  # fmt: skip
"""The values of shop.delivery's ShipmentStatus."""


@dataclass(frozen=True)
class Scan:
    """One piece of tracking news. `status` is one of STAGES, or None."""

    code: str
    words: str
    status: str | None
    place: str
    occurred_at: datetime
    #: The courier tried to deliver and could not.
    is_failed_attempt: bool = False
    #: The courier came for it, or should have, and did not take it.
    is_failed_pickup: bool = False
    #: The courier tells the status, but not since when: the time is our guess.
    is_undated: bool = False
    #: As the courier sent it, for who must look closer; empty where there is no more than the above.
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracking:
    """A parcel's news: by which ids it names the parcel, its scans, oldest first, and the expected day."""

    awb: str
    reference: str
    scans: Sequence[Scan]
    estimated_at: datetime | None = None
    #: The carrier's own page about the parcel, where it names one.
    tracking_url: str = ""
    #: The courier's own number of the order, where the message names it.
    order_id: str = ""


@dataclass(frozen=True)
class TrackingHook:
    """A verified tracking message, read: its unique id and its news. `tracking` is None for set-up pings."""

    event_id: str
    kind: str
    tracking: Tracking | None
    #: News of a return parcel, whose "delivered" means: back at the shop. `tracking` is None then.
    returning: Tracking | None = None


class TokenStore(Protocol):
    """Where a courier's one log-in is kept, for all processes."""

    def token(
        self,
        credentials: str,
        log_in: Callable[[], tuple[str, datetime]],
        stale: str = "",
        patience: float = 20,
    ) -> str:
        """The token in force; `log_in` (token, its end) is called by one process when it must be.

        `stale` is a token that was refused just now; `patience` is how many seconds another's
        log-in is waited for. Raises TryLater while log-ins are held off.
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

    def offers(self, booking: Booking) -> Sequence[LiveRate]:
        """The carriers that would take this booked parcel, the recommended one first."""

    def assign_awb(self, booking: Booking, carrier_id: str = "") -> Booking:
        """Get the waybill number, of that carrier or of the one that the account's rule picks.

        "Already assigned" is success. Raises WalletEmpty, and NotServed when nobody takes it.
        """

    def schedule_pickup(self, booking: Booking) -> Booking:
        """Ask for pickup. "Already in queue" is success."""

    def label(self, booking: Booking) -> Booking:
        """Get the label's address."""

    def manifest(self, booking: Booking) -> str:
        """The address of the list that the driver signs; made once, then shown again.

        Raises TryLater while it is not there yet, ProviderRefused where there is none.
        """

    def invoice(self, booking: Booking) -> str:
        """The address of the invoice for the parcel. Raises as `manifest` does."""

    def paper_file(self, url: str) -> bytes:
        """A label, manifest or invoice. It carries the buyer's address: kept privately, fetched once."""

    def cancel(self, booking: Booking) -> None:
        """Cancel what was booked. Raises ProviderRefused once it is picked up."""

    def track(self, awb: str) -> Tracking | None:
        """Ask for the parcel's news; None when there are none yet."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Check the message's token. Raises BadSignature."""

    def parse(self, body: bytes) -> TrackingHook:
        """Read a verified body. Raises ValueError when it cannot be read."""

    def rates(self, wish: RateWish) -> Sequence[LiveRate]:
        """Live rates at checkout, within 4 s; an empty list where the courier has no prices for such a way.

        Raises NotServed when it does price such ways, and nobody goes there.

        Called with no transaction open. Raises shop.providers' errors: the caller then counts by
        the shop's own table.
        """

    def create_return(self, wish: ReturnParcel) -> Booking:
        """Order the way back, from the customer to the shop; `assign_awb` follows.

        A reference that is known already gets its booking again. Raises ProviderRefused where the
        courier has no returns.
        """
