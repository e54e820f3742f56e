"""Whether an order may be paid at the door: by amount, country, PIN code and the customer's past parcels.

The reasons are for the shopper. The gateway itself knows no table, so checkout asks here, and asks
again while it places the order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal_column, or_, select

from shop.accounts.addresses import country_name
from shop.delivery.models import Shipment, ShipmentStatus
from shop.extensions import db
from shop.money import format_minor
from shop.orders.models import Order
from shop.shipping_prices.places import listed, matches, plain

PREFERENCES = (
    "cod_fee_minor", "cod_limit_minor", "cod_minimum_minor", "cod_countries", "cod_postal_rule",
    "cod_postal_codes", "cod_refusals",
)  # fmt: skip
BACK = (
    ShipmentStatus.RTO_INITIATED, ShipmentStatus.RTO_IN_TRANSIT, ShipmentStatus.RTO_DELIVERED,
)  # fmt: skip
TOO_MANY = "Earlier parcels came back to us unpaid. Choose another way to pay."
NOT_OFFERED = "We cannot offer cash on delivery for this order. Choose another way to pay."
"""For a guest, who may have typed another's e-mail: it tells nothing of anybody's orders."""


@dataclass(frozen=True)
class Customer:
    """Who orders, by whatever is known: any of these names the person."""

    user_id: int | None = None
    email: str = ""
    phone: str = ""

    @property
    def is_known(self) -> bool:
        """False while the form says nothing about the person."""
        return bool(self.user_id or self.email or self.phone)


@dataclass(frozen=True)
class Place:
    """Where the parcel goes, as far as the form says, and to whom where that counts."""

    country: str
    postal_code: str = ""
    customer: Customer | None = None


def reason_against(
    currency: str, place: Place, amount_minor: int, chosen: Mapping[str, Any]
) -> str | None:
    """Why this order cannot be paid at the door; None when it can.

    `amount_minor` is what the order costs without the fee, `chosen` the PREFERENCES. Asks no table
    unless the customer counts, and then last.
    """
    return (
        _by_country(place.country, chosen)
        or _by_postal_code(place.postal_code, chosen)
        or _by_amount(currency, amount_minor, chosen)
        or (turned_down_too_many(place.customer, chosen) if place.customer else None)
    )


def _by_country(country: str, chosen: Mapping[str, Any]) -> str | None:
    countries = listed(chosen["cod_countries"])
    if country in countries:
        return None
    names = " and ".join(sorted(country_name(code) for code in countries))
    return f"Only for deliveries in {names}." if names else "Not offered just now."


def _by_postal_code(postal_code: str, chosen: Mapping[str, Any]) -> str | None:
    """Patterns are matched without blanks: * is any rest, ? any one letter."""
    patterns = listed(chosen["cod_postal_codes"])
    if not plain(postal_code) or not patterns:
        return None
    if matches(postal_code, patterns) == (chosen["cod_postal_rule"] == "allow"):
        return None
    return f"The courier takes no cash at {postal_code}."


def _by_amount(currency: str, amount_minor: int, chosen: Mapping[str, Any]) -> str | None:
    if amount_minor > chosen["cod_limit_minor"]:
        return f"Only up to {format_minor(chosen['cod_limit_minor'], currency)}."
    if amount_minor < chosen["cod_minimum_minor"]:
        return f"Only from {format_minor(chosen['cod_minimum_minor'], currency)} on."
    return None


def turned_down_too_many(customer: Customer, chosen: Mapping[str, Any]) -> str | None:
    """Why this person must pay first; None when not. One statement, none for a person not known.

    What counts is an order to be paid at the door that was never paid and whose parcel came back.
    """
    most = chosen["cod_refusals"]
    if not most or not customer.is_known:
        return None
    who = [
        column == value
        for column, value in (
            (Order.user_id, customer.user_id), (Order.email, customer.email),
            (Order.phone, customer.phone),
        )
        if value
    ]  # fmt: skip
    refusals = (
        select(func.count(Order.id.distinct()))
        .join(Shipment, Shipment.order_id == Order.id)
        .where(
            or_(*who),
            # Written out, so that PostgreSQL takes the index of exactly these orders.
            literal_column("orders.payment_method = 'cod'"),
            Order.paid_at.is_(None),
            Shipment.status.in_(BACK),
        )
    )
    if (db.session.scalar(refusals) or 0) < most:
        return None
    return TOO_MANY if customer.user_id else NOT_OFFERED
