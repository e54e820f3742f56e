"""What a customer may switch in their account: each purpose by each channel that somebody carries."""

from collections.abc import Mapping
from dataclasses import dataclass

from shop.accounts.models import User
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.channels import is_switched_on
from shop.messaging.models import Purpose, SuppressionReason

NAMES = {"email": "Email", "sms": "SMS", "whatsapp": "WhatsApp"}
OFFERED = {
    Purpose.TRANSACTIONAL: ("email", "sms", "whatsapp"),
    Purpose.REMINDERS: ("email", "sms", "whatsapp"),
    Purpose.MARKETING: ("email", "sms", "whatsapp"),
}
"""By which channels there are messages of a purpose."""

WORDS = {
    Purpose.TRANSACTIONAL: ("Your orders", "From the confirmation to the delivery, and about returns and refunds."),
    Purpose.REMINDERS: ("Carts you left", "One reminder of a cart that you filled and did not order, no more."),
    Purpose.MARKETING: ("Offers and news", "New things and lower prices, now and then; what you asked for is back."),
}  # fmt: skip
"""Each purpose as the page names it."""


@dataclass(frozen=True)
class Choice:
    """One switch."""

    channel: str
    #: The field of the form.
    name: str
    is_on: bool
    #: It stays as it is, for this reason: words for the page; empty for one that can be switched.
    why_fixed: str = ""

    @property
    def label(self) -> str:
        """How the channel is called."""
        return NAMES[self.channel]


@dataclass(frozen=True)
class Group:
    """The switches of one purpose."""

    title: str
    about: str
    choices: list[Choice]


def choices_of(person: User) -> list[Group]:
    """The page's switches, as they stand."""
    return [
        Group(
            *WORDS[purpose],
            [_choice(person, purpose, kind) for kind in kinds if is_switched_on(kind)],
        )
        for purpose, kinds in OFFERED.items()
    ]


def _choice(person: User, purpose: Purpose, kind: str) -> Choice:
    recipient = _recipient(person, kind)
    is_on = bool(recipient) and consents.may_send(kind, recipient, purpose) == ""
    return Choice(kind, f"{purpose.value}-{kind}", is_on, _why_fixed(person, purpose, kind))


def _why_fixed(person: User, purpose: Purpose, kind: str) -> str:
    reason = consents.is_suppressed(kind, _recipient(person, kind))
    if kind == "email" and reason == SuppressionReason.BOUNCED:
        return "Our mails came back from this address. Write to us, and we try again."
    if (kind, purpose) in consents.GIVEN_BY_ORDERING:
        return "Always on: it is your receipt."
    if kind == "email" and person.email_confirmed_at is None:
        return "Confirm your email address first."
    if reason == SuppressionReason.OPTED_OUT:
        return "You answered STOP. Send us START there to hear from us again."
    return ""


def _recipient(person: User, kind: str) -> str:
    return person.email if kind == "email" else person.phone or ""


def choose(person: User, phone: str, ticked: Mapping[str, str]) -> None:
    """Keep the person's number (E.164, empty for none) and switches, in the caller's transaction.

    A number that is given up takes its consents with it: it may be somebody else's tomorrow.
    """
    if person.phone and person.phone != phone:
        _withdraw_all(person, person.phone)
    person.phone = phone or None
    db.session.flush()
    for group in choices_of(person):
        for choice in group.choices:
            if not choice.why_fixed and _recipient(person, choice.channel):
                _say(person, choice, choice.name in ticked)


def _say(person: User, choice: Choice, is_wanted: bool) -> None:
    if is_wanted == choice.is_on:
        return
    purpose = Purpose(choice.name.partition("-")[0])
    say = consents.grant if is_wanted else consents.withdraw
    say(choice.channel, _recipient(person, choice.channel), purpose, "account", person.id)


def _withdraw_all(person: User, number: str) -> None:
    for purpose, kinds in OFFERED.items():
        for kind in kinds:
            if kind != "email" and consents.agreed(kind, number, purpose):
                consents.withdraw(kind, number, purpose, "account", person.id)


def news_of(number: str) -> list[Choice]:
    """The switches on an order's page: news of orders by SMS and WhatsApp to its number.

    Where nothing may go there for another reason (it bounced, its owner wrote STOP) there is none.
    """
    kinds = [kind for kind in ("sms", "whatsapp") if number and is_switched_on(kind)]
    return [
        Choice(kind, kind, consents.agreed(kind, number, Purpose.TRANSACTIONAL))
        for kind in kinds
        if not consents.is_suppressed(kind, number)
    ]


def switch_news(number: str, kind: str, is_wanted: bool, user_id: int | None) -> None:
    """Keep what the reader of an order's page wants. Raises NotFound for what is not offered there."""
    if kind not in {choice.channel for choice in news_of(number)}:
        raise NotFound("There is no such switch.")
    say = consents.grant if is_wanted else consents.withdraw
    say(kind, number, Purpose.TRANSACTIONAL, "order", user_id)
