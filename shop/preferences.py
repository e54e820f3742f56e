"""What the owner changes while the shop runs: typed keys, defaults, and their table."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ForeignKey, String, Text, bindparam, select
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
    is_money: bool = False


def _money(default: int, most: int, about: str) -> Preference:
    """An amount in minor units of the shop's currency; staff read and type major units."""
    return Preference(default, number(0, most), about, is_money=True)


def codes(pattern: str) -> Callable[[str], str]:
    """A list of codes with commas between, each like the pattern; kept as "A, B" in capitals."""

    def read(value: str) -> str:
        found = [re.sub(r"\s", "", code).upper() for code in value.split(",")]
        wrong = [code for code in found if code and not re.fullmatch(pattern, code)]
        if wrong:
            raise ValueError(f"has “{wrong[0][:20]}”, which is no such code")
        return ", ".join(dict.fromkeys(code for code in found if code))

    return read


LANGUAGES = ("en", "hi", "sv", "fr")
"""The languages of shop/messaging/languages, by their codes."""


def some_languages(value: str) -> str:
    """Codes of languages with commas between, at least one."""
    found = [code.strip().lower() for code in value.split(",") if code.strip()]
    if not found or set(found) - set(LANGUAGES):
        raise ValueError("must be of " + ", ".join(LANGUAGES) + ", with commas between")
    return ", ".join(dict.fromkeys(found))


def time_of_day(value: str) -> str:
    """A time on the shop's clock, as 21:00; empty stays empty."""
    if value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value.strip(), re.ASCII):
        raise ValueError("must be a time of day such as 21:00, or empty")
    return value.strip()


