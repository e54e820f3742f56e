"""The shapes of Stripe's objects, its form encoding, its checks and its signature."""

import hashlib
import hmac
import re
import secrets
from typing import Any

from werkzeug.datastructures import MultiDict

from tests.simulators.base import now

EVIDENCE = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "product_description",
    "receipt",
    "refund_policy",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_text",
]


class Refusal(Exception):
    """An error in Stripe's shape."""

    def __init__(self, status: int, message: str, code: str = "", kind: str = "invalid_request_error", param: str = "") -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.body = {"type": kind, "message": message}
        if code:
            self.body["code"] = code
        if param:
            self.body["param"] = param


def balance_object(charge: dict[str, Any], fee: int) -> dict[str, Any]:
    """What a charge brought to the account's balance, in the account's currency."""
    return {
        "id": f"txn_{secrets.token_hex(12)}", "object": "balance_transaction",
        "amount": charge["amount"], "available_on": charge["created"] + 2 * 86_400,
        "created": charge["created"], "currency": charge["currency"], "exchange_rate": None, "fee": fee,
        "fee_details": [{"amount": fee, "currency": charge["currency"], "type": "stripe_fee"}],
        "net": charge["amount"] - fee, "reporting_category": "charge", "source": charge["id"],
        "status": "pending", "type": "charge", "payout": None,
    }  # fmt: skip


def payout_object(amount: int, currency: str, made: int, automatic: bool) -> dict[str, Any]:
    """Money on its way to the shop's bank."""
    return {
        "id": f"po_{secrets.token_hex(12)}", "object": "payout", "amount": amount,
        "arrival_date": made + 86_400, "automatic": automatic, "created": made,
        "currency": currency, "status": "paid", "type": "bank_account",
    }  # fmt: skip


