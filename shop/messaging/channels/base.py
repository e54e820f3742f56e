"""What a channel is: one way to bring a message to a person."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Outgoing:
    """A message that is about to leave."""

    recipient: str
    #: Ours, stored before sending: a repeat after a crash carries the same.
    message_id: str
    subject: str
    text: str
    html: str


class Channel(Protocol):
    """Raises shop.providers' errors only; called with no transaction open."""

    def send(self, message: Outgoing) -> str:
        """Hand it over. Returns the provider's id of it, empty where it tells none."""
