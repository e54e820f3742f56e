"""Incidents in the admin: found by filters, tried again from there, dealt with by a note."""

import pytest

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import parking, shipping
from shop.delivery.models import Parked, Shipment
from shop.extensions import db
from shop.incidents.models import Category, Incident, IncidentStatus, Severity, TicketState
from shop.incidents.opening import About, open_incident
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.locking import lock_order
from shop.webhooks.models import WebhookEvent, WebhookStatus


def make(fault="silent:1", issue="No news of parcel A1", **more):
    about = {"category": Category.DELIVERY, "severity": Severity.MEDIUM, **more}
    error = about.pop("error", "")
    with transaction():
        open_incident(About(issue, **about), fault, error)
    return db.session.scalar(db.select(Incident.id).filter_by(fingerprint=fault))


def failed_job(kind, **payload):
    with transaction():
        job_id = enqueue(kind, payload)
        job = db.session.get_one(Job, job_id)
        job.status, job.error = JobStatus.FAILED, "HTTP 500"
    return job_id


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_filter_leaves_what_it_names(staff, order_in):
    order = order_in("paid")
    make(order_id=order.id)
    make("books:I8", "The books are wrong", category=Category.DATABASE, severity=Severity.CRITICAL, error="I8 sellers")  # fmt: skip
    browser = staff("manager")

    def shown(**asked):
        text = browser.get("/admin/incidents", query_string=asked).text
        return [issue for issue in ("No news of parcel A1", "The books are wrong") if issue in text]

    assert len(shown()) == 2
    assert shown(order=order.number) == shown(order=order.number[-4:].lower()) == ["No news of parcel A1"]  # fmt: skip
    assert shown(q="sellers") == shown(q="BOOKS") == ["The books are wrong"]
    assert shown(category="database") == shown(severity="critical") == ["The books are wrong"]
    assert shown(status="resolved") == shown(q="%") == shown(order="0000") == []
    assert len(shown(status="nonsense", category="nonsense")) == 2
    assert f"order={order.number}" in browser.get(f"/admin/incidents?order={order.number}").text


def test_the_page_says_what_to_do_and_keeps_how_it_was_dealt_with(staff, run_jobs):
    incident_id = make()
    browser, page = staff("manager"), f"/admin/incidents/{incident_id}"
    assert "Ask the courier where it is." in browser.get(page).text
    note = "It lay in Pune.\n<b>Sent on.</b>"
    assert browser.send(f"{page}/resolve", {"note": note}).status_code == 303
    db.session.rollback()
    found = db.session.get_one(Incident, incident_id)
    assert (found.status, found.note) == (IncidentStatus.RESOLVED, note)
    assert "&lt;b&gt;Sent on." in browser.get(page).text
    again = make()
    with transaction():
        later = db.session.scalar(db.select(db.func.max(Incident.id)))
    assert again
    assert "It lay in Pune." in browser.get(f"/admin/incidents/{later}").text
    answer = browser.send(f"{page}/resolve", {"note": "twice"})
    assert answer.status_code == 409
    assert "twice" not in db.session.get_one(Incident, incident_id).note


def press(browser, incident_id):
    page = f"/admin/incidents/{incident_id}"
    return browser.send(f"{page}/again", {})


def test_a_job_is_retried_from_there(staff):
    job_id = failed_job("books.light")
    incident_id = make("job:books.light", job_id=job_id, category=Category.DATABASE)
    browser = staff("manager")
    assert "Retry the job" in browser.get(f"/admin/incidents/{incident_id}").text
    assert press(browser, incident_id).status_code == 303
    db.session.rollback()
    assert db.session.get_one(Job, job_id).status == JobStatus.QUEUED
    assert press(browser, incident_id).status_code == 422
    assert "/again" not in browser.get(f"/admin/incidents/{incident_id}").text


def test_a_message_is_replayed_from_there(staff):
    with transaction() as session:
        event = WebhookEvent(
            source="sandbox", event_id="evt_1", kind="payment.paid", raw_body=b"{}",
            received_at=utcnow(), status=WebhookStatus.FAILED, error="no",
        )  # fmt: skip
        session.add(event)
        session.flush()
        event_id = event.id
    incident_id = make(
        "job:webhooks.process", job_id=failed_job("webhooks.process", event_id=event_id)
    )
    browser = staff("manager")
    assert "Replay the message" in browser.get(f"/admin/incidents/{incident_id}").text
    assert press(browser, incident_id).status_code == 303
    db.session.rollback()
    assert db.session.get_one(WebhookEvent, event_id).status == WebhookStatus.RECEIVED


def test_a_parked_parcel_is_booked_again_from_there_by_who_ships(staff, order_in):
    order = order_in("paid")
    job_id = db.session.scalar(db.select(Job.id).filter_by(kind="delivery.create_shipment"))
    with transaction():
        parcel = shipping.reserve(lock_order(order.id))
        db.session.flush()
        parking.park(parcel, Parked.WALLET, job_id)
        db.session.get_one(Job, job_id).status = JobStatus.FAILED
    incident_id = make("job:delivery.create_shipment:order_id=1", order_id=order.id, job_id=job_id)
    support, packer = staff("support"), staff("fulfilment")
    assert "Book the parcel again" not in support.get(f"/admin/incidents/{incident_id}").text
    assert press(support, incident_id).status_code == 403
    assert "Book the parcel again" in packer.get(f"/admin/incidents/{incident_id}").text
    assert press(packer, incident_id).status_code == 303
    db.session.rollback()
    assert db.session.scalars(db.select(Shipment)).one().parked is None
    assert db.session.get_one(Job, job_id).status == JobStatus.QUEUED


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_may_not_run_jobs_does_not_run_them_from_there(staff, order_in):
    order = order_in("paid")
    incident_id = make(order_id=order.id, job_id=failed_job("payments.ask_due"))
    packer = staff("fulfilment")
    assert "Retry the job" not in packer.get(f"/admin/incidents/{incident_id}").text
    assert press(packer, incident_id).status_code == 403


def test_a_banner_says_that_the_tracker_does_not_take_tickets(staff, run_jobs, turn_clock):
    browser = staff("manager")
    make()
    words = "has not reached the incidents file"
    assert words not in browser.get("/admin/").text
    turn_clock(minutes=6)
    assert words in browser.get("/admin/").text
    assert words not in staff("support").get("/admin/").text
    with transaction() as session:
        session.execute(db.update(Incident).values(ticket_state=TicketState.REFUSED))
    assert words not in browser.get("/admin/").text, "that one has an incident of its own"
    with transaction() as session:
        session.execute(db.update(Incident).values(ticket_state=TicketState.NONE))
    run_jobs()
    assert words not in browser.get("/admin/").text
