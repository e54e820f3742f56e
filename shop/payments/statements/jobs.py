"""Crediting what a statement brought: one job a line, so that one strange line stops no other."""

from datetime import timedelta

from sqlalchemy import select

from shop.clock import local, utcnow
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.payments.jobs import PAGE, SWEEP
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatementLine, LineState
from shop.preferences import preference


@handles(
    "payments.match_line",
    Policy(limit=30, attempts=5, base=5, cap=600, priority=0, incident=("payment", "high")),
)
def match_line(work: Work) -> None:
    """The line names one of our payments: its money is recorded."""
    matching.match_line(work.payload["line_id"])


@handles("payments.forgotten_money", SWEEP)
def forgotten_money(work: Work) -> None:
    """The default of the desk for unmatched money: after some days it is an incident."""
    oldest = local(utcnow()).date() - timedelta(days=preference("unmatched_money_days"))
    waiting = db.session.scalars(
        select(BankStatementLine)
        .where(
            BankStatementLine.state == LineState.UNMATCHED, BankStatementLine.booked_on <= oldest
        )
        .order_by(BankStatementLine.booked_on)
        .limit(PAGE)
    )
    for line in waiting.all():
        matching.report_forgotten(line)
