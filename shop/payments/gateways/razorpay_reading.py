"""Reading what Razorpay says: its objects and its events, in the shop's words.

Razorpay counts as the shop does, in minor units. `notes` is an object, or `[]` when it is empty.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from shop.money import exponent
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.provider_json import name_in, unix_moment, whole

THREE_DECIMAL = frozenset(["BHD", "KWD", "OMR"])
"""Charged with three decimals, the last of which must be 0."""
ZERO_DECIMAL = frozenset(["JPY"])
MIN_INR = 100
WHOLE_MONTH = 8
"""So many days of a month are asked for at once: each would take two calls."""
INDIA = timezone(timedelta(hours=5, minutes=30))

REFUND_KINDS = {
    "pending": EventKind.REFUND_PENDING,
    "processed": EventKind.REFUND_SUCCEEDED,
    "failed": EventKind.REFUND_FAILED,
}
DISPUTE_KINDS = {"won": EventKind.DISPUTE_WON, "lost": EventKind.DISPUTE_LOST}
"""Every other status is a dispute that stands open, but for `closed`: see `dispute_event`."""

NO_EMAIL = "void@razorpay.com"
"""What Razorpay writes where the payer gave no address."""

DECLINED = "The bank declined the payment. Nothing was charged."
FAILURE_WORDS = {
    "authentication_failed": "The bank's confirmation step was not passed.",
    "card_declined": "The bank declined the card.",
    "card_disabled_for_online_payments": "The card is not switched on for payments online.",
    "card_number_invalid": "The card number was wrong.",
    "gateway_technical_error": "The bank could not process the payment. Try again in a moment.",
    "input_validation_failed": "Something that was entered was not right.",
    "insufficient_fund": "There was not enough money in the account.",
    "insufficient_funds": "There was not enough money in the account.",
    "payment_cancelled": "The payment was cancelled before it was made.",
    "payment_timed_out": "The payment took too long and was stopped.",
}


def is_countable(amount: int, currency: str) -> bool:
    """True when Razorpay counts this currency as the shop does, and can charge exactly this."""
    if currency in THREE_DECIMAL:
        return exponent(currency) == 3 and amount % 10 == 0
    return exponent(currency) == (0 if currency in ZERO_DECIMAL else 2)


def news_of(event: Mapping[str, Any]) -> list[GatewayEvent]:
    """What an event's objects mean here; nothing for kinds that change nothing."""
    kind, payload = name_in(event, "event"), event["payload"]
    moment = unix_moment(event.get("created_at"))
    read = _readers(kind)
    return [read(payload, moment)] if read else []


def _readers(kind: str) -> Callable[[Any, datetime | None], GatewayEvent] | None:
    if kind == "payment.captured":
        return lambda told, at: captured_event(_entity(told, "payment"), at)
    if kind == "order.paid":
        return _order_paid
    if kind == "payment.authorized":
        return lambda told, at: payment_event(EventKind.AUTHORIZED, _entity(told, "payment"), at)
    if kind == "payment.failed":
        return lambda told, at: failed_event(_entity(told, "payment"), at)
    if kind.startswith("payment_link."):
        return _link_told
    if kind.startswith("refund."):
        return _refund_told
    if kind.startswith("payment.dispute."):
        return _dispute_told
    return None


def _order_paid(told: Any, moment: datetime | None) -> GatewayEvent:
    """The same fact as payment.captured; the order's receipt names our reference."""
    order = _entity(told, "order")
    return captured_event(_entity(told, "payment"), moment, str(order.get("receipt") or "") or None)


def _link_told(told: Any, moment: datetime | None) -> GatewayEvent:
    payment = _entity(told, "payment") if "payment" in told else None
    return link_event(_entity(told, "payment_link"), payment, moment)


def _refund_told(told: Any, moment: datetime | None) -> GatewayEvent:
    payment = _entity(told, "payment") if "payment" in told else {}
    return refund_event(_entity(told, "refund"), moment, notes_of(payment).get("reference"))


def _dispute_told(told: Any, moment: datetime | None) -> GatewayEvent:
    payment = _entity(told, "payment") if "payment" in told else {}
    return dispute_event(_entity(told, "dispute"), moment, notes_of(payment).get("reference"))


