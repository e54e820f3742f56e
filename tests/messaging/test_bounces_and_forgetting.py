"""Addresses that bounced, for staff; and what of messages is blanked, taken along and erased."""

import re
from datetime import timedelta

import pytest

from shop.audit.models import AuditEntry
from shop.checkout import account_data
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job
from shop.messaging import consents, forgetting, resending, stock_alerts
from shop.messaging.models import (
    AlertState,
    Consent,
    Notification,
    NotificationStatus,
    StockAlert,
    Suppression,
)  # fmt: skip
from shop.orders.models import Order
from shop.payments import attempts
from shop.payments.refunds import request_refund
from tests import factories
from tests.checkout.shopping import sign_in

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

ASHA = "asha@shopper.example"


@pytest.fixture
def order(shop, app) -> Order:
    return db.session.get_one(Order, shop.scene("bouncing", lambda: factories.make_order().id))


def forget_jobs() -> None:
    """What the order's way here left to be done is not what is looked at."""
    with transaction() as session:
        session.execute(db.delete(Job))


@pytest.fixture
def clerk(client):
    person = factories.make_user("support")
    sign_in(client, person)
    return client


def test_an_address_that_bounced_is_marked_and_later_mails_are_held_back(
    order, tell, run_jobs, start_server, messages
):
    server = start_server()
    server.rcpt = ["550 5.1.1 no such user"]
    tell("order_confirmed", order.id)
    run_jobs()
    assert consents.is_suppressed("email", order.email) == "bounced"
    tell("order_shipped", order.id)
    run_jobs()
    [row] = messages("order_shipped")
    assert (row.status, row.error) == (NotificationStatus.SUPPRESSED, "this address bounced")
    with transaction():
        resending.resend(row.id, "user:1")
    run_jobs()
    assert len(server.taken) == 1, "a person may try all the same"


@pytest.mark.parametrize("words", ["550 5.7.1 rejected by policy", "552 5.2.2 mailbox full"])
def test_a_server_that_dislikes_us_marks_nobody(order, tell, run_jobs, start_server, words):
    server = start_server()
    server.rcpt = [words]
    tell("order_confirmed", order.id)
    run_jobs()
    assert db.session.scalars(db.select(Suppression)).all() == []


@sqlite_only
def test_the_owners_own_address_is_never_marked(order, tell, run_jobs, start_server):
    server = start_server()
    server.rcpt = ["550 5.1.1 no such user"]
    tell("admin_new_order", order.id)
    run_jobs()
    assert db.session.scalars(db.select(Suppression)).all() == []


@sqlite_only
def test_staff_see_the_mark_and_take_it_off(order, clerk):
    with transaction():
        consents.suppress("email", order.email, "bounced", "550 5.1.1")
    page = f"/admin/orders/{order.number}"
    shown = clerk.get(page).text
    assert "This address bounced" in shown
    link = re.search(r'action="([^"]+/lift)"', shown)[1]
    clerk.post_form(link, {}, page=page)
    assert consents.is_suppressed("email", order.email) == ""
    assert db.session.scalar(db.select(AuditEntry.subject).filter_by(action="message.allowed"))
    assert clerk.post_form(link, {}, page=page).status_code == 404


@sqlite_only
def test_a_stop_is_taken_back_by_its_owner_alone(order, clerk):
    with transaction():
        consents.suppress("sms", order.phone, "opted_out", "STOP")
    held = db.session.scalar(db.select(Suppression.id))
    page = f"/admin/orders/{order.number}"
    assert "/lift" not in clerk.get(page).text
    clerk.post_form(f"{page}/suppressions/{held}/lift", {}, page=page)
    assert consents.is_suppressed("sms", order.phone) == "opted_out"


def test_a_refund_that_takes_its_time_is_announced_and_a_quick_one_is_not(
    app, run_jobs, tell, messages
):
    order = factories.make_order("paid", lines=1)
    forget_jobs()
    payment_id = attempts.latest(order.id).id
    with transaction():
        quick = request_refund(payment_id, 100, [], "goodwill", "user:1").id
    run_jobs(kinds="payments.")
    with transaction():
        slow = request_refund(payment_id, 200, [], "goodwill", "user:1").id
    for refund_id in (quick, slow):
        tell("refund_started", order.id, refund_id=refund_id)
    # By id, since the gateway's job would be quick with the slow one too.
    queued = db.select(Job.id).where(
        Job.kind.startswith("messaging."), Job.run_at < utcnow() + timedelta(minutes=1)
    )
    while (job_id := db.session.scalar(queued.filter_by(status="queued"))) is not None:
        runner.run(job_id, "test")
    states = {row.context["refund_id"]: row.status for row in messages("refund_started")}
    assert states == {quick: NotificationStatus.SUPPRESSED, slow: NotificationStatus.SENT}


