"""The facts of messages that are about no order: a variant that is back, a cart that was left, a shelf that runs low."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from shop.cart import contents
from shop.cart.models import Cart
from shop.catalog.models import Variant, VariantPrice
from shop.config import settings
from shop.extensions import db
from shop.messaging.models import CartReminder, StockAlert
from shop.messaging.stop_links import cart_url, stop_url
from shop.messaging.subjects import KINDS, Subject
from shop.money import Money
from shop.stock.models import StockLevel


@dataclass(frozen=True)
class Thing:
    """A line of the message: a name, the choice, how many (0: no number is shown), and the price."""

    name: str
    options: str
    quantity: int = 0
    price: Money | None = None


@dataclass(frozen=True)
class Beside:
    """What such a message may state, in no language yet."""

    subject: Subject
    #: Named like the placeholders; amounts and counts are written by shop/messaging/filling.py.
    told: dict[str, str | int | Money | None]
    things: tuple[Thing, ...] = ()


def load_beside(subject: Subject, context: dict[str, Any]) -> Beside:
    """Read what the message is about. Raises NoResultFound when it is gone.

    `context["notification_id"]` is the message's own, for the links that only its reader gets.
    """
    row = db.session.get_one(KINDS[subject.kind], subject.id)
    return _MAKERS[subject.kind](subject, row, context.get("notification_id"))


def _alert(subject: Subject, alert: StockAlert, message: int | None) -> Beside:
    variant = db.session.get_one(Variant, alert.variant_id)
    thing = _thing(variant)
    told = {**_of_variant(variant), "price": thing.price, "stop_url": stop_url(message)}
    return Beside(subject, told, (thing,))


def _reminder(subject: Subject, reminder: CartReminder, message: int | None) -> Beside:
    cart = db.session.get_one(Cart, reminder.cart_id)
    found = contents.read(cart, cart.currency)
    lines = [line for line in found.lines if line.is_sold]
    count = sum(line.quantity for line in lines)
    told: dict[str, str | int | Money | None] = {
        "count": count,
        "cart_total": Money(found.subtotal_minor, found.currency),
        "cart_url": cart_url(message),
        "stop_url": stop_url(message),
    }
    things = tuple(
        Thing(line.name, line.options, line.quantity, Money(line.total_minor, found.currency))
        for line in lines
    )
    return Beside(subject, told, things)


def _shelf(subject: Subject, variant: Variant, message: int | None) -> Beside:
    level = db.session.scalar(select(StockLevel).where(StockLevel.variant_id == variant.id))
    free, threshold = (level.free, level.low_threshold) if level else (0, 0)
    told = {
        **_of_variant(variant), "sku": variant.sku, "free": str(free), "threshold": str(threshold),
        "stock_url": f"{settings().public_url}/admin/stock?q={variant.sku}",
    }  # fmt: skip
    return Beside(subject, told, (_thing(variant),))


def _of_variant(variant: Variant) -> dict[str, str | int | Money | None]:
    product = variant.product
    name = f"{product.brand.name} {product.name}"
    return {
        "product": name,
        "options": variant.options_text,
        "product_url": f"{settings().public_url}/products/{product.slug}?variant={variant.sku}",
    }


def _thing(variant: Variant) -> Thing:
    currency = settings().default_currency
    price = db.session.scalar(
        select(VariantPrice.amount_minor).where(
            VariantPrice.variant_id == variant.id, VariantPrice.currency == currency
        )
    )
    product = variant.product
    return Thing(
        f"{product.brand.name} {product.name}",
        variant.options_text,
        price=Money(price, currency) if price is not None else None,
    )


_MAKERS: dict[str, Callable[[Subject, Any, int | None], Beside]] = {
    "stock_alert": _alert,
    "cart_reminder": _reminder,
    "variant": _shelf,
}
