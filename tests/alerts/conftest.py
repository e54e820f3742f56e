"""What the tests of alerts share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.alerts.models import Alert
from shop.database import db_now, transaction
from shop.extensions import db
from shop.jobs.models import WorkerPresence
from shop.jobs.queue import enqueue
from shop.preferences import change
from tests.simulators.receiver import Receiver


@pytest.fixture
def evaluate(app: Any, run_jobs: Callable[..., int]) -> Callable[..., dict[str, Alert]]:
    """`evaluate()` runs the minute's job and what it tells; returns the states. A worker is there."""

    def run(*, worker: bool = True, told: bool = True) -> dict[str, Alert]:
        with transaction() as session:
            session.execute(sa.delete(WorkerPresence))
            if worker:
                session.add(WorkerPresence(worker="w", seen_at=db_now()))
            enqueue("alerts.evaluate", key="slot")
        run_jobs(limit=50 if told else 1)
        return {row.key: row for row in db.session.scalars(sa.select(Alert))}

    return run


@pytest.fixture
def prefer(app: Any) -> Callable[..., None]:
    """`prefer(alert_errors=3)` sets preferences."""

    def set_all(**values: Any) -> None:
        with transaction():
            for key, value in values.items():
                change(key, str(value))

    return set_all


@pytest.fixture
def receiver(configure: Callable[..., None]) -> Iterator[Receiver]:
    """Stands where the alerts are posted."""
    held = Receiver()
    configure(alert_webhook_url=held.url + "/T000/B000/very-secret-part")
    yield held
    held.stop()
