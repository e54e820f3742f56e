"""What was said to whom."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime, stored
from shop.extensions import db


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


class Purpose(StrEnum):
    """What a message is for; consent is asked for and withdrawn by purpose."""

    #: News of what somebody ordered or asked for.
    TRANSACTIONAL = "transactional"
    #: A cart that was left.
    REMINDERS = "reminders"
    MARKETING = "marketing"


class Notification(Row):
    """One message to one recipient by one channel; the dedupe key lets it go once."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("ix_notifications_status_id", "status", "id"),
        Index("ix_notifications_created_at", "created_at"),
        Index("ix_notifications_subject", "subject_kind", "subject_id"),
    )

    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    #: What it is about where that is no order: "stock_alert", "cart_reminder", "variant".
    subject_kind: Mapped[str] = mapped_column(String(30), default="")
    subject_id: Mapped[int | None] = mapped_column(BigId)
    template: Mapped[str] = mapped_column(String(60))
    #: The kind: email, sms, whatsapp.
    channel: Mapped[str] = mapped_column(String(30))
    #: Who brought it, as it was set up when the message was taken up ("smtp", "twilio").
    provider: Mapped[str] = mapped_column(String(30), default="")
    #: The language that it is written in.
    locale: Mapped[str] = mapped_column(String(12), default="en")
    purpose: Mapped[Purpose] = mapped_column(stored(Purpose), default=Purpose.TRANSACTIONAL)
    recipient: Mapped[str] = mapped_column(String(254))
    #: "order_confirmed:17:email"; a resend by hand adds ":resend-<n>".
    dedupe_key: Mapped[str] = mapped_column(String(160), unique=True)
    #: What the template needs beside the order (an amount, a shipment).
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    status: Mapped[NotificationStatus] = mapped_column(
        stored(NotificationStatus), default=NotificationStatus.QUEUED
    )
    #: Our Message-ID, stored before sending.
    message_id: Mapped[str | None] = mapped_column(String(200), index=True)
    #: The provider's id from its answer.
    provider_id: Mapped[str | None] = mapped_column(String(200), index=True)
    subject: Mapped[str] = mapped_column(String(250), default="")
    body_text: Mapped[str | None] = mapped_column(Text)
    body_html: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    #: It rests until then (quiet hours).
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When it was first handed to a channel, whatever came of it.
    taken_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def is_by_hand(self) -> bool:
        """A person asked for it once more."""
        return ":resend-" in self.dedupe_key


class ConsentState(StrEnum):
    """What somebody said to a kind of messages."""

    GRANTED = "granted"
    WITHDRAWN = "withdrawn"


class Consent(Row):
    """Something somebody said, at one moment. Rows are added, never changed: the newest one counts."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_newest", "channel", "recipient", "purpose", "id"),)

    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    #: An e-mail address in small letters, or a number in E.164.
    recipient: Mapped[str] = mapped_column(String(254))
    channel: Mapped[str] = mapped_column(String(30))
    purpose: Mapped[Purpose] = mapped_column(stored(Purpose))
    state: Mapped[ConsentState] = mapped_column(stored(ConsentState))
    #: Where it was said: "checkout", "account", "cart", "link", "receipt".
    source: Mapped[str] = mapped_column(String(80))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class SuppressionReason(StrEnum):
    """Why nothing more goes there."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPTED_OUT = "opted_out"
    BY_HAND = "by_hand"


class Suppression(Row):
    """An address or number that gets nothing more by a channel, unless a person resends."""

    __tablename__ = "suppressions"
    __table_args__ = (UniqueConstraint("channel", "recipient"),)

    channel: Mapped[str] = mapped_column(String(30))
    recipient: Mapped[str] = mapped_column(String(254))
    reason: Mapped[SuppressionReason] = mapped_column(stored(SuppressionReason))
    #: The provider's words.
    details: Mapped[str] = mapped_column(String(300), default="")
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class MessageSwitch(Row):
    """A row of the table of messages that the owner switched. What was never switched has no row."""

    __tablename__ = "message_switches"
    __table_args__ = (UniqueConstraint("event", "channel"),)

    event: Mapped[str] = mapped_column(String(60))
    channel: Mapped[str] = mapped_column(String(30))
    is_on: Mapped[bool]
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class AlertState(StrEnum):
    """An alert ends once."""

    WAITING = "waiting"
    TOLD = "told"
    STOPPED = "stopped"


class StockAlert(Row):
    """Somebody wants to hear once when a variant can be bought again."""

    __tablename__ = "stock_alerts"
    __table_args__ = (
        Index(
            "uq_stock_alerts_waiting", "variant_id", "email", unique=True,
            sqlite_where=db.text("state = 'waiting'"),
            postgresql_where=db.text("state = 'waiting'"),
        ),
        Index("ix_stock_alerts_email", "email"),
    )  # fmt: skip

    variant_id: Mapped[int] = mapped_column(ForeignKey("variants.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    #: In small letters.
    email: Mapped[str] = mapped_column(String(254))
    locale: Mapped[str] = mapped_column(String(12), default="en")
    state: Mapped[AlertState] = mapped_column(stored(AlertState), default=AlertState.WAITING)
    #: When it was told or stopped.
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CartReminder(Row):
    """Somebody agreed to be reminded of this cart, once."""

    __tablename__ = "cart_reminders"

    cart_id: Mapped[int] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    #: In small letters.
    email: Mapped[str] = mapped_column(String(254), index=True)
    locale: Mapped[str] = mapped_column(String(12), default="en")
    #: When the reminder was made; there is no second one.
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MessageWording(Row):
    """What the owner made of a message's words, and when. Rows are added, never changed: the newest counts."""

    __tablename__ = "message_wordings"
    __table_args__ = (UniqueConstraint("template", "channel", "language", "version"),)

    template: Mapped[str] = mapped_column(String(60))
    channel: Mapped[str] = mapped_column(String(30))
    language: Mapped[str] = mapped_column(String(12))
    version: Mapped[int]
    #: Part → words, for the parts that differ from the built-in ones. Empty: all as built in.
    parts: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
