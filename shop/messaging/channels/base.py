"""What a channel is: one provider's way to bring messages of one kind to people.

A kind is what a message is told by: "email", "sms", "whatsapp". Which provider carries a kind is
chosen by settings (shop/messaging/channels/__init__.py). A channel knows no table and no request,
and raises errors of shop.providers only, of which this file refines two.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from uuid import uuid4

import structlog

from shop.config import settings
from shop.providers import ProviderRefused

if TYPE_CHECKING:
    import phonenumbers

log = structlog.get_logger()

KINDS = ("email", "sms", "whatsapp")
#: What a provider's template takes at most in one place; Meta's limit for the whole body.
LONGEST_VALUE = 1024
#: Of a telephone number with its country code (E.164 says 15; some prefix more).
MOST_DIGITS = 20


class ReceiptStatus(StrEnum):
    """What a provider tells of a message, or of a person, after it was handed over."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    #: The recipient does not exist there, for good.
    BOUNCED = "bounced"
    #: The recipient called it unwanted.
    COMPLAINED = "complained"
    #: The recipient wrote STOP, or the provider knows that it did.
    OPTED_OUT = "opted_out"
    #: The recipient wrote START after a STOP.
    OPTED_IN = "opted_in"
    #: The message failed, because the recipient wants no offers; news of orders still goes.
    STOPPED_OFFERS = "stopped_offers"


@dataclass(frozen=True)
class Outgoing:
    """A message that is about to leave.

    `recipient` is an e-mail address, or a telephone number as +<country code><number>. Mail takes
    `subject`, `text` and `html`; SMS takes `text`; WhatsApp takes the name of an approved
    `template`, its `language` and its `parameters`, in the order in which the template has them.
    """

    recipient: str
    #: Ours, stored before sending: a repeat after a crash carries the same.
    message_id: str
    subject: str = ""
    text: str = ""
    html: str = ""
    template: str = ""
    language: str = "en"
    parameters: tuple[tuple[str, str], ...] = ()
    #: Where its reader stops such mails (RFC 8058); empty for news of an order, which nobody stops.
    unsubscribe_url: str = ""


@dataclass(frozen=True)
class Receipt:
    """One piece of news. `event_id` is the same whenever the same thing is told again.

    A message is known by the provider's id, by our `message_id` where the provider repeats it, or
    by neither, when the news is about the recipient alone. `recipient` may be empty or masked;
    a telephone number has its plus sign.
    """

    event_id: str
    provider_id: str
    status: ReceiptStatus
    recipient: str = ""
    occurred_at: datetime | None = None
    #: The provider's code and words.
    error: str = ""
    message_id: str = ""
    #: "sms" or "whatsapp" or "email".
    kind: str = ""
    #: The name of the WhatsApp template, where the provider tells it.
    template: str = ""


@dataclass(frozen=True)
class Found:
    """A message that the provider has, asked for after an unknown outcome."""

    provider_id: str
    status: ReceiptStatus
    error: str = ""


class Unreachable(ProviderRefused):
    """This recipient cannot be reached by this channel; no other message would.

    `reason` is what the suppression list keeps: "bounced" (there is no such number or address, or
    it is not on WhatsApp) or "opted_out" (the person said stop).
    """

    def __init__(self, words: str = "", code: str = "", reason: str = "bounced") -> None:
        super().__init__(words, code)
        self.reason = reason


class ChannelBroken(ProviderRefused):
    """The channel needs a person (key, sender, template, money): until then others fail like this one."""


class Channel(Protocol):
    """Raises shop.providers' errors only; called with no transaction open."""

    #: The provider, as settings and webhook addresses name it: "twilio".
    key: str
    #: The provider, as staff read it.
    name: str

    def send(self, message: Outgoing) -> str:
        """Hand it over. Returns the provider's id of it, empty where it tells none.

        Raises Unreachable, ChannelBroken, ProviderRefused (never), TryLater (not done, perhaps
        with a wait) and OutcomeUnknown (it may have gone; look by `find`, or wait for a receipt).
        """


@runtime_checkable
class Askable(Protocol):
    """A channel whose provider can be asked whether a message was handed over."""

    def find(
        self, message: Outgoing, since: datetime, held: frozenset[str] = frozenset()
    ) -> Found | None:
        """The message, if the provider has taken one like it since then. None: it has not.

        `held` are the provider's ids that other messages have: those are not it.
        """


@runtime_checkable
class Triable(Protocol):
    """A channel whose provider can be asked something harmless that shows that its key is good."""

    def try_out(self) -> str:
        """Ask. Returns words for staff; raises as `send` does."""


class Source(Protocol):
    """Whoever posts receipts to /webhooks/messages/<key>."""

    key: str

    def verify(self, body: bytes, headers: Mapping[str, str], url: str) -> None:
        """Check the raw bytes. `url` is the public address called, whole. Raises BadSignature."""

    def parse(self, body: bytes, content_type: str) -> Sequence[Receipt]:
        """Read a verified body; what tells nothing of a message is left out. Raises ValueError."""


def rehearsed(key: str, message: Outgoing) -> str:
    """What `send` returns instead of sending in a dry run: a made-up id, and a line in the log."""
    made = f"dry-run-{uuid4().hex}"
    log.info("message.dry_run", channel=key, template=message.template, id=made)
    return made


def is_dry_run() -> bool:
    """MESSAGES_DRY_RUN: messages are built and checked, and nothing leaves."""
    return settings().messages_dry_run


def number_of(recipient: str) -> "phonenumbers.PhoneNumber":
    """The recipient's telephone number. Raises Unreachable where it cannot be one."""
    import phonenumbers  # Its tables are large, and most requests never ask for them.

    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", recipient):
        raise Unreachable("not a telephone number with + and country code")
    try:
        return phonenumbers.parse(recipient)
    except phonenumbers.NumberParseException as error:
        raise Unreachable(f"not a telephone number: {error}") from error


def digits_of(recipient: str) -> str:
    """919876543210: country code and number without a plus. Raises Unreachable."""
    import phonenumbers

    number = number_of(recipient)
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def with_plus(digits: object) -> str:
    """+919876543210, from how providers write numbers; empty where it is masked, missing or none."""
    text = str(digits or "").removeprefix("whatsapp:").lstrip("+").replace(" ", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return f"+{text}" if is_number else ""


def sms_text(message: Outgoing, longest: int) -> str:
    """What goes into an SMS. Raises ProviderRefused where there is nothing, or too much."""
    text = message.text.strip()
    if not text:
        raise ProviderRefused("the message has no text")
    if len(text) > longest:
        raise ProviderRefused(f"the text is longer than {longest} characters")
    return text


def template_values(message: Outgoing) -> list[tuple[str, str]]:
    """A template's names and values, as WhatsApp takes them: no line break, no tab, nothing empty.

    Raises ProviderRefused where the template has no name or a value is empty or too long.
    """
    if not message.template:
        raise ProviderRefused("the message names no WhatsApp template")
    values = [(name, " ".join(value.split())) for name, value in message.parameters]
    for name, value in values:
        if not value:
            raise ProviderRefused(f"{message.template} needs a value for {name}")
        if len(value) > LONGEST_VALUE:
            raise ProviderRefused(f"the value for {name} is longer than {LONGEST_VALUE} characters")
    return values
