"""Razorpay's objects, checks of what is sent to it, and its signatures, for the stand-in."""

import hashlib
import hmac
import secrets
import string
from typing import Any

from tests.simulators.base import now

MINUTE = 60
SIX_MONTHS = 184 * 24 * 60 * MINUTE
CURRENCIES = {"INR": 2, "USD": 2, "SEK": 2, "JPY": 0, "KWD": 3, "BHD": 3, "OMR": 3}
LINK_FIELDS = frozenset(
    [
        "amount", "currency", "accept_partial", "first_min_partial_amount", "expire_by", "reference_id",
        "description", "customer", "notify", "reminder_enable", "notes", "callback_url", "callback_method",
        "upi_link", "options",
    ]
)  # fmt: skip
ORDER_FIELDS = frozenset(
    ["amount", "currency", "receipt", "notes", "partial_payment", "first_payment_min_amount"]
)
REFUND_FIELDS = frozenset(["amount", "speed", "notes", "receipt"])
EVIDENCE = (
    "summary", "shipping_proof", "billing_proof", "cancellation_proof", "customer_communication",
    "proof_of_service", "explanation_letter", "refund_confirmation", "access_activity_log",
    "refund_cancellation_policy", "term_and_conditions", "others", "submitted_at",
)  # fmt: skip
FAILURES = {
    "payment_timed_out": "Payment was not completed on time.",
    "insufficient_fund": "Payment failed: not enough balance on the card account.",
    "payment_cancelled": "Payment was cancelled by the customer.",
    "card_declined": "The card was declined by the bank.",
    "card_disabled_for_online_payments": "The card is disabled for online payments.",
    "card_number_invalid": "The card number is invalid.",
    "gateway_technical_error": "Payment failed due to a technical error at the bank.",
    "authentication_failed": "The customer could not be authenticated.",
    "input_validation_failed": "The details entered are not valid.",
}
ALPHABET = string.ascii_letters + string.digits


