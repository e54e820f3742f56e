"""Reading what Stripe says: its amounts, its objects and its events, in the shop's words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shop.money import exponent
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.provider_json import name_in, unix_moment, whole
from shop.providers import ProviderRefused

ZERO_DECIMAL = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)  # fmt: skip
"""Charged in whole units. UGX and ISK have no fractions either, but Stripe wants two decimals."""
THREE_DECIMAL = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])

REFUND_KINDS = {
    "pending": EventKind.REFUND_PENDING,
    "requires_action": EventKind.REFUND_PENDING,
    "succeeded": EventKind.REFUND_SUCCEEDED,
    "failed": EventKind.REFUND_FAILED,
    "canceled": EventKind.REFUND_FAILED,
}
DISPUTE_KINDS = {
    "won": EventKind.DISPUTE_WON,
    "warning_closed": EventKind.DISPUTE_WON,
    "prevented": EventKind.DISPUTE_WON,
    "lost": EventKind.DISPUTE_LOST,
}
"""Every other status is a dispute that stands open."""
PAID = frozenset({"paid", "no_payment_required"})
"""A session that is complete and has another payment status waits for a slow method."""

DECLINED = "The bank declined the payment. Nothing was charged."
FAILURE_WORDS = {
    "insufficient_funds": "There was not enough money on the card.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The card's security code was wrong.",
    "incorrect_number": "The card number was wrong.",
    "processing_error": "The bank could not process the payment. Try again in a moment.",
    "authentication_required": "The bank wanted a confirmation that was not given.",
    "payment_intent_authentication_failure": "The bank's confirmation step was not passed.",
    "card_not_supported": "The card cannot be used for this kind of payment.",
    "currency_not_supported": "The card cannot pay in this currency.",
    "card_velocity_exceeded": "The card's limit is reached.",
    "withdrawal_count_limit_exceeded": "The card's limit is reached.",
}
"""Of lost, stolen and fraudulent cards the payer is told no more than of a plain decline.

Source: docs.stripe.com/declines/codes, "Next steps".
"""


def stripe_exponent(currency: str) -> int:
    """How many decimals Stripe counts this currency with. Not always the currency's own number."""
    if currency.upper() in ZERO_DECIMAL:
        return 0
    return 3 if currency.upper() in THREE_DECIMAL else 2


def stripe_amount(amount_minor: int, currency: str) -> int:
    """Our minor units as Stripe's. Raises ProviderRefused where it cannot be charged exactly."""
    more = stripe_exponent(currency) - exponent(currency)
    if more >= 0:
        amount = amount_minor * _power(more)
    else:
        amount, rest = divmod(amount_minor, _power(-more))
        if rest:
            raise ProviderRefused(f"{currency} is charged without decimals")
    if currency.upper() in THREE_DECIMAL and amount % 10:
        raise ProviderRefused(f"{currency} is charged in steps of ten")
    return amount


def our_amount(amount: int, currency: str) -> int:
    """Stripe's units as our minor units; a fraction that we cannot count is an error of Stripe's."""
    less = stripe_exponent(currency) - exponent(currency)
    if less <= 0:
        return whole(amount) * _power(-less)
    units, rest = divmod(whole(amount), _power(less))
    if rest:
        raise ValueError(f"{amount} {currency} has a fraction that this currency does not have")
    return units


def news_of(kind: str, found: dict[str, Any]) -> list[GatewayEvent]:
    """What an event's object means here; nothing for kinds that change nothing."""
    if kind == "checkout.session.async_payment_failed":
        return [session_event(found, unpaid=EventKind.FAILED)]
    if kind.startswith("checkout.session."):
        return [session_event(found)]
    if kind == "payment_intent.succeeded":
        return [intent_event(found, EventKind.CAPTURED)]
    if kind == "payment_intent.payment_failed":
        return [intent_event(found, EventKind.TRY_FAILED)]
    if kind.startswith("refund.") or kind == "charge.refund.updated":
        return [refund_event(found)]
    if kind.startswith("charge.dispute."):
        return [dispute_event(found)]
    # charge.refunded only sums up what the refunds' own events have told.
    return []


def dated(news: GatewayEvent, event: Mapping[str, Any]) -> GatewayEvent:
    """The news with its event's id and, where its object has no time of its own, the event's time."""
    moment = news.occurred_at or unix_moment(event.get("created"))
    return replace(news, event_id=name_in(event, "id"), occurred_at=moment)


def session_event(session: dict[str, Any], unpaid: EventKind = EventKind.PENDING) -> GatewayEvent:
    """A session's present state. Completed and unpaid: a slow method is on its way."""
    kind = unpaid
    if session["payment_status"] in PAID and session["status"] == "complete":
        kind = EventKind.CAPTURED
    elif session["status"] == "expired":
        kind = EventKind.EXPIRED
    currency = session["currency"].upper()
    payer = session.get("customer_details") or {}
    return GatewayEvent(
        kind,
        reference=session.get("client_reference_id"),
        gateway_id=session["id"],
        amount_minor=our_amount(session["amount_total"], currency),
        currency=currency,
        method=_method(session),
        fee_minor=_fee(_charge(session), currency),
        failure_words=DECLINED if kind == EventKind.FAILED else None,
        payer_email=payer.get("email"),
        payer_phone=payer.get("phone"),
        refs=refs_of(session),
    )


