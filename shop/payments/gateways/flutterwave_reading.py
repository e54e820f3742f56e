"""Reading what Flutterwave v3 says, in the shop's words: its amounts, objects and webhooks.

Amounts are in major units (₦18,500.00 is `18500`), as JSON numbers. They are written from integers
and read as Decimal: no float comes near them.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shop.money import exponent
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.provider_json import checked_moment, name_in

#: More digits before the point are no amount of money.
MOST_DIGITS = 13
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

TRANSACTION_KINDS = {
    "successful": EventKind.CAPTURED,
    # One try on a page that stays open; a page may see several under one tx_ref.
    "failed": EventKind.TRY_FAILED,
    "pending": EventKind.PENDING,
}
"""A word that is not here counts as pending: it is asked about again."""
CHARGEBACK_KINDS = {
    "won": EventKind.DISPUTE_WON,
    "lost": EventKind.DISPUTE_LOST,
    # The shop agreed to pay it.
    "accepted": EventKind.DISPUTE_LOST,
}
"""Every other word (initiated, declined: the shop has answered) is a chargeback that stands open."""
HINTS = {"refund": EventKind.REFUND_PENDING, "chargeback": EventKind.DISPUTE_OPENED}
"""Webhooks that exist without a documented shape: they only say which payment to ask about."""

DECLINED = "The bank declined the payment. Nothing was charged."
FAILURE_WORDS = (
    ("insufficient", "There was not enough money in the account."),
    ("do not hono", "The bank declined the payment without giving a reason."),
    ("fraud", "The bank declined the payment to be on the safe side."),
    ("otp", "The one-time code was wrong or came too late."),
    ("pin", "The PIN was wrong."),
    ("expired card", "The card has expired."),
    ("invalid transaction", "The card cannot be used for this kind of payment."),
    ("invalid card", "The card number was wrong."),
    ("limit", "The card's limit is reached."),
    ("timeout", "The bank did not answer in time. Try again in a moment."),
    ("timed out", "The bank did not answer in time. Try again in a moment."),
)
"""v3 has no codes: these are looked for in `processor_response`, the first that is found counts."""


# --- amounts ---------------------------------------------------------------------------------


def major_amount(amount_minor: int, currency: str) -> str:
    """Minor units as Flutterwave's number, written from integers: 1850050 NGN is "18500.50"."""
    digits = exponent(currency)
    if digits == 0:
        return str(amount_minor)
    whole, rest = divmod(amount_minor, int("1" + "0" * digits))
    return f"{whole}.{rest:0{digits}d}" if rest else str(whole)


def minor_amount(amount: Any, currency: str) -> int:
    """Flutterwave's number as minor units. Raises ValueError for a fraction that cannot be counted."""
    scaled = _decimal(amount).scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has a fraction that this currency does not have")
    return int(scaled)


def _decimal(amount: Any) -> Decimal:
    """A number of zero or more; lists are known to give some numbers as text."""
    is_number = isinstance(amount, int | Decimal) and not isinstance(amount, bool)
    if not is_number and not (isinstance(amount, str) and NUMBER.fullmatch(amount)):
        raise ValueError("an amount that is no number")
    read = Decimal(amount)
    if read < 0 or read.adjusted() >= MOST_DIGITS or len(read.as_tuple().digits) > 2 * MOST_DIGITS:
        raise ValueError("an amount that is no amount of money")
    return read


def moment_of(written: str | None) -> datetime | None:
    """ "2026-11-16T10:01:41.000Z" as a moment in UTC."""
    if not written:
        return None
    read = datetime.fromisoformat(written)
    return checked_moment(read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC))


# --- transactions ----------------------------------------------------------------------------


