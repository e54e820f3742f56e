"""Money: parts to pay, attempts to pay them, refunds and disputes."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.clock import utcnow
from shop.database import BigId, Row, UtcDateTime, stored
from shop.extensions import db
from shop.orders.models import Order

LIVE_SQL = "status IN ('created', 'open', 'unknown', 'authorized')"


class PartStatus(StrEnum):
    """Whether a part of the order is still to be paid."""

    DUE = "due"
    PAID = "paid"
    WAIVED = "waived"


class PaymentPart(Row):
    """A share of what the order costs; usually there is one. Parts not waived sum to the total.

    A part that is split is waived, and two new ones take its place.
    """

    __tablename__ = "payment_parts"
    __table_args__ = (
        UniqueConstraint("order_id", "sequence"),
        CheckConstraint("amount_minor > 0", name="amount"),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    sequence: Mapped[int] = mapped_column(default=1)
    amount_minor: Mapped[int] = mapped_column(BigId)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[PartStatus] = mapped_column(stored(PartStatus), default=PartStatus.DUE)
    #: True when the goods leave only after it is paid; False for instalments after that.
    before_shipping: Mapped[bool] = mapped_column(default=True)


class AttemptStatus(StrEnum):
    """A payment attempt. The first four are live; a closed one may still report money."""

    CREATED = "created"
    OPEN = "open"
    UNKNOWN = "unknown"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


LIVE = frozenset(
    {AttemptStatus.CREATED, AttemptStatus.OPEN, AttemptStatus.UNKNOWN, AttemptStatus.AUTHORIZED}
)
"""The attempt may still be paid by the shopper."""


class Payment(Row):
    """One attempt to be paid for a part of an order. Never deleted, never reused."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("captured_minor >= 0", name="captured"),
        # Refunds held, sent and succeeded never exceed what came in (reliability.md, I4).
        CheckConstraint(
            "refund_held_minor >= 0 AND refund_held_minor <= captured_minor", name="refund_held"
        ),
        UniqueConstraint("gateway", "gateway_id"),
        Index(
            "uq_payments_live_part", "part_id", unique=True,
            sqlite_where=db.text(LIVE_SQL), postgresql_where=db.text(LIVE_SQL),
        ),
        Index(
            "ix_payments_ask_at", "ask_at",
            sqlite_where=db.text("ask_at IS NOT NULL"),
            postgresql_where=db.text("ask_at IS NOT NULL"),
        ),
        # How many of the last hour's succeed: the alerts ask every minute.
        Index("ix_payments_created_at", "created_at"),
    )  # fmt: skip

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    part_id: Mapped[int] = mapped_column(ForeignKey("payment_parts.id"), index=True)
    gateway: Mapped[str] = mapped_column(String(30))
    #: Ours: 26 random characters A–Z 2–7. The gateway's object must name it.
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    gateway_id: Mapped[str | None] = mapped_column(String(120))
    #: The gateway's further ids of it, by name; payment_aliases finds the attempt by them.
    gateway_refs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    amount_minor: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    captured_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: Refunds asked for, sent or succeeded; a failed one is given back.
    refund_held_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: Of these, what has arrived back at the shopper.
    refunded_minor: Mapped[int] = mapped_column(BigId, default=0)
    status: Mapped[AttemptStatus] = mapped_column(
        stored(AttemptStatus), default=AttemptStatus.CREATED
    )
    #: card, upi, netbanking, wallet, swish, bank, cash …
    method: Mapped[str | None] = mapped_column(String(40))
    #: What the shopper does next: {"kind": "redirect", "url": …}, {"kind": "page", …} (the gateway's
    #: page on this shop) or {"kind": "instructions", …}.
    next_step: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    #: When the gateway's page closes by itself.
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the quick sweep asks the gateway about it; empty when nothing is left to ask.
    ask_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    asks: Mapped[int] = mapped_column(default=0)
    failure_code: Mapped[str | None] = mapped_column(String(80))
    #: In words that a shopper understands.
    failure_words: Mapped[str | None] = mapped_column(String(300))
    idempotency_key: Mapped[str] = mapped_column(String(80), unique=True)
    captured_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    payer_email: Mapped[str | None] = mapped_column(String(254))
    payer_phone: Mapped[str | None] = mapped_column(String(20))
    fee_minor: Mapped[int | None] = mapped_column(BigId)
    payout_reference: Mapped[str | None] = mapped_column(String(80))

    order: Mapped[Order] = relationship()

    @property
    def is_live(self) -> bool:
        """True while the shopper may still pay it."""
        return self.status in LIVE

    @property
    def refundable_minor(self) -> int:
        """What can still be given back."""
        return self.captured_minor - self.refund_held_minor


