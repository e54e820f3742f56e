"""Claims, fences, retries, limits: the runner on its own, on both engines."""

import threading

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.handlers import HANDLERS, Handler, Policy
from shop.jobs.models import Job, JobStatus
from shop.providers import BreakerOpen, TryLater
from tests.jobs import kinds
from tests.jobs.test_enqueue import add, row


@pytest.fixture
def handler(app):
    """Register a local handler for this test."""
    made = []

    def register(function, **policy):
        kind = f"test.made{len(made)}"
        HANDLERS[kind] = Handler(kind, Policy(**policy), local=function)
        made.append(kind)
        return kind

    yield register
    for kind in made:
        del HANDLERS[kind]


def take_away(job_id):
    """Another worker takes the job, as after a lease that ran out."""
    with transaction() as session:
        session.execute(
            sa.update(Job)
            .where(Job.id == job_id)
            .values(worker="other", claim_number=Job.claim_number + 1)
        )


def test_a_late_commit_of_a_holder_that_lost_its_lease_changes_nothing(app, handler):
    def work(work):
        kinds.effect(work)
        db.session.flush()
        db.session.execute(
            sa.update(Job).where(Job.id == work.job_id).values(claim_number=Job.claim_number + 1)
        )

    job_id = add(handler(work))

    assert runner.run(job_id, "w")

    assert kinds.effects() == 0
    assert row(job_id).status == JobStatus.RUNNING


def test_an_outward_job_that_lost_its_lease_during_the_call_records_nothing(app, monkeypatch):
    job_id = add("test.outward", {"n": 1})
    outward = HANDLERS["test.outward"].outward
    monkeypatch.setattr(outward, "call", lambda request: take_away(job_id))

    runner.run(job_id, "w")

    assert kinds.effects() == 0
    assert row(job_id).worker == "other"


def test_a_failure_after_the_lease_was_lost_leaves_the_new_holder_alone(app, monkeypatch):
    job_id = add("test.outward", {"n": 1})

    def call(request):
        take_away(job_id)
        raise ValueError("too late")

    monkeypatch.setattr(HANDLERS["test.outward"].outward, "call", call)

    assert runner.run(job_id, "w")
    assert row(job_id).worker == "other"
    assert row(job_id).status == JobStatus.RUNNING


def test_a_job_whose_lease_ran_out_is_claimed_again_and_its_number_grows(app, run_jobs):
    job_id = add(payload={"n": 1})
    assert runner._claim(runner._CLAIM_ONE, "dead", job=job_id)
    assert run_jobs() == 0

    assert runner.release("dead") == 1

    assert run_jobs() == 1
    assert row(job_id).claim_number == 2
    assert row(job_id).attempts == 2


def test_a_released_job_of_a_graceful_stop_was_no_try(app):
    job_id = add()
    runner._claim(runner._CLAIM_ONE, "stopped", job=job_id)
    runner.release("stopped", counted=False)
    assert row(job_id).attempts == 0


def test_a_renewed_lease_holds(app):
    job_id = add()
    found = runner._claim(runner._CLAIM_ONE, "w", job=job_id)
    before = row(job_id).lease_until
    claim = runner.Claim(job_id, "w", found["claim_number"], limit=30)
    runner.held[threading.get_ident()] = claim

    runner.renew_held()

    assert row(job_id).lease_until > before


def test_a_handler_past_its_limit_is_renewed_no_more(app):
    job_id = add()
    found = runner._claim(runner._CLAIM_ONE, "w", job=job_id)
    before = row(job_id).lease_until
    runner.held[1] = runner.Claim(job_id, "w", found["claim_number"], limit=-1)

    runner.renew_held()

    assert row(job_id).lease_until == before


