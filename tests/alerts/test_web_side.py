"""No worker can tell that there is none: a web process notices, and tells once for all of them."""

import time

import pytest
import sqlalchemy as sa

from shop.alerts import web_side
from shop.alerts.models import Alert, AlertState
from shop.alerts.web_side import Lookout
from shop.database import db_now, transaction
from shop.extensions import db
from shop.incidents.models import Incident, Severity
from shop.jobs.models import Job, ScheduleSlot, WorkerPresence
from shop.jobs.queue import enqueue


@pytest.fixture
def lookout(app):
    """A look-out that has missed the workers for long enough, in place of the sleeping one."""
    held = Lookout()
    held.missing_since = time.monotonic() - 120
    asleep, app.extensions["lookout"] = app.extensions["lookout"], held
    yield held
    app.extensions["lookout"] = asleep


def no_worker():
    db.session.rollback()
    return db.session.scalar(sa.select(Alert).filter_by(key="no_worker"))


def worker_is_seen():
    with transaction() as session:
        session.add(WorkerPresence(worker="w", seen_at=db_now()))


@pytest.mark.forces("no_worker")
def test_it_is_told_straight_by_the_web_process_and_opens_an_incident(
    app, lookout, smtp_server, receiver
):
    web_side.look(app)
    assert no_worker().state == AlertState.FIRING
    assert [str(mail["subject"]) for mail in smtp_server.messages] == ["Alert: no worker is seen"]
    assert len(receiver.taken) == 1
    incident = db.session.scalars(sa.select(Incident)).one()
    assert (incident.fingerprint, incident.severity) == ("no_worker", Severity.HIGH)


def test_many_processes_tell_once(app, lookout, smtp_server):
    for _ in range(3):
        web_side.look(app)
    assert len(smtp_server.messages) == 1
    slots = sa.select(sa.func.count()).select_from(ScheduleSlot).filter_by(task=web_side.SLOT)
    # Two, should a minute have ended meanwhile.
    assert db.session.scalar(slots) in {1, 2}


def test_a_mail_server_that_is_away_is_asked_again_by_the_next_look(
    app, lookout, smtp_server, turn_clock
):
    smtp_server.refuse_with = "451 busy"
    web_side.look(app)
    smtp_server.refuse_with = None
    # The server is given its quarter of an hour first.
    turn_clock(minutes=20)
    web_side.look(app)
    assert len(smtp_server.messages) == 1


def test_a_worker_that_was_seen_or_missed_for_a_moment_is_no_alarm(app, lookout):
    worker_is_seen()
    web_side.look(app)
    assert no_worker() is None
    assert lookout.missing_since is None
    with transaction() as session:
        session.execute(sa.delete(WorkerPresence))
    web_side.look(app)
    assert no_worker() is None
    assert lookout.missing_since is not None


def test_when_the_workers_are_back_it_is_over_and_overdue_work_is_no_second_alarm(
    app, lookout, smtp_server, evaluate, run_jobs
):
    with transaction():
        late = enqueue("retention.run")
    with transaction() as session:
        session.execute(sa.update(Job).values(run_at=db_now(-600), priority=50))
    assert late
    web_side.look(app)
    with transaction():
        enqueue("jobs.overdue")
    run_jobs(limit=1)
    evaluate()
    assert no_worker().state == AlertState.QUIET
    assert [str(mail["subject"]) for mail in smtp_server.messages] == [
        "Alert: no worker is seen", "Over: no worker is seen",
    ]  # fmt: skip
    assert db.session.scalars(sa.select(Incident.fingerprint)).all() == ["no_worker"]


def test_after_an_outage_of_the_database_the_worker_that_measures_is_no_missing_one(app, evaluate):
    evaluate(worker=False)
    assert no_worker().state == AlertState.QUIET


def test_any_request_is_the_occasion_to_look_but_once_a_minute(app, client, lookout, monkeypatch):
    looked = []
    monkeypatch.setattr(web_side, "look", looked.append)
    client.get("/healthz")
    assert looked == []
    lookout.next_look = time.monotonic()
    for _ in range(3):
        client.get("/healthz")
    until = time.monotonic() + 2
    while not looked and time.monotonic() < until:
        time.sleep(0.01)
    assert looked == [app]


def test_a_database_that_is_away_is_only_logged(app, lookout, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away():
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(web_side, "is_worker_seen", away)
    web_side.look(app)
    assert no_worker() is None
    assert lookout.missing_since is None, "no worker can say that it lives while it is away"
