"""The pretend gateway's own rules: payments, refunds and disputes, and who is told of them.

It stands for a provider, so it keeps its own state and tells the shop by webhook only. Functions
that change something run inside the caller's transaction.
"""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, or_, select

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.database import insert_ignore
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.sandbox.models import SandboxPayment

PENDING_SECONDS = 60
#: After the page's end; the shop sweeps its holds every 30 s.
LATE_SECONDS = 90
DISPUTE_DAYS = 7
PAGE_ROWS = 100

WEBHOOK_TYPES = {"paid": "payment.captured", "declined": "payment.failed"}


class Unusable(Refused):
    """The pretend gateway cannot do that."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_SAME = select(SandboxPayment).where(
    or_(
        SandboxPayment.idempotency_key == bindparam("idempotency_key"),
        SandboxPayment.reference == bindparam("reference"),
    )
)


def open_payment(wish: dict[str, Any]) -> SandboxPayment:
    """Open a payment once for a key. Raises Unusable when the key came with another wish."""
    values = _checked(wish)
    insert_ignore(
        SandboxPayment, {**values, "public_id": "sbx_" + secrets.token_hex(12), "refunds": {}}
    )
    payment = db.session.scalars(_SAME, values).one()
    if any(getattr(payment, name) != value for name, value in values.items()):
        raise Unusable("key_reused", "This key or reference was used for another payment.")
    return payment


def _checked(wish: dict[str, Any]) -> dict[str, Any]:
    """The fields of a wish that may be stored."""
    names = ("reference", "idempotency_key", "currency", "description", "return_url", "webhook_url")
    values: dict[str, Any] = {name: wish.get(name) for name in names}
    amount = wish.get("amount_minor")
    if not all(isinstance(value, str) for value in values.values()) or type(amount) is not int:
        raise Unusable("bad_request", "A field is missing or of the wrong kind.")
    if amount <= 0:
        raise Unusable("bad_amount", "The amount must be greater than zero.")
    try:
        expires_at = datetime.fromisoformat(str(wish.get("expires_at"))).astimezone(UTC)
    except ValueError as error:
        raise Unusable("bad_request", "expires_at is not a moment.") from error
    return values | {"amount_minor": amount, "expires_at": expires_at}


def find(name: str, *, lock: bool = False) -> SandboxPayment:
    """A payment by the gateway's id or the shop's reference; locked before it is changed.

    Raises NotFound.
    """
    named = or_(SandboxPayment.public_id == name, SandboxPayment.reference == name)
    query = select(SandboxPayment).where(named)
    payment = db.session.scalars(query.with_for_update() if lock else query).first()
    if payment is None:
        raise NotFound("There is no such payment.")
    return payment


def status_of(payment: SandboxPayment) -> str:
    """The status, the clock taken into account: an open page ends at its time."""
    if payment.status == "open" and payment.expires_at <= utcnow():
        return "expired"
    return payment.status


def close(payment: SandboxPayment) -> None:
    """End the page. What is over already stays as it is; the answer tells."""
    if status_of(payment) in {"open", "pending"}:
        payment.status = "cancelled"


def pay(payment: SandboxPayment, *, webhooks: int = 1) -> None:
    """Take the money, even on a page that is over: that is how late money comes about."""
    if payment.status == "paid":
        return
    payment.status, payment.paid_at, payment.failure_code = "paid", utcnow(), None
    payment.told_at = None
    _tell(payment, WEBHOOK_TYPES["paid"], as_payment(payment), times=webhooks)


def decline(payment: SandboxPayment, reason: str) -> None:
    """Refuse the payment; the page is over."""
    if status_of(payment) == "open":
        payment.status, payment.failure_code = "declined", reason
        _tell(payment, WEBHOOK_TYPES["declined"], as_payment(payment))


def leave_pending(payment: SandboxPayment) -> None:
    """The bank takes its time: settled by a job, told by webhook."""
    if status_of(payment) == "open":
        payment.status = "pending"
        enqueue(
            "sandbox.settle",
            {"payment_id": payment.id, "late": False},
            run_at=in_future(seconds=PENDING_SECONDS),
        )


def pay_late(payment: SandboxPayment) -> None:
    """Take the money only after the page has ended: then by itself, or by hand on the desk."""
    run_at = payment.expires_at + timedelta(seconds=LATE_SECONDS)
    enqueue("sandbox.settle", {"payment_id": payment.id, "late": True}, run_at=run_at)


def refund(payment: SandboxPayment, key: str, amount_minor: int) -> dict[str, Any]:
    """Give money back, once for a key. Raises Unusable over what was paid."""
    known = [row for row in _rows(payment, "refund") if row["key"] == key]
    if known and known[0]["amount_minor"] != amount_minor:
        raise Unusable("key_reused", "This key was used for another amount.")
    if known:
        return known[0]
    given = sum(row["amount_minor"] for row in _rows(payment, "refund"))
    if payment.status != "paid":
        raise Unusable("not_paid", "This payment was never paid.")
    if amount_minor <= 0 or given + amount_minor > payment.amount_minor:
        raise Unusable("amount_too_large", "That is more than is left of this payment.")
    row = _add(payment, "refund", amount_minor, {"key": key, "status": "succeeded"})
    _tell(payment, "refund.succeeded", row)
    return row


def dispute(payment: SandboxPayment) -> None:
    """The payer's bank asks for the money back."""
    if payment.status != "paid" or open_dispute(payment):
        raise Unusable(
            "not_disputable", "Only a paid payment without an open dispute can be disputed."
        )
    due_at = utcnow() + timedelta(days=DISPUTE_DAYS)
    more = {
        "status": "open",
        "reason": "product_not_received",
        "evidence_due_at": due_at.isoformat(),
    }
    _tell(payment, "dispute.opened", _add(payment, "dispute", payment.amount_minor, more))


