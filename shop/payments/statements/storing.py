"""Keeping a statement's lines once, however often and in whatever overlapping files they come."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import insert, select

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.payments.models import PaymentAlias
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.payments.statements.rows import StatementFile, StatementRow

AT_ONCE = 400
GOES_OUT = "Money going out"
SAME_ID = "Another booking has the same bank id: look whether it is the same money"


def keep_statement(file: StatementFile, name: str, data: bytes, actor: str) -> BankStatement:
    """Store a file's new lines in the caller's transaction; a job credits each that names a payment."""
    statement = BankStatement(
        name=name[:120], digest=hashlib.sha256(data).hexdigest(), form=file.form, actor=actor,
        faults=[asdict(fault) for fault in file.faults],
    )  # fmt: skip
    db.session.add(statement)
    db.session.flush()
    fresh = _new_lines(file.rows)
    named = _payments_named(row for row, _key, _odd in fresh)
    _insert(statement, fresh, named)
    statement.new_lines = len(fresh)
    statement.known_lines = len(file.rows) - len(fresh)
    audit.write(
        actor, "statement.imported", f"statement:{statement.id}", None,
        {
            "file": statement.name, "sha256": statement.digest, "new": len(fresh),
            "known": statement.known_lines, "unreadable": len(file.faults),
        },
    )  # fmt: skip
    to_match = select(BankStatementLine.id).where(
        BankStatementLine.statement_id == statement.id,
        BankStatementLine.state == LineState.UNMATCHED,
        BankStatementLine.payment_id.is_not(None),
        BankStatementLine.remark == "",
    )
    for line_id in db.session.scalars(to_match.order_by(BankStatementLine.id)):
        enqueue("payments.match_line", {"line_id": line_id}, key=str(line_id))
    return statement


def id_key(bank_id: str, occurrence: int = 1) -> str:
    """What makes two bookings the same where the bank gives an id."""
    return _hashed("id", bank_id, str(occurrence))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _contents(row: StatementRow) -> tuple[str, ...]:
    return (
        row.account, row.booked_on.isoformat(), str(row.amount_minor), row.currency,
        "".join(row.text.split()).casefold(),
    )  # fmt: skip


def _new_lines(rows: Sequence[StatementRow]) -> list[tuple[StatementRow, str, str]]:
    """The rows that are not stored yet, each with its key and a remark where it is odd.

    With a bank's id: known when that id is known with the same money on the same account; with
    other money it is kept and shown to a person, never dropped. Two bookings of one file are two,
    the second with the same id waits for a person. Without an id: account, date, amount, text, and
    which of several alike it is.
    """
    fresh: list[tuple[StatementRow, str, str]] = []
    seen: Counter[tuple[str, ...]] = Counter()
    numbered = []
    for row in rows:
        same = ("id", row.bank_id) if row.bank_id else _contents(row)
        seen[same] += 1
        numbered.append((row, seen[same]))
    known = _known(_keys(row, number) for row, number in numbered)
    for row, number in numbered:
        odd = SAME_ID if row.bank_id and number > 1 else ""
        for key in _keys(row, number):
            if key not in known:
                fresh.append((row, key, odd))
                known[key] = (row.account, row.amount_minor, row.currency)
                break
            if _is_same(known[key], row):
                break
            odd = SAME_ID
    return fresh


def _keys(row: StatementRow, number: int) -> list[str]:
    """The keys under which the row may stand, the plainest first; the last is its whole contents."""
    contents = _hashed("contents", *_contents(row), row.bank_id or "", str(number))
    if not row.bank_id:
        return [contents]
    on_account = _hashed("account id", row.account, row.bank_id, str(number))
    return [id_key(row.bank_id, number), on_account, contents]


def _is_same(known: tuple[str, int, str], row: StatementRow) -> bool:
    account, amount_minor, currency = known
    same_account = account == row.account or not account or not row.account
    return same_account and (amount_minor, currency) == (row.amount_minor, row.currency)


def _known(keys: Iterable[list[str]]) -> dict[str, tuple[str, int, str]]:
    """Which of these keys are stored, with account and money of the line that has each."""
    wanted = [key for some in keys for key in some]
    line = BankStatementLine
    found: dict[str, tuple[str, int, str]] = {}
    for start in range(0, len(wanted), AT_ONCE):
        rows = db.session.execute(
            select(line.sameness, line.account, line.amount_minor, line.currency).where(
                line.sameness.in_(wanted[start : start + AT_ONCE])
            )
        )
        found |= {row.sameness: (row.account, row.amount_minor, row.currency) for row in rows}
    return found


def _payments_named(rows: Iterable[StatementRow]) -> dict[str, int]:
    """The references in these texts that are ours, with the attempt that each names."""
    wanted = list({found for row in rows for found in row.references})
    named: dict[str, int] = {}
    for start in range(0, len(wanted), AT_ONCE):
        found = db.session.execute(
            select(PaymentAlias.alias, PaymentAlias.payment_id).where(
                PaymentAlias.gateway == "bank_transfer",
                PaymentAlias.alias.in_(wanted[start : start + AT_ONCE]),
            )
        )
        named |= {row.alias: row.payment_id for row in found}
    return named


def _insert(
    statement: BankStatement,
    fresh: Sequence[tuple[StatementRow, str, str]],
    named: dict[str, int],
) -> None:
    values = [_values(statement, row, key, odd, named) for row, key, odd in fresh]
    for start in range(0, len(values), AT_ONCE):
        db.session.execute(insert(BankStatementLine), values[start : start + AT_ONCE])


def _values(
    statement: BankStatement, row: StatementRow, key: str, odd: str, named: dict[str, int]
) -> dict[str, object]:
    ours = [found for found in row.references if found in named]
    # Two references in one text: which order is meant, a person says.
    reference = ours[0] if len(ours) == 1 else None
    goes_out = row.amount_minor <= 0
    return {
        "statement_id": statement.id, "file_line": row.line, "account": row.account,
        "bank_id": row.bank_id, "booked_on": row.booked_on, "amount_minor": row.amount_minor,
        "currency": row.currency, "text": row.text, "sameness": key,
        "reference": reference, "payment_id": named[reference] if reference else None,
        "state": LineState.IGNORED if goes_out else LineState.UNMATCHED,
        "remark": GOES_OUT if goes_out else odd,
        "decided_by": "system" if goes_out else None, "decided_at": utcnow() if goes_out else None,
    }  # fmt: skip
