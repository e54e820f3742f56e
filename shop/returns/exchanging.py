"""What replaces goods that came back: an order of its own, which costs nothing.

It takes stock, ships, is tracked and cancelled as any other order does; its lines carry the goods'
price and a discount of the same amount (docs/decisions: exchanges).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from shop.audit import recording as audit
from shop.catalog.models import Product, ProductStatus, Variant, VariantPrice
from shop.clock import in_future, utcnow
from shop.errors import Refused
from shop.extensions import db
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import REPLACEMENT, Order, OrderEvent, OrderLine
from shop.orders.numbers import new_token
from shop.returns.models import ReturnLine, ReturnRequest
from shop.stock import reservations
from shop.stock.models import StockLevel


@dataclass(frozen=True)
class Choice:
    """A variant that may replace a line's, and how many of it are free."""

    variant_id: int
    words: str
    free: int


def choices(order: Order, line_ids: Iterable[int]) -> dict[int, list[Choice]]:
    """What each line may be exchanged for: its own variant, and others of the product at its price.

    The prices compared are those of today, in the order's currency. One statement.
    """
    own, other = aliased(Variant), aliased(Variant)
    own_price, price = aliased(VariantPrice), aliased(VariantPrice)
    rows = db.session.execute(
        select(
            OrderLine.id, OrderLine.variant_id, other.id.label("other_id"), other.options,
            (StockLevel.on_hand - StockLevel.reserved).label("free"),
        )
        .join(own, own.id == OrderLine.variant_id)
        .join(other, other.product_id == own.product_id)
        .join(Product, Product.id == own.product_id)
        .outerjoin(own_price, _in(order, own_price, own))
        .outerjoin(price, _in(order, price, other))
        .outerjoin(StockLevel, StockLevel.variant_id == other.id)
        .where(
            OrderLine.order_id == order.id,
            OrderLine.id.in_(list(line_ids)),
            (other.id == own.id)
            | (
                (price.amount_minor == own_price.amount_minor)
                & (Product.status == ProductStatus.ACTIVE)
            ),
        )
        .order_by(OrderLine.id, other.position, other.id)
    )  # fmt: skip
    found: dict[int, list[Choice]] = {}
    for row in rows:
        words = ", ".join((row.options or {}).values()) or "the same"
        if row.other_id == row.variant_id and words != "the same":
            words = f"{words} (the same)"
        found.setdefault(row.id, []).append(Choice(row.other_id, words, max(0, row.free or 0)))
    return found


def _in(order: Order, price: Any, variant: Any) -> Any:
    return (price.variant_id == variant.id) & (price.currency == order.currency)


def replace(
    request: ReturnRequest, order: Order, wanted: Mapping[int, int], number: str, actor: str
) -> Order:
    """Make the order that replaces what came; `wanted` maps return lines to variants.

    `number` was drawn before the caller's transaction. Raises reservations.OutOfStock, which the
    caller's transaction must undo, and Refused for a variant that may not stand in.
    """
    lines = [line for line in request.lines if line.units > 0]
    offered = choices(order, [line.order_line_id for line in lines])
    made = _order(request, order, number)
    db.session.add(made)
    db.session.flush()
    merged: dict[int, OrderLine] = {}
    for line in lines:
        variant_id = wanted.get(line.id, line.order_line.variant_id)
        if all(choice.variant_id != variant_id for choice in offered[line.order_line_id]):
            raise Refused(f"{line.order_line.name} is not exchanged for that.")
        _add(merged, made, line, variant_id)
    db.session.add_all(merged.values())
    _tell(made, order, actor)
    db.session.flush()
    quantities = {variant_id: line.quantity for variant_id, line in merged.items()}
    reservations.hold(made.id, quantities, in_future(minutes=10))
    advance(made, "replacement_made", Actor(Who.SYSTEM, actor))
    return made


def _order(request: ReturnRequest, order: Order, number: str) -> Order:
    now = utcnow()
    return Order(
        number=number, token=new_token(), user_id=order.user_id, email=order.email, phone=order.phone,
        currency=order.currency, subtotal_minor=0, total_minor=0,
        shipping_address=order.shipping_address, billing_address=order.billing_address,
        shipping_method=order.shipping_method, shipping_label=order.shipping_label,
        payment_method=REPLACEMENT, locale=order.locale, idempotency_key=f"replaces-{request.reference}",
        placed_at=now, paid_at=now,
    )  # fmt: skip


def _add(merged: dict[int, OrderLine], made: Order, line: ReturnLine, variant_id: int) -> None:
    """A line at the price of what it replaces, all of it taken off again; the same variant once."""
    before, found = line.order_line, merged.get(variant_id)
    if found is not None:
        found.quantity += line.units
        found.discount_minor = found.unit_price_minor * found.quantity
        return
    variant = db.session.get_one(Variant, variant_id)
    merged[variant_id] = OrderLine(
        order_id=made.id, variant_id=variant_id, seller_id=before.seller_id, name=before.name,
        sku=variant.sku, options=variant.options_text, picture=before.picture,
        unit_price_minor=before.unit_price_minor, tax_rate_bp=before.tax_rate_bp,
        weight_grams=variant.weight_grams, length_mm=variant.length_mm, width_mm=variant.width_mm,
        height_mm=variant.height_mm, hsn_code=variant.hsn_code, quantity=line.units,
        discount_minor=before.unit_price_minor * line.units, total_minor=0,
    )  # fmt: skip


def _tell(made: Order, order: Order, actor: str) -> None:
    db.session.add(
        OrderEvent(
            order_id=made.id, kind="placed", actor=actor, to_status=made.status.value,
            text=f"Replaces what came back of order {order.number}", for_customer=True,
            occurred_at=utcnow(),
        )
    )  # fmt: skip
    audit.write(
        actor, "order.placed", f"order:{made.number}", None,
        {"total_minor": 0, "replaces": order.number},
    )  # fmt: skip
