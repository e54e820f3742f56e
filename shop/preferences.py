"""What the owner changes while the shop runs: typed keys, defaults, and their table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from shop.config import flag, number, one_of
from shop.database import Row, insert_ignore
from shop.extensions import db


class Setting(Row):
    """One changed value. What was never changed has no row."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(60), unique=True)
    value: Mapped[str] = mapped_column(Text)
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


@dataclass(frozen=True)
class Preference:
    """A key: its default, how it is read, and what it does."""

    default: Any
    read: Callable[[str], Any]
    help: str


PREFERENCES = {
    "hold_minutes": Preference(10, number(1, 60), "How long stock is held for an unpaid order."),
    "bank_hold_hours": Preference(72, number(1, 240), "The same for a bank transfer."),
    "unpaid_cancel_hours": Preference(
        24, number(1, 720), "When an order nobody paid is cancelled."
    ),
    "late_policy": Preference(
        "accept", one_of("accept", "refund"), "Money after the hold: take the stock again, or refund."
    ),
    "late_money_hours": Preference(24, number(1, 168), "How long a late payment waits for a person."),
    "auto_ship": Preference(True, flag, "Book the parcel as soon as an order is paid."),
    "line_limit": Preference(20, number(1, 999), "The most units of one variant in an order."),
    "cod_fee_minor": Preference(4900, number(0, 10**7), "What paying at the door costs."),
    "cod_limit_minor": Preference(
        2_500_000, number(0, 10**10), "The dearest order that may be paid at the door."
    ),
    "free_shipping_minor": Preference(
        500_000, number(0, 10**10), "Standard delivery is free from here."
    ),
    "standard_shipping_minor": Preference(9900, number(0, 10**8), "Standard delivery."),
    "express_shipping_minor": Preference(24900, number(0, 10**8), "Express delivery."),
    "support_refund_minor": Preference(
        200_000, number(0, 10**10), "The largest refund that the support role may make."
    ),
    "archive_days": Preference(90, number(1, 3650), "When a finished order is archived."),
    "webhook_days": Preference(30, number(7, 365), "How long webhook bodies are kept."),
    "job_days": Preference(14, number(1, 365), "How long finished jobs are kept."),
}  # fmt: skip


def preference(key: str) -> Any:
    """The value in force, typed. One indexed read."""
    row = PREFERENCES[key]
    raw = db.session.scalar(select(Setting.value).where(Setting.key == key))
    return row.default if raw is None else row.read(raw)


def preferences(*keys: str) -> dict[str, Any]:
    """Several values in one read."""
    found = dict(
        db.session.execute(select(Setting.key, Setting.value).where(Setting.key.in_(keys))).all()
    )
    return {
        key: PREFERENCES[key].read(found[key]) if key in found else PREFERENCES[key].default
        for key in keys
    }


def change(key: str, value: str, user_id: int | None = None) -> None:
    """Store a value after reading it once. Raises ValueError in the owner's words."""
    PREFERENCES[key].read(value)
    if insert_ignore(Setting, {"key": key, "value": value, "changed_by": user_id}) is None:
        db.session.execute(
            db.update(Setting).filter_by(key=key).values(value=value, changed_by=user_id)
        )
