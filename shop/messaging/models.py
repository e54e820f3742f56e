"""What was said to whom."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Row, UtcDateTime, stored


class NotificationStatus(StrEnum):
    """Where a message is. `uncertain` means it may have gone: it is never repeated by itself."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Notification(Row):
    """One message to one recipient by one channel; the dedupe key lets it go once."""

    __tablename__ = "notifications"
    __table_args__ = (Index("ix_notifications_status_id", "status", "id"),)

    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    template: Mapped[str] = mapped_column(String(60))
    channel: Mapped[str] = mapped_column(String(30))
    recipient: Mapped[str] = mapped_column(String(254))
    #: "order_confirmed:17:email"; a resend by hand adds ":resend-<n>".
    dedupe_key: Mapped[str] = mapped_column(String(160), unique=True)
    #: What the template needs beside the order (an amount, a shipment).
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    status: Mapped[NotificationStatus] = mapped_column(
        stored(NotificationStatus), default=NotificationStatus.QUEUED
    )
    #: Our Message-ID, stored before sending.
    message_id: Mapped[str | None] = mapped_column(String(200))
    #: The provider's id from its answer.
    provider_id: Mapped[str | None] = mapped_column(String(200))
    subject: Mapped[str] = mapped_column(String(250), default="")
    body_text: Mapped[str | None] = mapped_column(Text)
    body_html: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
