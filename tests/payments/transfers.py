"""Transfers as tests bring them: by hand, and as files of a bank."""

import itertools

from shop.clock import local, utcnow
from shop.payments.statements.matching import ByHand

_numbers = itertools.count(1)


def by_hand(amount_minor, *, currency="INR", bank_id=None, **more):
    """A transfer as a person reads it off the account, with a bank's id of its own."""
    return ByHand(
        amount_minor, currency, local(utcnow()).date(), bank_id or f"BANK-{next(_numbers)}", **more
    )


def csv_of(*rows):
    """A file of (amount in minor units, text, bank id[, currency]) lines, all booked today."""
    today = local(utcnow()).date().isoformat()
    lines = ["Date;Amount;Currency;Text;Bank reference"]
    for amount, text, bank_id, *currency in rows:
        sign, minor = ("-" if amount < 0 else ""), abs(amount)
        major = f"{sign}{minor // 100}.{minor % 100:02}"
        lines.append(f"{today};{major};{currency[0] if currency else 'INR'};{text};{bank_id}")
    return ("\n".join(lines) + "\n").encode()
