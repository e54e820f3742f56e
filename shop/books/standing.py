"""The proof that settings, roles and prices stand as the audit last told: nobody passed it by."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    String,
    case,
    cast,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
)

from shop.accounts.models import Role, User
from shop.audit.models import AuditEntry
from shop.books.reading import stream
from shop.catalog.models import VariantPrice
from shop.messaging.models import MessageSwitch
from shop.preferences import PREFERENCES, Setting
from shop.shipping_prices.editing import RATE_FIELDS
from shop.shipping_prices.models import ShippingRate, ShippingZone

ZONE_FIELDS = ("name", "countries", "postal_codes", "is_active")
CUSTOMER = Role.CUSTOMER.value
NOTHING = "nothing"


def _by(user_id: Any) -> Any:
    return literal("user:") + cast(user_id, String)


#: What one value says: its row, the value as text, and who changed it, where that is kept.
VALUES = union_all(
    select(
        (literal("settings:") + Setting.key).label("name"),
        Setting.value.label("value"),
        _by(Setting.changed_by).label("by"),
    ).where(Setting.changed_by.is_not(None)),
    select(
        literal("message_switches:") + MessageSwitch.event + ":" + MessageSwitch.channel,
        case((MessageSwitch.is_on, "on"), else_="off"),
        _by(MessageSwitch.changed_by),
    ).where(MessageSwitch.changed_by.is_not(None)),
    select(
        literal("users:") + cast(User.id, String),
        type_coerce(User.role, String),
        cast(null(), String),
    ).where(User.role != Role.CUSTOMER),
)
ZONES = select(ShippingZone.id, *(getattr(ShippingZone, name) for name in ZONE_FIELDS)).order_by(
    ShippingZone.id
)
RATES = select(
    ShippingRate.id, ShippingRate.zone_id, *(getattr(ShippingRate, name) for name in RATE_FIELDS)
).order_by(ShippingRate.id)


class _Told:
    """What the audit's entries, read from the first to the last, say of each thing."""

    def __init__(self) -> None:
        #: The row → its value, and who changed it.
        self.values: dict[str, tuple[Any, str | None]] = {}
        self.zones: dict[int, dict[str, Any]] = {}
        self.rates: defaultdict[int, Counter[tuple[Any, ...]]] = defaultdict(Counter)

    def take(self, entry: Any) -> None:
        """The next entry."""
        kind, _, name = entry.subject.partition(":")
        if kind == "shipping_zone":
            self._take_of_zone(entry, int(name))
        elif kind == "setting":
            self.values[f"settings:{name}"] = entry.after["value"], entry.actor
        elif kind == "message":
            switch = "on" if entry.after["is_on"] else "off"
            row = f"message_switches:{name}:{entry.after['channel']}"
            self.values[row] = switch, entry.actor
        else:
            self.values[f"users:{name}"] = entry.after["role"], entry.actor

    def _take_of_zone(self, entry: Any, zone_id: int) -> None:
        what, _, deed = entry.action.partition(".")
        if what == "shipping_rate":
            self.rates[zone_id].subtract([_rate(entry.before)] if entry.before else [])
            self.rates[zone_id].update([_rate(entry.after)] if entry.after else [])
        elif deed == "removed":
            self.zones.pop(zone_id, None)
            self.rates.pop(zone_id, None)
        else:
            self.zones[zone_id] = {**self.zones.get(zone_id, {}), **entry.after}


def _rate(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values[name] for name in RATE_FIELDS)


TELLING = (
    "setting.changed", "message.switched", "account.created", "account.role_changed",
    "shipping_zone.added", "shipping_zone.changed", "shipping_zone.removed",
    "shipping_rate.added", "shipping_rate.changed", "shipping_rate.removed",
)  # fmt: skip
ENTRIES = (
    select(
        AuditEntry.actor, AuditEntry.action, AuditEntry.subject, AuditEntry.before, AuditEntry.after
    )
    .where(AuditEntry.action.in_(TELLING))
    .order_by(AuditEntry.id)
)


def as_told(connection: Connection) -> Iterator[str]:
    """I33: settings, switches, roles, delivery's and goods' prices are what people last made them.

    Goods whose price nobody changed (the demo's) have no entry, and are not asked for one.
    """
    told = _Told()
    for entry in stream(connection, ENTRIES):
        told.take(entry)
    yield from _values(connection, told.values)
    yield from _zones(connection, told.zones)
    yield from _rates(connection, told.rates)
    yield from _prices(connection)


def _values(connection: Connection, told: dict[str, tuple[Any, str | None]]) -> Iterator[str]:
    for name, text, by in stream(connection, VALUES):
        value, actor = told.pop(name, (NOTHING, None))
        if _typed(name, text) != value:
            yield f"{name} is {text}, the audit tells {value}"
        elif by not in {None, actor}:
            yield f"{name} was changed by {by}, the audit tells {actor}"
    for name, (value, _actor) in told.items():
        if name.startswith("users:") and value != CUSTOMER:
            yield f"{name} is {CUSTOMER}, the audit tells {value}"


def _typed(name: str, text: str) -> Any:
    """A setting's value as the audit keeps it; text that cannot be read is nobody's."""
    row = PREFERENCES.get(name.removeprefix("settings:"))
    if row is None:
        return text
    try:
        return row.read(text)
    except ValueError:
        return None


def _zones(connection: Connection, told: dict[int, dict[str, Any]]) -> Iterator[str]:
    for zone in stream(connection, ZONES):
        values = told.pop(zone.id, {})
        for name in ZONE_FIELDS:
            stands, said = getattr(zone, name), values.get(name, NOTHING)
            if stands != said:
                yield f"shipping_zones:{zone.id} {name} is {stands}, the audit tells {said}"
    yield from (f"shipping_zones:{zone_id} is gone, the audit tells of it" for zone_id in told)


def _rates(connection: Connection, told: dict[int, Counter[tuple[Any, ...]]]) -> Iterator[str]:
    for rate in stream(connection, RATES):
        values = _rate(rate._mapping)
        if told[rate.zone_id][values] <= 0:
            yield f"shipping_rates:{rate.id} of {rate.price_minor} is not in the audit"
        told[rate.zone_id][values] -= 1
    for zone_id, rates in told.items():
        for missing in (+rates).elements():
            price = missing[RATE_FIELDS.index("price_minor")]
            yield f"shipping_zones:{zone_id} lacks the price of {price} that the audit tells"


def _last_told_price() -> Any:
    """The newest entry of the price beside which it is read."""
    subject = (
        literal("variant:") + cast(VariantPrice.variant_id, String) + ":" + VariantPrice.currency
    )
    return (
        select(func.max(AuditEntry.id))
        .where(AuditEntry.subject == subject, AuditEntry.action == "price.changed")
        .correlate(VariantPrice)
        .scalar_subquery()
    )


PRICES = select(
    VariantPrice.id, VariantPrice.amount_minor, VariantPrice.compare_at_minor, AuditEntry.after
).join(AuditEntry, AuditEntry.id == _last_told_price())


def _prices(connection: Connection) -> Iterator[str]:
    for price in stream(connection, PRICES):
        said = (price.after["amount_minor"], price.after["compare_at_minor"])
        if (price.amount_minor, price.compare_at_minor) != said:
            yield f"variant_prices:{price.id} is {price.amount_minor}, the audit tells {said[0]}"