def transaction_event(found: Mapping[str, Any]) -> GatewayEvent:
    """A transaction as it stands. What counts is `amount`: `charged_amount` may hold the payer's fee."""
    number = int(name_in(found, "id"))
    reference = name_in(found, "tx_ref")
    currency = currency_of(found)
    kind = TRANSACTION_KINDS.get(found["status"], EventKind.PENDING)
    said = str(found.get("processor_response") or "")
    failed = kind == EventKind.TRY_FAILED
    customer = found.get("customer") or {}
    phone = str(customer.get("phone_number") or "")
    return GatewayEvent(
        kind,
        reference=reference,
        gateway_id=reference,
        amount_minor=minor_amount(found["amount"], currency),
        currency=currency,
        event_id=event_id_of("charge.completed", found),
        occurred_at=moment_of(found.get("created_at")),
        method=found.get("payment_type") or None,
        failure_code=_code(said) if failed else None,
        failure_words=failure_words(said) if failed else None,
        fee_minor=_fee(found, currency) if kind == EventKind.CAPTURED else None,
        payer_email=customer.get("email"),
        payer_phone=phone if re.fullmatch(r"\+?[0-9]{6,19}", phone, re.ASCII) else None,
        refs=_ids_of(number, found) if kind == EventKind.CAPTURED else {},
    )


def currency_of(found: Mapping[str, Any]) -> str:
    """A transaction's currency. Raises ValueError where it is none."""
    currency = str(found["currency"]).upper()
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ValueError("a currency that is none")
    return currency


def _ids_of(number: int, found: Mapping[str, Any]) -> dict[str, str]:
    """The ids by which refunds and chargebacks name the payment."""
    ids = {"transaction": str(number)}
    if found.get("flw_ref") and found["flw_ref"] != "N/A":
        ids["flw_ref"] = str(found["flw_ref"])[:120]
    return ids


def _fee(found: Mapping[str, Any], currency: str) -> int | None:
    """What Flutterwave keeps of `amount`; nothing of it where the payer bears the fee.

    Fees may have more decimals than the currency (`1.405`): rounded half up.
    """
    if found.get("amount_settled") is not None:
        fee = _decimal(found["amount"]) - _decimal(found["amount_settled"])
    elif found.get("app_fee") is not None:
        fee = _decimal(found["app_fee"])
    else:
        return None
    return max(0, _rounded(fee, currency))


def _rounded(amount: Decimal, currency: str) -> int:
    return int(amount.scaleb(exponent(currency)).quantize(Decimal(1), ROUND_HALF_UP))


def failure_words(said: str) -> str:
    """The processor's answer in words for the shopper."""
    heard = said.lower()
    return next((words for part, words in FAILURE_WORDS if part in heard), DECLINED)


def _code(said: str) -> str | None:
    """ "Insufficient Funds" as "insufficient_funds": there is no other code."""
    return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")[:80] or None


# --- settlements -----------------------------------------------------------------------------


def paid_out_event(found: Mapping[str, Any], settlement: Mapping[str, Any]) -> GatewayEvent:
    """A transaction in a settlement. What a row does not tell is not told here.

    Whoever bears the fee, `settlement_amount` is `charged_amount` without it.
    Source: developer.flutterwave.com/v3.0/reference, "List settlements" and "Retrieve a settlement".
    """
    currency = currency_of(found if found.get("currency") else settlement)
    charged, left = found.get("charged_amount"), found.get("settlement_amount")
    is_told = charged is not None and left is not None
    return GatewayEvent(
        EventKind.CAPTURED,
        reference=str(found["tx_ref"]),
        gateway_id=str(found["tx_ref"]),
        amount_minor=_rounded(_decimal(charged), currency) if is_told else None,
        currency=currency,
        occurred_at=moment_of(settlement.get("created_at")),
        fee_minor=_rounded(_decimal(charged) - _decimal(left), currency) if is_told else None,
        payout_reference=str(settlement["id"]),
        refs=_ids_of(int(found["id"]), found),
    )


# --- refunds and chargebacks -----------------------------------------------------------------


