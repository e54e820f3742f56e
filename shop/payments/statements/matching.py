"""From a line of a statement to the order that it pays.

By its reference the shop credits it; by amount and date it only suggests; all else a person
decides, and each decision is audited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import or_, select

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.money import format_minor
from shop.orders.models import Order
from shop.payments import transfers
from shop.payments.models import AttemptStatus, PartStatus, Payment, PaymentPart
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.payments.statements.rows import bank_id as read_id
from shop.payments.statements.rows import plain_text
from shop.payments.statements.storing import id_key
from shop.payments.transfers import Credited, Transfer, credit

TWIN_DAYS = 10
SUGGESTED_DAYS = 45
TWIN = "A transfer like this one was counted already: look whether it is the same money"
OTHER_CURRENCY = "Another currency than the order's"


@dataclass(frozen=True)
class ByHand:
    """A transfer as a person read it off the account. `bank_id` as the bank writes it."""

    amount_minor: int
    currency: str
    booked_on: date
    bank_id: str
    remark: str = ""


def match_line(line_id: int) -> str:
    """Credit a line whose reference names one of our payments. Returns what it changed.

    In the caller's transaction. What is not plain stays on the desk with the reason.
    """
    line = _locked(line_id)
    if line.state != LineState.UNMATCHED or line.payment_id is None or line.remark:
        return "nothing"
    payment = db.session.get_one(Payment, line.payment_id)
    if _twin(line, payment.order_id):
        line.remark = TWIN
        return "twin"
    credited = credit(payment.id, _transfer(line, "statement"))
    if credited.changed == "mismatch":
        line.remark = OTHER_CURRENCY
        return "mismatch"
    _matched(line, credited, "system")
    return credited.changed


def match_by_hand(
    line_id: int, number: str, actor: str, credited_minor: int | None = None
) -> Credited:
    """A person says which order a line pays, and, where its currency is another, what it is worth.

    Raises Refused when the line was decided already, the number is unknown, or the worth is missing.
    """
    line = _locked(line_id)
    _still_waits(line)
    order = _order(number)
    worth = Transfer(line.amount_minor, line.currency, f"line-{line.id}", "admin")
    if line.currency != order.currency:
        if not credited_minor:
            raise Refused(
                f"The order is in {order.currency}. Enter what the bank credited in {order.currency}.",
                field="worth",
            )
        worth = Transfer(credited_minor, order.currency, f"line-{line.id}-worth", "admin")
    attempt = transfers.attempt_of_order(order)
    if line.payment_id is not None:
        named = db.session.get_one(Payment, line.payment_id)
        attempt = named if named.order_id == order.id else attempt
    credited = credit(attempt.id, worth)
    _matched(line, credited, actor)
    audit.write(
        actor, "statement.matched", f"order:{order.number}", {"line": line.id, "remark": line.remark},
        {
            "amount_minor": line.amount_minor, "currency": line.currency, "bank_id": line.bank_id,
            "credited_minor": worth.amount_minor, "changed": credited.changed,
        },
    )  # fmt: skip
    line.remark = ""
    return credited


def set_aside(line_id: int, reason: str, actor: str) -> None:
    """Not the shop's customers' money, say: off the desk, with a reason. Raises Refused."""
    line = _locked(line_id)
    _still_waits(line)
    if not reason.strip():
        raise Refused("Say why this line needs nothing.", field="reason")
    before = line.remark
    line.state, line.remark = LineState.IGNORED, plain_text(reason)[:300]
    line.decided_by, line.decided_at = actor, utcnow()
    audit.write(
        actor, "statement.ignored", f"statement_line:{line.id}", {"remark": before},
        {
            "amount_minor": line.amount_minor, "currency": line.currency, "text": line.text[:200],
            "reason": line.remark,
        },
    )  # fmt: skip


def put_back(line_id: int, actor: str) -> None:
    """A line that was set aside waits again. Raises Refused for any other."""
    line = _locked(line_id)
    if line.state != LineState.IGNORED or line.amount_minor <= 0:
        raise Refused("Only money that was set aside can be put back.")
    audit.write(
        actor, "statement.put_back", f"statement_line:{line.id}", {"reason": line.remark}, None
    )
    line.state, line.remark = LineState.UNMATCHED, "Put back by a person"
    line.decided_by = line.decided_at = None


def confirm(payment_id: int, seen: ByHand, actor: str) -> Credited:
    """A person saw a transfer on the account: it counts once, whoever confirms or imports it again.

    Raises Refused when that booking was counted before.
    """
    bank_id = read_id(seen.bank_id)
    if bank_id is None:
        words = "Enter the bank's id of the transfer, as the statement shows it."
        raise Refused(words, field="bank_id")
    if seen.amount_minor <= 0:
        raise Refused("Enter an amount above zero.", field="amount")
    if db.session.get_one(Payment, payment_id).gateway != transfers.KEY:
        raise Refused("Only a bank transfer is confirmed by hand.")
    line = _line_for(bank_id, seen)
    credited = credit(payment_id, _transfer(line, "admin"))
    payment = db.session.get_one(Payment, payment_id)
    order = db.session.get_one(Order, payment.order_id)
    audit.write(
        actor, "payment.confirmed", f"order:{order.number}", None,
        {
            "amount_minor": seen.amount_minor, "currency": seen.currency, "bank_id": bank_id,
            "booked_on": seen.booked_on.isoformat(), "note": seen.remark, "changed": credited.changed,
        },
    )  # fmt: skip
    if credited.changed == "mismatch":
        line.payment_id, line.remark = payment_id, OTHER_CURRENCY
    else:
        _matched(line, credited, actor)
        line.remark = plain_text(seen.remark)[:300]
    return credited


def _line_for(bank_id: str, seen: ByHand) -> BankStatementLine:
    """The booking of that id: the one that a file brought, if it still waits, else a new row.

    The unique key decides between two clerks at once. Raises Refused for one that was counted.
    """
    line = BankStatementLine
    same_id = select(line.id).where(line.bank_id == bank_id).order_by(line.id)
    for line_id in db.session.scalars(same_id).all():
        found = _locked(line_id)
        if found.state == LineState.MATCHED:
            raise Refused(_counted(found), field="bank_id")
        if (found.amount_minor, found.currency) != (seen.amount_minor, seen.currency):
            told = format_minor(found.amount_minor, found.currency)
            words = f"The statement shows {told} under this bank id. Match it on the desk."
            raise Refused(words, field="bank_id")
        found.state = LineState.UNMATCHED
        return found
    new_id = _insert(bank_id, seen)
    if new_id is None:
        raise Refused("Somebody is confirming this transfer just now. Look again.")
    return _locked(new_id)


def _insert(bank_id: str, seen: ByHand) -> int | None:
    found: int | None = insert_ignore(
        BankStatementLine,
        {
            "bank_id": bank_id, "booked_on": seen.booked_on, "amount_minor": seen.amount_minor,
            "currency": seen.currency, "text": "", "account": "", "remark": "",
            "state": LineState.UNMATCHED, "sameness": id_key(bank_id),
        },
    )  # fmt: skip
    return found


def _counted(line: BankStatementLine) -> str:
    payment = db.session.get_one(Payment, line.payment_id)
    order = db.session.get_one(Order, payment.order_id)
    return f"This transfer was counted already, for order {order.number}."


def _locked(line_id: int) -> BankStatementLine:
    """The line, locked before any order (see transfers). Raises NotFound."""
    found = db.session.scalars(
        select(BankStatementLine)
        .where(BankStatementLine.id == line_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such line.")
    return found


def _still_waits(line: BankStatementLine) -> None:
    if line.state == LineState.MATCHED:
        raise Refused(_counted(line))
    if line.state != LineState.UNMATCHED or line.amount_minor <= 0:
        raise Refused("This line was decided already.")


def _order(number: str) -> Order:
    found = db.session.scalar(select(Order).where(Order.number == number.strip().lstrip("#")))
    if found is None:
        raise Refused("There is no order of that number.", field="number")
    return found


def _transfer(line: BankStatementLine, source: str) -> Transfer:
    return Transfer(line.amount_minor, line.currency, f"line-{line.id}", source)


def _matched(line: BankStatementLine, credited: Credited, actor: str) -> None:
    line.state, line.payment_id = LineState.MATCHED, credited.payment_id
    line.decided_by, line.decided_at = actor, utcnow()
    db.session.flush()


def _twin(line: BankStatementLine, order_id: int) -> bool:
    """Whether the same money was counted for this order already, told in another way.

    A person confirmed it, and the file shows another id or none; or another file told of it that has
    another form, or an id where this one has none.
    """
    other = BankStatementLine
    form = line.statement.form if line.statement else ""
    in_other_form = select(BankStatement.id).where(BankStatement.form != form)
    has_id = other.bank_id.is_not(None) if line.bank_id is None else other.bank_id.is_(None)
    near = timedelta(days=TWIN_DAYS)
    found = (
        select(other.id)
        .join(Payment, Payment.id == other.payment_id)
        .where(
            Payment.order_id == order_id, other.state == LineState.MATCHED,
            or_(
                other.statement_id.is_(None), other.statement_id.in_(in_other_form),
                (other.statement_id != line.statement_id) & has_id,
            ),
            other.amount_minor == line.amount_minor, other.currency == line.currency,
            other.booked_on.between(line.booked_on - near, line.booked_on + near),
        )
    )  # fmt: skip
    return db.session.scalar(found.limit(1)) is not None


def suggestions(lines: Sequence[BankStatementLine]) -> dict[int, list[str]]:
    """Orders that each line may mean, by amount and date or by the reference in it: numbers only.

    One statement for all lines; nothing is credited by it.
    """
    amounts = {line.amount_minor for line in lines}
    named = {line.payment_id for line in lines if line.payment_id}
    if not lines:
        return {}
    oldest = min(line.booked_on for line in lines) - timedelta(days=SUGGESTED_DAYS)
    first = datetime.combine(oldest, time.min, tzinfo=UTC)
    rows = db.session.execute(
        select(Payment.id, Payment.amount_minor, Payment.currency, Payment.created_at, Order.number)
        .join(Order, Order.id == Payment.order_id)
        .join(PaymentPart, PaymentPart.id == Payment.part_id)
        .where(
            Payment.id.in_(named)
            | (
                (Payment.gateway == transfers.KEY)
                & (Payment.status != AttemptStatus.CAPTURED)
                & (PaymentPart.status == PartStatus.DUE)
                & Payment.amount_minor.in_(amounts)
                & (Payment.created_at >= first)
            )
        )
        .order_by(Payment.id.desc())
        .limit(200)
    ).all()
    return {line.id: _meant(line, rows) for line in lines}


def _meant(line: BankStatementLine, rows: Sequence[Any]) -> list[str]:
    numbers = []
    for row in rows:
        is_named = row.id == line.payment_id
        same_money = (row.amount_minor, row.currency) == (line.amount_minor, line.currency)
        in_time = row.created_at.date() <= line.booked_on + timedelta(days=1)
        if is_named or (same_money and in_time):
            numbers.append(row.number)
    return list(dict.fromkeys(numbers))[:3]


def report_forgotten(line: BankStatementLine) -> None:
    """Money that nobody looked at in time: an incident, once for each line."""
    shown = format_minor(line.amount_minor, line.currency)
    open_incident(
        About(
            issue=f"{shown} on the bank account of {line.booked_on} still names no order",
            category=Category.PAYMENT,
            severity=Severity.HIGH,
            context={
                "amount": line.amount_minor, "currency": line.currency, "bankId": line.bank_id,
                "statementLine": line.id,
            },
        ),
        f"unmatched_line:{line.id}",
    )  # fmt: skip