class Refusal(Exception):
    """An error in Razorpay's shape."""

    def __init__(self, status: int, words: str, reason: str = "NA", field: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.body: dict[str, Any] = {
            "code": "BAD_REQUEST_ERROR", "description": words, "source": "NA", "step": "NA",
            "reason": reason, "metadata": {},
        }  # fmt: skip
        if field:
            self.body |= {"field": field, "source": "business", "step": "payment_initiation"}


def new_id(kind: str) -> str:
    """An id in Razorpay's form: a prefix and 14 letters or digits."""
    return f"{kind}_{''.join(secrets.choice(ALPHABET) for _ in range(14))}"


def hexed(secret: str, signed: bytes) -> str:
    """HMAC-SHA256 in hexadecimal."""
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def invalid(words: str, field: str) -> Refusal:
    """A field that is not right."""
    return Refusal(400, words, "input_validation_failed", field)


def check_known(sent: dict[str, Any], known: frozenset[str]) -> None:
    """Unknown fields are refused."""
    extra = sorted(set(sent) - known)
    if extra:
        raise Refusal(400, f"{', '.join(extra)} is/are not required and should not be sent")


def check_amount(sent: dict[str, Any]) -> tuple[int, str]:
    """Amount and currency: whole minor units, ₹1.00 at least, three decimals end with 0."""
    amount, currency = sent.get("amount"), sent.get("currency")
    if amount is None:
        raise invalid("The amount field is required.", "amount")
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise invalid("The amount must be an integer.", "amount")
    if currency not in CURRENCIES:
        raise invalid("The currency is not supported.", "currency")
    if amount < (100 if currency == "INR" else 1):
        raise invalid("The amount must be atleast INR 1.00", "amount")
    if CURRENCIES[currency] == 3 and amount % 10:
        raise invalid("The last digit of the amount must be 0 in this currency.", "amount")
    return amount, currency


def check_notes(sent: dict[str, Any]) -> Any:
    """15 pairs of 256 characters; none come back as a list."""
    notes = sent.get("notes") or {}
    if not isinstance(notes, dict) or len(notes) > 15:
        raise invalid("Number of fields in notes should be less than or equal to 15.", "notes")
    if any(len(str(value)) > 255 for value in notes.values()):
        raise invalid("value: the length must not be greater than 255.", "notes")
    return dict(notes) or []


def link_object(sent: dict[str, Any], url: str) -> dict[str, Any]:
    """A payment link as it is made. Raises Refusal."""
    check_known(sent, LINK_FIELDS)
    amount, currency = check_amount(sent)
    expire_by = sent.get("expire_by", now() + SIX_MONTHS - MINUTE)
    if not isinstance(expire_by, int) or expire_by < now() + 15 * MINUTE:
        raise invalid("timestamp must be atleast 15 minutes in future", "expire_by")
    if expire_by > now() + SIX_MONTHS:
        raise invalid("expire_by cannot exceed six months from now", "expire_by")
    if len(sent.get("reference_id", "")) > 40:
        raise invalid("reference_id: the length must not be greater than 40.", "reference_id")
    if sent.get("callback_url") and sent.get("callback_method") != "get":
        raise invalid("callback_method must be get", "callback_method")
    made = new_id("plink")
    return {
        "accept_partial": sent.get("accept_partial", False), "amount": amount, "amount_paid": 0,
        "callback_method": sent.get("callback_method", ""), "callback_url": sent.get("callback_url", ""),
        "cancelled_at": 0, "created_at": now(), "currency": currency, "customer": sent.get("customer", {}),
        "description": sent.get("description", ""), "expire_by": expire_by, "expired_at": 0,
        "first_min_partial_amount": 0, "id": made, "notes": check_notes(sent) or None,
        "notify": {"email": True, "sms": True, **sent.get("notify", {})}, "payments": None,
        "reference_id": sent.get("reference_id", ""), "reminder_enable": sent.get("reminder_enable", False),
        "reminders": [], "short_url": f"{url}/l/{made.removeprefix('plink_')}", "status": "created",
        "updated_at": now(), "upi_link": False, "user_id": "",
    }  # fmt: skip


def order_object(amount: int, currency: str, receipt: str | None, notes: Any) -> dict[str, Any]:
    """An order on which nobody has tried to pay yet."""
    return {
        "id": new_id("order"), "entity": "order", "amount": amount, "amount_paid": 0, "amount_due": amount,
        "currency": currency, "receipt": receipt, "offer_id": None, "status": "created", "attempts": 0,
        "notes": notes or [], "created_at": now(),
    }  # fmt: skip


def payment_object(order: dict[str, Any], method: str, notes: Any, about: str) -> dict[str, Any]:
    """A try, promised by the bank and not captured."""
    card = method == "card"
    payment: dict[str, Any] = {
        "id": new_id("pay"), "entity": "payment", "amount": order["amount"], "currency": order["currency"],
        "base_amount": order["amount"], "status": "authorized", "order_id": order["id"], "invoice_id": None,
        "international": False, "method": method, "amount_refunded": 0, "amount_transferred": 0,
        "refund_status": None, "captured": False, "description": about, "card_id": None, "bank": None,
        "wallet": None, "vpa": None if card else "meera.iyer@examplebank", "email": "meera.iyer@example.com",
        "contact": "+919812345670", "notes": notes or [], "fee": None, "tax": None, "error_code": None,
        "error_description": None, "error_source": None, "error_step": None, "error_reason": None,
        "acquirer_data": {"auth_code": None} if card else {"rrn": "432817650921"}, "created_at": now(),
        "upi": None if card else {"payer_account_type": "bank_account", "vpa": "meera.iyer@examplebank"},
    }  # fmt: skip
    if card:
        payment["card_id"] = new_id("card")
        payment["card"] = {
            "id": payment["card_id"], "entity": "card", "name": "Meera Iyer", "last4": "0001",
            "network": "Visa", "type": "debit", "issuer": None, "international": False, "emi": False,
            "sub_type": "consumer",
        }  # fmt: skip
    return payment


def refund_object(payment: dict[str, Any], amount: int, sent: dict[str, Any]) -> dict[str, Any]:
    """A refund on its way."""
    return {
        "id": new_id("rfnd"), "entity": "refund", "amount": amount, "currency": payment["currency"],
        "payment_id": payment["id"], "notes": check_notes(sent), "receipt": sent.get("receipt"),
        "acquirer_data": {"arn": None}, "created_at": now(), "batch_id": None, "status": "pending",
        "speed_processed": "normal", "speed_requested": sent.get("speed", "normal"),
    }  # fmt: skip


def dispute_object(payment: dict[str, Any], phase: str) -> dict[str, Any]:
    """A dispute that was just opened."""
    return {
        "id": new_id("disp"), "entity": "dispute", "payment_id": payment["id"], "amount": payment["amount"],
        "currency": payment["currency"], "amount_deducted": 0,
        "reason_code": "goods_or_services_not_received_or_partially_received",
        "respond_by": now() + 9 * 24 * 60 * MINUTE, "status": "open", "phase": phase, "created_at": now(),
        "evidence": {"amount": payment["amount"], **dict.fromkeys(EVIDENCE)},
    }  # fmt: skip
