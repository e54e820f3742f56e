"""The shapes of Paystack's objects, its checks, its fees and its signature."""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import Any

from tests.simulators.base import now

INTEGRATION = 530417
CHANNELS = frozenset(["card", "bank", "ussd", "qr", "mobile_money", "bank_transfer", "eft"])
CURRENCIES = frozenset(["NGN", "GHS", "ZAR", "KES", "USD"])
NOT_COMPLETED = "The transaction was not completed"


class Refusal(Exception):
    """An error in Paystack's shape. Older answers have no type and no code."""

    def __init__(self, status: int, message: str, code: str = "", kind: str = "validation_error") -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"status": False, "message": message}
        if code:
            step = "Ensure that the value you are passing is correct"
            self.body |= {"meta": {"nextStep": step}, "type": kind, "code": code}


def sign(body: bytes, key: str) -> str:
    """The x-paystack-signature header."""
    return hmac.new(key.encode(), body, hashlib.sha512).hexdigest()


def moment(unix: int | None = None) -> str:
    """2026-11-16T10:03:11.000Z."""
    at = datetime.fromtimestamp(now() if unix is None else unix, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def required(params: dict[str, Any], *names: str) -> None:
    for name in names:
        if params.get(name) in (None, ""):
            raise Refusal(400, f"{name} is required", "missing_params")


def subunits(value: Any, name: str) -> int:
    """A whole number of subunits above zero; a string of digits will do. 18500.00 will not."""
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]+", str(value)) or int(value) < 1:
        raise Refusal(400, f"Invalid {name} sent", "invalid_params")
    return int(value)


def check_transaction(params: dict[str, Any], enabled: frozenset[str]) -> None:
    """What an opening must hold."""
    required(params, "email", "amount")
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(params["email"])):
        raise Refusal(400, "Invalid Email Address Passed", "invalid_params")
    subunits(params["amount"], "amount")
    if params.get("currency", "NGN") not in enabled:
        raise Refusal(400, "Currency not supported by merchant", "unsupported_currency")
    if not re.fullmatch(r"[A-Za-z0-9.=-]+", str(params.get("reference", "T1"))):
        raise Refusal(400, "Invalid transaction reference", "invalid_params")
    if not set(params.get("channels", [])) <= CHANNELS:
        raise Refusal(400, "Invalid channels", "invalid_params")


