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
