"""The demo's mailbox: the message stays in the table, where /sandbox/mailbox shows it.

It is the dry run of mail: the message is composed as it would be for a server, and nothing leaves.
"""

from shop.messaging.channels.base import Outgoing, rehearsed
from shop.messaging.channels.smtp import compose


class DemoMailbox:
    """Sends nothing. Production refuses to start without SMTP_URL, so this is never its channel."""

    key = "mailbox"
    name = "Demo mailbox"

    def send(self, message: Outgoing) -> str:
        """Count as sent. Raises ProviderRefused where the mail could not be written."""
        compose(message)
        return rehearsed(self.key, message)
