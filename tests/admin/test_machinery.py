"""Jobs, webhooks and incidents: seen without private data, tried again by hand, all of it audited."""

import json

import pytest

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Category, Incident, IncidentStatus, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus
from tests.factories import make_order

BODY = {
    "event": "payment.captured",
    "payment": {
        "id": "pay_1",
        "amount": 100,
        "email": "x@y.example",
        "contact": "+919812345678",
        "notes": ["mail x@y.example"],
    },
    "token": "tok_secret",
}


@pytest.fixture
def job(app):
    with transaction() as session:
        made = Job(
            kind="messaging.tell", key="7", payload={"notification_id": 7, "email": "x@y.example"}, run_at=utcnow(),
            status=JobStatus.FAILED, attempts=8, max_attempts=8, error="TryLater: <b>x@y.example</b> is away\nTraceback",
        )  # fmt: skip
        session.add(made)
    open_for(made)
    return made


def open_for(job):
    with transaction():
        about = About(
            "A job failed for good",
            Category.API,
            Severity.HIGH,
            job_id=job.id,
            context={"jobId": job.id, "customerEmail": "x@y.example"},
        )
        open_incident(about, f"job:{job.id}", "TryLater", "stack")


def event(kind="payment.captured", status=WebhookStatus.FAILED, body=BODY, **more):
    with transaction() as session:
        made = WebhookEvent(
            source="sandbox", event_id=f"evt_{kind}", kind=kind, raw_body=json.dumps(body).encode(), received_at=utcnow(),
            status=status, headers={"Content-Type": "application/json"}, **more,
        )  # fmt: skip
        session.add(made)
    return made


def audited(action):
    db.session.rollback()
    return db.session.scalars(db.select(AuditEntry.subject).filter_by(action=action)).all()


def test_a_dead_job_is_shown_with_its_error_and_tried_again(job, staff):
    browser = staff("manager")
    shown = browser.get("/admin/jobs?status=failed").text
    assert "Given up after 8 tries" in shown
    assert "&lt;b&gt;[redacted]" in shown
    assert "x@y.example" not in shown
    assert "notification_id" in shown
    answer = browser.send(f"/admin/jobs/{job.id}/retry", {})
    assert answer.status_code == 303
    db.session.rollback()
    assert db.session.get(Job, job.id).status == "queued"
    assert audited("job.retried") == [f"job:{job.id}"]
    again = browser.send(f"/admin/jobs/{job.id}/retry", {})
    assert again.status_code == 422


def test_a_waiting_job_is_cancelled_once(app, staff):
    with transaction():
        job_id = enqueue("delivery.create_shipment", {"order_id": 1})
    browser = staff("owner")
    page = f"/admin/jobs/{job_id}"
    assert browser.send(f"{page}/cancel", {}).status_code == 303
    assert browser.send(f"{page}/cancel", {}).status_code == 422
    assert audited("job.cancelled") == [f"job:{job_id}"]


def test_all_dead_jobs_are_queued_at_once(job, staff):
    answer = staff("manager").send("/admin/jobs/retry-dead", {}, follow_redirects=True)
    assert "1 jobs are queued again" in answer.text
    db.session.rollback()
    assert db.session.get(Job, job.id).status == "queued"


def test_jobs_are_found_by_kind_state_and_payload(job, staff):
    with transaction():
        enqueue("delivery.create_shipment", {"order_id": 1})
    browser = staff("manager")
    assert (
        "messaging.tell</code>" not in browser.get("/admin/jobs?kind=delivery.create_shipment").text
    )
    assert "No job failed" not in browser.get("/admin/jobs?status=failed").text
    found = browser.get("/admin/jobs", query_string={"q": str(job.id)}).text
    assert f"/admin/jobs/{job.id}?q=" in found
    assert browser.get("/admin/jobs/999999").status_code == 404


def test_the_figures_are_polled_and_count_what_there_is(job, staff, turn_clock):
    turn_clock(utcnow().replace(second=1))
    event()
    with transaction() as session:
        session.add(
            WebhookRefusal(
                source="sandbox",
                hour_at=utcnow().replace(minute=0, second=0, microsecond=0),
                count=3,
            )
        )
    browser = staff("manager")
    shown = browser.get("/admin/jobs/health", headers={"HX-Request": "true"}).text
    assert "<html" not in shown
    assert "3 refused, 24 h" in shown
    first = browser.get("/admin/jobs/health", headers={"HX-Request": "true"})
    again = {"HX-Request": "true", "If-None-Match": first.headers["ETag"]}
    assert browser.get("/admin/jobs/health", headers=again).status_code == 304
    assert "need a person" in shown
    assert "had no valid signature" in browser.get("/admin/webhooks").text
    assert "payments.ask_due" in browser.get("/admin/jobs/schedule").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_payload_is_shown_without_what_is_private(staff):
    made = event(repeats=1)
    shown = staff("manager").get(f"/admin/webhooks/{made.id}").text
    assert "pay_1" in shown
    assert "[redacted]" in shown
    for private in ("x@y.example", "+919812345678", "tok_secret"):
        assert private not in shown
    assert "Received 2 times, stored once" in shown