def decide(payment: SandboxPayment, verdict: str) -> None:
    """The bank decides the open dispute: "won" or "lost", from the shop's side."""
    row = open_dispute(payment)
    if row is None:
        raise Unusable("no_dispute", "There is no open dispute.")
    row = row | {"status": verdict, "changed_at": utcnow().isoformat()}
    payment.refunds = payment.refunds | {row["id"]: row}
    _tell(payment, f"dispute.{verdict}", row)


def open_dispute(payment: SandboxPayment) -> dict[str, Any] | None:
    """The dispute that is not decided yet."""
    return next((row for row in _rows(payment, "dispute") if row["status"] == "open"), None)


def left_minor(payment: SandboxPayment) -> int:
    """What was paid and not given back."""
    if payment.status != "paid":
        return 0
    given: int = sum(row["amount_minor"] for row in _rows(payment, "refund"))
    return payment.amount_minor - given


def as_payment(payment: SandboxPayment) -> dict[str, Any]:
    """The payment as API and webhooks show it."""
    return {
        "id": payment.public_id,
        "reference": payment.reference,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "description": payment.description,
        "status": status_of(payment),
        "failure_code": payment.failure_code,
        "url": f"{settings().public_url}/sandbox/pay/{payment.public_id}",
        "expires_at": payment.expires_at.isoformat(),
        "paid_at": payment.paid_at.isoformat() if payment.paid_at else None,
        "refunds": _rows(payment, "refund"),
        "disputes": _rows(payment, "dispute"),
    }


def paid_since(since: datetime, after: int) -> tuple[list[dict[str, Any]], int | None]:
    """One page of what was paid, and where the next one begins."""
    rows = _page(SandboxPayment.paid_at >= since, after)
    return [as_payment(row) for row in rows], _next(rows)


def made_since(kind: str, since: datetime, after: int) -> tuple[list[dict[str, Any]], int | None]:
    """One page of "refund" or "dispute" rows made or changed since then."""
    rows = _page(SandboxPayment.updated_at >= since, after)
    made = [item for row in rows for item in _rows(row, kind)]
    fresh = [item for item in made if datetime.fromisoformat(item["changed_at"]) >= since]
    return fresh, _next(rows)


def tries_before(payment: SandboxPayment) -> list[SandboxPayment]:
    """Earlier payments with the same description, oldest first: the page counts its tries."""
    return list(
        db.session.scalars(
            select(SandboxPayment)
            .where(
                SandboxPayment.description == payment.description, SandboxPayment.id < payment.id
            )
            .order_by(SandboxPayment.id)
            .limit(20)
        )
    )


def latest(limit: int = 30) -> list[SandboxPayment]:
    """The newest payments, for the desk."""
    newest = select(SandboxPayment).order_by(SandboxPayment.id.desc()).limit(limit)
    return list(db.session.scalars(newest))


def told(payment_id: int) -> None:
    """The shop has taken a webhook about this payment."""
    payment = db.session.get(SandboxPayment, payment_id)
    if payment is not None:
        payment.told_at = utcnow()


def _page(condition: Any, after: int) -> list[SandboxPayment]:
    rows = select(SandboxPayment).where(condition, SandboxPayment.id > after)
    return list(db.session.scalars(rows.order_by(SandboxPayment.id).limit(PAGE_ROWS)))


def _next(rows: list[SandboxPayment]) -> int | None:
    return rows[-1].id if len(rows) == PAGE_ROWS else None


def _rows(payment: SandboxPayment, kind: str) -> list[dict[str, Any]]:
    return [row for row in payment.refunds.values() if row["kind"] == kind]


def _add(
    payment: SandboxPayment, kind: str, amount_minor: int, more: dict[str, Any]
) -> dict[str, Any]:
    """Note a refund or a dispute on its payment."""
    now = utcnow().isoformat()
    row = {
        "id": {"refund": "rf_", "dispute": "dp_"}[kind] + secrets.token_hex(10),
        "kind": kind,
        "payment": payment.public_id,
        "reference": payment.reference,
        "amount_minor": amount_minor,
        "currency": payment.currency,
        "created_at": now,
        "changed_at": now,
        **more,
    }
    # A new dictionary: the column does not notice a change inside the old one.
    payment.refunds = payment.refunds | {row["id"]: row}
    return row


def _tell(payment: SandboxPayment, kind: str, data: dict[str, Any], *, times: int = 1) -> None:
    """Send one event so many times, by jobs; the body is the same each time, the id too."""
    body = json.dumps(
        {
            "id": "evt_" + secrets.token_hex(12),
            "type": kind,
            "created_at": utcnow().isoformat(),
            "data": data,
        }
    )
    for _ in range(times):
        enqueue(
            "sandbox.deliver_webhook",
            {"url": payment.webhook_url, "body": body, "payment_id": payment.id},
        )
