"""Products and orders as CSV files, in and out (RFC 4180, UTF-8).

A cell of text that a spreadsheet would take for a formula gets a leading apostrophe on the way
out, and loses it on the way in (security.md, S69).
"""

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from sqlalchemy import select

from shop.audit import recording as audit
from shop.catalog.models import (
    Brand,
    Category,
    Product,
    ProductStatus,
    Seller,
    Variant,
    VariantPrice,
)
from shop.catalog.search import text_for
from shop.clock import utcnow
from shop.config import settings
from shop.errors import Refused
from shop.extensions import db
from shop.money import MoneyError, parse_minor, to_decimal
from shop.orders.models import Order
from shop.stock import ledger
from shop.stock.models import MovementReason, StockLevel

PRODUCT_COLUMNS = (
    "slug", "name", "summary", "description", "status", "category", "brand", "seller", "sku", "options",
    "price", "compare_at", "on_hand", "weight_grams", "length_mm", "width_mm", "height_mm", "hsn_code",
)  # fmt: skip
NUMBERS = ("on_hand", "weight_grams", "length_mm", "width_mm", "height_mm")
ORDER_COLUMNS = (
    "number", "placed_at", "status", "payment_status", "email", "phone", "currency", "subtotal",
    "discount", "shipping", "fee", "tax_on_top", "total", "tax_included", "payment_method", "recipient", "city",
    "postal_code", "country",
)  # fmt: skip
DANGEROUS = ("=", "+", "-", "−", "@", "\t", "\r", "\0")
PAGE = 500


class ImportFault(Refused):
    """The file was not taken in. `lines` says what is wrong, line by line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("Nothing was imported:\n" + "\n".join(lines[:50]))
        self.lines = lines


def safe_cell(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula; numbers as they are."""
    if isinstance(value, str) and value.startswith(DANGEROUS):
        return "'" + value
    return value


def plain_cell(value: str) -> str:
    """The text as it was before `safe_cell`."""
    return value[1:] if value.startswith("'") and value[1:].startswith(DANGEROUS) else value