def short_text(most: int) -> Callable[[str], str]:
    """One line of text, as it stands in messages."""

    def read(value: str) -> str:
        found = " ".join(value.split())
        if not 0 < len(found) <= most:
            raise ValueError(f"must be 1 to {most} characters")
        return found

    return read


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
    "cod_fee_minor": _money(4900, 10**7, "What paying at the door costs."),
    "cod_limit_minor": _money(
        2_500_000, 10**10, "The dearest order that may be paid at the door."
    ),
    "cod_minimum_minor": _money(0, 10**10, "The cheapest order that may be paid at the door."),
    "cod_countries": Preference(
        "IN", codes(r"[A-Z]{2}"), "Where the courier collects: country codes, such as IN, NG."
    ),
    "cod_postal_rule": Preference(
        "deny", one_of("deny", "allow"), "PIN codes below: deny those, or allow only those."
    ),
    "cod_postal_codes": Preference(
        "", codes(r"[A-Z0-9*?]{1,12}"), "PIN codes for paying at the door, such as 744101, 19*, 5600??. * is any rest, ? any one."
    ),
    "cod_refusals": Preference(
        3, number(0, 99), "Parcels turned down until a customer must pay first. 0: never."
    ),
    "unmatched_money_days": Preference(
        5, number(1, 60), "Days until money on the account that names no order is an incident."
    ),
    "overpaid_days": Preference(
        7, number(1, 60), "Days until what was paid too much goes back by itself."
    ),
    "refund_by_hand_days": Preference(
        3, number(1, 60), "Days until a refund that a person must send is an incident."
    ),
    "return_days": Preference(
        30, number(0, 365), "How many days after delivery a return may be asked for. 0: none."
    ),
    "return_send_days": Preference(
        14, number(1, 90), "How many days an approved return may take to be sent, until it lapses."
    ),
    "return_address": Preference(
        "", short_text(300), "Where customers send returns that no courier fetches, in one line."
    ),
    "free_shipping_minor": _money(500_000, 10**10, "Standard delivery is free from here."),
    "standard_shipping_minor": _money(9900, 10**8, "Standard delivery."),
    "express_shipping_minor": _money(24900, 10**8, "Express delivery."),
    "support_refund_minor": _money(
        200_000, 10**10, "The largest refund that the support role may make."
    ),
    "digest_hour": Preference(
        8, number(0, 23), "The hour at which staff are mailed what is open of incidents."
    ),
    "archive_days": Preference(90, number(1, 3650), "When a finished order is archived."),
    "webhook_days": Preference(30, number(7, 365), "How long webhook bodies are kept."),
    "job_days": Preference(14, number(1, 365), "How long finished jobs are kept."),
    "deposit_percent": Preference(
        0, number(0, 90), "The share to pay at once when the rest is paid later. 0: not offered."
    ),
    "deposit_minimum_minor": _money(1_000_000, 10**10, "From what amount on a deposit is offered."),
    "deposit_ships": Preference(
        "paid_in_full", one_of("paid_in_full", "deposit_paid"), "When an order with a deposit ships."
    ),
    "instalments": Preference(2, number(1, 12), "In how many parts the rest is paid."),
    "instalment_days": Preference(30, number(1, 90), "Days from one of them to the next."),
    "instalment_grace_days": Preference(
        7, number(0, 60), "Days after the last one until an unpaid order is cancelled."
    ),
    "instalment_notice_days": Preference(
        3, number(1, 30), "How many days before a part is due its pay link is mailed."
    ),
    "quiet_from": Preference(
        "21:00", time_of_day, "From this time on no SMS and no WhatsApp message goes out; empty: always."
    ),
    "quiet_to": Preference(
        "08:00", time_of_day, "Until then. What falls in between waits for the end."
    ),
    "estimated_delivery": Preference(
        "3-5 business days", short_text(60), "What messages say of a parcel whose day is not known yet."
    ),
    "default_language": Preference(
        "en", one_of(*LANGUAGES), "The language of messages where the customer's own is not offered: en, hi, sv or fr."
    ),
    "whatsapp_languages": Preference(
        "en", some_languages, "Languages in which your WhatsApp templates are approved; others get the first."
    ),
    "cart_reminder_hours": Preference(
        4, number(1, 72), "Hours after the last change until a cart's owner who agreed is reminded of it."
    ),
    "uncertain_hours": Preference(
        6, number(1, 72), "Hours until an SMS or WhatsApp message of unknown outcome is an incident."
    ),
    "alert_payment_success_percent": Preference(
        90, number(0, 100), "Alert when fewer percent of an hour's payments succeed. 0: never."
    ),
    "alert_payment_minimum": Preference(
        10, number(1, 10_000), "Fewer payments than these in the hour alarm nobody."
    ),
    "alert_webhook_failure_percent": Preference(
        5, number(0, 100), "Alert when more percent of an hour's webhooks fail. 100: never."
    ),
    "alert_webhook_minimum": Preference(
        20, number(1, 10_000), "Fewer webhooks than these in the hour alarm nobody."
    ),
    "alert_hold_expiry_percent": Preference(
        20, number(0, 100), "Alert when more percent of a day's holds expire unpaid. 100: never."
    ),
    "alert_hold_minimum": Preference(
        20, number(1, 10_000), "Fewer ended holds than these in the day alarm nobody."
    ),
    "alert_shipment_failure_percent": Preference(
        5, number(0, 100), "Alert when more percent of a day's parcels cannot be booked. 100: never."
    ),
    "alert_shipment_minimum": Preference(
        10, number(1, 10_000), "Fewer parcels than these in the day alarm nobody."
    ),
    "alert_errors": Preference(
        5, number(0, 100_000), "Alert when more unforeseen errors come in 5 minutes."
    ),
    "alert_mail_failure_percent": Preference(
        5, number(0, 100), "Alert when more percent of an hour's mails fail. 100: never."
    ),
    "alert_mail_minimum": Preference(
        10, number(1, 10_000), "Fewer mails than these in the hour alarm nobody."
    ),
    "alert_low_stock": Preference(
        0, number(0, 100_000), "Alert when more variants are at or under their own threshold."
    ),
    "alert_worker_minutes": Preference(
        2, number(1, 60), "Alert when no worker has been seen for so many minutes."
    ),
    "alert_repeat_hours": Preference(
        6, number(1, 168), "How often an alert that lasts is told again."
    ),
}  # fmt: skip


def preference(key: str) -> Any:
    """The value in force, typed. One indexed read."""
    return preferences(key)[key]


_CHANGED = select(Setting.key, Setting.value).where(
    Setting.key.in_(bindparam("keys", expanding=True))
)


def preferences(*keys: str) -> dict[str, Any]:
    """Several values in one read."""
    found = dict(db.session.execute(_CHANGED, {"keys": keys}).all())
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
