"""The inbox: what providers have told us, as they told it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Row, UtcDateTime, stored


class WebhookStatus(StrEnum):
    """What became of an event."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    FAILED = "failed"


class WebhookEvent(Row):
    """A verified message, stored once. One (source, event_id) has its effect once."""

    __tablename__ = "webhook_events"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        Index("ix_webhook_events_status", "status", "received_at"),
        # The last of each source, as the screen of channels asks.
        Index("ix_webhook_events_source", "source", "id"),
    )

    #: A gateway's or courier's key: "stripe", "sandbox", "delivery/parcel".
    source: Mapped[str] = mapped_column(String(40))
    event_id: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(80), default="")
    raw_body: Mapped[bytes] = mapped_column(LargeBinary)
    #: Without signatures and secrets.
    headers: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[WebhookStatus] = mapped_column(
        stored(WebhookStatus), default=WebhookStatus.RECEIVED
    )
    attempts: Mapped[int] = mapped_column(default=0)
    #: Deliveries of the same event after the first.
    repeats: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    processed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookRefusal(Row):
    """How many unverified messages a source got in an hour; nothing of them is stored."""

    __tablename__ = "webhook_refusals"
    __table_args__ = (UniqueConstraint("source", "hour_at"),)

    source: Mapped[str] = mapped_column(String(40))
    hour_at: Mapped[datetime] = mapped_column(UtcDateTime)
    count: Mapped[int] = mapped_column(default=0)
