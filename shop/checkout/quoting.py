"""What an order would cost now: worked out from the database, never from the form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Row, bindparam, select

from shop.cart.models import Cart, CartLine
from shop.catalog.models import Brand, Picture, Product, ProductStatus, Variant, VariantPrice
from shop.catalog.tax import rate_bp
from shop.checkout import at_the_door
from shop.checkout.at_the_door import Customer, Place
from shop.config import settings
from shop.extensions import db
from shop.money import format_minor, tax_included
from shop.payments import parts
from shop.payments.gateways import switched_on
from shop.preferences import preferences
from shop.promotions import gift_cards
from shop.shipping_prices import tariff
from shop.shipping_prices.goods import packed
from shop.shipping_prices.places import Place as ShippedTo
from shop.shipping_prices.tariff import Offer, Rate
from shop.stock.models import StockLevel

READ = (*tariff.PREFERENCES, *parts.PREFERENCES, *at_the_door.PREFERENCES, "line_limit", "hold_minutes", "bank_hold_hours", "unpaid_cancel_hours")  # fmt: skip


@dataclass(frozen=True)
class QuoteLine:
    """One line as it would be sold now. Amounts in minor units."""

    variant_id: int
    seller_id: int
    product_slug: str
    name: str
    options: str
    picture: str
    sku: str
    quantity: int
    unit_price_minor: int
    price_seen_minor: int
    tax_rate_bp: int
    weight_grams: int
    size_mm: tuple[int, int, int]
    hsn_code: str
    #: Units that can still be sold.
    free: int

    @property
    def total_minor(self) -> int:
        """Price times quantity."""
        return self.unit_price_minor * self.quantity

    @property
    def tax_minor(self) -> int:
        """The tax inside the line's total."""
        return tax_included(self.total_minor, self.tax_rate_bp)


@dataclass(frozen=True)
class Method:
    """A way to pay, as offered for this order."""

    key: str
    label: str
    explanation: str
    marks: tuple[str, ...]
    fee_minor: int
    #: Why it cannot be used here, in the shopper's words.
    unavailable: str | None
    is_test: bool
    is_online: bool


@dataclass(frozen=True)
class Gift:
    """A gift card as entered: what is on it, in minor units, or why it cannot be used."""

    code: str = ""
    card_id: int = 0
    hint: str = ""
    balance_minor: int = 0
    error: str = ""


NO_GIFT = Gift()


