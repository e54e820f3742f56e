"""The books, proved every hour and every day. Nothing is repaired by itself."""

from shop.books.proofs import faults
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles

POLICY = Policy(limit=600, attempts=3, base=300, cap=3600, incident=("database", "medium"))


@handles("books.light", POLICY)
def prove_light(work: Work) -> None:
    """Stock, statuses and counters, every hour."""
    _report(faults(light=True))


@handles("books.full", POLICY)
def prove_full(work: Work) -> None:
    """Every line, every day."""
    _report(faults())


def _report(found: list[str]) -> None:
    if not found:
        return
    open_incident(
        About(
            issue=f"The books are wrong in {len(found)} places: {found[0]}",
            category=Category.DATABASE,
            severity=Severity.CRITICAL,
            context={"faults": found[:100]},
        ),
        f"books:{found[0].split()[0]}",
    )
