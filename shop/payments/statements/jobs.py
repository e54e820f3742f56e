"""Crediting what a statement brought: one job a line, so that one strange line stops no other."""

from shop.jobs.handlers import Policy, Work, handles
from shop.payments.statements import matching


@handles(
    "payments.match_line",
    Policy(limit=30, attempts=5, base=5, cap=600, priority=0, incident=("payment", "high")),
)
def match_line(work: Work) -> None:
    """The line names one of our payments: its money is recorded."""
    matching.match_line(work.payload["line_id"])
