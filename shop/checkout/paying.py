"""What the pay page shows: the hold, the last attempt, and the ways to pay an order that is placed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shop.checkout import at_the_door
from shop.checkout.at_the_door import Customer, Place
from shop.checkout.order_page import ASKING, provider_name
from shop.checkout.quoting import Method
from shop.clock import utcnow
from shop.money import format_minor
from shop.orders import lines
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.gateways import switched_on
from shop.payments.models import Payment, PaymentPart
from shop.preferences import preferences
from shop.stock import reservations

READ = ("hold_minutes", "bank_hold_hours", *at_the_door.PREFERENCES)


@dataclass(frozen=True)
class Hold:
    """Until when the order's stock is held. `until` in the past, or None, is a hold that ended."""

    until: datetime | None
    #: The whole length of a hold, in minutes.
    minutes: int
    #: After it ended: whether all of it could be held again.
    is_still_free: bool

    @property
    def is_active(self) -> bool:
        """True while nobody else can buy it."""
        return self.until is not None and self.until > utcnow()


@dataclass(frozen=True)
class PayPage:
    """What the pay page draws."""

    order: Order
    payment: Payment | None
    hold: Hold
    methods: Sequence[Method]
    #: What the shopper chose in the form; may be empty or nothing of ours.
    method: str
    #: The part that is paid now; the whole order, as a rule.
    part: PaymentPart

    @property
    def is_asking(self) -> bool:
        """An attempt may have succeeded without our knowing: no other is offered meanwhile."""
        return self.payment is not None and self.payment.status in ASKING

    @property
    def is_unfinished(self) -> bool:
        """A gateway's page is still open."""
        return self.payment is not None and attempts.has_open_page(self.payment)

    @property
    def choices(self) -> list[Method]:
        """The ways to pay that are offered beside going on with an unfinished one."""
        open_at = self.payment.gateway if self.payment and self.is_unfinished else ""
        return [way for way in self.methods if way.key != open_at]

    @property
    def provider(self) -> str:
        """The name of the latest attempt's gateway."""
        return provider_name(self.payment.gateway) if self.payment else ""

    @property
    def the_method(self) -> Method | None:
        """The chosen way to pay; else one that did not just fail."""
        usable = [way for way in self.choices if way.unavailable is None]
        failed = self.payment.gateway if self.payment and not self.payment.is_live else ""
        usable.sort(key=lambda way: (way.key != self.method, way.key == failed))
        return usable[0] if usable else None

    @property
    def amount_minor(self) -> int:
        """What is to be paid now."""
        return self.part.amount_minor

    @property
    def is_a_part(self) -> bool:
        """True when other parts were paid or are to be paid later."""
        return self.amount_minor != self.order.total_minor

    @property
    def title(self) -> str:
        """The page's heading."""
        return f"Pay {format_minor(self.amount_minor, self.order.currency)}"


def read(order: Order, part: PaymentPart, chosen_method: str = "") -> PayPage:
    """The pay page of an order of which this part waits to be paid."""
    payment = attempts.latest(order.id)
    chosen = preferences(*READ)
    methods = _methods(order, part.amount_minor, chosen)
    return PayPage(order, payment, _hold(order, chosen), methods, chosen_method, part)


def read_hold(order: Order) -> Hold:
    """How the order's stock is held now."""
    return _hold(order, preferences(*READ))


def _hold(order: Order, chosen: Mapping[str, Any]) -> Hold:
    is_bank = order.payment_method == "bank_transfer"
    minutes = chosen["bank_hold_hours"] * 60 if is_bank else chosen["hold_minutes"]
    until = reservations.hold_ends_at(order.id)
    return Hold(until, minutes, until is not None or _is_free(order))


def _is_free(order: Order) -> bool:
    wanted = lines.quantities(order.id)
    free = reservations.free_units(wanted)
    return all(free[variant_id] >= quantity for variant_id, quantity in wanted.items())


def methods_for(order: Order, amount_minor: int) -> list[Method]:
    """The ways to pay this much of the order. Its total is settled: a way that would add a fee is not offered."""
    return _methods(order, amount_minor, preferences(*READ))


def _methods(order: Order, amount_minor: int, chosen: Mapping[str, Any]) -> list[Method]:
    country = order.shipping_address.get("country", "")
    methods = []
    for way in switched_on():
        reason = way.unavailable(order.currency, country, amount_minor)
        if way.key == "cod" and not reason:
            reason = _against_cash(order, amount_minor, chosen)
        methods.append(
            Method(
                way.key, way.label, way.explanation, way.marks, 0, reason, way.key == "sandbox", way.is_online
            )
        )  # fmt: skip
    return methods


def _against_cash(order: Order, amount_minor: int, chosen: Mapping[str, Any]) -> str | None:
    """Why it cannot be paid at the door any more; past parcels are asked about last."""
    address = order.shipping_address
    place = Place(address.get("country", ""), address.get("postal_code", ""))
    reason = at_the_door.reason_against(order.currency, place, amount_minor, chosen)
    if reason:
        return reason
    if order.fee_minor < chosen["cod_fee_minor"]:
        return attempts.ONLY_AT_CHECKOUT
    customer = Customer(order.user_id, order.email, order.phone)
    return at_the_door.turned_down_too_many(customer, chosen)
