"""A change and the jobs it causes commit together or not at all (I21); keys fold queued jobs only."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs import queue, runner, schedule
from shop.jobs.handlers import HANDLERS
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import cancel, enqueue
from tests.jobs import kinds


def add(kind="test.mark", payload=None, **more):
    with transaction():
        return enqueue(kind, payload or {}, **more)


def row(job_id):
    # What was read before belongs to an older view of the database.
    db.session.rollback()
    return db.session.get_one(Job, job_id, populate_existing=True)


def test_a_job_whose_change_is_rolled_back_never_was(app, run_jobs):
    with pytest.raises(ValueError, match="after"), transaction():
        enqueue("test.mark")
        raise ValueError("after")

    assert run_jobs() == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0


def test_a_job_runs_once_and_is_done(app, run_jobs):
    job_id = add(payload={"n": 1})

    assert run_jobs() == 1
    assert row(job_id).status == JobStatus.SUCCEEDED
    assert kinds.effects("1") == 1
    assert run_jobs() == 0


def test_a_job_waits_for_its_time(app, run_jobs):
    add(run_at=utcnow() + timedelta(minutes=5))

    assert run_jobs() == 0
    assert run_jobs(ahead=301) == 1


def test_the_same_wish_is_folded_into_the_queued_one(app):
    first = add(key="a")

    assert add(key="a") is None
    assert add(key="b") != first
    assert add("test.fail", {"how": "later"}, key="a") is not None


def test_a_running_job_does_not_swallow_a_new_wish(app):
    first = add(key="a")
    assert runner._claim(runner._CLAIM_ONE, "w", job=first)

    assert add(key="a") is not None


def test_a_collision_leaves_the_callers_transaction_whole(app):
    add(key="a")
    with transaction():
        assert enqueue("test.mark", key="a") is None
        assert enqueue("test.mark", key="c") is not None


def test_what_matters_more_runs_first(app, run_jobs):
    mail = add()
    with transaction() as session:
        session.execute(sa.update(Job).values(priority=20))
    money = add()

    run_jobs(limit=1)

    assert row(money).status == JobStatus.SUCCEEDED
    assert row(mail).status == JobStatus.QUEUED


def test_a_queued_job_can_be_taken_out(app, run_jobs):
    job_id = add()
    with transaction():
        assert cancel(job_id)

    assert run_jobs() == 0
    assert row(job_id).status == JobStatus.CANCELLED


def test_a_kind_that_nobody_handles_ends_with_an_incident(app, run_jobs):
    job_id = add()
    with transaction() as session:
        session.execute(sa.update(Job).values(kind="of.long.ago"))

    run_jobs(limit=1)

    assert row(job_id).status == JobStatus.FAILED
    assert "nobody handles of.long.ago" in row(job_id).error


def test_every_periodic_task_has_a_handler_and_no_two_share_a_kind():
    planned = [task.kind for task in schedule.SCHEDULE]
    assert len(planned) == len(set(planned))
    assert set(planned) <= set(HANDLERS)


def test_each_turn_of_periodic_work_is_taken_once(app):
    assert schedule.tick()
    schedule._taken.clear()
    assert schedule.tick() == []


def test_the_next_turn_comes(app, turn_clock):
    schedule.tick()
    turn_clock(seconds=61)
    assert "payments.ask_due" in schedule.tick()


def test_a_redis_that_is_away_costs_nothing_but_a_log_line(app, configure):
    configure(redis_url="unix:///nowhere/redis.sock")
    assert add() is not None
    assert queue.push_waiting() == 0  # it was pushed just now; the sweep asks again after 30 s
