"""What the bank told: the files that were imported, and each line of them once."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Date, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.database import BigId, Row, UtcDateTime, stored
from shop.extensions import db
from shop.payments.models import Payment


class LineState(StrEnum):
    """Whether a line's money has found its order."""

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    #: Nothing to do: money going out, or set aside by a person with a reason.
    IGNORED = "ignored"


class BankStatement(Row):
    """One imported file: what was new in it, and what could not be read."""

    __tablename__ = "bank_statements"

    name: Mapped[str] = mapped_column(String(120))
    #: SHA-256 of the file's bytes.
    digest: Mapped[str] = mapped_column(String(64), index=True)
    #: csv or mt940.
    form: Mapped[str] = mapped_column(String(10))
    actor: Mapped[str] = mapped_column(String(80))
    new_lines: Mapped[int] = mapped_column(default=0)
    #: Lines that an earlier file or a person had brought already.
    known_lines: Mapped[int] = mapped_column(default=0)
    #: [{"line": 7, "words": "…", "text": "the line as it stands"}]
    faults: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)


class BankStatementLine(Row):
    """One booking on the shop's account. Amounts are negative where money went out."""

    __tablename__ = "bank_statement_lines"
    __table_args__ = (
        CheckConstraint("state <> 'matched' OR payment_id IS NOT NULL", name="matched"),
        Index(
            "ix_bank_statement_lines_waiting", "booked_on",
            sqlite_where=db.text("state = 'unmatched'"),
            postgresql_where=db.text("state = 'unmatched'"),
        ),
    )  # fmt: skip

    #: Empty for a transfer that a person confirmed before any file told of it.
    statement_id: Mapped[int | None] = mapped_column(ForeignKey("bank_statements.id"), index=True)
    #: Where it stands in the file, counted from 1.
    file_line: Mapped[int | None]
    #: As the file names the shop's account; empty where it does not.
    account: Mapped[str] = mapped_column(String(60), default="")
    #: The bank's own id of the booking, where it gives one.
    bank_id: Mapped[str | None] = mapped_column(String(80), index=True)
    booked_on: Mapped[date] = mapped_column(Date)
    amount_minor: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    text: Mapped[str] = mapped_column(String(1000), default="")
    #: The payment reference of ours that stands in the text.
    reference: Mapped[str | None] = mapped_column(String(20))
    #: The attempt that the money was credited to, or (unmatched) the one that it names.
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payments.id"), index=True)
    state: Mapped[LineState] = mapped_column(stored(LineState), default=LineState.UNMATCHED)
    #: Why it waits, or why it was set aside.
    remark: Mapped[str] = mapped_column(String(300), default="")
    decided_by: Mapped[str | None] = mapped_column(String(80))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: SHA-256 of what makes a booking the same booking in another file (storing.py).
    sameness: Mapped[str] = mapped_column(String(64), unique=True)

    statement: Mapped[BankStatement | None] = relationship()
    payment: Mapped[Payment | None] = relationship()