def intent_event(intent: dict[str, Any], kind: EventKind) -> GatewayEvent:
    """A payment intent: a safety net for captures, and the reason of a failed try."""
    currency = intent["currency"].upper()
    amount = intent["amount_received"] if kind == EventKind.CAPTURED else intent["amount"]
    error = intent.get("last_payment_error") or {}
    code = error.get("decline_code") or error.get("code")
    return GatewayEvent(
        kind,
        reference=(intent.get("metadata") or {}).get("reference"),
        amount_minor=our_amount(amount, currency),
        currency=currency,
        method=_method(intent),
        failure_code=code,
        failure_words=FAILURE_WORDS.get(code, DECLINED) if code else None,
        refs=_named({"payment_intent": intent["id"], "charge": id_of(intent.get("latest_charge"))}),
    )


def refund_event(refund: dict[str, Any]) -> GatewayEvent:
    """A refund as it stands; `refund_key` only where the shop made it."""
    currency = refund["currency"].upper()
    metadata = refund.get("metadata") or {}
    reason = refund.get("failure_reason")
    kind = REFUND_KINDS[refund["status"]]
    return GatewayEvent(
        kind,
        reference=metadata.get("reference"),
        amount_minor=our_amount(refund["amount"], currency),
        currency=currency,
        # A failure comes days after the refund was made.
        occurred_at=unix_moment(refund.get("created")) if kind != EventKind.REFUND_FAILED else None,
        failure_code=reason,
        failure_words=f"Stripe: {reason.replace('_', ' ')}" if reason else None,
        refund_gateway_id=refund["id"],
        refund_key=metadata.get("refund_key"),
        refs=refs_of(refund),
    )


def dispute_event(dispute: dict[str, Any]) -> GatewayEvent:
    """A dispute as it stands; an inquiry counts as one, since it has a date for evidence too."""
    currency = dispute["currency"].upper()
    kind = DISPUTE_KINDS.get(dispute["status"], EventKind.DISPUTE_OPENED)
    is_opening = kind == EventKind.DISPUTE_OPENED
    return GatewayEvent(
        kind,
        amount_minor=our_amount(dispute["amount"], currency),
        currency=currency,
        occurred_at=unix_moment(dispute.get("created")) if is_opening else None,
        dispute_gateway_id=dispute["id"],
        dispute_reason=str(dispute.get("reason") or "").replace("_", " "),
        evidence_due_at=unix_moment((dispute.get("evidence_details") or {}).get("due_by")),
        refs=refs_of(dispute),
    )


def paid_out_event(booked: dict[str, Any], payout: Mapping[str, Any]) -> GatewayEvent:
    """A charge that left the balance by this payout; `booked` is its balance transaction, with it inside."""
    charge = booked["source"]
    currency = charge["currency"].upper()
    return GatewayEvent(
        EventKind.CAPTURED,
        reference=(charge.get("metadata") or {}).get("reference"),
        amount_minor=our_amount(charge["amount"], currency),
        currency=currency,
        occurred_at=unix_moment(payout.get("created")),
        fee_minor=_fee({"balance_transaction": booked}, currency),
        payout_reference=payout["id"],
        refs=_named(
            {"payment_intent": id_of(charge.get("payment_intent")), "charge": charge["id"]}
        ),
    )


def _charge(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The charge of a session or an intent, where it was asked for beside it."""
    intent = found.get("payment_intent")
    charge = (intent if isinstance(intent, dict) else found).get("latest_charge")
    return charge if isinstance(charge, dict) else {}


def _fee(charge: Mapping[str, Any], currency: str) -> int | None:
    """What Stripe kept, where the account is paid in the same currency and its units are ours.

    The charge's balance transaction may come to be after the charge.
    """
    booked = charge.get("balance_transaction")
    if not isinstance(booked, dict) or booked["currency"].upper() != currency:
        return None
    if stripe_exponent(currency) != exponent(currency):
        return None
    return whole(booked["fee"])


def _method(found: Mapping[str, Any]) -> str | None:
    """What was paid with: told by the charge, else known only where one method was offered."""
    charge = _charge(found)
    if charge:
        used = (charge.get("payment_method_details") or {}).get("type")
        return str(used) if used else None
    offered = found.get("payment_method_types") or []
    return str(offered[0]) if len(offered) == 1 else None


def refs_of(found: Mapping[str, Any]) -> dict[str, str]:
    """The ids by which later news names the same payment."""
    intent = found.get("payment_intent")
    charge = found.get("charge") or (
        intent.get("latest_charge") if isinstance(intent, dict) else None
    )
    return _named({"payment_intent": id_of(intent), "charge": id_of(charge)})


def _named(ids: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in ids.items() if value}


def id_of(found: Any) -> str | None:
    """An object's id, whether it was expanded or not."""
    return found.get("id") if isinstance(found, dict) else found


def _power(digits: int) -> int:
    return int("1" + "0" * digits)
