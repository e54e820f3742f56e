"""The demo's mailbox: the message stays in the table, where /sandbox/mailbox shows it."""

from shop.messaging.channels.base import Outgoing


class DemoMailbox:
    """Sends nothing. Production refuses to start without SMTP_URL, so this is never its channel."""

    def send(self, message: Outgoing) -> str:
        """Count as sent."""
        return "demo mailbox"
