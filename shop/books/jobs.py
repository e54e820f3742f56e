"""The books, proved every hour and every day. Nothing is repaired by itself."""

from shop.books.proofs import faults
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles_outward

POLICY = Policy(limit=600, attempts=3, base=300, cap=3600, incident=("database", "medium"))


@handles_outward("books.light", POLICY)
@handles_outward("books.full", POLICY)
class Prove:
    """Light every hour (stock, statuses, counters), every line each day.

    It calls nobody outside. It has an outward handler's shape so that the reading, which may take
    minutes, happens with no writing transaction open: on SQLite that would stop the shop.
    """

    def prepare(self, work: Work) -> str:
        """Which of the two."""
        return work.kind

    def call(self, request: str) -> list[str]:
        """Read."""
        return faults(light=request == "books.light")

    def record(self, work: Work, request: str, answer: list[str]) -> None:
        """Open an incident with the rows."""
        if answer:
            _report(answer)


def _report(found: list[str]) -> None:
    open_incident(
        About(
            issue=f"The books are wrong in {len(found)} places: {found[0]}",
            category=Category.DATABASE,
            severity=Severity.CRITICAL,
            context={"faults": found[:100]},
        ),
        f"books:{found[0].split()[0]}",
    )