def make_old(days: int, **values) -> int:
    with transaction() as session:
        row = Notification(
            template="order_link", channel="email", recipient=ASHA, dedupe_key=f"old:{days}:{values}",
            status=NotificationStatus.SENT, sent_at=utcnow() - timedelta(days=days),
            body_text="secret words", body_html="<p>secret words</p>", **values,
        )  # fmt: skip
        session.add(row)
    return row.id


def test_what_messages_said_is_blanked_in_time_and_that_they_went_stays(order):
    young, old = make_old(89), make_old(91)
    kept, gone = make_old(179, order_id=order.id), make_old(181, order_id=order.id)
    with transaction():
        forgetting.forget_old()
    db.session.expire_all()
    bodies = {
        key: db.session.get_one(Notification, key).body_text for key in (young, old, kept, gone)
    }
    assert bodies == {young: "secret words", old: None, kept: "secret words", gone: None}


def test_alerts_that_are_over_are_deleted(app):
    variant_id = factories.make_product(stock=0).variants[0].id
    with transaction() as session:
        for days, state in (
            (91, AlertState.TOLD),
            (1, AlertState.STOPPED),
            (366, AlertState.WAITING),
        ):
            session.add(
                StockAlert(
                    variant_id=variant_id, email=f"{days}@shopper.example", state=state,
                    ended_at=utcnow() - timedelta(days=days) if state != AlertState.WAITING else None,
                    created_at=utcnow() - timedelta(days=days),
                )
            )  # fmt: skip
    with transaction():
        forgetting.forget_old()
    assert db.session.scalars(db.select(StockAlert.email)).all() == ["1@shopper.example"]


def test_a_persons_wishes_are_taken_along_and_erased_and_a_no_is_remembered(app):
    person = factories.make_user(email=ASHA, phone="+919812345678")
    variant_id = factories.make_product(stock=0).variants[0].id
    with transaction():
        consents.grant("sms", "+919812345678", "transactional", "checkout")
        consents.grant("email", ASHA, "reminders", "account", person.id)
        consents.grant("email", "other@shopper.example", "reminders", "cart")
        consents.suppress("whatsapp", "+919812345678", "opted_out", "STOP")
        stock_alerts.ask_for(variant_id, ASHA, None, "en")
    kept = account_data.everything_about(person.id)
    assert [row["channel"] for row in kept["consents"]] == ["sms", "email"]
    assert [row["email"] for row in kept["stock_alerts"]] == [ASHA]
    with transaction():
        account_data.erase(person.id)
    assert db.session.scalars(db.select(Consent.recipient)).all() == ["other@shopper.example"]
    assert db.session.scalars(db.select(StockAlert)).all() == []
    assert consents.is_suppressed("whatsapp", "+919812345678") == "opted_out"


def test_messages_to_who_closes_the_account_tell_no_more_than_that_they_went(app):
    person = factories.make_user(email=ASHA, phone="+919812345678")
    order_id = factories.make_order(user=person).id
    others = factories.make_order().id
    S = NotificationStatus
    told = [
        ("of_order", S.SENT, {"order_id": order_id}),
        ("still_goes", S.QUEUED, {"order_id": order_id}),
        ("of_account", S.SENT, {"user_id": person.id}),
        ("of_address", S.FAILED, {}),
        ("not_gone", S.QUEUED, {}),
        ("of_somebody", S.SENT, {"order_id": others}),
    ]
    with transaction() as session:
        session.execute(db.delete(Notification))
        for name, status, more in told:
            session.add(
                Notification(
                    template="x", channel="email", recipient="Asha@shopper.example", dedupe_key=name,
                    status=status, subject="Asha's order", body_text="Dear Asha", body_html="Asha",
                    error="550 <asha@shopper.example>", **more,
                )
            )  # fmt: skip
    with transaction():
        account_data.erase(person.id)
    rows = {row.dedupe_key: row for row in db.session.scalars(db.select(Notification))}
    blank = {
        name
        for name, row in rows.items()
        if (row.recipient, row.subject, row.body_text, row.body_html, row.error)
        == ("", "", None, None, None)
    }
    assert blank == {"of_order", "of_account", "of_address", "not_gone"}
    assert rows["not_gone"].status == S.SUPPRESSED
    assert rows["still_goes"].status == S.QUEUED
    assert rows["of_somebody"].recipient == "Asha@shopper.example"


@sqlite_only
def test_a_refund_that_a_person_sends_is_announced_at_once(app, run_jobs, smtp_server):
    order = factories.make_order("paid", lines=1, method="bank_transfer")
    forget_jobs()
    with transaction():
        request_refund(attempts.latest(order.id).id, 100, [], "goodwill", "user:1")
    run_jobs(kinds=("payments.", "messaging."))
    assert [mail["Subject"] for mail in smtp_server.messages] == ["We are sending back ₹1.00"]
