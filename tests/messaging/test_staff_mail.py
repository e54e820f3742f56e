"""Staff are mailed at once of what is critical, once an hour at most, and each day of what is open."""

import pytest

from shop.clock import from_local, local, utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents import handling
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification
from shop.preferences import change

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

TO = "owner@halflong.example"


def make(fault="books:I8", issue="The books {are} wrong", severity=Severity.CRITICAL, times=1):
    with transaction():
        open_incident(About(issue, Category.DATABASE, severity), fault, times=times)
    found = db.select(Incident.id).filter_by(fingerprint=fault).order_by(Incident.id.desc())
    return db.session.scalar(found)


def body(message):
    return message.get_body(("plain",)).get_content()


def test_a_critical_incident_is_mailed_at_once_and_once(app, smtp_server, run_jobs):
    incident_id = make()
    for _ in range(5):
        make()
        run_jobs()
    [message] = smtp_server.messages
    assert message["To"] == TO
    assert message["Subject"] == "Critical: The books {are} wrong"
    assert f"/admin/incidents/{incident_id}" in body(message)
    assert "Change nothing by hand." in body(message)


def test_an_hour_later_a_repeat_is_mailed_again(app, smtp_server, run_jobs, turn_clock):
    make()
    run_jobs()
    turn_clock(minutes=55)
    make()
    run_jobs()
    assert len(smtp_server.messages) == 1
    turn_clock(minutes=6)
    make()
    run_jobs()
    assert len(smtp_server.messages) == 2
    assert "Seen 3 times." in body(smtp_server.messages[1])


@sqlite_only
def test_what_is_not_critical_is_not_mailed_until_it_is(app, smtp_server, run_jobs):
    make(severity=Severity.HIGH)
    run_jobs()
    assert not smtp_server.messages
    make(severity=Severity.CRITICAL)
    run_jobs()
    assert len(smtp_server.messages) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_was_resolved_before_the_mail_left_is_not_mailed(app, smtp_server, run_jobs):
    incident_id = make()
    with transaction():
        handling.resolve(incident_id, "user:1")
    run_jobs()
    assert not smtp_server.messages


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_server_that_refuses_for_a_while_gets_it_later(app, smtp_server, run_jobs):
    make()
    smtp_server.refuse_with = "451 busy"
    run_jobs()
    smtp_server.refuse_with = None
    run_jobs(ahead=1200)
    assert len(smtp_server.messages) == 1


def at(turn_clock, hour, days=0):
    wall = local(utcnow()).replace(hour=hour, minute=5, second=0, microsecond=0, tzinfo=None)
    turn_clock(from_local(wall.replace(day=1)).replace(year=2030 + days))


def look(run_jobs):
    with transaction():
        enqueue("incidents.digest", key="slot")
    run_jobs()


def test_the_digest_comes_once_a_day_at_its_hour(app, smtp_server, run_jobs, turn_clock):
    with transaction():
        change("digest_hour", "9")
    at(turn_clock, 8)
    make("silent:1", "No news of A1", Severity.MEDIUM)
    done = make("silent:2", "No news of A2", Severity.MEDIUM)
    make("jobs_overdue", "3 jobs wait <b>", Severity.HIGH, times=4)
    with transaction():
        handling.resolve(done, "user:1")
    look(run_jobs)
    assert not smtp_server.messages
    turn_clock(hours=1)
    for _ in range(3):
        look(run_jobs)
        turn_clock(minutes=15)
    [message] = smtp_server.messages
    assert message["Subject"] == "Incidents: 2 open, 3 new, 1 resolved"
    text = body(message)
    assert "1 high, 1 medium" in text
    assert "No news of A1" in text
    assert "No news of A2" not in text
    assert "4 times" in text
    assert "Open for longest" in text
    assert "3 jobs wait &lt;b&gt;" in message.get_body(("html",)).get_content()
    turn_clock(hours=24)
    look(run_jobs)
    assert len(smtp_server.messages) == 2
    assert smtp_server.messages[1]["Subject"] == "Incidents: 2 open, 0 new, 0 resolved"


@sqlite_only
def test_a_day_of_which_there_is_nothing_to_say_has_no_digest(
    app, smtp_server, run_jobs, turn_clock
):
    at(turn_clock, 12)
    look(run_jobs)
    make("silent:1", "No news of A1", Severity.MEDIUM)
    look(run_jobs)
    assert not smtp_server.messages, "the day's turn was taken when there was nothing"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_long_list_is_cut_and_says_so(app, run_jobs, turn_clock):
    at(turn_clock, 12)
    for number in range(12):
        make(f"silent:{number}", f"No news of A{number}", Severity.MEDIUM)
    look(run_jobs)
    row = db.session.scalars(db.select(Notification).filter_by(template="staff_digest")).one()
    assert "4 more" in row.body_text
    assert row.recipient == TO