def refund_event(found: Mapping[str, Any], currency: str, reference: str) -> GatewayEvent:
    """A refund as it stands. Refunds name neither currency nor tx_ref: both are the transaction's.

    `completed` is about Flutterwave's ledger; the payer's bank takes 3 to 15 working days more.
    """
    status = str(found["status"]).lower()
    is_failed = has_failed(found)
    kind = EventKind.REFUND_FAILED if is_failed else EventKind.REFUND_PENDING
    if status.startswith(("completed", "successful")):
        kind = EventKind.REFUND_SUCCEEDED
    return GatewayEvent(
        kind,
        reference=reference,
        amount_minor=minor_amount(found["amount_refunded"], currency),
        currency=currency,
        # A failure comes days after the refund was made.
        occurred_at=None if is_failed else moment_of(found.get("created_at")),
        failure_code=status[:80] if is_failed else None,
        failure_words=f"Flutterwave: {status.replace('-', ' ')}" if is_failed else None,
        refund_gateway_id=str(found["id"]),
        refund_key=refund_note(found),
        refs={"transaction": str(found["tx_id"])},
    )


def has_failed(found: Mapping[str, Any]) -> bool:
    """True for a refund that came back. Statuses may end in the processor's name: `completed-mpgs`."""
    return str(found.get("status")).lower().startswith("failed")


def refund_note(found: Mapping[str, Any]) -> str | None:
    """What was written into `comments` when the refund was made: our key, where the shop made it."""
    return str(found.get("comments") or found.get("comment") or "") or None


def chargeback_event(found: Mapping[str, Any], currency: str) -> GatewayEvent:
    """A chargeback as it stands; the currency is its transaction's. `due_date` passed means lost."""
    kind = CHARGEBACK_KINDS.get(found["status"], EventKind.DISPUTE_OPENED)
    stage = str(found.get("stage") or "new")
    reason = str(found.get("comment") or "")
    return GatewayEvent(
        kind,
        reference=str(found["tx_ref"]) if found.get("tx_ref") else None,
        amount_minor=minor_amount(found["amount"], currency),
        currency=currency,
        occurred_at=moment_of(found.get("created_at"))
        if kind == EventKind.DISPUTE_OPENED
        else None,
        dispute_gateway_id=str(found["id"]),
        dispute_reason=reason if stage == "new" else f"{reason} ({stage})",
        evidence_due_at=moment_of(found.get("due_date")),
        refs={"transaction": str(found["transaction_id"])},
    )


# --- webhooks --------------------------------------------------------------------------------


def news_of(kind: str, found: Mapping[str, Any]) -> list[GatewayEvent]:
    """What a webhook hints at; nothing for kinds that change nothing here (transfers, bills …)."""
    if kind == "charge.completed":
        return [transaction_event(found)]
    for word, hint in HINTS.items():
        if word in kind.lower():
            return _hint(hint, found)
    return []


def _hint(kind: EventKind, found: Mapping[str, Any]) -> list[GatewayEvent]:
    """Whatever names the payment, in the spellings of the REST objects; the state is fetched anyway."""
    fields = ("transaction_id", "tx_id", "TransactionId")
    transaction = next((name_in(found, field) for field in fields if found.get(field)), None)
    reference = name_in(found, "tx_ref") if found.get("tx_ref") else None
    if reference is None and transaction is None:
        return []
    refs = {"transaction": transaction} if transaction else {}
    return [GatewayEvent(kind, reference=reference, refs=refs)]


def event_id_of(kind: str, found: Mapping[str, Any], body: bytes = b"") -> str:
    """v3 webhooks have no id: Flutterwave advises kind, id and status. Without an id, the body's hash."""
    if not found.get("id"):
        return f"{kind}:{hashlib.sha256(body).hexdigest()}"
    parts = (kind, name_in(found, "id"), str(found.get("status") or ""))
    return ":".join(part for part in parts if part)
