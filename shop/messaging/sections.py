"""What the parts of a mail under its panel show: lines, totals, the address, the parcel, the refund."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shop.messaging.facts import Rows, refunded_minor
from shop.messaging.facts_beside import Beside, Thing
from shop.messaging.filling import method_name, return_of, total_label
from shop.messaging.languages import Language
from shop.orders.models import OrderLine


@dataclass(frozen=True)
class Item:
    """A line of an order, a parcel or a cart, as a message shows it."""

    name: str
    about: str
    price: str


@dataclass(frozen=True)
class About:
    """What a message is made from."""

    rows: Rows
    context: dict[str, Any]
    #: The placeholders, filled.
    filled: dict[str, str]
    language: Language

    def money(self, amount_minor: int) -> str:
        """An amount of the order's currency, for people."""
        return self.language.money(amount_minor, self.rows.order.currency)


def contents(about: About, sections: tuple[str, ...]) -> dict[str, Any]:
    """What these sections show of an order."""
    shown: dict[str, Any] = {"order_url": about.filled["order_url"]}
    for section in sections:
        if section in _MAKERS:
            shown |= _MAKERS[section](about)
    return shown


def goods(rows: Beside, language: Language) -> list[Item]:
    """The things of a message that is about no order."""
    return [_thing(thing, language) for thing in rows.things]


def _thing(thing: Thing, language: Language) -> Item:
    count = language.say("quantity", count=thing.quantity) if thing.quantity else ""
    price = thing.price
    shown = language.money(price.amount_minor, price.currency) if price else ""
    return Item(thing.name, ", ".join(filter(None, [thing.options, count])), shown)


def _item(about: About, line: OrderLine, quantity: int) -> Item:
    count = about.language.say("quantity", count=quantity)
    price = about.money(line.total_minor) if quantity == line.quantity else ""
    return Item(line.name, ", ".join(filter(None, [line.options, count])), price)


def _lines(about: About) -> dict[str, Any]:
    return {"items": [_item(about, line, line.quantity) for line in about.rows.order.lines]}


def _parcel_lines(about: About) -> dict[str, Any]:
    shipment = about.rows.shipment
    if shipment is None or not shipment.lines:
        return _lines(about)
    return {"items": [_item(about, held.order_line, held.quantity) for held in shipment.lines]}


def _return_lines(about: About) -> dict[str, Any]:
    found = return_of(about.rows, about.context)
    lines = found.lines if found else []
    told = [_item(about, line.order_line, line.quantity) for line in lines]
    return {"returned": [Item(item.name, item.about, "") for item in told]}


def _totals(about: About) -> dict[str, Any]:
    """The rows above the total; those of nothing are left out, but delivery is always told."""
    order, say = about.rows.order, about.language.say
    count = sum(line.quantity for line in order.lines)
    told = [(say("items", count=count), about.money(order.subtotal_minor))]
    if order.discount_minor:
        told.append((say("discount"), f"−{about.money(order.discount_minor)}"))
    free = order.shipping_minor == 0
    told.append((_delivery(about), say("free") if free else about.money(order.shipping_minor)))
    if order.fee_minor:
        told.append((say("fee_at_door"), about.money(order.fee_minor)))
    if order.tax_minor:
        told.append((say("tax"), about.money(order.tax_minor)))
    total = (total_label(about.rows, about.language), about.money(order.total_minor))
    return {"totals": told, "total": total, "tax": _tax(about)}


def _delivery(about: About) -> str:
    label = about.rows.order.shipping_label
    is_said = about.language.code == "en" and "delivery" in label.lower()
    shown = label if is_said else about.language.say("delivery", label=label).strip(" :")
    return shown[:1].upper() + shown[1:]


def _tax(about: About) -> str:
    order = about.rows.order
    if not order.tax_included_minor:
        return ""
    name = "GST" if order.currency == "INR" else about.language.say("tax_name")
    return about.language.say(
        "includes_tax", amount=about.money(order.tax_included_minor), name=name
    )


def _address(about: About) -> dict[str, Any]:
    """The address as it stands on the parcel."""
    address = about.rows.order.shipping_address
    city = " ".join(filter(None, [address.get("city"), address.get("postal_code")]))
    country = about.language.country(address.get("country", ""))
    place = ", ".join(filter(None, [city, address.get("state"), country]))
    rows = [address.get(name, "") for name in ("recipient", "line1", "line2", "landmark")]
    return {"address": [" ".join(row.split()) for row in [*rows, place] if row]}


def _parcel(about: About) -> dict[str, Any]:
    shipment, say = about.rows.shipment, about.language.say
    told = [
        (say("label_courier"), about.filled["courier"]),
        (say("label_awb"), about.filled["awb"]),
    ]
    if shipment and shipment.estimated_at:
        told.append((say("label_expected"), about.language.long_day(shipment.estimated_at)))
    return {"parcel": [(label, value) for label, value in told if value]}


def _refund(about: About) -> dict[str, Any]:
    rows, say = about.rows, about.language.say
    payment = rows.refund.payment if rows.refund else rows.payment
    told = [(say("label_refunded"), about.money(refunded_minor(rows, about.context)))]
    if payment is not None:
        told += [
            (say("label_paid_by"), method_name(payment, about.language)),
            (say("label_paid"), about.money(payment.captured_minor)),
        ]
    return {"refund": told}


def _instructions(about: About) -> dict[str, Any]:
    """The rows as they were frozen on the attempt; labels, amount and day in the reader's language."""
    payment, language = about.rows.payment, about.language
    if payment is None:
        return {"instructions": []}
    rows = payment.next_step.get("rows", [])
    if language.code == "en":
        return {"instructions": rows}
    written = {"Amount": about.money(payment.amount_minor)}
    if payment.expires_at:
        written["Pay by"] = language.long_day(payment.expires_at)
    told = [(_row_label(name, language), written.get(name, value)) for name, value in rows]
    return {"instructions": told}


def _row_label(written: str, language: Language) -> str:
    phrase = f"row_{written.lower().replace(' ', '_')}"
    return language.say(phrase) if language.knows(phrase) else written


def _contact(about: About) -> dict[str, Any]:
    return {"email": about.rows.order.email, "phone": about.rows.order.phone}


_MAKERS: dict[str, Callable[[About], dict[str, Any]]] = {
    "lines": _lines,
    "parcel_lines": _parcel_lines,
    "return_lines": _return_lines,
    "totals": _totals,
    "address": _address,
    "parcel": _parcel,
    "refund": _refund,
    "instructions": _instructions,
    "contact": _contact,
}
