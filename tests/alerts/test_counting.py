"""Unforeseen errors are counted once each, over all processes, and never make things worse."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from shop.alerts import counting
from shop.alerts.models import ErrorCount
from shop.database import transaction
from shop.errors import Conflict
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater


@pytest.fixture(autouse=True)
def nothing_waits():
    counting._waiting.clear()
    yield
    counting._waiting.clear()


def counted():
    db.session.rollback()
    query = sa.select(ErrorCount.source, sa.func.sum(ErrorCount.count)).group_by(ErrorCount.source)
    return {source: int(number) for source, number in db.session.execute(query)}


def status_of(answer):
    """The answer is closed, as a server does once it has left."""
    answer.close()
    return answer.status_code


def broken(*_arguments):
    raise ZeroDivisionError("unforeseen")


def test_answers_with_status_500_are_counted_and_no_others(client, app, monkeypatch):
    assert status_of(client.get("/nowhere")) == 404
    assert status_of(client.get("/")) == 200
    assert counted() == {}
    monkeypatch.setitem(app.view_functions, "operations.healthz", broken)
    for _ in range(3):
        assert status_of(client.get("/healthz")) == 500
    assert counted() == {"web": 3}


def test_a_jobs_exception_is_counted_unless_a_provider_a_refusal_or_a_lock_made_it(app):
    for foreseen in (ProviderRefused(), TryLater(), OutcomeUnknown(), Conflict()):
        counting.count_job(foreseen)
    counting.count_job(OperationalError("…", {}, Exception("database is locked")))
    assert counted() == {}
    counting.count_job(ZeroDivisionError())
    assert counted() == {"job": 1}


def test_the_runner_tells_of_every_try_that_ended_so(app, run_jobs, monkeypatch):
    monkeypatch.setattr("shop.operations.watching.in_future", broken)
    with transaction():
        enqueue("jobs.overdue")
    run_jobs()
    assert counted() == {"job": 1}


def test_without_a_database_the_count_waits_and_the_failure_is_not_counted(
    client, app, monkeypatch
):
    monkeypatch.setitem(app.view_functions, "operations.healthz", broken)
    with monkeypatch.context() as away:
        away.setattr(counting, "transaction", no_database)
        assert status_of(client.get("/healthz")) == 500
        assert status_of(client.get("/healthz")) == 500
    assert counted() == {}
    assert sum(counting._waiting.values()) == 2

    assert status_of(client.get("/healthz")) == 500
    assert counted() == {"web": 3}
    assert not counting._waiting


def no_database():
    raise OperationalError("BEGIN", {}, Exception("the connection is lost"))


def test_what_waits_in_memory_is_bounded(turn_clock):
    for _ in range(counting.MOST_WAITING + 5):
        turn_clock(minutes=1)
        counting.note("web")
    assert len(counting._waiting) == counting.MOST_WAITING