@dataclass(frozen=True)
class Quote:
    """The whole order as it would be placed now."""

    currency: str
    lines: Sequence[QuoteLine]
    #: The chosen way of delivery; empty where there is none.
    rate: str
    methods: Sequence[Method]
    method: str
    #: The preferences that were read along with it.
    chosen: Mapping[str, Any]
    #: The card whose code was entered.
    gift: Gift = NO_GIFT
    #: A deposit now and the rest later, as chosen.
    by_deposit: bool = False
    #: Where the rates come from, or why there are none.
    offer: Offer = tariff.NOTHING

    @property
    def rates(self) -> Sequence[Rate]:
        """The ways of delivery."""
        return self.offer.rates

    @property
    def count(self) -> int:
        """Units in all."""
        return sum(line.quantity for line in self.lines)

    @property
    def subtotal_minor(self) -> int:
        """The lines."""
        return sum(line.total_minor for line in self.lines)

    @property
    def discount_minor(self) -> int:
        """No promotions yet."""
        return 0

    @property
    def delivery(self) -> Rate | None:
        """The chosen delivery."""
        return next((rate for rate in self.rates if rate.key == self.rate), None)

    @property
    def shipping_minor(self) -> int:
        """What the chosen delivery costs."""
        return self.delivery.price_minor if self.delivery else 0

    @property
    def shipping_label(self) -> str:
        """The chosen delivery in words."""
        return self.delivery.label if self.delivery else ""

    @property
    def fee_minor(self) -> int:
        """What the chosen way to pay adds."""
        return next((way.fee_minor for way in self.methods if way.key == self.method), 0)

    @property
    def tax_minor(self) -> int:
        """Tax on top: none, since prices include it."""
        return 0

    @property
    def tax_included_minor(self) -> int:
        """Tax inside the lines."""
        return sum(line.tax_minor for line in self.lines)

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return (
            self.subtotal_minor
            - self.discount_minor
            + self.shipping_minor
            + self.fee_minor
            + self.tax_minor
        )

    @property
    def gift_minor(self) -> int:
        """What the gift card takes of it."""
        return min(self.gift.balance_minor, self.total_minor)

    @property
    def due_minor(self) -> int:
        """What the gift card leaves."""
        return self.total_minor - self.gift_minor

    @property
    def may_pay_later(self) -> bool:
        """Whether a deposit is offered, which the courier cannot collect."""
        return self.method != "cod" and parts.may_pay_later(self.due_minor, self.chosen)

    @cached_property
    def shares(self) -> list[parts.Share]:
        """The parts in which it would be paid, the gift card's first."""
        by_deposit = self.by_deposit and self.may_pay_later
        return parts.shares(self.total_minor, self.gift_minor, by_deposit, self.chosen)

    @property
    def now_minor(self) -> int:
        """What is paid by the chosen method now."""
        left = self.shares[1:] if self.gift_minor else self.shares
        return left[0].amount_minor if left else 0

    @property
    def later(self) -> list[parts.Share]:
        """The instalments."""
        return [one for one in self.shares if one.due_at is not None]

    @property
    def deposit_minor(self) -> int:
        """What a deposit would be, for the choice."""
        return parts.shares(self.due_minor, 0, True, self.chosen)[0].amount_minor

    @property
    def shortages(self) -> list[QuoteLine]:
        """Lines of which there is not enough."""
        return [line for line in self.lines if line.quantity > line.free]

    @property
    def price_changes(self) -> list[str]:
        """What moved since the shopper last saw it, in words."""
        return [
            f"The price of {line.name} changed from {format_minor(line.price_seen_minor, self.currency)}"
            f" to {format_minor(line.unit_price_minor, self.currency)} since you added it."
            for line in self.lines
            if line.price_seen_minor != line.unit_price_minor
        ]

    def the_method(self) -> Method | None:
        """The chosen way to pay, if it is offered."""
        return next((way for way in self.methods if way.key == self.method), None)


def quote(
    cart_id: int,
    *,
    country: str = "IN",
    postal_code: str = "",
    rate: str | None = None,
    method: str | None = None,
    gift_code: str = "",
    by_deposit: bool = False,
    customer: Customer | None = None,
    live_token: str = "",
) -> Quote:
    """Work out the cart. Two statements, three with a gift card's code, one more for a shop's own zones.

    `customer` is named where what the person did with earlier parcels counts: one statement more,
    and only where the order could be paid at the door. An unknown rate or method falls back to the first.
    `live_token` names the courier's answer that the page shows (shop/shipping_prices/live_quotes.py).
    """
    rows = db.session.execute(_LINES, {"cart_id": cart_id}).all()
    chosen = preferences(*READ)
    lines = [_line(row) for row in rows]
    currency = rows[0].currency if rows else ""
    goods = sum(line.total_minor for line in lines)
    gift = _gift(gift_code, currency)
    place = Place(country, postal_code, customer)

    def with_delivery(collect: bool) -> Quote:
        offer = _offer(rows, lines, ShippedTo(country, postal_code), chosen, live_token, collect)
        the_rate = _the_rate(offer, rate)
        shipping = next((one.price_minor for one in offer.rates if one.key == the_rate), 0)
        methods = _methods(currency, place, max(goods + shipping - gift.balance_minor, 1), chosen)
        if gift.balance_minor >= goods + shipping:
            # The card pays all of it: nothing is left for another way to pay, nor for its fee.
            return Quote(currency, lines, the_rate, [], "gift_card", chosen, gift, offer=offer)
        usable = [way.key for way in methods if way.unavailable is None]
        the_method = method if method in usable else (usable[0] if usable else "")
        return Quote(currency, lines, the_rate, methods, the_method, chosen, gift, by_deposit, offer)  # fmt: skip

    now = with_delivery(collect=method == "cod")
    if now.offer.is_by_courier and (now.method == "cod") != (method == "cod"):
        # Another way to pay than the one asked for, and the courier's price depends on it.
        return with_delivery(collect=now.method == "cod")
    return now


