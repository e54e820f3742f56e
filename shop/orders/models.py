"""Orders, their lines and their timeline."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import BigId, Row, UtcDateTime, stored
from shop.extensions import db


class OrderStatus(StrEnum):
    """Where the order is. orders/lifecycle.py says how it gets from one to the next."""

    PENDING_PAYMENT = "pending_payment"
    PAYMENT_FAILED = "payment_failed"
    PAID = "paid"
    PROCESSING = "processing"
    READY_FOR_SHIPMENT = "ready_for_shipment"
    SHIPPED = "shipped"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    ARCHIVED = "archived"


class PaymentStatus(StrEnum):
    """What has been paid, whatever the parcel does."""

    NOT_PAID = "not_paid"
    PENDING = "pending"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


class FulfilmentStatus(StrEnum):
    """What has left and arrived, whatever the money does."""

    UNFULFILLED = "unfulfilled"
    PARTLY_SHIPPED = "partly_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    RETURNED = "returned"


REPLACEMENT = "replacement"
"""The payment method of an order that replaces goods of a return (shop/returns): nothing is paid."""


class OrderMonth(Row):
    """The running number of one month, drawn in a transaction of its own."""

    __tablename__ = "order_months"

    #: "2611": year and month in the shop's time zone.
    month: Mapped[str] = mapped_column(String(4), unique=True)
    last_number: Mapped[int] = mapped_column(default=0)


class Order(Row):
    """What somebody bought, at the prices of that moment. Amounts in minor units of `currency`."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(
            "subtotal_minor >= 0 AND discount_minor >= 0 AND shipping_minor >= 0"
            " AND fee_minor >= 0 AND tax_minor >= 0 AND total_minor >= 0",
            name="amounts",
        ),
        CheckConstraint(
            "total_minor = subtotal_minor - discount_minor + shipping_minor + fee_minor + tax_minor",
            name="total",
        ),
        Index("ix_orders_status_id", "status", "id"),
        Index("ix_orders_placed_at", "placed_at"),
        Index("ix_orders_email", "email"),
        # Who turned parcels down: asked where cash on delivery is chosen.
        Index(
            "ix_orders_cod_phone", "phone",
            sqlite_where=db.text("payment_method = 'cod'"),
            postgresql_where=db.text("payment_method = 'cod'"),
        ),
        Index(
            "ix_orders_attention", "id",
            sqlite_where=db.text("attention IS NOT NULL"),
            postgresql_where=db.text("attention IS NOT NULL"),
        ),
        Index(
            "ix_orders_unpaid_expiry", "expires_at",
            sqlite_where=db.text("status IN ('pending_payment', 'payment_failed')"),
            postgresql_where=db.text("status IN ('pending_payment', 'payment_failed')"),
        ),
    )  # fmt: skip

    #: YYMM.NNN
    number: Mapped[str] = mapped_column(String(20), unique=True)
    #: Opens the order's page; 256 random bits.
    token: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    cart_id: Mapped[int | None] = mapped_column(ForeignKey("carts.id", ondelete="SET NULL"))
    email: Mapped[str] = mapped_column(String(254))
    phone: Mapped[str] = mapped_column(String(20), default="")
    status: Mapped[OrderStatus] = mapped_column(
        stored(OrderStatus), default=OrderStatus.PENDING_PAYMENT
    )
    #: Where disputed and archived orders came from.
    status_before: Mapped[str | None] = mapped_column(String(32))
    payment_status: Mapped[PaymentStatus] = mapped_column(
        stored(PaymentStatus), default=PaymentStatus.NOT_PAID
    )
    fulfilment_status: Mapped[FulfilmentStatus] = mapped_column(
        stored(FulfilmentStatus), default=FulfilmentStatus.UNFULFILLED
    )
    currency: Mapped[str] = mapped_column(String(3))
    subtotal_minor: Mapped[int] = mapped_column(BigId)
    discount_minor: Mapped[int] = mapped_column(BigId, default=0)
    shipping_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: What the payment method adds (cash on delivery).
    fee_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: Tax on top of the prices; 0 where prices include it.
    tax_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: Tax inside the prices, for information.
    tax_included_minor: Mapped[int] = mapped_column(BigId, default=0)
    total_minor: Mapped[int] = mapped_column(BigId)
    #: recipient, phone, line1, line2, landmark, city, state, postal_code, country.
    shipping_address: Mapped[dict[str, str]] = mapped_column(JSON)
    billing_address: Mapped[dict[str, str]] = mapped_column(JSON)
    shipping_method: Mapped[str] = mapped_column(String(40))
    shipping_label: Mapped[str] = mapped_column(String(80), default="")
    #: The last day on which it should arrive, as it was told at checkout.
    expected_by: Mapped[date | None] = mapped_column(Date)
    #: The payment method chosen last (a key of payments/gateways).
    payment_method: Mapped[str] = mapped_column(String(40))
    locale: Mapped[str] = mapped_column(String(12), default="en_IN")
    #: One rendered checkout form makes one order.
    idempotency_key: Mapped[str] = mapped_column(String(64), unique=True)
    #: When an unpaid order is cancelled.
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    placed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When its lines were added to the sellers' sales.
    sales_counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why a person should look; empty when nobody needs to.
    attention: Mapped[str | None] = mapped_column(String(300))
    #: When an unanswered question about late money takes its default (refund).
    late_money_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(default=1)

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.id", back_populates="order")

    #: Not kept: the parcel whose news moves the order just now; messages that follow are about it.
    news_of_shipment = None  # type: int | None

    @property
    def is_unpaid(self) -> bool:
        """True while the shopper can still pay and nothing has been accepted."""
        return self.status in {OrderStatus.PENDING_PAYMENT, OrderStatus.PAYMENT_FAILED}


