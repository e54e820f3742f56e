"""Parcels and where they are."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import BigId, Row, UtcDateTime, stored
from shop.orders.models import Order, OrderLine


class ShipmentStatus(StrEnum):
    """Where a parcel is. Moves forward only, by the event's own time."""

    PENDING = "pending"
    PICKUP_SCHEDULED = "pickup_scheduled"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    LOST = "lost"
    DAMAGED = "damaged"
    RTO_INITIATED = "rto_initiated"
    RTO_IN_TRANSIT = "rto_in_transit"
    RTO_DELIVERED = "rto_delivered"


GIVEN_BACK = frozenset(
    {
        ShipmentStatus.CANCELLED,
        ShipmentStatus.LOST,
        ShipmentStatus.DAMAGED,
        ShipmentStatus.RTO_DELIVERED,
    }
)
"""A parcel that ends so gives its units back, to be shipped again or refunded."""

FINAL = GIVEN_BACK | {ShipmentStatus.DELIVERED}
"""No more news is asked for."""

NOT_HANDED_OVER = frozenset({ShipmentStatus.PENDING, ShipmentStatus.PICKUP_SCHEDULED})
"""Still with us: it can be cancelled."""


class Step(StrEnum):
    """How far the making of a shipment has come at the courier. Each step is done once."""

    RESERVED = "reserved"
    ORDERED = "ordered"
    AWB_ASSIGNED = "awb_assigned"
    PICKUP_SCHEDULED = "pickup_scheduled"
    LABELLED = "labelled"


class Parked(StrEnum):
    """What a person must mend before a parcel can be made; nothing is tried again by itself."""

    WALLET = "wallet"
    NOT_SERVED = "not_served"


class Shipment(Row):
    """One parcel of an order. The row is reserved by its unique key before the courier is called."""

    __tablename__ = "shipments"
    __table_args__ = (
        UniqueConstraint("order_id", "sequence"),
        UniqueConstraint("courier", "awb"),
        UniqueConstraint("courier", "reference"),
        Index("ix_shipments_news", "status", "last_news_at"),
        Index("ix_shipments_created_at", "created_at"),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    sequence: Mapped[int] = mapped_column(default=1)
    courier: Mapped[str] = mapped_column(String(30))
    #: Ours, as the courier knows it: "2611.042" or "2611.042-R1" after a cancelled one.
    reference: Mapped[str] = mapped_column(String(50))
    courier_order_id: Mapped[str | None] = mapped_column(String(60))
    courier_shipment_id: Mapped[str | None] = mapped_column(String(60))
    awb: Mapped[str | None] = mapped_column(String(60), index=True)
    courier_name: Mapped[str] = mapped_column(String(80), default="")
    #: The carrier that staff chose before the waybill number was assigned; by the courier's own id.
    carrier_id: Mapped[str | None] = mapped_column(String(30))
    #: The carrier's own page about the parcel.
    tracking_url: Mapped[str | None] = mapped_column(String(500))
    label_url: Mapped[str | None] = mapped_column(String(500))
    #: Where the papers are kept (shop/delivery/papers.py).
    label_key: Mapped[str | None] = mapped_column(String(200))
    manifest_key: Mapped[str | None] = mapped_column(String(200))
    invoice_key: Mapped[str | None] = mapped_column(String(200))
    pickup_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[ShipmentStatus] = mapped_column(
        stored(ShipmentStatus), default=ShipmentStatus.PENDING
    )
    step: Mapped[Step] = mapped_column(stored(Step), default=Step.RESERVED)
    #: When the courier had taken every step, label and all.
    made_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: True when the dry run made it: nothing was booked.
    is_dry_run: Mapped[bool] = mapped_column(default=False)
    weight_grams: Mapped[int] = mapped_column(default=0)
    length_mm: Mapped[int] = mapped_column(default=0)
    width_mm: Mapped[int] = mapped_column(default=0)
    height_mm: Mapped[int] = mapped_column(default=0)
    #: What the carrier bills by, as it says itself; empty where it does not say.
    applied_grams: Mapped[int | None]
    #: What the courier collects at the door, in minor units; 0 for prepaid orders.
    collect_minor: Mapped[int] = mapped_column(BigId, default=0)
    estimated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cost_minor: Mapped[int | None] = mapped_column(BigId)
    #: The time of the newest event that moved the status.
    status_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_news_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the courier was last asked about it.
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_attempts: Mapped[int] = mapped_column(default=0)
    #: The step whose call has begun and is not recorded: it may have happened, so ask before repeating.
    trying: Mapped[str | None] = mapped_column(String(32))
    #: When the courier cancelled it, unasked.
    dropped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The job that makes the shipment; while it is alive no other may (reliability.md, I28).
    booked_by_job: Mapped[int | None] = mapped_column(BigId)
    #: Why its making stands still until a person acts, since when, and the job to try again.
    parked: Mapped[Parked | None] = mapped_column(stored(Parked))
    parked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    parked_job: Mapped[int | None] = mapped_column(BigId)

    order: Mapped[Order] = relationship()
    lines: Mapped[list["ShipmentLine"]] = relationship(order_by="ShipmentLine.id")


class ShipmentLine(Row):
    """How many of an order line are in the parcel."""

    __tablename__ = "shipment_lines"
    __table_args__ = (
        UniqueConstraint("shipment_id", "order_line_id"),
        CheckConstraint("quantity > 0", name="quantity"),
    )

    shipment_id: Mapped[int] = mapped_column(ForeignKey("shipments.id"))
    order_line_id: Mapped[int] = mapped_column(ForeignKey("order_lines.id"), index=True)
    quantity: Mapped[int]
    #: When the units were given back (cancelled, lost, returned): they no longer count as shipped.
    given_back: Mapped[bool] = mapped_column(default=False)

    order_line: Mapped[OrderLine] = relationship()


ATTEMPT_FAILED = "attempt_failed"
"""The status of a scan that tells of a door nobody opened."""


class TrackingEvent(Row):
    """One scan, as the courier told it. A repeat adds nothing."""

    __tablename__ = "tracking_events"
    __table_args__ = (
        UniqueConstraint("shipment_id", "code", "occurred_at", "words_hash"),
        Index("ix_tracking_events_shipment", "shipment_id", "occurred_at"),
    )

    shipment_id: Mapped[int] = mapped_column(ForeignKey("shipments.id"))
    code: Mapped[str] = mapped_column(String(40))
    words: Mapped[str] = mapped_column(String(300), default="")
    words_hash: Mapped[str] = mapped_column(String(16), default="")
    #: What it means here: a ShipmentStatus, ATTEMPT_FAILED, or empty for news that moves nothing.
    status: Mapped[str | None] = mapped_column(String(32))
    place: Mapped[str] = mapped_column(String(160), default="")
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: As the courier sent it.
    raw: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class CourierToken(Row):
    """The one log-in of a courier's account, shared by all processes and renewed under its row lock."""

    __tablename__ = "courier_tokens"

    courier: Mapped[str] = mapped_column(String(30), unique=True)
    #: Encrypted (shop/secret_box.py).
    token: Mapped[str] = mapped_column(Text, default="")
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: No log-in before this: repeated failures lock the account at the courier.
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Who is logging in just now, and until when others wait for it.
    renewing_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: "credentials": a keyed digest of those last refused; new ones lift the hold.
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
