"""What a person types about a transfer that was seen on the account."""

import re
from collections.abc import Mapping
from datetime import date, timedelta

from shop.admin import bp
from shop.clock import local, utcnow
from shop.errors import Refused
from shop.money import MoneyError, parse_minor
from shop.payments.gateways.transfer_reference import shown
from shop.payments.statements.matching import ByHand

OLDEST_DAYS = 400

CHANGED = {
    "captured": "The order is paid.",
    "short": "It is less than asked: the customer reads what is missing.",
    "late": "It came after the hold had ended: look at the order.",
    "second": "The order was paid already: this money goes back, and waits to be sent.",
    "mismatch": "It is another currency than the order's: it waits on the money desk.",
    "nothing": "It had been counted already.",
}
"""What the money did, in a sentence."""


bp.app_template_filter("transfer_reference")(shown)


@bp.app_template_global("today")
def today() -> date:
    """The day on the shop's wall."""
    return local(utcnow()).date()


def read_transfer(form: Mapping[str, str], currency: str) -> ByHand:
    """Amount, currency, day and the bank's id. `currency` is the order's, the usual one.

    Raises Refused in words for the person.
    """
    own = form.get("currency", "").strip().upper() or currency
    if not re.fullmatch(r"[A-Z]{3}", own):
        raise Refused("Enter the currency as three letters, such as INR.", field="currency")
    return ByHand(
        amount_minor=read_amount(form.get("amount", ""), own),
        currency=own,
        booked_on=_day(form.get("booked_on", "")),
        bank_id=form.get("bank_id", "")[:80],
        remark=form.get("note", "").strip()[:200],
    )


def read_amount(written: str, currency: str, field: str = "amount") -> int:
    """An amount above zero, in minor units. Raises Refused, for the field of that name."""
    try:
        minor = parse_minor(written, currency)
    except MoneyError as error:
        words = "Enter the amount that arrived, for example 1,299.00."
        raise Refused(words, field=field) from error
    if minor <= 0:
        raise Refused("Enter an amount above zero.", field=field)
    return minor


def _day(written: str) -> date:
    try:
        found = date.fromisoformat(written.strip())
    except ValueError as error:
        words = "Enter the day on which the money arrived."
        raise Refused(words, field="booked_on") from error
    if not today() - timedelta(days=OLDEST_DAYS) <= found <= today() + timedelta(days=1):
        words = "Enter the day on which the money arrived; that day is not near enough."
        raise Refused(words, field="booked_on")
    return found
