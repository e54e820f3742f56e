"""Flutterwave v3's objects and checks, as its documents show them. Amounts are in major units."""

import json
import re
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.simulators.base import now

CURRENCIES = frozenset(
    ["NGN", "USD", "EUR", "GBP", "GHS", "KES", "UGX", "RWF", "TZS", "ZAR", "ZMW", "MWK", "XAF", "XOF", "EGP"]
)  # fmt: skip
WITHOUT_DECIMALS = frozenset(["UGX", "RWF", "XAF", "XOF"])
PAYMENT_FIELDS = frozenset(
    [
        "tx_ref",
        "amount",
        "currency",
        "redirect_url",
        "customer",
        "payment_options",
        "customizations",
        "meta",
        "configurations",
        "session_duration",
        "bank_transfer_options",
        "payload_hash",
    ]
)
#: The test cards that fail, and what the processor says of them.
DECLINES = {
    "5258585922666506": "Insufficient Funds",
    "5143010522339965": "Do Not Honour",
    "5590131743294314": "Fraudulent",
    "5399834697894723": "Incorrect PIN",
    "5551658157653822": "Invalid Transaction",
}
PROCESSED = {"card": "Approved. Successful", "bank_transfer": "success"}
KINDS = {"card": "CARD_TRANSACTION", "bank_transfer": "BANK_TRANSFER_TRANSACTION"}


