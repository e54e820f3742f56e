"""Changing zones and prices, in the owner's words. Everything runs in the caller's transaction, audited."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.preferences import preferences
from shop.shipping_prices import tariff
from shop.shipping_prices.models import Basis, ShippingRate, ShippingZone
from shop.shipping_prices.places import listed
from shop.shipping_prices.tariff import EVERYWHERE

MOST_ZONES = 100
MOST_RATES = 60

Values = Mapping[str, Any]


def zones() -> list[ShippingZone]:
    """All zones in their order, paused ones too, with their rows. Two statements."""
    return list(
        db.session.scalars(
            select(ShippingZone)
            .options(selectinload(ShippingZone.rates))
            .order_by(ShippingZone.position, ShippingZone.id)
        )
    )


def never_reached(found: Sequence[ShippingZone]) -> dict[int, str]:
    """Zones whose places a zone before them takes all: {its id: the other's name}."""
    hidden: dict[int, str] = {}
    active = [zone for zone in found if zone.is_active]
    for place, zone in enumerate(active):
        for before in active[:place]:
            if not before.postal_codes and _covers(before.countries, zone.countries):
                hidden.setdefault(zone.id, before.name)
    return hidden


def _covers(wider: str, narrower: str) -> bool:
    return EVERYWHERE in listed(wider) or set(listed(narrower)) <= set(listed(wider))


def add_zone(values: Values, actor: str) -> ShippingZone:
    """A new zone, after all others. Raises Refused."""
    _check_name(values["name"])
    count, last = db.session.execute(
        select(func.count(), func.max(ShippingZone.position)).select_from(ShippingZone)
    ).one()
    if count >= MOST_ZONES:
        raise Refused(f"A shop has at most {MOST_ZONES} zones.")
    zone = ShippingZone(**values, position=0 if last is None else last + 1)
    db.session.add(zone)
    db.session.flush()
    audit.write(actor, "shipping_zone.added", f"shipping_zone:{zone.id}", None, dict(values))
    return zone


def change_zone(zone_id: int, values: Values, actor: str) -> ShippingZone:
    """Write the zone's values. Raises NotFound and Refused."""
    zone = the_zone(zone_id)
    _check_name(values["name"], but_for=zone_id)
    before = {name: getattr(zone, name) for name in values}
    for name, value in values.items():
        setattr(zone, name, value)
    if before != dict(values):
        audit.write(
            actor, "shipping_zone.changed", f"shipping_zone:{zone.id}", before, dict(values)
        )
    return zone


def remove_zone(zone_id: int, actor: str) -> str:
    """Take the zone and its rows away; returns its name. Orders keep what they were charged."""
    zone = the_zone(zone_id)
    before = {**_zone_values(zone), "rates": [rate_values(rate) for rate in zone.rates]}
    db.session.delete(zone)
    audit.write(actor, "shipping_zone.removed", f"shipping_zone:{zone_id}", before, None)
    return zone.name


def move_zone(zone_id: int, is_up: bool, actor: str) -> ShippingZone:
    """Swap the zone with the one before or after it."""
    zone = the_zone(zone_id)
    order = zones()
    here = next(number for number, one in enumerate(order) if one.id == zone_id)
    there = here - 1 if is_up else here + 1
    if not 0 <= there < len(order):
        return zone
    before = [one.name for one in order]
    order[here], order[there] = order[there], order[here]
    for position, one in enumerate(order):
        one.position = position
    audit.write(
        actor, "shipping_zone.moved", f"shipping_zone:{zone_id}",
        {"order": before}, {"order": [one.name for one in order]},
    )  # fmt: skip
    return zone


def add_rate(zone_id: int, values: Values, actor: str) -> ShippingRate:
    """A new row in the zone. Raises NotFound and Refused."""
    zone = the_zone(zone_id)
    if len(zone.rates) >= MOST_RATES:
        raise Refused(f"A zone has at most {MOST_RATES} prices.")
    _check_fits(zone, values)
    rate = ShippingRate(zone_id=zone.id, **values)
    db.session.add(rate)
    zone.updated_at = utcnow()
    db.session.flush()
    audit.write(actor, "shipping_rate.added", f"shipping_zone:{zone.id}", None, dict(values))
    return rate


def change_rate(zone_id: int, rate_id: int, values: Values, actor: str) -> ShippingRate:
    """Write the row's values. Raises NotFound and Refused."""
    zone, rate = _the_rate(zone_id, rate_id)
    _check_fits(zone, values, but_for=rate_id)
    before = rate_values(rate)
    for name, value in values.items():
        setattr(rate, name, value)
    if before != dict(values):
        audit.write(
            actor, "shipping_rate.changed", f"shipping_zone:{zone.id}", before, dict(values)
        )
    return rate


def remove_rate(zone_id: int, rate_id: int, actor: str) -> str:
    """Take the row away; returns its label."""
    zone, rate = _the_rate(zone_id, rate_id)
    audit.write(actor, "shipping_rate.removed", f"shipping_zone:{zone.id}", rate_values(rate), None)
    zone.rates.remove(rate)
    return rate.label


def start_from_preferences(currency: str, actor: str) -> ShippingZone:
    """The first zone: everywhere, at the prices that the shop charges without zones."""
    if db.session.scalar(select(func.count()).select_from(ShippingZone)):
        raise Refused("There are zones already.")
    chosen = preferences(*tariff.PREFERENCES)
    values = {"name": "Everywhere", "countries": EVERYWHERE, "postal_codes": "", "is_active": True}
    zone = add_zone(values, actor)
    for method, (label, first, last) in tariff.METHODS.items():
        row = {
            "method": method, "label": label, "basis": Basis.WEIGHT, "up_to": None,
            "currency": currency, "price_minor": chosen[f"{method}_shipping_minor"],
            "free_from_minor": chosen["free_shipping_minor"] if method == "standard" else None,
            "days_from": first, "days_to": last, "is_live": False,
        }  # fmt: skip
        add_rate(zone.id, row, actor)
        db.session.expire(zone, ["rates"])
    return zone


def the_zone(zone_id: int) -> ShippingZone:
    """The zone. Raises NotFound."""
    zone = db.session.get(ShippingZone, zone_id)
    if zone is None:
        raise NotFound
    return zone


def _the_rate(zone_id: int, rate_id: int) -> tuple[ShippingZone, ShippingRate]:
    zone = the_zone(zone_id)
    rate = next((one for one in zone.rates if one.id == rate_id), None)
    if rate is None:
        raise NotFound
    return zone, rate


RATE_FIELDS = (
    "method", "label", "basis", "up_to", "currency", "price_minor", "free_from_minor", "days_from",
    "days_to", "is_live",
)  # fmt: skip


def rate_values(rate: ShippingRate) -> dict[str, Any]:
    """The row's values, as the audit keeps them."""
    return {name: getattr(rate, name) for name in RATE_FIELDS}


def _zone_values(zone: ShippingZone) -> dict[str, Any]:
    return {
        name: getattr(zone, name) for name in ("name", "countries", "postal_codes", "is_active")
    }


def _check_name(name: str, but_for: int = 0) -> None:
    same = select(ShippingZone.id).where(
        func.lower(ShippingZone.name) == name.lower(), ShippingZone.id != but_for
    )
    if db.session.scalar(same.limit(1)):
        raise Refused(f"There is a zone called “{name}” already.", field="name")


def _check_fits(zone: ShippingZone, values: Values, but_for: int = 0) -> None:
    """The rows of one method go by the same measure, and each to another bound."""
    others = [rate for rate in zone.rates if rate.id != but_for and rate.method == values["method"]]
    if any(rate.basis != values["basis"] for rate in others):
        measure = others[0].basis.value
        raise Refused(f"“{values['label']}” of this zone goes by {measure} already: use that, or another name.", field="basis")  # fmt: skip
    same = (values["up_to"], values["currency"])
    if any((rate.up_to, rate.currency) == same for rate in others):
        words = f"“{values['label']}” of this zone has a price up to there already."
        raise Refused(words, field="up_to")
