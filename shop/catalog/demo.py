"""Fills an empty shop: the demo catalogue, and thousands of made-up products for measuring."""

from fractions import Fraction
from typing import Any

from sqlalchemy import insert, select

from shop.catalog import search
from shop.catalog.demo_goods import BRANDS, CATEGORIES, GOODS, SELLERS, Goods
from shop.catalog.models import (
    Brand,
    Category,
    Picture,
    Product,
    ProductStatus,
    Seller,
    Variant,
    VariantPrice,
)  # fmt: skip
from shop.database import insert_ignore
from shop.extensions import db
from shop.stock import ledger
from shop.stock.models import MovementReason, StockLevel, StockMovement

ACTOR = "demo"
RUPEES_OF: dict[str, int | Fraction] = {"SEK": 8, "USD": 85, "NGN": Fraction(1, 16)}
"""What one krona, dollar or naira is worth when the demo's own prices abroad are made up."""


def seed_catalogue() -> int:
    """The demo catalogue. Inside the caller's transaction; what is there already stays as it is.

    Returns how many products were made.
    """
    categories, brands, sellers = _shelves()
    known = set(db.session.scalars(select(Product.slug)))
    missing = [goods for goods in GOODS if goods.slug not in known]
    names = {slug: name for slug, name, _parent in CATEGORIES}
    for goods in missing:
        product = _product(
            goods, categories[goods.category], brands[goods.brand], sellers[goods.seller]
        )
        product.popularity = (len(GOODS) - GOODS.index(goods)) * 10
        product.search_text = search.text_for(
            goods.brand, goods.name, names[goods.category], goods.summary, goods.description
        )
        db.session.add(product)
        db.session.flush()
        _variants(product, goods)
    return len(missing)


def _shelves() -> tuple[dict[str, int], dict[str, int], list[int]]:
    """Ids of the categories by slug, of the brands by name, and of the sellers."""
    categories: dict[str, int] = {}
    for position, (slug, name, parent) in enumerate(CATEGORIES):
        values = {
            "slug": slug, "name": name, "position": position,
            "parent_id": categories[parent] if parent else None,
        }  # fmt: skip
        categories[slug] = _made(Category, values, Category.slug == slug)
    brands = {
        name: _made(
            Brand,
            {"slug": name.lower(), "name": name, "position": position},
            Brand.slug == name.lower(),
        )
        for position, name in enumerate(BRANDS)
    }
    sellers = [
        _made(Seller, {"name": name, "email": email, "payout_share_bp": share}, Seller.name == name)
        for name, email, share in SELLERS
    ]
    return categories, brands, sellers


def _made(model: Any, values: dict[str, Any], condition: Any) -> int:
    """The id of the row, made now unless it is there."""
    made = insert_ignore(model, values)
    return int(
        made
        if made is not None
        else db.session.execute(select(model.id).where(condition)).scalar_one()
    )


def _product(goods: Goods, category_id: int, brand_id: int, seller_id: int) -> Product:
    facts: dict[str, Any] = {
        "spec": [list(pair) for pair in goods.spec],
        "returns": goods.returns,
        **goods.more,
    }
    if goods.play:
        facts["play"] = dict(zip(("Speed", "Spin", "Control"), goods.play, strict=True))
    return Product(
        slug=goods.slug, name=goods.name, summary=goods.summary, description=goods.description,
        category_id=category_id, brand_id=brand_id, seller_id=seller_id,
        status=ProductStatus.ACTIVE, facts=facts,
        pictures=[
            Picture(storage_key=f"products/{file}.svg", alt_text=words, position=position)
            for position, (file, words) in enumerate(goods.pictures)
        ],
    )  # fmt: skip


def _variants(product: Product, goods: Goods) -> None:
    weight, length, width, height = goods.size
    for position, (code, options) in enumerate(goods.variants):
        variant = Variant(
            product_id=product.id, sku=f"{goods.sku}-{code}" if code else goods.sku, options=options,
            weight_grams=weight, length_mm=length, width_mm=width, height_mm=height,
            hsn_code="9506", position=position,
        )  # fmt: skip
        db.session.add(variant)
        db.session.flush()
        db.session.add_all(_prices(variant.id, goods))
        stock = goods.stock[position if len(goods.stock) > 1 else 0]
        if stock:
            ledger.receive(variant.id, stock, ACTOR, "Demo stock")
        else:
            insert_ignore(StockLevel, {"variant_id": variant.id, "on_hand": 0, "reserved": 0})


def _prices(variant_id: int, goods: Goods) -> list[VariantPrice]:
    found = []
    for currency, rupees in {"INR": 1, **RUPEES_OF}.items():
        before = goods.was_rupees // rupees * 100 if goods.was_rupees else None
        found.append(
            VariantPrice(
                variant_id=variant_id, currency=currency,
                amount_minor=goods.rupees // rupees * 100, compare_at_minor=before,
            )
        )  # fmt: skip
    return found


def seed_many(count: int, stock: int = 1_000_000) -> None:
    """`count` made-up products of one variant each, for measuring. Inside the caller's transaction.

    Needs the demo catalogue's categories, brands and sellers. A handful of statements.
    """
    categories = list(db.session.scalars(select(Category.id).order_by(Category.id)))
    brands = list(db.session.scalars(select(Brand.id).order_by(Brand.id)))
    seller_id = db.session.scalars(select(Seller.id).order_by(Seller.id)).first()
    numbers = range(1, count + 1)
    product_ids = _inserted(
        Product,
        [
            {
                "slug": f"bench-{number}", "name": f"Bench {number}", "summary": "Made for measuring",
                "description": "A product made for measuring.", "status": ProductStatus.ACTIVE,
                "category_id": categories[number % len(categories)], "tax_class": "standard",
                "brand_id": brands[number % len(brands)], "seller_id": seller_id,
                "facts": {"play": {"Speed": number % 100, "Spin": 50, "Control": 50}},
                "search_text": search.text_for(f"Bench {number}"), "popularity": number % 97,
            }
            for number in numbers
        ],
    )  # fmt: skip
    variant_ids = _inserted(
        Variant,
        [
            {
                "product_id": product_id, "sku": f"BENCH-{number}", "options": {}, "hsn_code": "9506",
                "weight_grams": 200, "length_mm": 200, "width_mm": 150, "height_mm": 40, "position": 0,
            }
            for number, product_id in zip(numbers, product_ids, strict=True)
        ],
    )  # fmt: skip
    rows: dict[Any, list[dict[str, Any]]] = {
        VariantPrice: [
            {
                "variant_id": variant_id,
                "currency": "INR",
                "amount_minor": 9900 + variant_id % 500 * 100,
            }
            for variant_id in variant_ids
        ],
        Picture: [
            {
                "product_id": product_id,
                "storage_key": "products/balls-match.svg",
                "position": 0,
                "sizes": [],
            }
            for product_id in product_ids
        ],
        StockLevel: [
            {"variant_id": variant_id, "on_hand": stock, "reserved": 0}
            for variant_id in variant_ids
        ],
        StockMovement: [
            {
                "variant_id": variant_id,
                "delta": stock,
                "reason": MovementReason.RECEIVE,
                "actor": ACTOR,
            }
            for variant_id in variant_ids
        ],
    }
    for model, values in rows.items():
        db.session.execute(insert(model), values)


def _inserted(model: Any, rows: list[dict[str, Any]]) -> list[int]:
    """Insert the rows; their ids, in the same order."""
    return list(
        db.session.scalars(insert(model).returning(model.id, sort_by_parameter_order=True), rows)
    )
