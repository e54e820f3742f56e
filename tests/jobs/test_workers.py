"""Real worker processes, with Redis and without: killed, stopped, cut off, and nothing is lost."""

import json
import os
import signal
import subprocess
import time
import zlib

import pytest
import redis
import sqlalchemy as sa

import worker
from shop.clock import in_future, utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs import schedule
from shop.jobs.models import Job, JobStatus, ScheduleSlot, WorkerPresence
from shop.jobs.queue import enqueue
from tests.jobs import kinds
from tests.jobs.conftest import all_done, states, until
from tests.jobs.test_enqueue import add, row

pytestmark = pytest.mark.timeout(240)

PAIRS = [
    pytest.param("sqlite", "embedded"),
    pytest.param("postgresql", "redis", marks=[pytest.mark.pg, pytest.mark.redis]),
]
#: Each start of a process costs seconds: the pairs that people run.
both = pytest.mark.parametrize(("engine", "mode"), PAIRS, indirect=True)
embedded = pytest.mark.parametrize(("engine", "mode"), PAIRS[:1], indirect=True)


@pytest.fixture
def mode(request, app, configure):
    """Without Redis, or with it."""
    if request.param == "redis":
        configure(redis_url=request.getfixturevalue("redis_url"))
    return request.param


def is_running(kind="test.slow"):
    return lambda: states(kind).get("running")