class PaymentAlias(Row):
    """Another id by which a gateway's news may name an attempt (a payment intent, say)."""

    __tablename__ = "payment_aliases"
    __table_args__ = (UniqueConstraint("gateway", "alias"),)

    gateway: Mapped[str] = mapped_column(String(30))
    alias: Mapped[str] = mapped_column(String(120))
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)


class PaymentEvent(Row):
    """News of an attempt and what it changed. Append-only (trigger)."""

    __tablename__ = "payment_events"
    __table_args__ = (Index("ix_payment_events_payment", "payment_id", "id"),)

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    kind: Mapped[str] = mapped_column(String(40))
    amount_minor: Mapped[int | None] = mapped_column(BigId)
    #: webhook, return, sweep, admin, courier, open.
    source: Mapped[str] = mapped_column(String(20))
    gateway_event_id: Mapped[str | None] = mapped_column(String(120))
    #: "nothing" for a repeat; else what changed: "captured", "late", "second", "mismatch", …
    changed: Mapped[str] = mapped_column(String(60))
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class RefundStatus(StrEnum):
    """A refund on its way. `failed` gives its hold back."""

    REQUESTED = "requested"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(Row):
    """Money given back from one payment. The hold on the payment is taken before the gateway is called."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        UniqueConstraint("payment_id", "gateway_id"),
    )

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    amount_minor: Mapped[int] = mapped_column(BigId)
    #: [{"line_id": 1, "quantity": 1, "amount_minor": 100, "restock": true}]; shipping is the rest.
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    reason: Mapped[str] = mapped_column(String(200), default="")
    status: Mapped[RefundStatus] = mapped_column(
        stored(RefundStatus), default=RefundStatus.REQUESTED
    )
    gateway_id: Mapped[str | None] = mapped_column(String(120))
    idempotency_key: Mapped[str] = mapped_column(String(80), unique=True)
    actor: Mapped[str] = mapped_column(String(80))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failure_words: Mapped[str | None] = mapped_column(String(300))

    payment: Mapped[Payment] = relationship()


class PaymentDifference(Row):
    """A line of the daily comparison: the gateway's list says otherwise than our books."""

    __tablename__ = "payment_differences"
    __table_args__ = (UniqueConstraint("gateway", "what", "named"),)

    gateway: Mapped[str] = mapped_column(String(30))
    #: payment, fee, refund, dispute or payout.
    what: Mapped[str] = mapped_column(String(20))
    #: Our reference, or the gateway's id where we have none.
    named: Mapped[str] = mapped_column(String(120))
    ours_minor: Mapped[int | None] = mapped_column(BigId)
    theirs_minor: Mapped[int | None] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3), default="")
    #: When the payment or refund was begun, else when it was found: a comparison judges what its
    #: lists reach back to.
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    #: When a later comparison did not find it any more.
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DisputeStatus(StrEnum):
    """A chargeback."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Dispute(Row):
    """The shopper's bank asks for the money back."""

    __tablename__ = "disputes"
    __table_args__ = (
        UniqueConstraint("payment_id", "gateway_id"),
        # Those that wait for evidence: menu, dashboard and alerts count them.
        Index(
            "ix_disputes_unanswered", "id",
            sqlite_where=db.text("status = 'open' AND evidence_sent_at IS NULL"),
            postgresql_where=db.text("status = 'open' AND evidence_sent_at IS NULL"),
        ),
    )  # fmt: skip

    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"), index=True)
    gateway_id: Mapped[str] = mapped_column(String(120))
    amount_minor: Mapped[int] = mapped_column(BigId)
    reason: Mapped[str] = mapped_column(String(120), default="")
    status: Mapped[DisputeStatus] = mapped_column(stored(DisputeStatus), default=DisputeStatus.OPEN)
    evidence_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When staff sent the evidence to the gateway (a mark made by hand), who, and a note.
    evidence_sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    evidence_sent_by: Mapped[str | None] = mapped_column(String(80))
    evidence_note: Mapped[str] = mapped_column(String(300), default="")
    #: When an incident reminded of this evidence date.
    evidence_reminded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    payment: Mapped[Payment] = relationship()
