"""Gift cards and the ledger of what they bought."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime, stored


class GiftCard(Row):
    """A code worth money. The balance is the sum of its entries (reliability.md, I7)."""

    __tablename__ = "gift_cards"
    __table_args__ = (CheckConstraint("balance_minor >= 0", name="balance"),)

    #: SHA-256 of the code: who reads the database cannot spend.
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    #: The code's last four characters, to tell cards apart.
    hint: Mapped[str] = mapped_column(String(4))
    currency: Mapped[str] = mapped_column(String(3))
    balance_minor: Mapped[int] = mapped_column(BigId, default=0)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    blocked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    note: Mapped[str] = mapped_column(String(200), default="")


class EntryKind(StrEnum):
    """Why a card's balance changed."""

    ISSUE = "issue"
    SPEND = "spend"
    REFUND = "refund"


class GiftCardEntry(Row):
    """One change of a card's balance. Append-only (trigger)."""

    __tablename__ = "gift_card_entries"

    gift_card_id: Mapped[int] = mapped_column(ForeignKey("gift_cards.id"), index=True)
    kind: Mapped[EntryKind] = mapped_column(stored(EntryKind))
    #: Minor units: positive in, negative out.
    amount_minor: Mapped[int] = mapped_column(BigId)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), index=True)
    #: What it is for, once: "issue-7", "pay-<reference>", "refund-<key>".
    reference: Mapped[str] = mapped_column(String(100), unique=True)
    actor: Mapped[str] = mapped_column(String(80))
