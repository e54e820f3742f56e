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
    #: The same for the same fault on the same thing, also after it was resolved and came again.
    fault: str = ""
    #: How often it was seen, and when last.
    times: int = 1
    last_seen_at: datetime | None = None
    #: What a person should do.
    to_do: str = ""
    #: Where the admin shows it.
    url: str = ""
    #: Keys of the tickets that the same fault had before, newest first.
    earlier: tuple[str, ...] = ()
    #: How it was dealt with, and when; empty and None while it is not.
    note: str = ""
    resolved_at: datetime | None = None


@dataclass(frozen=True)
class Filed:
    """Where the ticket is found."""

    key: str
    url: str | None = None


class Tracker(Protocol):
    """One place for tickets. Raises shop.providers' errors only; called with no transaction open."""

    #: Whether repeats are told to it.
    takes_comments: bool
    #: Seconds after a ticket was asked for, without an answer, until `find` may be asked for it.
    settles_in: int
    #: Seconds after that moment until `find` finds what is there for certain.
    finds_within: int

    def find(self, ticket: Ticket) -> Filed | None:
        """The ticket, if an earlier try filed it."""

    def file(self, ticket: Ticket) -> Filed:
        """File it once."""

    def comment(self, key: str, ticket: Ticket) -> None:
        """Say how often it was seen by now."""

    def grade(self, key: str, ticket: Ticket) -> None:
        """Make it as grave as it is by now. Harmless when it is so already."""

    def close(self, key: str, ticket: Ticket) -> None:
        """Say that it is dealt with. Harmless when it is closed already."""