def children(parent):
    found = subprocess.run(["pgrep", "-P", str(parent.pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.parametrize(
    "mode", ["embedded", pytest.param("redis", marks=pytest.mark.redis)], indirect=True
)
def test_two_processes_run_a_hundred_jobs_once_each(mode, workers):
    with transaction():
        for n in range(100):
            enqueue("test.mark", {"n": n})

    workers.start(WORKERS=2)

    until(all_done(100))
    assert kinds.effects() == 100
    names = set(db.session.scalars(sa.select(Job.worker)))
    assert len(names) == 2


@both
def test_a_new_job_is_taken_within_a_second(mode, workers):
    add()
    workers.start()
    until(all_done(1))  # it is at work, and finds nothing more
    began = time.monotonic()
    add()
    until(all_done(2))
    assert time.monotonic() - began < 1.5


@both
def test_what_a_killed_child_held_is_finished_by_its_replacement_within_seconds(mode, workers):
    add("test.slow", {"n": 1, "seconds": 60, "then": 0})
    parent = workers.start()
    until(is_running())

    os.kill(children(parent)[0], signal.SIGKILL)

    until(all_done(1))
    assert kinds.effects() == 1
    assert db.session.scalar(sa.select(Job.attempts)) == 2


@embedded
def test_the_program_itself_replaces_a_killed_child_which_gives_back_what_it_held(mode, workers):
    """As people start it: it loads the shop for itself, and again after the death. Then it is stopped."""
    parent = workers.start(program=worker.__file__)
    first = db.session.scalar(sa.select(WorkerPresence.worker))
    (killed,) = children(parent)
    with transaction() as session:
        session.add(
            Job(kind="payments.ask_due", status=JobStatus.RUNNING, worker=first, attempts=1,
                max_attempts=3, run_at=utcnow(), lease_until=in_future(hours=1))
        )  # fmt: skip

    os.kill(killed, signal.SIGKILL)

    until(all_done(1))
    assert db.session.scalar(sa.select(Job.attempts)) == 2
    assert db.session.scalar(sa.select(Job.worker)) != first
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(60) == 0
    db.session.rollback()
    assert set(db.session.scalars(sa.select(WorkerPresence.worker))) <= {first}


@both
def test_what_a_killed_machine_held_is_finished_by_another_when_the_lease_ends(mode, workers):
    add("test.slow", {"n": 1, "seconds": 60, "then": 0})
    parent = workers.start(LEASE_SECONDS=1)
    until(is_running())
    pids = [parent.pid, *children(parent)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    workers.start(LEASE_SECONDS=1, REPUSH_SECONDS=1, SWEEP_SECONDS=0.2)

    until(all_done(1))
    assert kinds.effects() == 1


@both
def test_a_worker_killed_at_any_step_leaves_a_job_that_another_finishes_once(
    mode, workers, tmp_path
):
    steps = ("prepare", "call", "record")
    places = {f"test.outward:{step}@{n}" for n, step in enumerate(steps)}
    for n in range(3):
        add("test.outward", {"n": n})
    workers.start(KILL_AT=" ".join(places), KILL_FLAGS=tmp_path)

    until(all_done(3))
    assert {flag.name for flag in tmp_path.iterdir()} == places
    assert [kinds.effects(str(n)) for n in range(3)] == [1, 1, 1]
    assert db.session.scalars(sa.select(Job.attempts)).all() == [2, 2, 2]


@both
def test_a_job_that_kills_its_worker_stops_after_its_tries_with_an_incident(mode, workers):
    job_id = add("test.deadly")
    workers.start()
    until(lambda: row(job_id).status == JobStatus.FAILED)
    assert "it ended its worker on every try" in row(job_id).error


@both
def test_sigterm_lets_the_job_in_hand_finish_and_takes_no_other(mode, workers):
    first = add("test.slow", {"seconds": 1})
    parent = workers.start()
    until(is_running())
    second = add()

    parent.send_signal(signal.SIGTERM)

    assert parent.wait(60) == 0
    assert row(first).status == JobStatus.SUCCEEDED
    assert row(second).status == JobStatus.QUEUED
    assert db.session.scalar(sa.select(WorkerPresence.id)) is None


@both
def test_a_job_longer_than_the_grace_goes_back_and_was_no_try(mode, workers):
    job_id = add("test.slow", {"seconds": 60})
    parent = workers.start(GRACE_SECONDS=0.3)
    until(is_running())

    parent.send_signal(signal.SIGTERM)

    assert parent.wait(60) == 0
    assert row(job_id).status == JobStatus.QUEUED
    assert row(job_id).attempts == 0


@both
def test_an_orphan_stops_by_itself(mode, workers):
    parent = workers.start(TTL_SECONDS=16)  # RQ waits 1 s at a time
    (child,) = children(parent)

    parent.kill()
    parent.wait()

    until(lambda: not db.session.scalar(sa.select(WorkerPresence.id)))
    until(lambda: not os.path.exists(f"/proc/{child}"))


@both
def test_three_processes_take_each_turn_of_periodic_work_once(mode, workers):
    with transaction() as session:
        session.execute(sa.delete(ScheduleSlot))
    workers.start(WORKERS=3, SLOT_SECONDS=0.1)
    until(lambda: db.session.scalar(sa.select(ScheduleSlot.id)))
    time.sleep(0.8)  # more looks at the table than one

    turns = sa.select(ScheduleSlot.task, ScheduleSlot.slot_at)
    taken = db.session.execute(turns).all()
    runs = db.session.execute(
        sa.select(Job.kind, sa.func.count())
        .where(Job.kind.in_([task.kind for task in schedule.SCHEDULE]), Job.key == "slot")
        .group_by(Job.kind)
    ).all()
    for kind, count in runs:
        assert count == sum(task == kind for task, _ in taken), kind


@pytest.mark.redis
def test_a_redis_that_is_emptied_in_mid_run_loses_nothing(
    app, configure, redis_url, redis_server, workers
):
    configure(redis_url=redis_url)
    workers.start(WORKERS=2, REPUSH_SECONDS=1, SWEEP_SECONDS=0.2)
    for n in range(30):
        add("test.slow", {"n": n, "seconds": 0.02})
        if n % 10 == 5:
            redis_server.empty()

    until(all_done(30))
    assert kinds.effects() == 30


@pytest.mark.redis
def test_a_redis_that_stops_and_comes_back_loses_nothing(app, configure, redis_to_stop, workers):
    configure(redis_url=redis_to_stop.url)
    workers.start(WORKERS=2, REPUSH_SECONDS=1, SWEEP_SECONDS=0.2)
    for n in range(10):
        add("test.slow", {"n": n, "seconds": 0.02})
    redis_to_stop.stop()
    for n in range(10, 20):
        add(payload={"n": n})
    # While nobody answers the door, the workers look into the table by themselves.
    until(all_done(20))
    redis_to_stop.start()
    for n in range(20, 30):
        add(payload={"n": n})

    until(all_done(30))
    assert kinds.effects() == 30


@pytest.mark.redis
def test_what_redis_holds_is_the_id_of_a_row_and_nothing_else(app, configure, redis_url):
    configure(redis_url=redis_url)
    job_id = add(payload={"secret": "in the table only"})

    with redis.Redis.from_url(redis_url) as connection:
        (key,) = connection.keys("rq:job:*")
        held = connection.hgetall(key)
    data = json.loads(zlib.decompress(held[b"data"]))
    assert data == ["shop.jobs.dispatcher.perform", None, [job_id], {}]
    assert not any(b"in the table only" in value for value in held.values())
