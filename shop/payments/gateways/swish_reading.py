"""Reading what Swish says: its amounts, its objects and its error codes, in the shop's words."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.provider_json import checked_moment, name_in

PAYMENT_KINDS = {
    "CREATED": EventKind.PENDING,
    "PAID": EventKind.CAPTURED,
    # The payer said no in the app; CANCELLED is our own call (provider page, section 3, mapping).
    "DECLINED": EventKind.CANCELLED,
    "CANCELLED": EventKind.CANCELLED,
    "ERROR": EventKind.FAILED,
}
ERROR_KINDS = {
    "BANKIDCL": EventKind.CANCELLED,
    "TM01": EventKind.EXPIRED,
    # Swish waited for the bank in vain and does not know whether money moved (section 4).
    "DS24": EventKind.IN_DOUBT,
}
"""What the status ERROR means by its code; every other code is a payment that failed."""
REFUND_KINDS = {
    "CREATED": EventKind.REFUND_PENDING,
    "VALIDATED": EventKind.REFUND_PENDING,
    "INITIATED": EventKind.REFUND_PENDING,
    "DEBITED": EventKind.REFUND_PENDING,
    "PAID": EventKind.REFUND_SUCCEEDED,
    "ERROR": EventKind.REFUND_FAILED,
}
"""Only PAID has arrived at the shopper; DEBITED has left the shop's account (section 2.5)."""

DECLINED = "You said no to the payment in the Swish app"
FAILED = "Swish could not take the payment"
FAILURE_WORDS = {
    "RF07": "Your bank declined the payment, often because your limit in Swish is reached",
    "BANKIDCL": "The payment was cancelled in BankID",
    "BANKIDONGOING": "BankID was busy with something else. Finish that first, then try again",
    "BANKIDUNKN": "BankID could not approve the payment",
    "TM01": "The payment was not approved in time",
    "DS24": "Swish does not know yet whether your bank made the payment. Look in your bank before you pay again",
    "FF10": "The bank had a fault. Try again in a moment",
    "RP06": "Another Swish payment waits on your phone. Approve or cancel it first",
    "BE18": "This phone number cannot pay with Swish. Check the number",
    "ACMT01": "Your Swish is not active",
    "ACMT03": "This phone number has no Swish",
    "ACMT07": "Swish is out of order in this shop",
    "VR01": "Swish could not confirm your age",
    "VR02": "Swish could not confirm who you are",
    "AM02": "This amount is too large for Swish",
    "AM06": "This amount is too small for Swish",
}  # fmt: skip
"""For the shopper, by section 4. A code that is not here is a fault of the shop or of Swish."""
STAFF_WORDS = {
    "FF08": "the payment reference is not valid",
    "RP01": "the merchant number is missing: SWISH_PAYEE_ALIAS",
    "RP02": "the message is badly formed",
    "RP03": "the callback address must begin with https: PUBLIC_URL",
    "RP06": "the payer has another request open",
    "BE18": "the payer's number is not valid",
    "PA01": "a parameter is wrong; in the simulator, an outdated test certificate",
    "PA02": "the amount is missing or no number",
    "AM02": "the amount is too large",
    "AM03": "the currency is wrong",
    "AM06": "the amount is below the agreed minimum",
    "ACMT01": "the other side's Swish is not active",
    "ACMT03": "the payer has no Swish",
    "ACMT07": "the shop's Swish number is not enrolled",
    "RF02": "the payment was not found, or is older than 13 months: send the money back by hand",
    "RF03": "the payment was made to another Swish number: send the money back by hand",
    "RF04": "the Swish number belongs to another organisation: send the money back by hand",
    "RF06": "the payer's number now belongs to somebody else: send the money back by hand",
    "RF07": "the transaction was declined",
    "RF08": "the amount is more than is left of the payment",
    "FF10": "a bank has a fault",
}
"""For staff: what was wrong with a request (section 4)."""

MAX_ORE = 99_999_999_999_999
"""999999999999.99 kr (section 1)."""

OURS = uuid.UUID("6f2f7f7a-0f6e-4b44-9a5a-3c1d0c6d8e21")
NOT_IN_MESSAGE = re.compile(r"[^a-zA-ZåäöÅÄÖ0-9:;.,?!()\" ]")


