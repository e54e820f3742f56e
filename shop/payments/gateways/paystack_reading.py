"""Reading what Paystack says: transactions, refunds, disputes and webhooks, in the shop's words.

Shapes are those of Paystack's API reference and of the samples beside its page on webhooks.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.provider_json import checked_moment, name_in

REFUND_KINDS = {
    "pending": EventKind.REFUND_PENDING,
    "processing": EventKind.REFUND_PENDING,
    # It waits for the customer's bank details, and goes on once somebody gives them to Paystack.
    "needs-attention": EventKind.REFUND_PENDING,
    "processed": EventKind.REFUND_SUCCEEDED,
    "failed": EventKind.REFUND_FAILED,
}
REFUND_WORDS = {
    "needs-attention": "Paystack cannot reach the customer's account: enter their bank details in Paystack's dashboard",
    "failed": "Paystack could not pay the refund out",
}
CLOSED_DISPUTES = frozenset({"resolved", "archived"})
"""Every other status of a dispute is one that stands open."""
RESOLUTIONS = {
    "declined": EventKind.DISPUTE_WON,
    "merchant-accepted": EventKind.DISPUTE_LOST,
    # Nobody answered before `dueAt`.
    "auto-accepted": EventKind.DISPUTE_LOST,
}

DECLINED = ("declined", "The bank declined the payment.")
FAILURES = {
    "insufficient": ("insufficient_funds", "There was not enough money in the account."),
    "expired": ("expired_card", "The card has expired."),
    "timeout": ("timeout", "The bank did not answer in time. Try again in a moment."),
    "timed out": ("timeout", "The bank did not answer in time. Try again in a moment."),
    "not permitted": ("not_permitted", "The card cannot be used for this kind of payment."),
    "pin": ("incorrect_pin", "The PIN was wrong."),
    "otp": ("incorrect_otp", "The one-time code was wrong."),
    "fraud": ("fraud", "The payment was declined to be on the safe side."),
    "error": ("processor_error", "The bank could not process the payment. Try again in a moment."),
}
"""By whole words in the text of `gateway_response`; Paystack has no codes for declines.

Source: the articles "Customer errors", "Bank errors" and "System errors" at support.paystack.com.
"""


def refund_note(key: str, reference: str) -> str:
    """The merchant's note on a refund: Paystack has no idempotency key, so this is found again."""
    return f"shop refund {key} of {reference}"


NOTE = re.compile(r"shop refund (\S+) of (\S+)")


def news_of(kind: str, found: dict[str, Any]) -> list[GatewayEvent]:
    """What a webhook means here; nothing for kinds that change nothing."""
    if kind.startswith("charge.dispute."):
        return [dispute_event(found)]
    if kind.startswith("charge."):
        # charge.success; a charge.failed, which not every guide knows, is read by its status.
        return [transaction_event(found)]
    if kind.startswith("refund."):
        return [refund_hint(found)]
    return []


def webhook_id(kind: str, found: Mapping[str, Any], body: bytes) -> str:
    """A name for a webhook, which Paystack gives none: the same for a repeat, another for other news."""
    if kind.startswith("charge.dispute."):
        changed_at = found.get("updated_at") or found.get("updatedAt")
        return f"{kind}:{name_of(found)}:{found['status']}:{changed_at}"
    if kind.startswith("refund."):
        paid_out = found.get("refund_reference") or ""
        paid = name_in(found, "transaction_reference")
        return f"{kind}:{paid}:{paid_out}:{subunits(found['amount'])}"
    if kind.startswith("charge."):
        return f"{kind}:{name_of(found)}"
    return f"{kind}:{found['id']}" if found.get("id") else hashlib.sha256(body).hexdigest()


def transaction_event(found: Mapping[str, Any]) -> GatewayEvent:
    """A transaction's present state.

    `amount` is what the customer paid, `requested_amount` what was asked for: the first is larger
    where customers bear the fees. Paid in full is what was asked for, not more.
    """
    kind, name = _kind_of(found), name_of(found)
    refs = {"transaction": name}
    reference = name_in(found, "reference")
    amount, counted = _amounts_of(found)
    common: dict[str, Any] = {
        "reference": reference, "gateway_id": reference, "amount_minor": counted,
        "currency": currency_of(found), "refs": refs,
    }  # fmt: skip
    if kind == EventKind.TRY_FAILED:
        code, words = failure_of(str(found.get("gateway_response") or ""))
        # Asked about again and again: the try is told once.
        told = f"try_failed:{name}"
        return GatewayEvent(
            kind, event_id=told, failure_code=code, failure_words=words, **common
        )  # fmt: skip
    if kind == EventKind.PENDING:
        return GatewayEvent(kind, **common)
    payer = found.get("customer") or {}
    return GatewayEvent(
        kind,
        occurred_at=moment_of(found.get("paid_at") or found.get("paidAt")),
        method=found.get("channel"),
        fee_minor=_fee_of(found, amount - counted),
        payer_email=payer.get("email"),
        payer_phone=payer.get("phone"),
        **common,
    )


def _kind_of(found: Mapping[str, Any]) -> EventKind:
    """`abandoned` and unknown states may still be paid, and so may `failed`: its page stays open."""
    status = found["status"]
    has_paid = found.get("paid_at") or found.get("paidAt")
    if status == "success" or (status == "reversed" and has_paid):
        return EventKind.CAPTURED
    return EventKind.TRY_FAILED if status in {"failed", "reversed"} else EventKind.PENDING


def _amounts_of(found: Mapping[str, Any]) -> tuple[int, int]:
    """What the customer paid, and what of it counts."""
    amount = subunits(found["amount"])
    return amount, min(amount, subunits(found.get("requested_amount") or amount))


