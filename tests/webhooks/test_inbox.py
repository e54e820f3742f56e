"""The inbox verifies first, stores once, answers at once, and processes in a job."""

import hashlib
import hmac
import json
import time

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job, JobStatus
from shop.orders.models import Order, OrderStatus
from shop.payments.gateways.sandbox import Sandbox
from shop.payments.models import Payment
from shop.webhooks import inbox
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus
from tests.factories import make_order

once = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def sign(app):
    """Signs a body as the pretend gateway does."""
    from shop.payments.gateways.sandbox import shared_secret

    def signed(body: bytes, at: int | None = None) -> dict[str, str]:
        moment = at or int(time.time())
        mac = hmac.new(shared_secret().encode(), f"{moment}.".encode() + body, hashlib.sha256)
        return {"X-Sandbox-Signature": f"t={moment},v1={mac.hexdigest()}"}

    return signed


@pytest.fixture
def an_order(shop):
    """An order that is not paid yet: the only one."""
    shop.scene("order-pending_payment", lambda: make_order("pending_payment").id)


def paid_news(payment, event_id="evt_1", **more):
    values = {
        "id": event_id, "type": "payment.captured",
        "data": {
            "id": payment.gateway_id, "reference": payment.reference, "amount_minor": payment.amount_minor,
            "currency": payment.currency, "status": "paid", "failure_code": None, "paid_at": None, **more,
        },
    }  # fmt: skip
    return json.dumps(values).encode()


def only(model):
    db.session.expire_all()
    return db.session.scalars(sa.select(model)).one()


def count(model):
    return db.session.scalar(sa.select(sa.func.count()).select_from(model))


def test_a_signed_message_pays_the_order_once_however_often_it_comes(
    app, client, sign, run_jobs, an_order
):
    body = paid_news(only(Payment))
    for _ in range(3):
        answer = client.post("/webhooks/sandbox", data=body, headers=sign(body))
        assert (answer.status_code, answer.data) == (200, b"")
    event = only(WebhookEvent)
    assert (event.repeats, event.status) == (2, WebhookStatus.RECEIVED)
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.PROCESSED
    assert only(Order).status != OrderStatus.PENDING_PAYMENT
    assert only(Payment).captured_minor == only(Payment).amount_minor


def test_the_old_address_of_a_dashboard_works_too(app, client, sign, an_order):
    body = paid_news(only(Payment))
    assert client.post("/api/webhooks/sandbox", data=body, headers=sign(body)).status_code == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers, body: ({}, body),
        lambda headers, body: (headers, body + b" "),
        lambda headers, body: ({"X-Sandbox-Signature": "t=1,v1=00"}, body),
        lambda headers, body: ({"X-Sandbox-Signature": "nonsense"}, body),
        lambda headers, body: ({k: v[:-1] + "z" for k, v in headers.items()}, body),
    ],
)
def test_what_is_not_verified_gets_400_and_leaves_no_row_but_a_count(
    app, client, sign, spoil, an_order
):
    body = paid_news(only(Payment))
    headers, sent = spoil(sign(body), body)
    assert client.post("/webhooks/sandbox", data=sent, headers=headers).status_code == 400
    assert count(WebhookEvent) == 0
    assert only(WebhookRefusal).count == 1


@pytest.mark.parametrize("offset", [-310, 310])
def test_a_signature_of_another_time_is_refused_either_way(app, client, sign, offset, an_order):
    body = paid_news(only(Payment))
    headers = sign(body, int(time.time()) + offset)
    assert client.post("/webhooks/sandbox", data=body, headers=headers).status_code == 400


def test_a_source_that_is_not_switched_on_is_not_there(app, client):
    for name in ("nobody", "stripe", "cod", "delivery/nobody", "../etc"):
        assert client.post(f"/webhooks/{name}", data=b"{}").status_code in {400, 404}, name
    assert count(WebhookEvent) == 0


@once
def test_a_body_over_256_kib_is_refused_at_every_address_and_leaves_no_row(app, client, sign):
    largest = 256 * 1024
    for path in (
        "/webhooks/sandbox", "/webhooks/stripe", "/webhooks/razorpay", "/webhooks/paystack",
        "/webhooks/flutterwave", "/webhooks/swish", "/api/webhooks/sandbox", "/payment/webhook",
        "/webhooks/delivery/parcel", "/webhooks/messages/twilio", "/webhooks/messages/wati/a-secret",
    ):  # fmt: skip
        for length in (largest + 1, 1024 * 1024):
            body = b"x" * length
            assert client.post(path, data=body, headers=sign(body)).status_code == 413, path
    assert count(WebhookEvent) == 0
    assert count(WebhookRefusal) == 0
    body = b" " * largest
    assert client.post("/webhooks/sandbox", data=body, headers=sign(body)).status_code == 200