def event_id_of(event: Mapping[str, Any]) -> str:
    """What makes an event unique where its header is missing (provider page, Webhooks).

    One that is about nothing with an id is told apart by all that it says.
    """
    payload = event["payload"]
    about = next(iter(event.get("contains") or payload), "")
    found = payload[about]["entity"] if about in payload else {}
    if not found.get("id"):
        return hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()
    return f"{event['event']}:{event.get('created_at')}:{name_in(found, 'id')}"


# --- payments --------------------------------------------------------------------------------


def was_captured(payment: Mapping[str, Any]) -> bool:
    """True when its money came in. A payment that was given back before it was captured brought none."""
    status = payment["status"]
    return bool(status == "captured" or (status == "refunded" and payment.get("captured")))


def captured_event(
    payment: Mapping[str, Any], moment: datetime | None = None, reference: str | None = None
) -> GatewayEvent:
    """Money came in. `fee` has its tax in it, and is in rupees whatever was paid in."""
    currency = str(payment["currency"]).upper()
    email = payment.get("email")
    return GatewayEvent(
        EventKind.CAPTURED,
        reference=notes_of(payment).get("reference") or reference,
        amount_minor=whole(payment["amount"]),
        currency=currency,
        occurred_at=moment or unix_moment(payment.get("created_at")),
        method=payment.get("method"),
        fee_minor=payment.get("fee") if currency == "INR" else None,
        payer_email=email if email != NO_EMAIL else None,
        payer_phone=payment.get("contact"),
        refs=named({"order": payment.get("order_id"), "payment": payment["id"]}),
    )


def payment_event(
    kind: EventKind, payment: Mapping[str, Any], moment: datetime | None = None
) -> GatewayEvent:
    """A try that has brought no money: it names its order only, since another try may be the paid one."""
    return GatewayEvent(
        kind,
        reference=notes_of(payment).get("reference"),
        amount_minor=whole(payment["amount"]),
        currency=str(payment["currency"]).upper(),
        occurred_at=moment,
        method=payment.get("method"),
        refs=named({"order": payment.get("order_id")}),
    )


def failed_event(payment: Mapping[str, Any], moment: datetime | None = None) -> GatewayEvent:
    """One try failed; the page stays open (provider page, Traps: payment.failed is not the end)."""
    reason = payment.get("error_reason") or payment.get("error_code") or ""
    news = payment_event(EventKind.TRY_FAILED, payment, moment)
    words = FAILURE_WORDS.get(reason, DECLINED)
    return replace(news, method=None, failure_code=reason or None, failure_words=words)


# --- payment links ---------------------------------------------------------------------------


def link_event(
    link: Mapping[str, Any], payment: Mapping[str, Any] | None, moment: datetime | None = None
) -> GatewayEvent:
    """A payment link as it stands. What came in short (partially_paid) is money all the same."""
    kinds = {
        "paid": EventKind.CAPTURED,
        "partially_paid": EventKind.CAPTURED,
        "cancelled": EventKind.CANCELLED,
        "expired": EventKind.EXPIRED,
        "created": EventKind.PENDING,
    }
    kind = kinds[link["status"]]
    currency = str(link["currency"]).upper()
    paid = captured_event(payment, moment) if payment and kind == EventKind.CAPTURED else None
    refs = named({"order": link.get("order_id"), **(paid.refs if paid else {})})
    return GatewayEvent(
        kind,
        reference=link.get("reference_id"),
        gateway_id=link["id"],
        amount_minor=whole(link["amount_paid"] if kind == EventKind.CAPTURED else link["amount"]),
        currency=currency,
        occurred_at=moment or (paid.occurred_at if paid else None),
        method=paid.method if paid else None,
        fee_minor=paid.fee_minor if paid else None,
        payer_email=paid.payer_email if paid else None,
        payer_phone=paid.payer_phone if paid else None,
        refs=refs,
    )


# --- settlements -----------------------------------------------------------------------------


