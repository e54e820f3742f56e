"""What an outside tracker is: where incidents go besides the admin's list."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Ticket:
    """An incident, as a tracker gets it."""

    #: The same for the same incident, and for no other of any shop that writes to the tracker.
    id: str
    #: The order's number, for people.
    order_id: str | None
    category: str
    severity: str
    issue: str
    error_message: str
    error_stack: str
    #: orderId, customerId, paymentId, gatewayOrderId, amount, customerEmail, customerPhone, deliveryStage.
    context: dict[str, Any]
    created_at: datetime
    environment: str


@dataclass(frozen=True)
class Filed:
    """Where the ticket is found."""

    key: str
    url: str | None = None


class Tracker(Protocol):
    """One place for tickets. Raises shop.providers' errors only; called with no transaction open."""

    def find(self, ticket_id: str) -> Filed | None:
        """The ticket of that id, if an earlier try filed it."""

    def file(self, ticket: Ticket) -> Filed:
        """File it once."""