@pytest.mark.parametrize("body", [b"not json", b"", b"[]", b"null", b'{"id": 5}', b'"x"'])
@pytest.mark.forces("webhook_unreadable")
def test_signed_but_unreadable_is_stored_as_failed_and_answered_200(app, client, sign, body):
    assert client.post("/webhooks/sandbox", data=body, headers=sign(body)).status_code == 200
    assert only(WebhookEvent).status == WebhookStatus.FAILED
    assert only(WebhookEvent).raw_body == body
    assert "could not be read" in only(Incident).issue


def test_an_unknown_kind_is_kept_and_ignored(app, client, sign, run_jobs):
    body = json.dumps({"id": "evt_9", "type": "moon.rose", "data": {}}).encode()
    assert client.post("/webhooks/sandbox", data=body, headers=sign(body)).status_code == 200
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.IGNORED


def test_news_of_no_order_of_ours_waits_ten_minutes_then_calls_a_person(
    app, client, sign, run_jobs, turn_clock, an_order
):
    body = paid_news(only(Payment), reference="A" * 26, id="sbx_unknown")
    client.post("/webhooks/sandbox", data=body, headers=sign(body))
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.RECEIVED
    turn_clock(minutes=61)
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.FAILED
    assert "names no order of ours" in only(Incident).issue


def test_a_message_and_its_job_are_committed_together_before_the_answer(
    app, client, sign, an_order
):
    before = count(Job)
    body = paid_news(only(Payment))
    client.post("/webhooks/sandbox", data=body, headers=sign(body))
    jobs = db.session.scalars(sa.select(Job).where(Job.kind == "webhooks.process")).all()
    assert len(jobs) == 1
    assert count(Job) == before + 1
    assert jobs[0].payload == {"event_id": only(WebhookEvent).id}


def test_a_replay_by_hand_changes_nothing_twice(app, client, sign, run_jobs, an_order):
    body = paid_news(only(Payment))
    client.post("/webhooks/sandbox", data=body, headers=sign(body))
    run_jobs(kinds="webhooks.")
    captured = only(Payment).captured_minor
    with transaction():
        inbox.replay(only(WebhookEvent).id, "user:1")
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.PROCESSED
    assert only(Payment).captured_minor == captured


def test_the_sweep_asks_again_for_what_was_stored_and_lost(
    app, client, sign, run_jobs, turn_clock, an_order
):
    body = paid_news(only(Payment))
    client.post("/webhooks/sandbox", data=body, headers=sign(body))
    with transaction() as session:
        session.execute(sa.delete(Job))
    turn_clock(seconds=61)
    with transaction():
        from shop.jobs.queue import enqueue

        enqueue("webhooks.sweep")
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.PROCESSED


def test_no_secret_of_a_message_is_kept(app, client, sign, an_order):
    body = paid_news(only(Payment))
    headers = {**sign(body), "Authorization": "Bearer secret", "Cookie": "a=b"}
    client.post("/webhooks/sandbox", data=body, headers=headers)
    kept = json.dumps(only(WebhookEvent).headers)
    assert "secret" not in kept
    assert "v1=" not in kept


def test_a_failed_message_has_an_incident_and_stays_to_be_replayed(
    app, client, sign, run_jobs, an_order
):
    body = paid_news(only(Payment))
    client.post("/webhooks/sandbox", data=body, headers=sign(body))
    with transaction() as session:
        session.execute(sa.update(Job).where(Job.kind == "webhooks.process").values(attempts=12))
    run_jobs(kinds="webhooks.")
    assert only(WebhookEvent).status == WebhookStatus.FAILED
    failed = db.session.scalars(sa.select(Job).where(Job.status == JobStatus.FAILED)).one()
    assert only(Incident).job_id == failed.id


def test_the_sandbox_is_judged_by_its_signature_alone():
    assert Sandbox().is_authoritative


def test_a_busy_database_is_met_twice_and_the_message_is_taken_all_the_same(
    app, client, sign, monkeypatch, an_order
):
    """The whole view runs again; the body must still be there to be verified."""
    body = paid_news(only(Payment))
    store, busy = inbox._store, iter([True, True])

    def sometimes(*arguments):
        if next(busy, False):
            raise sa.exc.OperationalError("INSERT", {}, Exception("database is locked"))
        return store(*arguments)

    monkeypatch.setattr(inbox, "_store", sometimes)
    assert client.post("/webhooks/sandbox", data=body, headers=sign(body)).status_code == 200
    assert count(WebhookEvent) == 1
    assert count(WebhookRefusal) == 0