def fees_on(amount: int) -> int:
    """Local cards: 1.5 % and ₦100, at most ₦2,000. In kobo."""
    return min(amount * 15 // 1000 + 10_000, 200_000)


def with_fees(requested: int) -> tuple[int, int]:
    """What a customer pays who bears the fees, and the fees."""
    amount = -((requested + 10_000) * -1000 // 985)
    return amount, amount - requested


def customer_object(email: str) -> dict[str, Any]:
    return {
        "id": 214_806_331, "first_name": "Adaeze", "last_name": "Okafor", "email": email,
        "customer_code": "CUS_9tq4mz2w7xkd1be", "phone": "+2348031234567", "metadata": None,
        "risk_action": "default", "international_format_phone": None,
    }  # fmt: skip


def authorization_object() -> dict[str, Any]:
    return {
        "authorization_code": f"AUTH_{secrets.token_hex(5)}", "bin": "408408", "last4": "4081",
        "exp_month": "12", "exp_year": "2030", "channel": "card", "card_type": "visa ",
        "bank": "TEST BANK", "country_code": "NG", "brand": "visa", "reusable": True,
        "signature": f"SIG_{secrets.token_hex(10)}", "account_name": None,
    }  # fmt: skip


def transaction_object(number: int, params: dict[str, Any], domain: str) -> dict[str, Any]:
    """A transaction as verify tells it, before anybody paid."""
    amount = int(params["amount"])
    return {
        "id": number, "domain": domain, "status": "abandoned",
        "reference": params.get("reference") or f"T{secrets.randbelow(10**15)}",
        "amount": amount, "message": None, "gateway_response": NOT_COMPLETED,
        "paid_at": None, "created_at": moment(), "channel": "card",
        "currency": params.get("currency", "NGN"), "ip_address": "203.0.113.24",
        "metadata": params.get("metadata", ""), "log": None, "fees": None, "fees_split": None,
        "authorization": {}, "customer": customer_object(params["email"]), "plan": {},
        "subaccount": {}, "split": {}, "order_id": None, "paidAt": None,
        "requested_amount": amount, "pos_transaction_data": None,
        "source": {
            "type": "api", "source": "merchant_api", "entry_point": "transaction_initialize",
            "identifier": None,
        },
    }  # fmt: skip


def refund_object(number: int, transaction: dict[str, Any], amount: int, domain: str) -> dict[str, Any]:  # fmt: skip
    """A refund as the API tells it, with the transaction's id."""
    of = f"Refund for transaction {transaction['reference']}"
    return {
        "id": number, "integration": INTEGRATION, "domain": domain, "transaction": transaction["id"],
        "dispute": None, "settlement": None, "amount": amount, "deducted_amount": 0,
        "currency": transaction["currency"], "channel": "mpgs_zen", "fully_deducted": False,
        "refunded_by": "ops@shop.example", "refunded_at": None, "expected_at": moment(now() + 864_000),
        "customer_note": of, "merchant_note": f"{of} by ops@shop.example", "status": "pending",
        "createdAt": moment(), "updatedAt": moment(),
    }  # fmt: skip


def refund_news(refund: dict[str, Any], transaction: dict[str, Any]) -> dict[str, Any]:
    """A refund as a webhook tells it: no id, no note, and an amount that may be a string."""
    status = refund["status"]
    is_queued = status in {"pending", "processing"}
    is_told_as_text = is_queued or status == "processed"
    paid_out = {
        "processed": str(904_417_000_000 + refund["id"]),
        "failed": f"TRF_f{refund['id']}",
        "needs-attention": f"TRF_n{refund['id']}",
    }
    payer = transaction["customer"]
    told: dict[str, Any] = {
        "status": status,
        "transaction_reference": transaction["reference"],
        "refund_reference": paid_out.get(status),
        "amount": str(refund["amount"]) if is_told_as_text else refund["amount"],
        "currency": refund["currency"],
        "processor": "mpgs_zen" if status == "processed" else "instant-transfer",
        "customer": {name: payer[name] for name in ("first_name", "last_name", "email")},
        "integration": INTEGRATION,
        "domain": refund["domain"],
    }
    if status == "needs-attention":
        del told["processor"]
        told |= {name: refund[name] for name in ("customer_note", "merchant_note")}
        told["id"] = str(refund["id"])
    return told


def dispute_object(number: int, transaction: dict[str, Any], domain: str) -> dict[str, Any]:
    """A dispute as a webhook tells it; `rest_of` makes the API's of it."""
    payer = transaction["customer"]
    inner = {**transaction, "authorization": {}, "metadata": ""}
    return {
        "id": number, "refund_amount": transaction["amount"], "currency": transaction["currency"],
        "status": "awaiting-merchant-feedback", "resolution": None, "domain": domain,
        "transaction": inner | {"customer": {"international_format_phone": None}},
        "transaction_reference": None, "category": "chargeback", "customer": payer,
        "bin": "408408", "last4": "4081", "dueAt": moment(now() + 32 * 3600), "resolvedAt": None,
        "evidence": None, "attachments": None, "note": None,
        "history": [{"status": "pending", "by": payer["email"], "createdAt": moment()}],
        "messages": [
            {"sender": payer["email"], "body": "Customer says the goods never arrived", "createdAt": moment()}
        ],
        "created_at": moment(), "updated_at": moment(),
    }  # fmt: skip


def rest_of(dispute: dict[str, Any]) -> dict[str, Any]:
    """The API writes createdAt where webhooks write created_at."""
    told = {name: value for name, value in dispute.items() if not name.endswith("_at")}
    return told | {"createdAt": dispute["created_at"], "updatedAt": dispute["updated_at"]}


def settlement_object(
    number: int, rows: list[dict[str, Any]], status: str, domain: str
) -> dict[str, Any]:
    """A settlement (paystack.com/docs/api/settlement): success, processing, pending or failed."""
    gross, fees = (sum(row[name] for row in rows) for name in ("amount", "fees"))
    return {
        "id": number, "domain": domain, "status": status, "currency": rows[0]["currency"] if rows else "NGN",
        "integration": INTEGRATION, "total_amount": gross - fees, "effective_amount": gross - fees,
        "total_fees": fees, "total_processed": gross, "deductions": None,
        "settlement_date": f"{moment()[:10]}T00:00:00.000Z", "settled_by": None,
        "createdAt": moment(), "updatedAt": moment(),
    }  # fmt: skip