def sign(body: bytes, *signing: str, moment: int | None = None) -> str:
    """The Stripe-Signature header: one v1 for each secret."""
    at = str(now() if moment is None else moment)
    made = [
        hmac.new(key.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        for key in signing
    ]
    return ",".join([f"t={at}", *(f"v1={one}" for one in made)])


def parse_form(form: MultiDict[str, str]) -> dict[str, Any]:
    """Bracketed form fields as nested dictionaries and lists: a[b][0][c]=d."""
    root: dict[str, Any] = {}
    for name, value in form.items(multi=True):
        steps = [name.partition("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        place = root
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        last = steps[-1] if steps[-1] else str(len(place))
        place[last] = value
    return {name: _with_lists(value) for name, value in root.items()}


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(inner) for key, inner in value.items()}


def check_known(params: dict[str, Any], fields: frozenset[str]) -> None:
    for name in params:
        if name not in fields:
            raise Refusal(
                400, f"Received unknown parameter: {name}", "parameter_unknown", param=name
            )


def number(value: Any, name: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", str(value)):
        raise Refusal(400, f"Invalid integer: {value}", "parameter_invalid_integer", param=name)
    return int(value)


def check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or len(metadata) > 50:
        raise Refusal(400, "Metadata is a map of at most 50 keys.", param="metadata")
    if any(len(key) > 40 or len(str(value)) > 500 for key, value in metadata.items()):
        raise Refusal(
            400, "Metadata keys have 40 characters at most, values 500.", param="metadata"
        )


def totals(lines: Any) -> tuple[str, int]:
    """Currency and total of the line items."""
    if not isinstance(lines, list) or not 1 <= len(lines) <= 100:
        raise Refusal(400, "line_items is required in payment mode.", param="line_items")
    currencies, total = set(), 0
    for line in lines:
        price = line.get("price_data", {})
        if not price.get("product_data", {}).get("name"):
            raise Refusal(
                400, "Missing required param: name.", "parameter_missing", param="line_items"
            )
        unit, quantity = number(price.get("unit_amount"), "unit_amount"), number(line.get("quantity"), "quantity")  # fmt: skip
        if unit < 0 or quantity < 1:
            raise Refusal(400, "Invalid non-negative integer", param="line_items")
        currencies.add(price.get("currency"))
        total += unit * quantity
    currency = currencies.pop()
    if currencies or not re.fullmatch(r"[a-z]{3}", str(currency)):
        raise Refusal(400, f"Invalid currency: {currency}", param="line_items")
    if total > 99_999_999:
        raise Refusal(400, "The total amount is too large.", "amount_too_large")
    if total < 50 and currency == "usd":
        raise Refusal(400, "The Checkout Session's total amount due must add up to at least $0.50 usd", "amount_too_small")  # fmt: skip
    return str(currency), total


def session_object(
    params: dict[str, Any], currency: str, total: int, made: int, expires_at: int, livemode: bool
) -> dict[str, Any]:
    adaptive = params.get("adaptive_pricing")
    return {
        "id": "", "object": "checkout.session",
        "adaptive_pricing": {"enabled": adaptive.get("enabled") == "true"} if adaptive else None,
        "after_expiration": None, "allow_promotion_codes": None,
        "amount_subtotal": total, "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": "auto", "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"), "client_secret": None, "consent": None,
        "consent_collection": None, "created": made, "currency": currency, "custom_fields": [],
        "customer": None, "customer_creation": "if_required", "customer_details": None,
        "customer_email": params.get("customer_email"), "discounts": [], "expires_at": expires_at,
        "invoice": None, "invoice_creation": {"enabled": False, "invoice_data": None},
        "livemode": livemode, "locale": params.get("locale"), "metadata": dict(params.get("metadata", {})),
        "mode": "payment", "payment_intent": None, "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"], "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False}, "recovered_from": None, "setup_intent": None,
        "shipping_address_collection": None, "shipping_cost": None, "shipping_options": [],
        "status": "open", "submit_type": None, "subscription": None, "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page", "url": None,
    }  # fmt: skip


def intent_object(
    session: dict[str, Any], data: dict[str, Any], method: str, livemode: bool
) -> dict[str, Any]:
    empty = dict.fromkeys(
        [
            "application",
            "application_fee_amount",
            "automatic_payment_methods",
            "canceled_at",
            "cancellation_reason",
            "client_secret",
            "customer",
            "last_payment_error",
            "latest_charge",
            "next_action",
            "on_behalf_of",
            "payment_method",
            "processing",
            "receipt_email",
            "review",
            "setup_future_usage",
            "shipping",
            "source",
            "statement_descriptor",
            "statement_descriptor_suffix",
            "transfer_data",
            "transfer_group",
        ]
    )
    return empty | {
        "id": f"pi_{secrets.token_hex(12)}", "object": "payment_intent", "amount": session["amount_total"],
        "amount_capturable": 0, "amount_details": {"tip": {}}, "amount_received": 0,
        "capture_method": "automatic_async", "confirmation_method": "automatic", "created": now(),
        "currency": session["currency"], "description": data.get("description"), "livemode": livemode,
        "metadata": dict(data.get("metadata", {})),
        "payment_method_options": {
            "card": {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": [method], "status": "requires_payment_method",
    }  # fmt: skip


def dispute_object(
    intent: dict[str, Any], reason: str, status: str, livemode: bool
) -> dict[str, Any]:
    return {
        "id": f"du_{secrets.token_hex(12)}", "object": "dispute", "amount": intent["amount_received"],
        "balance_transactions": [], "charge": intent["latest_charge"], "created": now(),
        "currency": intent["currency"], "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE),
        "evidence_details": {
            "due_by": now() + 9 * 24 * 3600, "enhanced_eligibility": {}, "has_evidence": False,
            "past_due": False, "submission_count": 0,
        },
        "is_charge_refundable": status.startswith("warning"), "livemode": livemode, "metadata": {},
        "payment_intent": intent["id"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "13.1"},
            "type": "card",
        },
        "reason": reason, "status": status,
    }  # fmt: skip
