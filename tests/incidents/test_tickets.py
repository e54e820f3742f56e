"""An incident is one line in the file, whole and in one shape, however often it is tried."""

import json
from pathlib import Path

import pytest

from shop.database import transaction
from shop.extensions import db
from shop.incidents import handling
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from shop.incidents.trackers import ticket_of
from shop.incidents.trackers.jsonl import JsonLines
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from tests import factories

FIELDS = [
    "id", "orderId", "category", "severity", "issue", "errorMessage", "errorStack", "context",
    "createdAt", "environment",
]  # fmt: skip
CONTEXT = [
    "orderId", "customerId", "paymentId", "gatewayOrderId", "amount", "customerEmail", "customerPhone",
    "deliveryStage",
]  # fmt: skip


@pytest.fixture
def file(app) -> Path:
    return Path(app.extensions["settings"].incidents_file)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def make_incident(fault: str = "x:1", order_id: int | None = None, **context) -> Incident:
    with transaction():
        about = About(
            "The courier said no ₹\n", Category.DELIVERY, Severity.HIGH, order_id, context=context
        )
        open_incident(about, fault, "error\nof two lines", "stack")
    return db.session.scalars(db.select(Incident).order_by(Incident.id.desc())).first()


def test_the_line_has_these_fields_and_no_others(app, file, run_jobs):
    order = factories.make_order()
    number, email, total = order.number, order.email, order.total_minor
    incident = make_incident(order_id=order.id)
    run_jobs()
    db.session.refresh(incident)

    [line] = lines(file)
    assert list(line) == FIELDS
    assert list(line["context"]) == CONTEXT
    assert line["id"] == incident.tracker_key
    assert line["orderId"] == line["context"]["orderId"] == number
    assert (line["category"], line["severity"]) == ("delivery", "high")
    assert line["issue"] == "The courier said no ₹\n"
    assert line["errorMessage"] == "error\nof two lines"
    assert line["context"]["customerEmail"] == email
    assert line["context"]["amount"] == f"{total / 100:.2f} INR"
    assert line["createdAt"] == incident.created_at.isoformat()
    assert line["environment"] == "development"


def test_a_kill_between_writing_and_noting_leaves_one_line(app, file, run_jobs, monkeypatch):
    class Killed(BaseException):
        pass

    def died(*_anything: object) -> None:
        raise Killed

    make_incident()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_recorded", died)
        with pytest.raises(Killed):
            runner.run_next("doomed")
    db.session.rollback()
    runner.release("doomed")
    run_jobs()
    assert len(lines(file)) == 1
    assert db.session.scalars(db.select(Incident)).one().tracker_key


def test_a_repeat_of_an_open_incident_writes_no_second_line(app, file, run_jobs):
    make_incident()
    run_jobs()
    make_incident()
    run_jobs()
    assert len(lines(file)) == 1
    assert db.session.scalars(db.select(Incident)).one().repeats == 1


def test_a_line_that_a_crash_cut_short_spoils_no_other(app, file):
    file.write_text('{"id": "INC-half", "ord')
    ticket = ticket_of(make_incident())
    JsonLines().file(ticket)
    half, whole = file.read_text().splitlines()
    assert half == '{"id": "INC-half", "ord'
    assert json.loads(whole)["id"] == ticket.id


def test_the_first_incident_of_a_fresh_database_is_not_taken_for_an_older_one(app, file):
    incident = make_incident()
    first = ticket_of(incident)
    JsonLines().file(first)
    incident.created_at = incident.created_at.replace(year=2031)
    assert ticket_of(incident).id != first.id
    assert JsonLines().find(ticket_of(incident)) is None
    assert JsonLines().find(first).key == first.id


def test_what_is_resolved_has_a_line_in_a_second_file_once(app, file, run_jobs):
    incident = make_incident()
    run_jobs()
    with transaction():
        handling.resolve(incident.id, "user:1", "  The courier took it. ")
    run_jobs()
    JsonLines().close(incident.tracker_key, ticket_of(incident))
    assert len(lines(file)) == 1
    [line] = lines(file.with_suffix(".resolved.jsonl"))
    db.session.refresh(incident)
    assert line == {
        "id": incident.tracker_key, "resolvedAt": incident.resolved_at.isoformat(),
        "note": "The courier took it.",
    }  # fmt: skip


def test_a_file_that_cannot_be_written_ends_in_one_incident_not_in_a_flood(
    app, configure, run_jobs, tmp_path
):
    (tmp_path / "folder").mkdir()
    configure(incidents_file=str(tmp_path / "folder"))
    for number in range(3):
        make_incident(f"x:{number}")
    with transaction() as session:
        session.execute(db.update(Job).filter_by(kind="incidents.ticket").values(attempts=8))
    for hours in range(0, 120, 8):
        run_jobs(ahead=hours * 3600)
    assert not db.session.scalars(db.select(Job).filter_by(status=JobStatus.QUEUED)).all()
    issues = db.session.scalars(db.select(Incident.issue).order_by(Incident.id)).all()
    assert issues[3:] == ["The job incidents.ticket gave up"]
    assert db.session.scalars(db.select(Incident.repeats).order_by(Incident.id.desc())).first() == 3
