"""Putting things in a cart, changing how many, taking them out and back. Inside a transaction."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, bindparam, case, delete, literal, select, update

from shop.cart import contents
from shop.cart.carts import current_cart, ensure_cart, put
from shop.cart.models import Cart, CartLine
from shop.catalog.models import Brand, Product, ProductStatus, Variant, VariantPrice
from shop.clock import utcnow
from shop.config import settings
from shop.database import insert_ignore
from shop.errors import Conflict, NotFound, Refused
from shop.extensions import db
from shop.preferences import preference
from shop.stock.models import StockLevel


class BadQuantity(Refused):
    """Use a whole number"""


class NotSold(NotFound):
    """This product is not sold here, or not any more."""


class SoldOut(Conflict):
    """This has just sold out."""


class NoSuchLine(NotFound):
    """This is not in your cart any more."""


@dataclass(frozen=True)
class Removed:
    """What undo needs to put a line back where it was."""

    variant_id: int
    quantity: int
    #: When it was first put in, in microseconds since 1970: the lines stand in this order.
    since: int


@dataclass(frozen=True)
class Outcome:
    """What happened, in the shopper's words."""

    cart_id: int
    words: str
    removed: Removed | None = None


@dataclass(frozen=True)
class _Offer:
    """A variant as it is sold now."""

    variant_id: int
    slug: str
    sku: str
    full_name: str
    options: str
    price_minor: int
    free: int


def read_quantity(typed: str) -> int:
    """A whole number in plain digits and nothing else, 0 to 999. Raises BadQuantity."""
    if not re.fullmatch(r"[0-9]{1,3}", typed):
        raise BadQuantity(typed=typed[:20])
    return int(typed)


def read_id(typed: str) -> int:
    """The id of a variant, from a form. Raises NotSold for anything else."""
    if not re.fullmatch(r"[0-9]{1,15}", typed):
        raise NotSold(typed=typed[:20])
    return int(typed)


_OFFER = (
    select(
        Variant.id, Variant.sku, Variant.options, Product.slug, Product.name,
        Brand.name.label("brand"), VariantPrice.amount_minor,
        (StockLevel.on_hand - StockLevel.reserved).label("free"),
    )
    .join(Product, Product.id == Variant.product_id)
    .join(Brand, Brand.id == Product.brand_id)
    .join(VariantPrice, VariantPrice.variant_id == Variant.id)
    .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
    .where(
        Variant.id == bindparam("variant_id"),
        Product.status == ProductStatus.ACTIVE,
        VariantPrice.currency == bindparam("currency"),
    )
)  # fmt: skip


def _offer(variant_id: int) -> _Offer:
    asked = {"variant_id": variant_id, "currency": settings().default_currency}
    row = db.session.execute(_OFFER, asked).first()
    if row is None:
        raise NotSold(variant=variant_id)
    return _Offer(
        row.id, row.slug, row.sku, f"{row.brand} {row.name}",
        ", ".join((row.options or {}).values()), row.amount_minor, max(0, row.free or 0),
    )  # fmt: skip


def add(variant_id: int, quantity: int) -> Outcome:
    """Add units: as many as there are and one order may have, and say so.

    Raises NotSold, SoldOut or BadQuantity (for nothing at all).
    """
    if quantity < 1:
        raise BadQuantity
    offer = _offer(variant_id)
    if offer.free == 0:
        raise SoldOut(f"{_named(offer)} has sold out.", variant=variant_id)
    limit = preference("line_limit")
    cart = ensure_cart()
    had = _quantity_of(cart, variant_id)
    held = put(cart.id, variant_id, quantity, offer.price_minor, min(offer.free, limit))
    return Outcome(cart.id, _added_words(offer, quantity, held - had, held, limit))


def _quantity_of(cart: Cart, variant_id: int) -> int:
    found = db.session.scalar(
        select(CartLine.quantity).where(
            CartLine.cart_id == cart.id, CartLine.variant_id == variant_id
        )
    )
    return found or 0


def _named(offer: _Offer) -> str:
    return f"{offer.full_name} ({offer.options})" if offer.options else offer.full_name


