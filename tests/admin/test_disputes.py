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
from shop.orders.models import Order
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute
from shop.preferences import change
from tests.factories import make_order

DESK = "/admin/disputes"
ROOT = Path(__file__).resolve().parents[2]


def paid_for_one():
    """What is paid waits for a person, so that no job goes on by itself."""
    with transaction():
        change("auto_ship", "false")
    return make_order("paid", lines=1).id


def news(order, kind, name, **more):
    """The gateway tells of a dispute."""
    reference = attempts.latest(order.id).reference
    event = GatewayEvent(kind, reference=reference, dispute_gateway_id=name, **more)
    with transaction():
        recording.record(event, "sandbox", "webhook")


@pytest.fixture
def disputed(shop):
    """Opens disputes of one paid order's payment."""
    key = shop.scene("paid-for-one-unshipped", paid_for_one)
    order = db.session.get_one(Order, key)

    def opened(name="dp_1", due=timedelta(days=7)):
        news(order, EventKind.DISPUTE_OPENED, name, amount_minor=49_900,
             dispute_reason="product_not_received", evidence_due_at=due and utcnow() + due)  # fmt: skip
        return the(name)

    return opened


def the(name="dp_1"):
    db.session.rollback()
    return db.session.scalars(
        sa.select(Dispute)
        .where(Dispute.gateway_id == name)
        .execution_options(populate_existing=True)
    ).one()


def names(answer):
    """The gateway's names of the disputes listed, in their order."""
    assert answer.status_code == 200
    return re.findall(r'<span class="mono breaks">(.*?)</span>', answer.text)


def act(browser, dispute, what, show="open", **fields):
    return browser.send(f"{DESK}/{dispute.id}/{what}", {"show": show, **fields})


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


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_overdue_stands_first_and_what_has_no_date_last(disputed, staff):
    dues = {
        "none": None,
        "later": timedelta(days=9),
        "over": timedelta(days=-2),
        "soon": timedelta(days=1),
    }
    for name, due in dues.items():
        number = disputed(name, due).payment.order.number
    answer = staff("manager").get(DESK)
    assert names(answer) == ["over", "soon", "later", "none"]
    assert answer.text.count(f'href="/admin/orders/{number}"') == 4
    for words in (
        "overdue by 2 days",
        "1 day left",
        "9 days left",
        "Product not received",
        "₹499.00",
    ):
        assert words in answer.text
    assert 'Disputes <span class="n" data-tone="danger">4</span>' in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_closed_disputes_stand_behind_their_filter(disputed, staff):
    for name in ("lost", "won", "open"):
        order = disputed(name).payment.order
    news(order, EventKind.DISPUTE_LOST, "lost")
    news(the("won").payment.order, EventKind.DISPUTE_WON, "won")
    browser = staff("manager")
    assert names(browser.get(DESK)) == ["open"]
    closed = browser.get(f"{DESK}?show=closed")
    assert names(closed) == ["won", "lost"]
    assert "Won" in closed.text
    assert "Lost" in closed.text
    assert act(browser, the("lost"), "sent").status_code == 409


def test_evidence_is_marked_as_sent_with_who_when_and_a_note_and_the_mark_comes_off(
    disputed, staff
):
    dispute = disputed()
    browser = staff("manager", name="Mira Shah")
    assert act(browser, dispute, "sent", note="With the signed slip <b>").status_code == 303
    assert the().evidence_sent_by == f"user:{browser.user_id}"
    assert names(browser.get(DESK)) == []
    answered = browser.get(f"{DESK}?show=sent").text
    assert "by Mira Shah: With the signed slip &lt;b&gt;" in answered
    assert "Disputes</a>" in browser.get("/admin/").text  # the menu no longer counts it
    order_page = browser.get(f"/admin/orders/{the().payment.order.number}").text
    assert "Evidence was sent" in order_page
    assert f'href="{DESK}?show=sent#d-{dispute.id}"' in order_page
    again = act(browser, dispute, "sent")
    assert again.status_code == 409
    assert "marked as sent already" in again.text
    assert act(browser, dispute, "not-sent", show="sent").status_code == 303
    assert names(browser.get(DESK)) == ["dp_1"]
    assert the().evidence_sent_at is None
    actor = f"user:{browser.user_id}"
    subject = f"dispute:{dispute.id}"
    assert audited() == [
        ("dispute.evidence_sent", subject, actor), ("dispute.evidence_not_sent", subject, actor)
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_role_does_what_it_may(disputed, staff):
    dispute = disputed()
    assert staff("fulfilment").get(DESK).status_code == 403
    support = staff("support")
    shown = support.get(DESK).text
    assert "dp_1" not in shown
    assert "Evidence (PDF)" not in shown
    assert act(support, dispute, "evidence.pdf").status_code == 403
    assert act(support, dispute, "sent").status_code == 403
    manager = staff("manager")
    assert manager.send(f"{DESK}/999/evidence.pdf").status_code == 404
    assert manager.send(f"{DESK}/999/sent").status_code == 404
    assert audited() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_disputes_cost_no_more_statements(disputed, staff, sql_count):
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
    run_jobs(kinds="payments.remind_evidence")


@pytest.mark.forces("evidence_due")
def test_two_days_before_the_evidence_date_an_incident_reminds_once(disputed, run_jobs, turn_clock):
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
    assert db.session.scalar(repeats) == 0
    assert the().evidence_reminded_at is not None
    assert any(task.kind == "payments.remind_evidence" and task.every <= 3600 for task in SCHEDULE)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nobody_is_reminded_of_what_was_sent_or_is_over(disputed, staff, run_jobs):
    for name in ("sent", "lost"):
        disputed(name, timedelta(hours=1))
    act(staff("manager"), the("sent"), "sent")
    news(the("lost").payment.order, EventKind.DISPUTE_LOST, "lost")
    remind(run_jobs)
    assert reminders() == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_new_evidence_date_is_reminded_of_again(disputed, run_jobs):
    dispute = disputed(due=timedelta(hours=20))
    remind(run_jobs)
    assert the().evidence_reminded_at is not None
    later = utcnow() + timedelta(days=5)
    news(dispute.payment.order, EventKind.DISPUTE_OPENED, "dp_1", evidence_due_at=later)
    assert the().evidence_reminded_at is None
