"""A message that cannot be processed is told of under the part of the shop that it hurts."""

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.webhooks.models import WebhookEvent, WebhookStatus


@pytest.mark.parametrize(
    ("source", "category", "severity", "who"),
    [
        ("sandbox", "payment", "high", "sandbox"),
        ("delivery/sandbox", "delivery", "medium", "sandbox"),
        ("delivery/parcel", "delivery", "medium", "parcel"),
    ],
)
def test_money_is_urgent_and_a_couriers_news_is_about_delivery(
    app, run_jobs, source, category, severity, who
):
    with transaction() as session:
        event = WebhookEvent(
            source=source, event_id="evt_9", kind="news", raw_body=b"{}", received_at=utcnow()
        )
        session.add(event)
        session.flush()
        event_id = event.id
        job_id = enqueue("webhooks.process", {"event_id": event_id})
        session.execute(sa.update(Job).where(Job.id == job_id).values(attempts=12))
    run_jobs(limit=1)

    [incident] = db.session.scalars(sa.select(Incident)).all()
    assert (incident.category, incident.severity) == (category, severity)
    assert incident.issue == f"A message of {who} could not be processed"
    assert incident.context["event"] == "evt_9"
    assert incident.job_id == job_id
    assert db.session.get_one(WebhookEvent, event_id).status == WebhookStatus.FAILED


def test_a_job_of_a_message_that_is_gone_still_gives_up(app, run_jobs):
    with transaction() as session:
        job_id = enqueue("webhooks.process", {"event_id": 99})
        session.execute(sa.update(Job).where(Job.id == job_id).values(attempts=12))
    run_jobs(limit=1)

    assert db.session.get_one(Job, job_id).status == "failed"
    assert db.session.scalar(sa.select(Incident.severity)) == "high"
