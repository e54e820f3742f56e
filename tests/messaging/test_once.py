"""Mails to accounts and staff, alerts and tests: each handed over once, and at most once more."""

import re

import pytest

from shop.accounts import links
from shop.accounts.models import LinkPurpose, User
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification, NotificationStatus
from shop.preferences import change
from shop.providers import reset_lines
from tests import factories
from tests.simulators import twilio as stand_in

EMAIL = "asha@shopper.example"


def person():
    with transaction() as session:
        found = User(email=EMAIL, name="Asha", phone="+919812345678", password_hash="x")
        session.add(found)
        session.flush()
        return found.id


def account_mail():
    person()
    return "messaging.account_mail", {"mail": "password_reset", "email": EMAIL}


def staff_mail():
    with transaction():
        open_incident(About("No news", Category.DELIVERY, Severity.LOW), "silent:1")
    incident_id = db.session.scalar(db.select(Incident.id))
    return "messaging.staff_mail", {"mail": "incident", "incident_id": incident_id}


def alert():
    now = utcnow().isoformat()
    return "alerts.mail", {
        "alert": "low_stock", "what": "began", "value": 3, "sample": 3, "threshold": 1, "at": now,
        "since": now,
    }  # fmt: skip


def trial(channel="email"):
    order = factories.make_order(lines=1)
    return "messaging.try_out", {
        "template": "order_confirmed", "channel": channel, "language": "en", "kind": "order",
        "id": order.id, "context": {}, "user_id": person(),
    }  # fmt: skip


def ask(make):
    """Only this job is left to be run."""
    kind, payload = make()
    with transaction() as session:
        session.execute(db.delete(Job))
        return enqueue(kind, payload)


def the_row():
    db.session.rollback()
    found = db.select(Notification).where(Notification.order_id.is_(None))
    return db.session.scalars(found).one()


def message_ids(server):
    return {re.search(rb"Message-ID: (\S+)", one.content)[1] for one in server.taken}


#: All write the same row in the same way: one of them does on both engines.
each_mail = pytest.mark.parametrize(
    ("engine", "make"),
    [
        *(("sqlite", make) for make in (account_mail, staff_mail, alert, trial)),
        pytest.param("postgresql", account_mail, marks=pytest.mark.pg),
    ],
    indirect=["engine"],
)


@each_mail
def test_a_mail_of_which_nobody_knows_goes_once_more_under_the_same_id(
    app, start_server, run_jobs, make
):
    server = start_server()
    ask(make)
    for hours in range(4):
        server.cut_after_message = True
        reset_lines()
        run_jobs(ahead=hours * 3_600)
    assert len(server.taken) == 2
    [message_id] = message_ids(server)
    row = the_row()
    assert (row.status, row.message_id) == (NotificationStatus.UNCERTAIN, message_id.decode())
    assert row.body_text is None


@each_mail
def test_a_mail_that_was_certainly_refused_goes_when_its_job_is_tried_again(
    app, start_server, run_jobs, make
):
    server = start_server()
    server.rcpt = ["550 5.7.1 no", "450 4.2.0 later"]
    job_id = ask(make)
    run_jobs()
    assert the_row().status == NotificationStatus.FAILED
    assert db.session.get_one(Job, job_id).status == JobStatus.FAILED
    with transaction():
        assert runner.retry(job_id)
    run_jobs()
    run_jobs(ahead=1_000)
    assert len(server.taken) == 1
    assert the_row().status == NotificationStatus.SENT


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_both_links_of_a_mail_that_may_have_come_twice_are_good(app, start_server, run_jobs):
    server = start_server()
    server.cut_after_message = True
    ask(account_mail)
    run_jobs()
    reset_lines()
    run_jobs(ahead=60)
    flat = [one.content.replace(b"=\r\n", b"") for one in server.taken]
    tokens = [re.search(rb"/account/reset/([\w-]{43})", one)[1].decode() for one in flat]
    assert len(set(tokens)) == 2
    assert all(links.owner(token, LinkPurpose.RESET) for token in tokens)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("make", [account_mail, staff_mail, alert])
def test_they_outlast_a_changed_password_of_the_mail_server(app, start_server, run_jobs, make):
    server = start_server()
    server.mail = ["535 5.7.8 no"] * 3
    ask(make)
    for minutes in (0, 20, 40, 60):
        run_jobs(ahead=minutes * 60)
    assert len(server.taken) == 1
    assert the_row().status == NotificationStatus.SENT


def test_a_test_by_sms_of_which_nobody_knows_goes_no_more(app, configure, run_jobs):
    twilio = stand_in.Twilio()
    configure(
        sms_channel="twilio", messages_dry_run=False, twilio_account_sid=stand_in.ACCOUNT,
        twilio_auth_token=stand_in.TOKEN, twilio_sms_from=stand_in.SMS_FROM,
        twilio_api_base=twilio.api,
    )  # fmt: skip
    with transaction():
        change("quiet_from", "")
    twilio.fault("half_body")
    ask(lambda: trial("sms"))
    for minutes in range(4):
        run_jobs(ahead=minutes * 600)
    twilio.stop()
    assert len(twilio.messages) == 1
    assert the_row().status == NotificationStatus.UNCERTAIN
