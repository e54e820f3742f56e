"""The disputes desk: what is urgent stands first, the evidence is one file, nothing is sent by itself."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.queue import enqueue
from shop.jobs.schedule import SCHEDULE
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute
from shop.preferences import change
from tests.factories import make_order

DESK = "/admin/disputes"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def unshipped(app):
    """What is paid waits for a person, so that no job goes on by itself."""
    with transaction():
        change("auto_ship", "false")


def news(order, kind, name, **more):
    """The gateway tells of a dispute."""
    reference = attempts.latest(order.id).reference
    event = GatewayEvent(kind, reference=reference, dispute_gateway_id=name, **more)
    with transaction():
        recording.record(event, "sandbox", "webhook")


def disputed(name="dp_1", due=timedelta(days=7), reason="product_not_received", order=None):
    """A dispute of a paid order's payment."""
    order = order or make_order("paid", lines=1)
    due_at = None if due is None else utcnow() + due
    news(
        order,
        EventKind.DISPUTE_OPENED,
        name,
        amount_minor=49_900,
        dispute_reason=reason,
        evidence_due_at=due_at,
    )
    return the(name)


def the(name="dp_1"):
    db.session.rollback()
    return db.session.scalars(
        sa.select(Dispute)
        .where(Dispute.gateway_id == name)
        .execution_options(populate_existing=True)
    ).one()


def numbers(answer):
    assert answer.status_code == 200
    return re.findall(r'class="ord" href="/admin/orders/([\d.]+)"', answer.text)


def act(browser, dispute, what, show="open", **fields):
    return browser.post_form(
        f"{DESK}/{dispute.id}/{what}", {"show": show, **fields}, page=f"{DESK}?show={show}"
    )


def audited():
    db.session.rollback()
    return [
        (entry.action, entry.subject, entry.actor)
        for entry in db.session.scalars(
            sa.select(AuditEntry)
            .where(AuditEntry.action.startswith("dispute."))
            .order_by(AuditEntry.id)
        )
    ]


def test_what_is_overdue_stands_first_and_what_has_no_date_last(staff):
    dues = {
        "none": None,
        "later": timedelta(days=9),
        "over": timedelta(days=-2),
        "soon": timedelta(days=1),
    }
    of = {name: disputed(name, due).payment.order.number for name, due in dues.items()}
    answer = staff("support").get(DESK)
    assert numbers(answer) == [of["over"], of["soon"], of["later"], of["none"]]
    for words in (
        "overdue by 2 days",
        "1 day left",
        "9 days left",
        "Product not received",
        "₹499.00",
    ):
        assert words in answer.text
    assert 'Disputes <span class="n" data-tone="danger">4</span>' in answer.text


def test_closed_disputes_stand_behind_their_filter(staff):
    for name in ("lost", "won", "open"):
        disputed(name)
    news(the("lost").payment.order, EventKind.DISPUTE_LOST, "lost")
    news(the("won").payment.order, EventKind.DISPUTE_WON, "won")
    browser = staff("manager")
    assert numbers(browser.get(DESK)) == [the("open").payment.order.number]
    closed = browser.get(f"{DESK}?show=closed")
    assert numbers(closed) == [the("won").payment.order.number, the("lost").payment.order.number]
    assert "Won" in closed.text
    assert "Lost" in closed.text
    assert act(browser, the("lost"), "sent").status_code == 409


def test_evidence_is_marked_as_sent_with_who_when_and_a_note_and_the_mark_comes_off(staff):
    dispute = disputed()
    browser = staff("manager", name="Mira Shah")
    assert act(browser, dispute, "sent", note="With the signed slip <b>").status_code == 303
    assert the().evidence_sent_by == f"user:{browser.user_id}"
    assert numbers(browser.get(DESK)) == []
    answered = browser.get(f"{DESK}?show=sent").text
    assert "by Mira Shah: With the signed slip &lt;b&gt;" in answered
    assert "Disputes</a>" in browser.get("/admin/").text  # the menu no longer counts it
    again = act(browser, dispute, "sent")
    assert again.status_code == 409
    assert "marked as sent already" in again.text
    assert act(browser, dispute, "not-sent", show="sent").status_code == 303
    assert len(numbers(browser.get(DESK))) == 1
    assert the().evidence_sent_at is None
    actor = f"user:{browser.user_id}"
    subject = f"dispute:{dispute.id}"
    assert audited() == [
        ("dispute.evidence_sent", subject, actor), ("dispute.evidence_not_sent", subject, actor)
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_role_does_what_it_may(staff):
    dispute = disputed()
    assert staff("fulfilment").get(DESK).status_code == 403
    support = staff("support")
    shown = support.get(DESK).text
    assert "dp_1" not in shown
    assert "Evidence (PDF)" not in shown
    assert act(support, dispute, "evidence.pdf").status_code == 403
    assert act(support, dispute, "sent").status_code == 403
    manager = staff("manager")
    assert manager.post_form(f"{DESK}/999/evidence.pdf", page=DESK).status_code == 404
    assert manager.post_form(f"{DESK}/999/sent", page=DESK).status_code == 404
    assert audited() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_disputes_cost_no_more_statements(staff, sql_count):
    browser = staff("manager")
    disputed("a")
    with sql_count() as few:
        browser.get(DESK)
    disputed("b")
    disputed("c")
    with sql_count() as many:
        browser.get(DESK)
    assert len(many) == len(few)


# --- the reminder ----------------------------------------------------------------------------


def reminders():
    db.session.rollback()
    return list(
        db.session.scalars(
            sa.select(Incident.issue).where(Incident.fingerprint.startswith("evidence_due:"))
        )
    )


def remind(run_jobs):
    with transaction():
        enqueue("payments.remind_evidence", run_at=utcnow())
    run_jobs()


def test_two_days_before_the_evidence_date_an_incident_reminds_once(run_jobs, turn_clock):
    dispute = disputed(due=timedelta(hours=60))
    number = dispute.payment.order.number
    remind(run_jobs)
    assert reminders() == []
    turn_clock(hours=13)
    remind(run_jobs)
    remind(run_jobs)
    [issue] = reminders()
    assert f"Evidence for the dispute of order {number} must be sent by" in issue
    repeats = sa.select(Incident.repeats).where(Incident.fingerprint.startswith("evidence_due:"))
    assert db.session.scalar(repeats) in (0, 1)
    assert the().evidence_reminded_at is not None
    assert any(task.kind == "payments.remind_evidence" and task.every <= 3600 for task in SCHEDULE)


def test_nobody_is_reminded_of_what_was_sent_or_is_over(staff, run_jobs):
    for name in ("sent", "lost"):
        disputed(name, timedelta(hours=1))
    act(staff("manager"), the("sent"), "sent")
    news(the("lost").payment.order, EventKind.DISPUTE_LOST, "lost")
    remind(run_jobs)
    assert reminders() == []


def test_a_new_evidence_date_is_reminded_of_again(run_jobs):
    dispute = disputed(due=timedelta(hours=20))
    remind(run_jobs)
    assert the().evidence_reminded_at is not None
    later = utcnow() + timedelta(days=5)
    news(dispute.payment.order, EventKind.DISPUTE_OPENED, "dp_1", evidence_due_at=later)
    assert the().evidence_reminded_at is None
