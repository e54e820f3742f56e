"""Health, readiness, metrics, clean-up by cron."""

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import db_now, transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job, WorkerPresence
from shop.jobs.queue import enqueue
from shop.operations.by_hand import CLEAN_UP
from tests.factories import make_cart, make_order

OUTSIDE = {"REMOTE_ADDR": "203.0.113.9"}


def worker_is_seen(seconds_ago=0):
    with transaction() as session:
        session.add(WorkerPresence(worker="w", seen_at=db_now(-seconds_ago)))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_healthz_asks_nobody(client, sql_count):
    with sql_count() as told:
        answer = client.get("/healthz", base_url="http://10.0.0.7")
    assert (answer.status_code, answer.text, told) == (200, "ok", [])


def test_it_is_ready_with_a_worker(client):
    worker_is_seen()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {"database": "ok", "migrations": "ok", "worker": "ok"}


def test_it_is_not_ready_when_no_worker_was_seen_for_a_minute(client):
    worker_is_seen(seconds_ago=70)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "none seen" in answer.json["worker"]


def test_it_is_not_ready_on_an_old_database(client, monkeypatch):
    worker_is_seen()
    monkeypatch.setattr("shop.operations.watching.newest_migration", lambda: "9999")
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.redis
def test_it_asks_redis_where_there_is_one(client, configure, redis_url):
    worker_is_seen()
    configure(redis_url=redis_url)
    assert client.get("/readyz").json["redis"] == "ok"
    configure(redis_url="redis://127.0.0.1:1")
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_strangers_hear_no_reasons(client):
    answer = client.get("/readyz", environ_overrides=OUTSIDE)
    assert answer.text == "not ready"
    passed_on = client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
    assert passed_on.text == "not ready"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_metrics_are_for_insiders(client, configure):
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_overrides=OUTSIDE).status_code == 403

    configure(metrics_token="let me in")
    assert client.get("/metrics").status_code == 403
    bearer = {"Authorization": "Bearer let me in"}
    assert client.get("/metrics", environ_overrides=OUTSIDE, headers=bearer).status_code == 200


def test_metrics_count_requests_jobs_and_orders(client):
    make_order()
    with transaction():
        enqueue("retention.run")
    client.get("/healthz")

    text = client.get("/metrics").text

    assert 'shop_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert 'shop_jobs{kind="retention.run",status="queued"} 1.0' in text
    assert 'shop_job_oldest_seconds{kind="retention.run",status="queued"}' in text
    assert 'shop_orders{status="pending_payment"} 1.0' in text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_clean_up_by_cron_needs_its_secret(client, configure):
    assert client.get("/api/cron/cleanup").status_code == 404
    configure(cron_secret="tick")
    assert client.get("/api/cron/cleanup").status_code == 403
    wrong = {"Authorization": "Bearer tock"}
    assert client.get("/api/cron/cleanup", headers=wrong).status_code == 403


def test_the_clean_up_by_cron_runs_now(client, configure):
    configure(cron_secret="tick")
    answer = client.get("/api/cron/cleanup", headers={"Authorization": "Bearer tick"})
    assert answer.json == dict.fromkeys(CLEAN_UP, "succeeded")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_weaknesses_have_an_address(client):
    answer = client.get("/.well-known/security.txt")
    assert answer.text.startswith("Contact: mailto:")
    assert "Expires: " in answer.text


@pytest.mark.forces("jobs_overdue")
def test_work_that_waits_too_long_opens_one_incident(app, run_jobs):
    with transaction():
        enqueue("retention.run")
    with transaction() as session:
        session.execute(sa.update(Job).values(run_at=utcnow().replace(year=2020)))
    for _ in range(2):
        with transaction():
            enqueue("jobs.overdue")
        with transaction() as session:
            session.execute(sa.update(Job).where(Job.kind == "retention.run").values(priority=50))
        run_jobs(limit=1)

    incident = db.session.scalars(sa.select(Incident)).one()
    assert incident.issue == "1 jobs have been waiting for more than a minute"
    assert incident.repeats == 1


def test_old_things_are_forgotten_and_new_ones_kept(app, run_jobs, turn_clock):
    old = make_cart().id
    with transaction():
        enqueue("jobs.overdue")
    run_jobs()
    turn_clock(days=31)
    new = make_cart().id
    with transaction():
        enqueue("retention.run")

    run_jobs()

    from shop.cart.models import Cart

    assert db.session.scalars(sa.select(Cart.id)).all() == [new]
    assert old != new
    assert "jobs.overdue" not in db.session.scalars(sa.select(Job.kind)).all()