def test_replaying_processes_again_and_is_audited(staff):
    made = event()
    browser = staff("manager")
    page = f"/admin/webhooks/{made.id}"
    answer = browser.send(f"{page}/replay", {}, follow_redirects=True)
    assert "Replaying evt_payment.captured" in answer.text
    db.session.rollback()
    assert db.session.get(WebhookEvent, made.id).status == "received"
    assert db.session.scalar(db.select(Job.key).filter_by(kind="webhooks.process")) == str(made.id)
    assert audited("webhook.replayed") == ["webhook:sandbox:evt_payment.captured"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_could_not_be_read_is_inspected_only(staff):
    made = event(kind="unreadable")
    browser = staff("manager")
    page = f"/admin/webhooks/{made.id}"
    assert "/replay" not in browser.get(page).text.split('id="event"')[1]
    assert browser.send(f"{page}/replay", {}).status_code == 422
    assert browser.send("/admin/webhooks/replay-failed", {}).status_code == 422


def test_all_failed_messages_are_replayed_at_once(staff):
    event("a")
    event("b")
    event("c", WebhookStatus.IGNORED)
    answer = staff("owner").send("/admin/webhooks/replay-failed", {}, follow_redirects=True)
    assert "Replaying 2 failed" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_machinery_is_the_managers(job, staff):
    for role in ("support", "fulfilment"):
        browser = staff(role)
        for page in ("/admin/jobs", "/admin/webhooks", "/admin/settings"):
            assert browser.get(page).status_code == 403, (role, page)
        assert browser.send(f"/admin/jobs/{job.id}/retry", {}).status_code == 403, role


def test_an_incident_is_taken_on_and_dealt_with(job, staff):
    incident_id = db.session.scalar(db.select(Incident.id))
    browser = staff("manager")
    page = f"/admin/incidents/{incident_id}"
    shown = browser.get(page).text
    assert "A job failed for good" in shown
    assert "x@y.example" not in shown
    assert "Retry the job" in shown
    assert browser.send(f"{page}/acknowledge", {}).status_code == 303
    assert browser.send(f"{page}/acknowledge", {}).status_code == 409
    assert browser.send(f"{page}/resolve", {}).status_code == 303
    db.session.rollback()
    assert db.session.get(Incident, incident_id).status == IncidentStatus.RESOLVED
    assert "Nothing to deal with" in browser.get("/admin/incidents").text
    assert "A job failed for good" in browser.get("/admin/incidents?status=resolved").text


def test_incidents_are_filtered_and_shown_to_whom_they_concern(job, staff):
    order = make_order(lines=1)
    with transaction():
        open_incident(
            About("Parcel silent", Category.DELIVERY, Severity.MEDIUM, order_id=order.id),
            "silent:1",
        )
    manager, packer, support = staff("manager"), staff("fulfilment"), staff("support")
    assert "Parcel silent" not in manager.get("/admin/incidents?category=api").text
    assert "A job failed" not in manager.get("/admin/incidents?severity=medium").text
    for browser in (packer, support):
        shown = browser.get("/admin/incidents").text
        assert "Parcel silent" in shown
        assert "A job failed" not in shown
        hidden = db.session.scalar(db.select(Incident.id).filter_by(category="api"))
        assert browser.get(f"/admin/incidents/{hidden}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_job_is_retried_from_its_incident(job, staff):
    incident_id = db.session.scalar(db.select(Incident.id))
    page = f"/admin/incidents/{incident_id}"
    answer = staff("manager").send(f"/admin/jobs/{job.id}/retry", {"incident": incident_id})
    assert answer.headers["Location"].endswith(page)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_statements_of_lists_do_not_grow(job, staff, sql_count):
    browser = staff("manager")
    event("first")

    def statements(page):
        with sql_count() as told:
            assert browser.get(page).status_code == 200
        return len(told)

    pages = ("/admin/jobs", "/admin/webhooks", "/admin/incidents", "/admin/audit", "/admin/")
    few = {page: statements(page) for page in pages}
    for number in range(6):
        event(f"more.{number}")
        with transaction():
            open_incident(About("More", Category.API, Severity.LOW), f"more:{number}")
    assert {page: statements(page) for page in pages} == few
    assert max(few.values()) <= 12