def _write(file: TextIO, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> int:
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    count = 0
    for row in rows:
        count += 1
        writer.writerow({name: safe_cell(value) for name, value in row.items()})
    return count


def export_products(file: TextIO) -> int:
    """One row a variant, in the shop's own currency. Returns how many."""
    return _write(file, PRODUCT_COLUMNS, _product_rows())


def _product_rows() -> Iterator[dict[str, Any]]:
    currency = settings().default_currency
    query = (
        select(
            Product,
            Variant,
            Category.name,
            Brand.name,
            Seller.name,
            VariantPrice,
            StockLevel.on_hand,
        )
        .join(Variant, Variant.product_id == Product.id)
        .join(Category, Category.id == Product.category_id)
        .join(Brand, Brand.id == Product.brand_id)
        .join(Seller, Seller.id == Product.seller_id)
        .outerjoin(
            VariantPrice,
            (VariantPrice.variant_id == Variant.id) & (VariantPrice.currency == currency),
        )
        .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
        .order_by(Product.id, Variant.position, Variant.id)
    )
    for product, variant, category, brand, seller, price, on_hand in db.session.execute(query):
        yield {
            "slug": product.slug, "name": product.name, "summary": product.summary,
            "description": product.description, "status": product.status.value, "category": category,
            "brand": brand, "seller": seller, "sku": variant.sku,
            "options": json.dumps(variant.options, ensure_ascii=False) if variant.options else "",
            "price": _amount(price.amount_minor if price else None, currency),
            "compare_at": _amount(price.compare_at_minor if price else None, currency),
            "on_hand": on_hand or 0, "weight_grams": variant.weight_grams, "length_mm": variant.length_mm,
            "width_mm": variant.width_mm, "height_mm": variant.height_mm, "hsn_code": variant.hsn_code,
        }  # fmt: skip


def _amount(minor: int | None, currency: str) -> str:
    return "" if minor is None else str(to_decimal(minor, currency))


def export_orders(file: TextIO, actor: str) -> int:
    """One row an order, newest first. Who took it is kept in the audit (security.md, S70)."""
    count = _write(file, ORDER_COLUMNS, _order_rows())
    audit.write(actor, "orders.exported", "orders", None, {"rows": count})
    return count


def _order_rows() -> Iterator[dict[str, Any]]:
    below: int | None = None
    while True:
        query = select(Order).order_by(Order.id.desc()).limit(PAGE)
        page = list(db.session.scalars(query.where(Order.id < below) if below else query))
        yield from (_order_row(order) for order in page)
        if len(page) < PAGE:
            return
        below = page[-1].id


def _order_row(order: Order) -> dict[str, Any]:
    address = order.shipping_address
    amounts = {
        name: getattr(order, f"{name}_minor")
        for name in ("subtotal", "discount", "shipping", "fee", "total", "tax_included")
    }
    amounts["tax_on_top"] = order.tax_minor
    return {
        "number": order.number, "placed_at": order.placed_at.isoformat(), "status": order.status.value,
        "payment_status": order.payment_status.value, "email": order.email, "phone": order.phone,
        "currency": order.currency, "payment_method": order.payment_method,
        **{name: _amount(minor, order.currency) for name, minor in amounts.items()},
        **{name: address.get(name, "") for name in ("recipient", "city", "postal_code", "country")},
    }  # fmt: skip


def import_products(file: TextIO, actor: str) -> int:
    """Add or change variants by their sku, in the caller's transaction: the whole file or nothing.

    Counts of stock are set by movements in the ledger. Returns how many rows. Raises ImportFault.
    """
    reader = csv.DictReader(file)
    unknown = sorted(set(PRODUCT_COLUMNS) ^ set(reader.fieldnames or ()))
    if unknown:
        raise ImportFault([f"line 1: these columns are missing or unknown: {', '.join(unknown)}"])
    faults: list[str] = []
    count = 0
    for raw in reader:
        count += 1
        try:
            _import_row(
                {name: plain_cell((value or "").strip()) for name, value in raw.items()}, actor
            )
        except (ValueError, MoneyError, Refused) as error:
            faults.append(f"line {reader.line_num}: {error}")
    if faults:
        raise ImportFault(faults)
    audit.write(actor, "products.imported", "products", None, {"rows": count})
    return count


def _import_row(row: dict[str, str], actor: str) -> None:
    values = _checked(row)
    product = db.session.scalar(select(Product).where(Product.slug == row["slug"])) or Product(
        slug=row["slug"], facts={}
    )
    product.name, product.summary, product.description = (
        row["name"],
        row["summary"],
        row["description"],
    )
    product.status = ProductStatus(row["status"] or "draft")
    product.category_id = _named(Category, row["category"], slug=_slug(row["category"]))
    product.brand_id = _named(Brand, row["brand"], slug=_slug(row["brand"]))
    product.seller_id = _named(Seller, row["seller"])
    product.search_text = text_for(
        row["brand"], row["name"], row["category"], row["summary"], row["description"]
    )
    db.session.add(product)
    db.session.flush()
    _import_variant(product.id, row, values, actor)


def _import_variant(
    product_id: int, row: dict[str, str], values: dict[str, Any], actor: str
) -> None:
    variant = db.session.scalar(select(Variant).where(Variant.sku == row["sku"])) or Variant(
        sku=row["sku"]
    )
    if variant.product_id not in {None, product_id}:
        raise ValueError(f"the sku {row['sku']} belongs to another product")
    variant.product_id, variant.hsn_code, variant.options = (
        product_id,
        row["hsn_code"],
        values["options"],
    )
    for name in NUMBERS[1:]:
        setattr(variant, name, values[name])
    db.session.add(variant)
    db.session.flush()
    _import_price(variant.id, values, actor)
    level = db.session.scalar(select(StockLevel).where(StockLevel.variant_id == variant.id))
    if level is None:
        db.session.add(StockLevel(variant_id=variant.id))
        db.session.flush()
    counted = values["on_hand"] - (level.on_hand if level else 0)
    ledger.move(variant.id, counted, MovementReason.ADJUST, actor, "counted in an import")


def _import_price(variant_id: int, values: dict[str, Any], actor: str) -> None:
    currency = settings().default_currency
    price = db.session.scalar(
        select(VariantPrice).filter_by(variant_id=variant_id, currency=currency)
    ) or VariantPrice(variant_id=variant_id, currency=currency)
    before = _price_values(price)
    price.amount_minor, price.compare_at_minor = values["price"], values["compare_at"]
    price.updated_at = utcnow()
    db.session.add(price)
    db.session.flush()
    after = _price_values(price)
    if after != before:
        audit.write(actor, "price.changed", f"variant:{variant_id}:{currency}", before, after)


def _price_values(price: VariantPrice) -> dict[str, Any]:
    """The price as the audit keeps it, in minor units; nothing of one that is only made now."""
    return {"amount_minor": price.amount_minor, "compare_at_minor": price.compare_at_minor}


def _checked(row: dict[str, str]) -> dict[str, Any]:
    currency = settings().default_currency
    for name in ("slug", "name", "category", "brand", "seller", "sku", "price"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    values: dict[str, Any] = {name: _whole(name, row[name] or "0") for name in NUMBERS}
    values["price"] = parse_minor(row["price"], currency)
    values["compare_at"] = parse_minor(row["compare_at"], currency) if row["compare_at"] else None
    if values["compare_at"] is not None and values["compare_at"] <= values["price"]:
        raise ValueError("compare_at must be higher than price")
    options = json.loads(row["options"] or "{}")
    if not isinstance(options, dict) or not all(
        isinstance(value, str) for value in options.values()
    ):
        raise ValueError('options must be like {"Size": "9"}')
    return {**values, "options": options}


def _whole(name: str, written: str) -> int:
    if not (written.isascii() and written.isdigit() and int(written) <= 10**7):
        raise ValueError(f"{name} must be a whole number")
    return int(written)


def _named(model: Any, name: str, **values: str) -> int:
    """The row of that name; made when there is none."""
    found = db.session.scalar(select(model).where(model.name == name))
    if found is None:
        found = model(name=name, **values)
        db.session.add(found)
        db.session.flush()
    return int(found.id)


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
