"""Razorpay's settlements, for the stand-in: what is in the balance goes to the bank in one sum.

Written from razorpay.com/docs/api/settlements: "Fetch All Settlements" and "Fetch Settlement Recon
Details". A settlement does not say what is in it; the lines of its day do.
"""

from datetime import UTC, datetime
from typing import Any

from tests.simulators.base import now
from tests.simulators.razorpay_objects import invalid, new_id


class Settlements:
    """The balance of one account."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        #: By entity: payments, refunds and adjustments, in what settlement they are.
        self.lines: dict[str, dict[str, Any]] = {}

    def settle(self, account: Any, status: str) -> str:
        """All that was captured and given back since the last time. Returns the settlement's id."""
        made = settlement_object(status)
        self.made[made["id"]] = made
        fresh = [
            _payment_line(one, account.orders[one["order_id"]]["receipt"])
            for one in account.payments.values()
            if one["captured"]
        ]
        refunds = account.refunds.values()
        fresh += [_refund_line(one) for one in refunds if one["status"] == "processed"]
        for line in fresh:
            if line["entity_id"] not in self.lines:
                line |= {"settlement_id": made["id"], "settlement_utr": made["utr"]}
                self.lines[line["entity_id"]] = line
                made["amount"] += line["credit"] - line["debit"]
        return str(made["id"])

    def on_day(self, asked: Any) -> list[dict[str, Any]]:
        """The lines of a day, or of a month where no day is named; ten at once unless told, or 1,000."""
        for name in ("year", "month"):
            if not str(asked.get(name, "")).isdigit():
                raise invalid(f"The {name} field is required.", name)
        wanted = (int(asked["year"]), int(asked["month"]), int(asked.get("day", 0)))
        found = [one for one in self.lines.values() if _is_of(one["settled_at"], wanted)]
        skip, count = int(asked.get("skip", 0)), int(asked.get("count", 10))
        if not 1 <= count <= 1_000:
            raise invalid("The count may not be greater than 1000.", "count")
        return found[skip : skip + count]


def settlement_object(status: str) -> dict[str, Any]:
    """A settlement that holds nothing yet: "created", "processed" or "failed"."""
    made = now()
    return {
        "id": new_id("setl"), "entity": "settlement", "amount": 0, "status": status, "fees": 0,
        "tax": 0, "utr": f"{made}vxp0rj", "created_at": made,
    }  # fmt: skip


def _line(entity: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "entity_id": entity["id"], "type": kind, "debit": 0, "credit": 0, "amount": entity["amount"],
        "currency": entity["currency"], "fee": 0, "tax": 0, "on_hold": False, "settled": True,
        "created_at": entity["created_at"], "settled_at": now(), "posted_at": None,
        "credit_type": "default", "description": None, "notes": "{}", "payment_id": None,
        "order_receipt": None, "dispute_id": None,
    }  # fmt: skip


def _payment_line(payment: dict[str, Any], receipt: str | None) -> dict[str, Any]:
    return _line(payment, "payment") | {
        "credit": payment["amount"] - payment["fee"], "fee": payment["fee"], "tax": payment["tax"],
        "order_id": payment["order_id"], "order_receipt": receipt, "method": payment["method"],
    }  # fmt: skip


def _refund_line(refund: dict[str, Any]) -> dict[str, Any]:
    return _line(refund, "refund") | {
        "debit": refund["amount"], "payment_id": refund["payment_id"], "order_id": None,
        "method": None,
    }  # fmt: skip


def _is_of(moment: int, wanted: tuple[int, int, int]) -> bool:
    at = datetime.fromtimestamp(moment, UTC)
    year, month, day = wanted
    return (at.year, at.month) == (year, month) and day in (0, at.day)
