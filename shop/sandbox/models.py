"""What the pretend gateway and courier remember. Only they read these tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime


class SandboxPayment(Row):
    """A payment at the pretend gateway: open, paid, declined, cancelled or expired."""

    __tablename__ = "sandbox_payments"

    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    idempotency_key: Mapped[str] = mapped_column(String(80), unique=True)
    amount_minor: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    description: Mapped[str] = mapped_column(String(200), default="")
    return_url: Mapped[str] = mapped_column(String(400))
    webhook_url: Mapped[str] = mapped_column(String(400))
    status: Mapped[str] = mapped_column(String(20), default="open")
    failure_code: Mapped[str | None] = mapped_column(String(60))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the shop has taken the newest webhook; the page waits for it where it comes first.
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Refunds and disputes made here: {"rf_…": {"amount_minor": 1, "key": …, "status": …}}.
    refunds: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class SandboxParcel(Row):
    """A parcel at the pretend courier and the scans it has had."""

    __tablename__ = "sandbox_parcels"

    reference: Mapped[str] = mapped_column(String(50), unique=True)
    awb: Mapped[str] = mapped_column(String(40), unique=True)
    city: Mapped[str] = mapped_column(String(80), default="")
    status: Mapped[str] = mapped_column(String(32), default="pending")
    #: From the customer to the shop.
    is_return: Mapped[bool] = mapped_column(default=False)
    webhook_url: Mapped[str] = mapped_column(String(400), default="")
    scans: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
