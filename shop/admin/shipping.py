"""Shipping: the zones with their prices, and what a postal code would be offered."""

from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from shop.accounts.addresses import countries
from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, screen, shown_again
from shop.config import settings
from shop.database import transaction
from shop.money import MAX_MINOR, MoneyError, format_minor, parse_minor, to_decimal
from shop.preferences import preferences
from shop.shipping_prices import editing, forms, tariff
from shop.shipping_prices.goods import Goods
from shop.shipping_prices.models import Basis, ShippingRate
from shop.shipping_prices.places import Place, home_country
from shop.shipping_prices.tariff import Offer

HERE = "admin.shipping"


@bp.get("/shipping")
@needs(Right.CHANGE_SETTINGS)
def shipping() -> ResponseReturnValue:
    """The zones in their order, and the box to try a postal code."""
    return show_shipping()


def show_shipping(*_args: Any, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The screen; `problem` is what was refused just now, in the form that was sent."""
    found = editing.zones()
    return screen(
        "admin/shipping.html",
        status,
        section=HERE,
        problem=problem,
        is_typed="name" in request.form or "label" in request.form,
        zones=found,
        hidden=editing.never_reached(found),
        built_in=tariff.built_in(_goods(), preferences(*tariff.PREFERENCES)),
        trial=_trial(),
        countries=countries(),
        home=home_country(),
        amount=_amount,
        bound_words=_bound_words,
    )


@dataclass(frozen=True)
class Trial:
    """A postal code that was tried: what it is offered, and which other zones name it too."""

    place: Place
    goods: Goods
    offer: Offer
    also: list[str]


def _trial() -> Trial | None:
    """What ?postcode=…&country=…&weight=…&value=… asks; None without a code."""
    if "postcode" not in request.args:
        return None
    place = Place(request.args.get("country", "")[:2], request.args["postcode"][:64])
    zones, _ = tariff.read_zones()
    goods = _goods()
    offer = tariff.offer(place, goods, preferences(*tariff.PREFERENCES), bool(zones))
    also = [zone.name for zone in zones if zone.holds(place) and zone.name != offer.zone]
    return Trial(place, goods, offer, also)


def _goods() -> Goods:
    weight = request.args.get("weight", "")
    grams = int(weight) if weight.isascii() and weight.isdigit() and len(weight) < 8 else 500
    currency = settings().default_currency
    try:
        value_minor = parse_minor(request.args.get("value", "1000"), currency)
    except MoneyError:
        value_minor = 0
    return Goods(min(value_minor, MAX_MINOR), currency, grams)


def _amount(minor: int | None) -> str:
    """An amount as it stands in its field: "99.00"; empty for none."""
    return "" if minor is None else str(to_decimal(minor, settings().default_currency))


def _bound_words(rate: ShippingRate) -> str:
    if rate.up_to is None:
        return "Any weight" if rate.basis == Basis.WEIGHT else "Any value"
    if rate.basis == Basis.WEIGHT:
        return f"Up to {rate.up_to:,} g"
    return f"Up to {format_minor(rate.up_to, rate.currency)}"


@bp.post("/shipping/start")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def shipping_start() -> ResponseReturnValue:
    """The first zone, at today's prices."""
    with transaction():
        editing.start_from_preferences(settings().default_currency, staff_actor())
    return done(
        url_for(HERE), "The zone Everywhere has the prices of before. Change them here now."
    )


@bp.post("/shipping/zones")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def zone_add() -> ResponseReturnValue:
    """A new zone."""
    values = forms.read_zone(request.form)
    with transaction():
        zone = editing.add_zone(values, staff_actor())
    return done(url_for(HERE, _anchor=f"zone-{zone.id}"), f"{values['name']} is added. Give it prices.")  # fmt: skip


@bp.post("/shipping/zones/<int:zone_id>")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def zone_change(zone_id: int) -> ResponseReturnValue:
    """Change a zone's name, places, or whether it counts."""
    values = forms.read_zone(request.form)
    with transaction():
        editing.change_zone(zone_id, values, staff_actor())
    return done(url_for(HERE), f"{values['name']} is saved.")


@bp.post("/shipping/zones/<int:zone_id>/move")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def zone_move(zone_id: int) -> ResponseReturnValue:
    """One place up or down: the first zone that holds a place counts for it."""
    with transaction():
        zone = editing.move_zone(zone_id, request.form.get("to") == "up", staff_actor())
        name = zone.name
    return done(url_for(HERE), f"{name} is moved.")


@bp.post("/shipping/zones/<int:zone_id>/remove")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def zone_remove(zone_id: int) -> ResponseReturnValue:
    """Take a zone away, with its prices."""
    with transaction():
        name = editing.remove_zone(zone_id, staff_actor())
    return done(url_for(HERE), f"{name} is removed.")


@bp.post("/shipping/zones/<int:zone_id>/rates")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def rate_add(zone_id: int) -> ResponseReturnValue:
    """A new price in a zone."""
    values = forms.read_rate(request.form)
    with transaction():
        editing.add_rate(zone_id, values, staff_actor())
    return done(url_for(HERE), f"{values['label']} is added.")


@bp.post("/shipping/zones/<int:zone_id>/rates/<int:rate_id>")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def rate_change(zone_id: int, rate_id: int) -> ResponseReturnValue:
    """Change a price."""
    values = forms.read_rate(request.form)
    with transaction():
        editing.change_rate(zone_id, rate_id, values, staff_actor())
    return done(url_for(HERE), f"{values['label']} is saved.")


@bp.post("/shipping/zones/<int:zone_id>/rates/<int:rate_id>/remove")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_shipping)
def rate_remove(zone_id: int, rate_id: int) -> ResponseReturnValue:
    """Take a price away."""
    with transaction():
        label = editing.remove_rate(zone_id, rate_id, staff_actor())
    return done(url_for(HERE), f"{label} is removed.")
