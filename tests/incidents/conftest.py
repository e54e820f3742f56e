"""Incidents, and a Jira to tell of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shop import providers
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from tests.orders.scenes import order_in
from tests.simulators import jira as simulator

__all__ = ["jira", "opened", "order_in", "site"]


@pytest.fixture
def opened(app: Any) -> Callable[..., Incident]:
    """`opened("x:1", severity=…)` opens an incident or counts it; returns the newest of that fault."""

    def make(
        fault: str = "x:1", issue: str = "The courier said no", *,
        severity: Severity = Severity.HIGH, error: str = "", stack: str = "",
        order_id: int | None = None, **context: Any,
    ) -> Incident:  # fmt: skip
        with transaction():
            about = About(issue, Category.DELIVERY, severity, order_id, context=context)
            open_incident(about, fault, error, stack)
        db.session.expire_all()
        found = db.select(Incident).filter_by(fingerprint=fault).order_by(Incident.id.desc())
        return db.session.scalars(found).first()

    return make


@pytest.fixture(scope="module")
def site() -> Iterator[simulator.Jira]:
    """One server for a file's tests."""
    made = simulator.Jira()
    yield made
    made.stop()


@pytest.fixture
def jira(site: simulator.Jira, configure: Callable[..., None]) -> Iterator[simulator.Jira]:
    """An empty Jira, which the shop of this test files its tickets at."""
    site.issues, site.comments, site._unseen = {}, {}, {}
    site.requests, site.faults = [], []
    site.lag, site.takes_priority, site.token = 1, True, simulator.TOKEN
    site.transitions = simulator.TRANSITIONS
    providers.reset_lines()
    configure(
        ticket_tracker="jira", jira_url=site.url, jira_email=simulator.EMAIL,
        jira_api_token=simulator.TOKEN, jira_project=simulator.PROJECT,
    )  # fmt: skip
    yield site
    providers.reset_lines()