def periods_of(settlements: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The days on which these were made, as Settlement Recon is asked for them; months, of many days."""
    months: dict[str, list[str]] = {}
    for day in _days_of(settlements):
        months.setdefault(f"{day:%Y %m}", []).append(f"{day:%d}")
    periods = []
    for name, days in months.items():
        year, month = name.split()
        whole_month = {"year": year, "month": month}
        is_whole = len(days) >= WHOLE_MONTH
        periods += [whole_month] if is_whole else [{**whole_month, "day": day} for day in days]
    return periods


def _days_of(settlements: Sequence[Mapping[str, Any]]) -> list[date]:
    """Whether Razorpay's day is India's or UTC's nobody says."""
    moments = [datetime.fromtimestamp(one["created_at"], UTC) for one in settlements]
    return sorted({one.astimezone(zone).date() for one in moments for zone in (UTC, INDIA)})


def paid_out_event(row: Mapping[str, Any], settlement: Mapping[str, Any]) -> GatewayEvent:
    """A payment in this settlement, by its line in "Settlement Recon": `credit` is `amount` less `fee`.

    Source: razorpay.com/docs/api/settlements/fetch-recon. What a line does not tell is not told here.
    """
    currency = str(row.get("currency") or "").upper()
    return GatewayEvent(
        EventKind.CAPTURED,
        reference=notes_of(row).get("reference") or row.get("order_receipt") or None,
        amount_minor=row.get("amount"),
        currency=currency or None,
        occurred_at=unix_moment(settlement["created_at"]),
        fee_minor=row.get("fee") if currency == "INR" else None,
        payout_reference=settlement["id"],
        refs=named({"order": row.get("order_id"), "payment": row["entity_id"]}),
    )


# --- refunds and disputes --------------------------------------------------------------------


def refund_event(
    refund: Mapping[str, Any], moment: datetime | None = None, reference: str | None = None
) -> GatewayEvent:
    """A refund as it stands, whatever its event is called; `refund_key` only where the shop made it."""
    notes = notes_of(refund)
    kind = REFUND_KINDS[refund["status"]]
    failed = kind == EventKind.REFUND_FAILED
    return GatewayEvent(
        kind,
        reference=notes.get("reference") or reference,
        amount_minor=whole(refund["amount"]),
        currency=str(refund["currency"]).upper(),
        occurred_at=moment or (None if failed else unix_moment(refund.get("created_at"))),
        failure_words="Razorpay could not make the refund" if failed else None,
        refund_gateway_id=refund["id"],
        refund_key=notes.get("refund_key"),
        refs=named({"payment": refund["payment_id"]}),
    )


def dispute_event(
    dispute: Mapping[str, Any], moment: datetime | None = None, reference: str | None = None
) -> GatewayEvent:
    """A dispute as it stands. `closed` ends a suspicion of fraud: nothing was taken, or it was."""
    kind = DISPUTE_KINDS.get(dispute["status"], EventKind.DISPUTE_OPENED)
    if dispute["status"] == "closed":
        taken = dispute.get("amount_deducted")
        kind = EventKind.DISPUTE_LOST if taken else EventKind.DISPUTE_WON
    opened = unix_moment(dispute.get("created_at")) if kind == EventKind.DISPUTE_OPENED else None
    return GatewayEvent(
        kind,
        reference=reference,
        amount_minor=whole(dispute["amount"]),
        currency=str(dispute["currency"]).upper(),
        occurred_at=opened or moment,
        dispute_gateway_id=dispute["id"],
        dispute_reason=str(dispute.get("reason_code") or "").replace("_", " "),
        evidence_due_at=unix_moment(dispute.get("respond_by")),
        refs=named({"payment": dispute["payment_id"]}),
    )


# --- small things ----------------------------------------------------------------------------


def notes_of(found: Mapping[str, Any]) -> dict[str, str]:
    """The notes that we gave an object, or none."""
    notes = found.get("notes")
    return notes if isinstance(notes, dict) else {}


def named(ids: Mapping[str, str | None]) -> dict[str, str]:
    """The ids that are there."""
    return {name: value for name, value in ids.items() if value}


def captured_of(payments: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one try that brought money: an order takes one successful payment."""
    return next((payment for payment in payments if was_captured(payment)), None)


def _entity(payload: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = payload[name]["entity"]
    return found