def _offer(
    rows: Sequence[Row[Any]], lines: Sequence[QuoteLine], place: ShippedTo, chosen: Mapping[str, Any], live_token: str, collect: bool
) -> Offer:  # fmt: skip
    """The ways of delivery for these lines to this place."""
    if not rows:
        return tariff.NOTHING
    items = [(line.quantity, line.weight_grams, line.size_mm) for line in lines]
    goods = packed(items, sum(line.total_minor for line in lines), rows[0].currency, collect)
    return tariff.offer(place, goods, chosen, rows[0].has_zones, live_token)


def _the_rate(offer: Offer, wanted: str | None) -> str:
    """The way of delivery that was chosen where it is offered, else the first."""
    keys = [one.key for one in offer.rates]
    if wanted in keys:
        return str(wanted)
    return keys[0] if keys else ""


def _gift(code: str, currency: str) -> Gift:
    """The card of that code; what is wrong with it is said beside its field."""
    if not code.strip() or not gift_cards_are_taken():
        return NO_GIFT
    try:
        card = gift_cards.usable(code, currency)
    except gift_cards.GiftCardRefused as refused:
        return Gift(code, error=str(refused))
    return Gift(code, card.id, card.hint, card.balance_minor)


def gift_cards_are_taken() -> bool:
    """Whether the checkout has a field for a gift card."""
    return "gift_card" in settings().payment_gateways


_FIRST_PICTURE = (
    select(Picture.storage_key)
    .where(Picture.product_id == Product.id)
    .order_by(Picture.position)
    .limit(1)
    .scalar_subquery()
)
_LINES: Any = (
    select(
        Cart.currency, CartLine.quantity, CartLine.price_seen_minor, Variant.id.label("variant_id"),
        Variant.sku, Variant.options, Variant.weight_grams, Variant.length_mm, Variant.width_mm,
        Variant.height_mm, Variant.hsn_code, Product.name.label("product"), Product.slug,
        Product.seller_id, Product.tax_class, Brand.name.label("brand"), VariantPrice.amount_minor,
        (db.func.coalesce(StockLevel.on_hand - StockLevel.reserved, 0)).label("free"),
        _FIRST_PICTURE.label("picture"), tariff.HAS_ZONES.label("has_zones"),
    )
    .join(Cart, CartLine.cart_id == Cart.id)
    .join(Variant, CartLine.variant_id == Variant.id)
    .join(Product, Variant.product_id == Product.id)
    .join(Brand, Product.brand_id == Brand.id)
    .join(
        VariantPrice,
        (VariantPrice.variant_id == Variant.id) & (VariantPrice.currency == Cart.currency),
    )
    .outerjoin(StockLevel, StockLevel.variant_id == Variant.id)
    .where(CartLine.cart_id == bindparam("cart_id"), Product.status == ProductStatus.ACTIVE)
    .order_by(CartLine.id)
)  # fmt: skip
"""Built once: building it costs as much as asking it."""


def _line(row: Row[Any]) -> QuoteLine:
    return QuoteLine(
        variant_id=row.variant_id, seller_id=row.seller_id, product_slug=row.slug,
        name=f"{row.brand} {row.product}", options=", ".join(row.options.values()),
        picture=row.picture or "", sku=row.sku, quantity=row.quantity, unit_price_minor=row.amount_minor,
        price_seen_minor=row.price_seen_minor, tax_rate_bp=rate_bp(row.tax_class),
        weight_grams=row.weight_grams, size_mm=(row.length_mm, row.width_mm, row.height_mm),
        hsn_code=row.hsn_code, free=max(0, row.free),
    )  # fmt: skip


def _methods(
    currency: str, place: Place, amount_minor: int, chosen: Mapping[str, Any]
) -> list[Method]:
    methods = []
    for way in switched_on():
        reason = way.unavailable(currency, place.country, amount_minor)
        fee = chosen["cod_fee_minor"] if way.key == "cod" else 0
        if way.key == "cod" and not reason:
            reason = at_the_door.reason_against(currency, place, amount_minor, chosen)
        methods.append(
            Method(
                way.key, way.label, way.explanation, way.marks, fee, reason, way.key == "sandbox", way.is_online
            )
        )  # fmt: skip
    return methods
