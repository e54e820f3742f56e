"""Who did what to which record. Append-only: a trigger refuses UPDATE and DELETE."""

from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row


class AuditEntry(Row):
    """One change of money, stock, order, role, setting or secret, and who made it."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_subject", "subject", "id"),)

    #: "user:7", "customer", "gateway:stripe", "courier:parcel", "system".
    actor: Mapped[str] = mapped_column(String(80))
    user_id: Mapped[int | None] = mapped_column(BigId)
    #: "order.cancelled", "stock.adjusted", …
    action: Mapped[str] = mapped_column(String(80), index=True)
    #: "order:2611.042", "variant:12", …
    subject: Mapped[str] = mapped_column(String(120))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    request_id: Mapped[str | None] = mapped_column(String(40))
    #: The caller's network address; the one column that retention may blank.
    address: Mapped[str | None] = mapped_column(String(64))