def test_it_is_tried_again_later_and_later(app, run_jobs):
    job_id = add("test.fail", {"how": "fault"})

    run_jobs()
    first = (row(job_id).run_at - utcnow()).total_seconds()
    run_jobs(ahead=200)
    assert row(job_id).attempts == 2
    second = (row(job_id).run_at - utcnow()).total_seconds() - 200

    assert 75 < first < 125
    assert 150 < second < 250
    assert "ValueError: a fault of ours" in row(job_id).error


def test_nothing_of_a_failed_try_is_kept(app, run_jobs):
    add("test.fail", {"how": "fault"})
    run_jobs()
    assert kinds.effects() == 0


def test_a_longer_retry_after_wins_up_to_an_hour(app, run_jobs):
    job_id = add("test.fail", {"how": "later", "retry_after": 900})
    run_jobs()
    assert 890 < (row(job_id).run_at - utcnow()).total_seconds() < 905


def test_it_gives_up_with_an_incident_in_the_same_commit(app, run_jobs):
    job_id = add("test.fail", {"how": "fault"})
    for turn in range(3):
        run_jobs(ahead=2000 * turn)

    job = row(job_id)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 3)
    incident = db.session.scalars(sa.select(Incident).where(Incident.job_id == job_id)).one()
    assert (incident.category, incident.severity) == ("api", "high")


def test_a_certain_refusal_is_not_repeated(app, run_jobs):
    job_id = add("test.fail", {"how": "refused"})
    run_jobs()
    assert row(job_id).status == JobStatus.FAILED
    assert row(job_id).attempts == 1


def test_what_follows_from_giving_up_may_fail_but_the_row_still_ends_with_its_incident(
    app, run_jobs
):
    held = HANDLERS["test.fail"]
    held.on_give_up.append(lambda work, words: 1 / 0)
    job_id = add("test.fail", {"how": "refused"})
    try:
        run_jobs(limit=1)
    finally:
        held.on_give_up.clear()

    assert row(job_id).status == JobStatus.FAILED
    assert "ZeroDivisionError" in row(job_id).error
    assert db.session.scalar(sa.select(Incident.id).where(Incident.job_id == job_id))


def test_an_open_breaker_is_no_try(app, handler, run_jobs):
    def work(work):
        raise BreakerOpen("left alone")

    job_id = add(handler(work, attempts=1))
    run_jobs()
    assert (row(job_id).status, row(job_id).attempts) == (JobStatus.QUEUED, 0)


def test_a_job_put_back_ends_in_favour_of_the_same_wish_that_is_queued(app, handler):
    def work(work):
        raise TryLater("busy")

    kind = handler(work)
    first = add(kind, key="a")
    runner._claim(runner._CLAIM_ONE, "w", job=first)
    second = add(kind, key="a")
    runner.release("w")

    runner.run(first, "w")

    assert row(first).status == JobStatus.CANCELLED
    assert row(second).status == JobStatus.QUEUED


def test_a_failed_job_is_tried_again_by_hand(app, run_jobs):
    job_id = add("test.fail", {"how": "refused"})
    run_jobs()
    with transaction():
        assert runner.retry(job_id)
    assert row(job_id).status == JobStatus.QUEUED
    with transaction():
        assert not runner.retry(job_id)


def test_a_failed_job_is_not_queued_beside_the_same_wish(app, run_jobs):
    job_id = add("test.fail", {"how": "refused"}, key="a")
    run_jobs()
    add("test.fail", {"how": "refused"}, key="a")
    with transaction():
        assert not runner.retry(job_id)


def test_a_handler_that_hangs_is_ended_at_its_limit(app, run_jobs):
    job_id = add("test.hang")
    run_jobs(limit=1)
    assert row(job_id).status == JobStatus.QUEUED
    assert "OutOfTime" in row(job_id).error
    assert kinds.effects() == 0


def test_two_threads_never_claim_the_same_job(app):
    for _ in range(40):
        add()
    taken: list[bool] = []

    def drain(name):
        with app.app_context():
            while runner.run_next(name):
                taken.append(True)

    threads = [threading.Thread(target=drain, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 40
    assert kinds.effects() == 40
