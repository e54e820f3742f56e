"""News of an attempt that waits: for the shopper, for promised money to be taken, or for certainty."""

from shop.clock import in_future
from shop.incidents.models import Severity
from shop.orders.models import Order
from shop.payments import telling
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import LIVE, AttemptStatus, Payment

NEWS = {EventKind.PENDING, EventKind.AUTHORIZED, EventKind.IN_DOUBT}
#: When the gateway is asked about promised money that it did not take by itself.
PROMISED_SECONDS = 30


def take_in(event: GatewayEvent, payment: Payment, order: Order) -> str:
    """Returns what it changed. An attempt that is over stays so."""
    if event.kind == EventKind.IN_DOUBT:
        return _in_doubt(event, payment, order)
    return _authorized(payment) if event.kind == EventKind.AUTHORIZED else _pending(payment)


def _in_doubt(event: GatewayEvent, payment: Payment, order: Order) -> str:
    """Nobody may pay again meanwhile; the gateway is asked on, and a person looks at the bank account."""
    if payment.status not in LIVE or payment.failure_code == event.failure_code:
        return "nothing"
    payment.status = AttemptStatus.UNKNOWN
    payment.failure_code, payment.failure_words = event.failure_code, event.failure_words
    issue = f"{payment.gateway} does not know whether a payment was made: look at the bank account"
    telling.report(order, payment, issue, Severity.HIGH, "in_doubt")
    return "unknown"


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