def _added_words(offer: _Offer, asked: int, added: int, held: int, limit: int) -> str:
    """What was done, and why it was less than was asked."""
    if added >= asked:
        return f"Added {_named(offer)}."
    where = f" in {offer.options}" if offer.options else ""
    if held >= limit and limit <= offer.free:
        why = f"One order can have {limit} of it."
    else:
        why = f"That is all we have{where}."
    return f"Added {added}. {why}" if added > 0 else f"Your cart already has {held}. {why}"


def change(line_id: int, *, to: int | None = None, by: int = 0) -> Outcome:
    """Set a line `to` a quantity, or change it `by` one; none left takes it out.

    Raises NoSuchLine for a line that is not in this cart, whoever's it is.
    """
    cart = current_cart()
    line = _line(cart, line_id)
    if cart is None or line is None:
        raise NoSuchLine(line=line_id)
    wanted = line.quantity + by if to is None else to
    if wanted < 1:
        return remove(line_id)
    try:
        offer = _offer(line.variant_id)
    except NotSold:
        return Outcome(cart.id, f"{_name_of(line.variant_id)} is not sold any more.")
    most = min(offer.free, preference("line_limit"))
    if most < 1:
        return Outcome(cart.id, f"{_named(offer)} has sold out.")
    target: ColumnElement[int] = CartLine.quantity + by if to is None else literal(to)
    held = db.session.execute(
        update(CartLine)
        .where(CartLine.id == line_id, CartLine.cart_id == cart.id, target >= 1)
        .values(
            quantity=case((target > most, most), else_=target),
            price_seen_minor=offer.price_minor,
            updated_at=utcnow(),
        )
        .returning(CartLine.quantity)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if held is None:
        return remove(line_id)
    words = (
        "" if held == wanted else f"Your cart has {held} of {_named(offer)}. {_why(offer, most)}"
    )
    return Outcome(cart.id, words)


def _why(offer: _Offer, most: int) -> str:
    return "That is all we have." if most == offer.free else f"One order can have {most} of it."


def _line(cart: Cart | None, line_id: int) -> CartLine | None:
    if cart is None:
        return None
    return db.session.scalar(
        select(CartLine)
        .where(CartLine.id == line_id, CartLine.cart_id == cart.id)
        .execution_options(populate_existing=True)
    )


def _name_of(variant_id: int) -> str:
    row = db.session.execute(
        select(Brand.name, Product.name)
        .join(Product, Product.brand_id == Brand.id)
        .join(Variant, Variant.product_id == Product.id)
        .where(Variant.id == variant_id)
    ).one()
    return f"{row[0]} {row[1]}"


def remove(line_id: int) -> Outcome:
    """Take a line out. Raises NoSuchLine."""
    cart = current_cart()
    line = _line(cart, line_id)
    if cart is None or line is None:
        raise NoSuchLine(line=line_id)
    words = f"Removed {_name_of(line.variant_id)}."
    removed = Removed(line.variant_id, line.quantity, contents.since(line.created_at))
    db.session.execute(delete(CartLine).where(CartLine.id == line_id, CartLine.cart_id == cart.id))
    return Outcome(cart.id, words, removed)


def put_back(removed: Removed) -> Outcome:
    """Undo a removal: the same quantity in the same place, as far as there is stock.

    Raises NotSold. A variant that is in the cart again stays as it is.
    """
    if removed.quantity < 1:
        raise BadQuantity
    offer = _offer(removed.variant_id)
    cart = ensure_cart()
    if offer.free == 0:
        return Outcome(cart.id, f"{_named(offer)} has sold out.")
    since = datetime.fromtimestamp(removed.since / 1_000_000, tz=UTC)
    insert_ignore(
        CartLine,
        {
            "cart_id": cart.id, "variant_id": removed.variant_id,
            "quantity": min(removed.quantity, offer.free, preference("line_limit")),
            "price_seen_minor": offer.price_minor, "created_at": min(since, utcnow()),
        },
    )  # fmt: skip
    return Outcome(cart.id, f"{_named(offer)} is back in your cart.")
