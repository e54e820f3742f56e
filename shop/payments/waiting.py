"""News of an attempt that waits: for the shopper, or for promised money to be taken."""

from shop.clock import in_future
from shop.payments.gateways.base import EventKind
from shop.payments.models import LIVE, AttemptStatus, Payment

NEWS = {EventKind.PENDING, EventKind.AUTHORIZED}
#: When the gateway is asked about promised money that it did not take by itself.
PROMISED_SECONDS = 30


def take_in(kind: EventKind, payment: Payment) -> str:
    """Returns what it changed. An attempt that is over stays so."""
    return _authorized(payment) if kind == EventKind.AUTHORIZED else _pending(payment)


def _authorized(payment: Payment) -> str:
    """Nothing else may be paid meanwhile. Most gateways take promised money at once; else asking does it."""
    if payment.status not in LIVE or payment.status == AttemptStatus.AUTHORIZED:
        return "nothing"
    payment.status = AttemptStatus.AUTHORIZED
    payment.ask_at = in_future(seconds=PROMISED_SECONDS)
    return "authorized"


def _pending(payment: Payment) -> str:
    """The page is open. A promise that was not kept leaves it open too."""
    if payment.status not in LIVE or payment.status == AttemptStatus.OPEN:
        return "nothing"
    payment.status = AttemptStatus.OPEN
    return "open"
