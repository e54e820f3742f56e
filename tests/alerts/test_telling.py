"""An alert is told when it begins, while it lasts, and when it ends: by mail and by a post."""

import json
import logging
import threading

import pytest
import sqlalchemy as sa

from shop.alerts import counting
from shop.alerts.models import AlertState, ErrorCount
from shop.clock import utcnow
from shop.database import insert_ignore, transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification

SECRET = "very-secret-part"


def happen(count):
    """So many unforeseen errors in this minute."""
    minute_at = utcnow().replace(second=0, microsecond=0)
    with transaction() as session:
        session.execute(sa.delete(ErrorCount))
        insert_ignore(ErrorCount, {"minute_at": minute_at, "source": "web", "count": count})


def subjects(box):
    return [str(message["subject"]) for message in box.messages]


def posts(receiver):
    return [json.loads(body)["text"] for body, _headers in receiver.taken]


def test_begin_and_end_are_told_once_each(evaluate, smtp_server, receiver, turn_clock):
    happen(6)
    assert evaluate()["errors"].state == AlertState.FIRING
    evaluate()
    assert subjects(smtp_server) == ["Alert: unforeseen errors"]
    text = smtp_server.messages[0].get_body(("plain",)).get_content()
    assert "Unforeseen errors in 5 minutes: 6; more than 5 is an alarm." in text
    assert "/admin/jobs?status=failed" in text

    turn_clock(minutes=6)
    evaluate()
    turn_clock(minutes=6)
    assert evaluate()["errors"].state == AlertState.QUIET

    assert subjects(smtp_server) == ["Alert: unforeseen errors", "Over: unforeseen errors"]
    began, ended = posts(receiver)
    assert began.startswith("*Alert: unforeseen errors* (Halflong)\nUnforeseen errors in 5")
    assert ended.startswith("*Over: unforeseen errors*")
    assert began.rpartition("\n")[2].endswith("/admin/jobs?status=failed|Look at it>")
    assert receiver.taken[0][1]["Content-Type"] == "application/json"


def test_what_lasts_is_told_again_after_the_hours_of_the_preference(
    evaluate, smtp_server, turn_clock, prefer
):
    prefer(alert_repeat_hours=2)
    happen(6)
    evaluate()
    turn_clock(hours=1, minutes=50)
    happen(9)
    evaluate()
    assert len(smtp_server.messages) == 1
    turn_clock(minutes=11)
    happen(9)
    evaluate()
    assert subjects(smtp_server)[1:] == ["Still: unforeseen errors"]


def test_two_who_evaluate_at_once_tell_once(app, evaluate, smtp_server, run_jobs):
    evaluate()
    happen(6)
    with transaction():
        for key in ("one", "other"):
            enqueue("alerts.evaluate", key=key)
    meeting = threading.Barrier(2)

    def run(name):
        with app.app_context():
            meeting.wait(5)
            runner.run_next(name)

    pair = [threading.Thread(target=run, args=(name,)) for name in ("one", "other")]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    run_jobs()
    assert subjects(smtp_server) == ["Alert: unforeseen errors"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_thresholds_are_preferences(evaluate, smtp_server, prefer):
    prefer(alert_errors=50)
    happen(20)
    states = evaluate()
    assert states["errors"].state == AlertState.QUIET
    assert (states["errors"].value, states["errors"].threshold) == (20, 50)
    assert smtp_server.messages == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nobody_is_told_where_there_is_no_address(evaluate, configure):
    configure(admin_email="")
    happen(6)
    evaluate()
    kinds = set(db.session.scalars(sa.select(Job.kind)))
    assert "alerts.evaluate" in kinds
    assert not kinds & {"alerts.mail", "alerts.post"}


def test_the_mail_stands_in_the_list_of_messages(evaluate):
    happen(6)
    evaluate()
    found = db.session.scalars(sa.select(Notification).filter_by(template="alert")).one()
    assert found.recipient == "owner@halflong.example"
    assert "Unforeseen" in found.body_text or "unforeseen" in found.body_text


def test_a_post_that_is_refused_gives_up_with_an_incident_that_hides_the_address(
    evaluate, receiver, caplog, capsys
):
    receiver.status = 404
    happen(6)
    with caplog.at_level(logging.DEBUG):
        evaluate()
    job = db.session.scalars(sa.select(Job).filter_by(kind="alerts.post")).one()
    assert job.status == JobStatus.FAILED
    assert "HTTP 404" in job.error
    incident = db.session.scalars(sa.select(Incident)).one()
    said = [job.error, json.dumps(job.payload), incident.error_stack, incident.error_message]
    said += [json.dumps(incident.context), caplog.text, capsys.readouterr().out]
    assert not [words for words in said if SECRET in words]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_post_that_reaches_nobody_is_tried_again_and_hides_the_address_too(
    evaluate, receiver, caplog, capsys
):
    receiver.stop()
    happen(6)
    with caplog.at_level(logging.DEBUG):
        evaluate()
    job = db.session.scalars(sa.select(Job).filter_by(kind="alerts.post")).one()
    assert job.status == JobStatus.QUEUED
    assert "could not connect" in job.error
    said = job.error + caplog.text + capsys.readouterr().out
    assert SECRET not in said
    assert "/T000/" not in said


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_marked_name_is_no_mark_at_the_receiver(evaluate, receiver, configure):
    configure(shop_name="A & <B>")
    happen(6)
    evaluate()
    assert "(A &amp; &lt;B&gt;)" in posts(receiver)[0]


def test_old_counts_are_forgotten(app, turn_clock):
    happen(1)
    turn_clock(days=8)
    with transaction():
        counting.forget_old()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(ErrorCount)) == 0
