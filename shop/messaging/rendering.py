"""Making a message from its wording and the database: subject, text and HTML, with the same facts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import css_inline
from babel import Locale
from flask import current_app

from shop.config import ROOT, settings
from shop.messaging import facts
from shop.messaging.facts import Rows
from shop.messaging.wordings import WORDINGS, Wording
from shop.orders.models import OrderLine

WHY_CUSTOMER = (
    "You get this email because you placed an order at {shop_name}. It carries no marketing."
)
WHY_OWNER = "You get this email because new orders of {shop_name} are sent to this address."


@dataclass(frozen=True)
class Message:
    """What is sent: one line of subject, and the same content twice."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Item:
    """A line of an order or a parcel, as a message shows it."""

    name: str
    about: str
    price: str


def render(template: str, order_id: int, context: dict[str, Any]) -> Message:
    """Make the message from what is committed now. Raises KeyError for an unknown template.

    `context` names what the message is about beside the order: refund_id, shipment_id, payment_id.
    """
    wording = WORDINGS[template]
    rows = facts.load(order_id, context)
    filled = facts.placeholders(rows, context)
    reason = WHY_OWNER if template == "admin_new_order" else WHY_CUSTOMER
    return _drawn(
        wording,
        filled,
        reason,
        number=rows.order.number,
        **_contents(rows, wording, filled, context),
    )


def render_plain(wording: Wording, url: str, reason: str) -> Message:
    """A message that is about no order: its words, one button, and why it was sent."""
    return _drawn(wording, {"url": url}, reason)


def _drawn(wording: Wording, filled: dict[str, str], reason: str, **contents: Any) -> Message:
    shown = {
        "shop_name": settings().shop_name,
        "support_email": settings().support_email,
        "site": settings().public_url.partition("://")[2],
        "public_url": settings().public_url,
        "reason": reason.format(shop_name=settings().shop_name),
        "wording": {
            part: _fill(getattr(wording, part), filled)
            for part in ("subject", "preheader", "headline", "sentence", "button", "caption")
        },
        "url": filled[wording.link],
        "sections": wording.sections,
        **contents,
    }
    environment = current_app.jinja_env
    page = environment.get_template("messages/skeleton.html").render(shown)
    text = environment.get_template("messages/skeleton.txt").render(shown)
    return Message(shown["wording"]["subject"], _tidy(text), _inliner().inline(page))


def _fill(words: str, filled: dict[str, str]) -> str:
    """Put the facts in. Blanks and line breaks in them become one blank: a name cannot break a line."""
    return " ".join(words.format_map(filled).split())


def _contents(
    rows: Rows, wording: Wording, filled: dict[str, str], context: dict[str, Any]
) -> dict[str, Any]:
    """What the sections of this wording show."""
    made: dict[str, Callable[[], dict[str, Any]]] = {
        "lines": lambda: {"items": [_item(rows, line, line.quantity) for line in rows.order.lines]},
        "parcel_lines": lambda: {"items": _parcel_items(rows)},
        "totals": lambda: {"totals": _totals(rows), "total": _total(rows), "tax": _tax(rows)},
        "address": lambda: {"address": _address(rows.order.shipping_address)},
        "parcel": lambda: {"parcel": _parcel(filled, rows)},
        "refund": lambda: {"refund": _refund(rows, context)},
        "instructions": lambda: {"instructions": _instructions(rows)},
        "contact": lambda: {"email": rows.order.email, "phone": rows.order.phone},
    }
    found: dict[str, Any] = {"order_url": filled["order_url"]}
    for section in wording.sections:
        if section in made:
            found |= made[section]()
    return found


def _item(rows: Rows, line: OrderLine, quantity: int) -> Item:
    about = ", ".join(filter(None, [line.options, f"quantity {quantity}"]))
    price = rows.money(line.total_minor) if quantity == line.quantity else ""
    return Item(line.name, about, price)


def _parcel_items(rows: Rows) -> list[Item]:
    if rows.shipment is None or not rows.shipment.lines:
        return [_item(rows, line, line.quantity) for line in rows.order.lines]
    return [_item(rows, held.order_line, held.quantity) for held in rows.shipment.lines]


def _totals(rows: Rows) -> list[tuple[str, str]]:
    """The rows above the total; those of nothing are left out, but delivery is always told."""
    order = rows.order
    count = sum(line.quantity for line in order.lines)
    label = order.shipping_label
    delivery = label if "delivery" in label.lower() else f"{label} delivery".strip().capitalize()
    free = "Free" if order.shipping_minor == 0 else rows.money(order.shipping_minor)
    told = [(f"Items ({count})", rows.money(order.subtotal_minor))]
    if order.discount_minor:
        told.append(("Discount", f"−{rows.money(order.discount_minor)}"))
    told.append((delivery, free))
    if order.fee_minor:
        told.append(("Fee for paying at the door", rows.money(order.fee_minor)))
    if order.tax_minor:
        told.append(("Tax", rows.money(order.tax_minor)))
    return told


def _total(rows: Rows) -> tuple[str, str]:
    return facts.total_label(rows), rows.money(rows.order.total_minor)


def _tax(rows: Rows) -> str:
    order = rows.order
    if not order.tax_included_minor:
        return ""
    name = "GST" if order.currency == "INR" else "tax"
    return f"Includes {rows.money(order.tax_included_minor)} {name}."


def _address(address: dict[str, str]) -> list[str]:
    """The address as it stands on the parcel."""
    city = " ".join(filter(None, [address.get("city"), address.get("postal_code")]))
    country = Locale("en").territories.get(address.get("country", ""), "")
    place = ", ".join(filter(None, [city, address.get("state"), country]))
    rows = [address.get(name, "") for name in ("recipient", "line1", "line2", "landmark")]
    return [" ".join(row.split()) for row in [*rows, place] if row]


def _parcel(filled: dict[str, str], rows: Rows) -> list[tuple[str, str]]:
    shipment = rows.shipment
    told = [("Courier", filled["courier"]), ("Tracking number", filled["awb"])]
    if shipment and shipment.estimated_at:
        told.append(("Expected", facts.long_day(shipment.estimated_at)))
    return [(label, value) for label, value in told if value]


def _refund(rows: Rows, context: dict[str, Any]) -> list[tuple[str, str]]:
    payment = rows.refund.payment if rows.refund else rows.payment
    told = [("Refunded", rows.money(facts.refunded_minor(rows, context)))]
    if payment is not None:
        told += [
            ("Paid by", facts.method_name(payment)),
            ("Paid", rows.money(payment.captured_minor)),
        ]
    return told


def _instructions(rows: Rows) -> list[tuple[str, str]]:
    """The rows as they were frozen on the attempt."""
    step = rows.payment.next_step if rows.payment else {}
    return [(label, value) for label, value in step.get("rows", [])]


@cache
def _inliner() -> css_inline.CSSInliner:
    """Puts mail.css into style attributes: mail programs drop style elements."""
    css = Path(ROOT / "templates/messages/mail.css").read_text(encoding="utf-8")
    return css_inline.CSSInliner(extra_css=css, load_remote_stylesheets=False)


def _tidy(text: str) -> str:
    """At most one empty line at a time, and no blanks at line ends."""
    kept: list[str] = []
    for line in (line.rstrip() for line in text.splitlines()):
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip() + "\n"