class OrderLine(Row):
    """One variant in an order, as it was named and priced when it was sold."""

    __tablename__ = "order_lines"
    __table_args__ = (
        UniqueConstraint("order_id", "variant_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint(
            "unit_price_minor >= 0 AND discount_minor >= 0 AND tax_minor >= 0 AND total_minor >= 0",
            name="amounts",
        ),
        CheckConstraint("total_minor = unit_price_minor * quantity - discount_minor", name="total"),
        CheckConstraint(
            "refunded_quantity >= 0 AND refunded_quantity <= quantity", name="refunded_quantity"
        ),
        CheckConstraint("refunded_minor >= 0 AND refunded_minor <= total_minor", name="refunded"),
        # Nothing leaves that was not bought or was given back (reliability.md, I29).
        CheckConstraint("shipped_quantity >= 0 AND shipped_quantity <= quantity", name="shipped"),
        CheckConstraint("lost_quantity >= 0 AND lost_quantity <= quantity", name="lost"),
        CheckConstraint(
            "returned_quantity >= 0 AND returned_quantity <= quantity", name="returned"
        ),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"), index=True)
    seller_id: Mapped[int] = mapped_column(ForeignKey("sellers.id"), index=True)
    name: Mapped[str] = mapped_column(String(250))
    sku: Mapped[str] = mapped_column(String(60))
    options: Mapped[str] = mapped_column(String(200), default="")
    picture: Mapped[str] = mapped_column(String(200), default="")
    unit_price_minor: Mapped[int] = mapped_column(BigId)
    #: In basis points: 1800 is 18 %.
    tax_rate_bp: Mapped[int] = mapped_column(default=0)
    weight_grams: Mapped[int] = mapped_column(default=0)
    length_mm: Mapped[int] = mapped_column(default=0)
    width_mm: Mapped[int] = mapped_column(default=0)
    height_mm: Mapped[int] = mapped_column(default=0)
    hsn_code: Mapped[str] = mapped_column(String(12), default="")
    quantity: Mapped[int]
    discount_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: The tax of this line (inside its price where prices include it).
    tax_minor: Mapped[int] = mapped_column(BigId, default=0)
    total_minor: Mapped[int] = mapped_column(BigId)
    refunded_quantity: Mapped[int] = mapped_column(default=0)
    refunded_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: In parcels that were not given back (cancelled, lost, returned).
    shipped_quantity: Mapped[int] = mapped_column(default=0)
    #: Lost or damaged on the way, and not replaced from the shelf.
    lost_quantity: Mapped[int] = mapped_column(default=0)
    #: In returns that were not refused or withdrawn (shop/returns).
    returned_quantity: Mapped[int] = mapped_column(default=0)

    order: Mapped[Order] = relationship(back_populates="lines")


class OrderEvent(Row):
    """One line of the order's timeline: a change of state, a note, news of money or parcel."""

    __tablename__ = "order_events"
    __table_args__ = (Index("ix_order_events_order", "order_id", "id"),)

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    #: The lifecycle's event, or "note", "payment", "refund", "shipment", "message", "incident".
    kind: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(80))
    from_status: Mapped[str | None] = mapped_column(String(32))
    to_status: Mapped[str | None] = mapped_column(String(32))
    #: What a person reads.
    text: Mapped[str] = mapped_column(Text, default="")
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    #: False for what only staff may see.
    for_customer: Mapped[bool] = mapped_column(default=False)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
