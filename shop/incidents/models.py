"""Failures that a person must see."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime, stored
from shop.extensions import db


class Category(StrEnum):
    """What part of the shop is hurt."""

    DELIVERY = "delivery"
    PAYMENT = "payment"
    STOCK = "stock"
    DATABASE = "database"
    API = "api"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """What is at stake."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class IncidentStatus(StrEnum):
    """Whether somebody has taken it on."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class TicketState(StrEnum):
    """How far the ticket at the outside tracker is."""

    NONE = "none"
    #: It was asked for, and nobody has told yet whether it was made.
    CREATING = "creating"
    OPEN = "open"
    CLOSED = "closed"
    #: The tracker takes this one for certain not; another incident says so.
    REFUSED = "refused"


class Incident(Row):
    """One fault on one thing. Repeats while it is not resolved are counted, not added."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index(
            "uq_incidents_open_fingerprint", "fingerprint", unique=True,
            sqlite_where=db.text("status <> 'resolved'"),
            postgresql_where=db.text("status <> 'resolved'"),
        ),
        Index("ix_incidents_status_id", "status", "id"),
    )  # fmt: skip

    category: Mapped[Category] = mapped_column(stored(Category))
    severity: Mapped[Severity] = mapped_column(stored(Severity))
    #: The same for the same fault on the same order.
    fingerprint: Mapped[str] = mapped_column(String(160))
    #: One sentence for the person who reads the list.
    issue: Mapped[str] = mapped_column(String(300))
    error_message: Mapped[str] = mapped_column(Text, default="")
    error_stack: Mapped[str] = mapped_column(Text, default="")
    #: orderId, customerId, paymentId, gatewayOrderId, amount, customerEmail, customerPhone, deliveryStage, jobId …
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), index=True)
    job_id: Mapped[int | None] = mapped_column(BigId)
    repeats: Mapped[int] = mapped_column(default=0)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: When staff were last mailed about it.
    mailed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The ticket's key and link at the outside tracker.
    tracker_key: Mapped[str | None] = mapped_column(String(60))
    tracker_url: Mapped[str | None] = mapped_column(String(300))
    ticket_state: Mapped[TicketState] = mapped_column(stored(TicketState), default=TicketState.NONE)
    #: When the ticket was last asked for.
    ticket_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How many repeats the ticket tells of, and since when it does.
    told_repeats: Mapped[int] = mapped_column(default=0)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The severity that the ticket tells of.
    told_severity: Mapped[str | None] = mapped_column(String(32))
    status: Mapped[IncidentStatus] = mapped_column(
        stored(IncidentStatus), default=IncidentStatus.OPEN
    )
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How it was dealt with, in the words of who resolved it.
    note: Mapped[str] = mapped_column(Text, default="")