class Refusal(Exception):
    """A 4xx answer. v3 has a message and no code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"status": "error", "message": message, "data": None}


def number(amount: Decimal) -> int | Decimal:
    """18500 rather than 18500.00."""
    return int(amount) if amount == amount.to_integral_value() else amount.normalize()


def dumped(found: Any) -> bytes:
    """JSON with exact numbers: a Decimal is written digit for digit."""
    numbers: list[str] = []

    def kept(value: Decimal) -> str:
        numbers.append(format(value, "f"))
        return f"@number{len(numbers) - 1}@"

    text = json.dumps(found, ensure_ascii=False, default=kept)
    return re.sub(r'"@number(\d+)@"', lambda hit: numbers[int(hit.group(1))], text).encode()


def moment(seconds: int | None = None) -> str:
    """2026-11-16T10:01:41.000Z"""
    at = datetime.fromtimestamp(now() if seconds is None else seconds, tz=UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def amount_of(given: Any, currency: str) -> Decimal:
    """A number or text in major units, with no more decimals than the currency has."""
    if isinstance(given, bool) or not isinstance(given, int | Decimal | str):
        raise Refusal(400, "amount must be a number")
    if not re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", str(given)):
        raise Refusal(400, "amount must be a number")
    amount = Decimal(str(given))
    if amount <= 0:
        raise Refusal(400, "amount must be greater than 0")
    if currency in WITHOUT_DECIMALS and amount != amount.to_integral_value():
        raise Refusal(400, f"{currency} has no decimals")
    return amount


def check_payment(params: dict[str, Any]) -> None:
    """What `POST /payments` cannot do without, and what it does not know."""
    unknown = sorted(set(params) - PAYMENT_FIELDS)
    if unknown:
        raise Refusal(400, f"{unknown[0]} is not allowed")
    for name in ("tx_ref", "redirect_url"):
        if not isinstance(params.get(name), str) or not params[name]:
            raise Refusal(400, f"{name} is required")
    customer = params.get("customer")
    if not isinstance(customer, dict) or "@" not in str(customer.get("email")):
        raise Refusal(400, "customer.email is required")
    if params.get("currency", "NGN") not in CURRENCIES:
        raise Refusal(400, "currency is not supported")
    session = params.get("configurations", {}).get("session_duration", 1440)
    expires = params.get("bank_transfer_options", {}).get("expires", 3600)
    if isinstance(session, bool) or not isinstance(session, int) or not 1 <= session <= 1440:
        raise Refusal(400, "session_duration must be between 1 and 1440 minutes")
    if isinstance(expires, bool) or not isinstance(expires, int) or expires < 1:
        raise Refusal(400, "bank_transfer_options.expires must be a number of seconds")


def transaction_object(
    number_: int, params: dict[str, Any], amount: Decimal, kind: str, account: int
) -> dict[str, Any]:
    """A try to pay, as webhooks and the verify call show it."""
    customer = params["customer"]
    made: dict[str, Any] = {
        "id": number_, "tx_ref": params["tx_ref"],
        "flw_ref": f"FLW-MOCK-{secrets.token_hex(16)}", "device_fingerprint": "N/A",
        "amount": number(amount), "currency": params.get("currency", "NGN"),
        "charged_amount": number(amount), "app_fee": 0, "merchant_fee": 0,
        "processor_response": None, "auth_model": "PIN" if kind == "card" else "AUTH",
        "ip": "203.0.113.24", "narration": "CARD Transaction ", "status": "pending",
        "payment_type": kind, "created_at": moment(), "account_id": account,
        "customer": {
            "id": 3_098_812, "name": customer.get("name", "Anonymous customer"),
            "phone_number": customer.get("phonenumber", "N/A"), "email": customer["email"],
            "created_at": moment(),
        },
    }  # fmt: skip
    if kind == "card":
        made["card"] = {
            "first_6digits": "553188", "last_4digits": "2950", "issuer": "MASTERCARD  CREDIT",
            "country": "NG", "type": "MASTERCARD", "expiry": "09/32",
        }  # fmt: skip
    return made


def with_fee(made: dict[str, Any], is_payers: bool) -> None:
    """1.4 %; either taken from what is settled, or charged on top."""
    amount = Decimal(made["amount"])
    fee = (amount * Decimal("0.014")).quantize(Decimal("0.01"))
    made["app_fee"] = number(fee)
    made["charged_amount"] = number(amount + fee if is_payers else amount)
    made["amount_settled"] = number(amount if is_payers else amount - fee)


def refund_object(
    number_: int, made: dict[str, Any], amount: Decimal, status: str
) -> dict[str, Any]:
    """A refund; it names neither currency nor tx_ref."""
    return {
        "id": number_, "account_id": made["account_id"], "tx_id": made["id"],
        "flw_ref": f"URF_{now()}_{secrets.randbelow(10**7)}", "wallet_id": 81_205,
        "amount_refunded": number(amount), "status": status, "destination": "payment_source",
        "meta": {"source": "availablebalance"}, "created_at": moment(),
    }  # fmt: skip


def chargeback_object(number_: int, made: dict[str, Any], amount: Decimal) -> dict[str, Any]:
    """A chargeback that was just begun; it names no currency."""
    due = datetime.fromtimestamp(now(), tz=UTC) + timedelta(days=2)
    note = {"action": "notification", "date": moment(), "description": "Email Notification Sent"}
    return {
        "id": number_, "amount": number(amount), "flw_ref": made["flw_ref"], "status": "initiated",
        "stage": "new", "comment": "Product/service not received",
        "meta": {"uploaded_proof": None, "history": [note]},
        "due_date": due.strftime("%Y-%m-%dT15:59:59.000Z"), "settlement_id": "N/A",
        "created_at": moment(), "transaction_id": made["id"], "tx_ref": made["tx_ref"],
    }  # fmt: skip


def settlement_object(number_: int, rows: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """A settlement (developer.flutterwave.com/v3.0): completed, pending or flagged."""
    inside = [_settled_row(row) for row in rows]
    gross, fees, net = (
        number(sum((Decimal(row[name]) for row in inside), Decimal(0)))
        for name in ("charged_amount", "app_fee", "settlement_amount")
    )
    return {
        "id": number_, "account_id": 73_362, "settlement_account": "0031318432", "bank_code": "063",
        "transaction_date": moment(), "due_date": moment(), "processed_date": None, "status": status,
        "is_local": True, "currency": inside[0]["currency"] if inside else "NGN", "gross_amount": gross,
        "app_fee": fees, "merchant_fee": 0, "chargeback": 0, "refund": 0, "stampduty_charge": 0,
        "net_amount": net, "transaction_count": len(inside), "processor_ref": None,
        "disburse_ref": "INSTANT_SETTLEMENT", "disburse_message": None, "channel": "web",
        "destination": "account", "fx_data": None, "flag_message": None, "refund_meta": None,
        "chargeback_meta": None, "source_bankcode": None, "created_at": moment(), "transactions": inside,
    }  # fmt: skip


def _settled_row(made: dict[str, Any]) -> dict[str, Any]:
    charged, fee = Decimal(made["charged_amount"]), Decimal(made["app_fee"])
    return {
        "customer_email": made["customer"]["email"], "flw_ref": made["flw_ref"], "tx_ref": made["tx_ref"],
        "id": made["id"], "charged_amount": number(charged), "app_fee": number(fee), "merchant_fee": 0,
        "stampduty_charge": 0, "settlement_amount": number(charged - fee), "status": "successful",
        "payment_entity": made["payment_type"], "transaction_date": made["created_at"][:10],
        "currency": made["currency"], "card_locale": "LOCAL", "rrn": "N/A", "subaccount_settlement": 0,
    }  # fmt: skip