def _fee_of(found: Mapping[str, Any], borne_by_customer: int) -> int | None:
    """What Paystack keeps of the shop's money."""
    if found.get("fees") is None:
        return None
    return max(0, subunits(found["fees"]) - borne_by_customer)


def paid_out_event(found: Mapping[str, Any], settlement: Mapping[str, Any]) -> GatewayEvent:
    """A transaction in a settlement. What a row does not tell is not told here.

    Source: paystack.com/docs/api/settlement, "List Settlements" and "List Settlement Transactions".
    """
    reference = str(found["reference"])
    amount, counted = _amounts_of(found) if found.get("amount") else (0, None)
    return GatewayEvent(
        EventKind.CAPTURED,
        reference=reference,
        gateway_id=reference,
        amount_minor=counted,
        currency=found.get("currency") or settlement.get("currency"),
        occurred_at=moment_of(settlement.get("createdAt")),
        fee_minor=None if counted is None else _fee_of(found, amount - counted),
        payout_reference=name_of(settlement),
        refs={"transaction": name_of(found)} if found.get("id") else {},
    )


def failure_of(said: str) -> tuple[str, str]:
    """Our code, and words that a shopper understands, for the text of a declined try."""
    lowered = said.lower()
    return next(
        (told for words, told in FAILURES.items() if re.search(rf"\b{words}\b", lowered)), DECLINED
    )


def refund_event(found: Mapping[str, Any]) -> GatewayEvent:
    """A refund as the API tells it; `refund_key` only where the shop made it.

    `transaction` is an object in the answer to the making, and an integer id everywhere else.
    """
    named = NOTE.fullmatch(str(found.get("merchant_note") or ""))
    of = object_of(found["transaction"])
    return GatewayEvent(
        REFUND_KINDS[found["status"]],
        reference=named[2] if named else of.get("reference"),
        amount_minor=subunits(found["amount"]),
        currency=currency_of(found),
        occurred_at=moment_of(
            found.get("refunded_at") or found.get("created_at") or found.get("createdAt")
        ),
        failure_words=REFUND_WORDS.get(found["status"]),
        refund_gateway_id=name_of(found),
        refund_key=named[1] if named else None,
        refs={"transaction": name_of(of)},
    )


def refund_hint(found: Mapping[str, Any]) -> GatewayEvent:
    """A refund as a webhook tells it: without its id or note, so that two equal ones look alike."""
    return GatewayEvent(
        REFUND_KINDS[found["status"]],
        reference=name_in(found, "transaction_reference"),
        amount_minor=subunits(found["amount"]),
        currency=currency_of(found),
        failure_words=REFUND_WORDS.get(found["status"]),
        is_hint=True,
    )


def reversal_event(found: Mapping[str, Any]) -> GatewayEvent:
    """Money that was taken back with neither a refund nor a dispute to show for it."""
    paid = transaction_event(found)
    return GatewayEvent(
        EventKind.REFUND_SUCCEEDED,
        reference=paid.reference,
        amount_minor=paid.amount_minor,
        currency=paid.currency,
        refund_gateway_id=f"reversal-{name_of(found)}",
        refs=paid.refs,
    )


def dispute_event(found: Mapping[str, Any]) -> GatewayEvent:
    """A dispute as it stands. Webhooks write `created_at` where the API writes `createdAt`."""
    of = object_of(found["transaction"])
    kind = _outcome_of(found, of)
    is_opening = kind == EventKind.DISPUTE_OPENED
    begun = found.get("created_at") or found.get("createdAt")
    return GatewayEvent(
        kind,
        reference=of.get("reference"),
        amount_minor=subunits(found.get("refund_amount") or of["amount"]),
        currency=currency_of(found if found.get("currency") else of),
        occurred_at=moment_of(begun if is_opening else found.get("resolvedAt")),
        dispute_gateway_id=name_of(found),
        dispute_reason=str(found.get("category") or "").replace("-", " "),
        evidence_due_at=moment_of(found.get("dueAt")),
        refs={"transaction": name_of(of)},
    )


def _outcome_of(found: Mapping[str, Any], of: Mapping[str, Any]) -> EventKind:
    """Won, lost, or open; a resolution that we do not know is told by what became of the money."""
    if found["status"] not in CLOSED_DISPUTES:
        return EventKind.DISPUTE_OPENED
    known = RESOLUTIONS.get(str(found.get("resolution")))
    if known:
        return known
    if of.get("status") == "reversed":
        return EventKind.DISPUTE_LOST
    return EventKind.DISPUTE_OPENED


def object_of(transaction: Any) -> dict[str, Any]:
    """A transaction that is told whole or by its id alone."""
    return transaction if isinstance(transaction, dict) else {"id": subunits(transaction)}


def name_of(found: Mapping[str, Any]) -> str:
    """An object's id, which is a number that may exceed 32 bits. Raises ValueError where there is none."""
    return str(subunits(found["id"]))


def subunits(found: Any) -> int:
    """A whole number ≥ 0, as Paystack sends it: as a number, or as a string (refunds' webhooks)."""
    amount = int(str(found))
    if amount < 0:
        raise ValueError(f"{amount} is below zero")
    return amount


def currency_of(found: Mapping[str, Any]) -> str:
    """The currency's code. Raises ValueError where there is none."""
    currency = found.get("currency")
    if not isinstance(currency, str) or len(currency) != 3:
        raise ValueError("an amount without a currency")
    return currency.upper()


def moment_of(written: str | None) -> datetime | None:
    """2026-11-16T10:03:11.000Z as a moment in UTC."""
    return checked_moment(datetime.fromisoformat(written).astimezone(UTC)) if written else None
