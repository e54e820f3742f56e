"""Every job that gives up opens one incident with its whole context; repeats are counted."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.incidents import handling
from shop.incidents.models import Category, Incident, IncidentStatus, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs import runner
from shop.jobs.handlers import HANDLERS, Handler, Policy, Work
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.providers import ProviderRefused
from tests import factories


@pytest.fixture
def refusing() -> Iterator[str]:
    """A kind of job that always gives up."""

    def refuse(work: Work) -> None:
        raise ProviderRefused("no such pickup location")

    policy = Policy(attempts=3, incident=("delivery", "high"))
    HANDLERS["test.refusing"] = Handler("test.refusing", policy, local=refuse)
    yield "test.refusing"
    del HANDLERS["test.refusing"]


@pytest.fixture
def give_up(app, refusing: str, run_jobs: Callable[..., int]) -> Callable[..., list[Incident]]:
    """Let a job with this payload give up; returns the incidents there are then."""

    def run(**payload: object) -> list[Incident]:
        with transaction():
            enqueue(refusing, payload)
        run_jobs()
        return list(db.session.scalars(db.select(Incident).order_by(Incident.id)))

    return run


def test_a_job_that_gives_up_opens_one_incident_with_its_policys_words(give_up):
    [incident] = give_up()
    job = db.session.scalars(db.select(Job).filter_by(kind="test.refusing")).one()
    assert job.status == JobStatus.FAILED
    assert (incident.category, incident.severity) == (Category.DELIVERY, Severity.HIGH)
    assert incident.issue == "The job test.refusing gave up"
    assert "no such pickup location" in incident.error_message
    assert "ProviderRefused" in incident.error_stack
    assert incident.job_id == job.id


def test_what_the_provider_repeats_of_people_is_kept_nowhere(app, run_jobs, refusing):
    words = "550 5.1.1 <asha@shopper.example> and To=%2B919876543210&whatsappNumber=919876543210"

    def refuse(work: Work) -> None:
        raise ProviderRefused(words)

    HANDLERS[refusing] = replace(HANDLERS[refusing], local=refuse)
    with transaction():
        open_incident(About("By hand", Category.API, Severity.LOW), "x:1", words, words)
        enqueue(refusing, {})
    run_jobs()
    job = db.session.scalars(db.select(Job).filter_by(kind=refusing)).one()
    incidents = db.session.scalars(db.select(Incident)).all()
    file = Path(app.extensions["settings"].incidents_file).read_text(encoding="utf-8")
    kept = [job.error, file]
    kept += [text for one in incidents for text in (one.error_message, one.error_stack)]
    assert len(kept) == 6
    for text in kept:
        assert "550 5.1.1" in text
        assert not re.search("asha@|9876543210", text)


def test_the_same_fault_on_the_same_thing_is_counted(give_up):
    give_up(order_id=1)
    [incident] = give_up(order_id=1)
    assert incident.repeats == 1
    assert len(give_up(order_id=2)) == 2


def test_a_fault_is_told_apart_by_what_it_is_about_and_by_nothing_that_is_new_each_time(give_up):
    give_up(mail="reset", message_id="<1@shop.example>")
    [incident] = give_up(mail="reset", message_id="<2@shop.example>")
    assert (incident.fingerprint, incident.repeats) == ("job:test.refusing:mail=reset", 1)
    give_up(alert="no_worker")
    give_up(event="order_shipped", order_id=1)
    faults = [one.fingerprint for one in give_up(event="order_confirmed", order_id=1)]
    assert faults[1:] == [
        "job:test.refusing:alert=no_worker", "job:test.refusing:event=order_shipped:order_id=1",
        "job:test.refusing:event=order_confirmed:order_id=1",
    ]  # fmt: skip


def test_once_resolved_the_same_fault_opens_another(give_up):
    [first] = give_up()
    with transaction():
        handling.resolve(first.id, "user:1")
    assert [incident.repeats for incident in give_up()] == [0, 0]


@pytest.mark.parametrize("named_by", ["order_id", "payment_id"])
def test_the_context_is_gathered_from_whatever_the_job_names(app, give_up, named_by):
    order = factories.make_order()
    payment = db.session.scalars(db.text("SELECT reference FROM payments")).one()
    payment_id = db.session.scalars(db.text("SELECT id FROM payments")).one()
    incident = give_up(**{named_by: order.id if named_by == "order_id" else payment_id})[-1]
    order = db.session.get_one(type(order), order.id)
    assert incident.order_id == order.id
    assert incident.issue == f"The job test.refusing of order {order.number} gave up"
    assert incident.context["orderId"] == order.number
    assert incident.context["paymentId"] == payment
    assert incident.context["amount"] == order.total_minor
    assert incident.context["customerEmail"] == order.email
    assert incident.context["customerPhone"] == order.phone
    assert incident.context["deliveryStage"] == order.status.value


def test_a_job_that_names_nothing_that_exists_gives_up_all_the_same(give_up):
    [incident] = give_up(order_id=999_999, payment_id=999_999, shipment_id=3, refund_id=3)
    assert "orderId" not in incident.context


def test_what_the_caller_says_wins_over_what_is_gathered(app):
    order = factories.make_order()
    with transaction():
        about = About(
            "x", Category.API, Severity.LOW, order_id=order.id, context={"deliveryStage": "label"}
        )
        open_incident(about, "x:1")
    incident = db.session.scalars(db.select(Incident)).one()
    assert incident.context["deliveryStage"] == "label"
    assert incident.context["orderId"] == order.number


def test_the_hook_stands_once_however_many_applications_there_are(app):
    from shop import create_app
    from shop.incidents.jobs import report_give_up

    create_app(
        {"SHOP_ENV": "development", "SECRET_KEY": "x" * 40, "DATABASE_URL": "sqlite:///:memory:"}
    )
    assert runner._give_up_hooks.count(report_give_up) == 1


def test_taking_on_and_resolving_are_audited_and_go_one_way(give_up):
    [incident] = give_up()
    with transaction():
        assert handling.acknowledge(incident.id, "user:1").status == IncidentStatus.ACKNOWLEDGED
    with pytest.raises(Conflict), transaction():
        handling.acknowledge(incident.id, "user:2")
    with transaction():
        assert handling.resolve(incident.id, "user:1").resolved_at
    with pytest.raises(Conflict), transaction():
        handling.resolve(incident.id, "user:1")
    with pytest.raises(NotFound), transaction():
        handling.resolve(999_999, "user:1")
    actions = db.session.execute(
        db.select(AuditEntry.action, AuditEntry.actor)
        .filter_by(subject=f"incident:{incident.id}")
        .order_by(AuditEntry.id)
    ).all()
    assert actions == [("incident.acknowledged", "user:1"), ("incident.resolved", "user:1")]