def instruction_id(name: str) -> str:
    """The id that we give a request or refund: 32 upper-case hex digits, the same for the same name.

    So a repeat meets what the first call has made (section 2.1).
    """
    return uuid.uuid5(OURS, name).hex.upper()


def major_units(amount_minor: int) -> str:
    """24900 öre as "249.00": Swish counts in kronor (section 1)."""
    whole, rest = divmod(amount_minor, 100)
    return f"{whole}.{rest:02d}"


def minor_units(amount: Any) -> int:
    """Swish's amount in öre. A number in payments, a string in refunds (section 2.3). Raises ValueError."""
    if isinstance(amount, bool) or not isinstance(amount, int | str | Decimal):
        raise ValueError("an amount that is no number")
    try:
        ore = Decimal(amount) * 100
    except ArithmeticError as error:
        raise ValueError("an amount that is no number") from error
    if not ore.is_finite() or abs(ore) > MAX_ORE or ore != ore.to_integral_value():
        raise ValueError(f"{ore} öre is no amount of Swish's")
    return int(ore)


def message_of(words: str) -> str:
    """At most 50 characters of those that Swish takes in a message; a hyphen is none (section 2.1)."""
    return NOT_IN_MESSAGE.sub("", words)[:50]


def payment_event(found: Mapping[str, Any]) -> GatewayEvent:
    """A payment request as it stands. Raises ValueError or KeyError where it cannot be read."""
    code, kind = _outcome(found, PAYMENT_KINDS)
    if kind == EventKind.FAILED:
        kind = ERROR_KINDS.get(code or "", kind)
    refs = {"payment_reference": found.get("paymentReference")}
    return GatewayEvent(
        kind,
        reference=found.get("payeePaymentReference"),
        gateway_id=name_in(found, "id"),
        amount_minor=minor_units(found["amount"]),
        currency=str(found["currency"]),
        occurred_at=moment_of(found.get("datePaid")),
        method="swish",
        failure_code=code,
        failure_words=_words(found, code),
        payer_phone=phone_of(found.get("payerAlias")),
        refs={name: value for name, value in refs.items() if value},
    )


def refund_event(found: Mapping[str, Any], refund_key: str | None = None) -> GatewayEvent:
    """A refund as it stands. `refund_key` is the name that its id was made from, where it is known."""
    code, kind = _outcome(found, REFUND_KINDS)
    return GatewayEvent(
        kind,
        reference=found.get("payerPaymentReference"),
        amount_minor=minor_units(found["amount"]),
        currency=str(found["currency"]),
        occurred_at=moment_of(found.get("datePaid") or found.get("dateCreated")),
        failure_code=code,
        failure_words=f"Swish: {staff_words(code, found.get('errorMessage'))}" if code else None,
        refund_gateway_id=name_in(found, "id"),
        refund_key=refund_key,
        refs={"payment_reference": name_in(found, "originalPaymentReference")},
    )


def _outcome(
    found: Mapping[str, Any], kinds: Mapping[str, EventKind]
) -> tuple[str | None, EventKind]:
    status = found["status"]
    if status not in kinds:
        raise ValueError(f"a status that is not on the provider page: {status!r}")
    return found.get("errorCode") or None, kinds[status]


def _words(found: Mapping[str, Any], code: str | None) -> str | None:
    if found["status"] == "DECLINED":
        return DECLINED
    return FAILURE_WORDS.get(code or "", FAILED) if found["status"] == "ERROR" else None


def staff_words(code: str | None, said: str | None) -> str:
    """What a code means, with the code; Swish's own words for one that we do not know."""
    return f"{STAFF_WORDS.get(code or '', said or 'no reason given')} ({code})"


def moment_of(written: str | None) -> datetime | None:
    """ "…Z" or "…+0100" as a moment in UTC (section 2.3). Raises ValueError."""
    if not written:
        return None
    moment = datetime.fromisoformat(written)
    return checked_moment((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))


def phone_of(alias: Any) -> str | None:
    """46701234768 as +46701234768: an alias is the number without plus or zero (section 2.1)."""
    is_number = isinstance(alias, str) and re.fullmatch(r"[1-9][0-9]{7,14}", alias)
    return f"+{alias}" if is_number else None
