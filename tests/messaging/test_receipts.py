"""What providers tell of messages: proven, stored once, and brought into the message that it is about."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job
from shop.messaging import consents
from shop.messaging.models import NotificationStatus, Purpose
from shop.providers import reset_lines
from shop.webhooks.models import WebhookRefusal, WebhookStatus
from tests import factories
from tests.messaging.desk import Desk, events
from tests.messaging.ways import BY_ID, DIGITS, OUTGOING, WAYS
from tests.simulators.messengers import Messenger

S = NotificationStatus
ALL = [way.id for way in WAYS]
WITH_REFERENCE = [way.id for way in WAYS if way.carries_reference]


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, Messenger]]:
    made: dict[str, Messenger] = {}
    yield made
    for one in made.values():
        one.stop()


@pytest.fixture
def desk_of(app, client, configure, stand_ins) -> Callable[[str], Desk]:
    def made(way_id: str) -> Desk:
        way = BY_ID[way_id]
        if way_id not in stand_ins:
            stand_ins[way_id] = way.stand_in()
        stand_in = stand_ins[way_id]
        stand_in.messages.clear()
        stand_in.outbox.clear()
        stand_in.unknown, stand_in.stopped, stand_in.delivers = set(), set(), False
        configure(**{**way.settings(stand_in), "messages_dry_run": False, f"{way.kind}_channel": way.key})  # fmt: skip
        stand_in.webhook_url = f"{settings().public_url}{way.hook}"
        reset_lines()
        return Desk(way, stand_in, client)

    return made


@pytest.fixture
def desk(request, desk_of) -> Desk:
    return desk_of(request.param)


sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def desks(*ids: str, both: bool = False) -> Callable[[Any], Any]:
    """These ways, or all; on both engines where the SQL is what is tried."""
    of_ways = pytest.mark.parametrize("desk", ids or ALL, indirect=True)
    return of_ways if both else lambda test: sqlite_only(of_ways(test))


def steps(desk: Desk) -> tuple[str, ...]:
    return ("sent", "delivered") if desk.way.key == "termii" else ("sent", "delivered", "read")


@desks()
def test_receipts_bring_a_message_forward(desk, run_jobs):
    made, ours = desk.sent()
    for step in steps(desk):
        desk.stand_in.report(made, step)
        assert desk.carry() == [200]
        job = db.session.scalars(
            db.select(Job).filter_by(kind="webhooks.process").order_by(Job.id.desc())
        ).first()
        assert job.priority == 20, "money and parcels go first"
        run_jobs()
        assert desk.row(ours).status == step
    found = desk.row(ours)
    assert found.delivered_at
    assert bool(found.read_at) == ("read" in steps(desk))
    assert {event.status for event in events()} == {WebhookStatus.PROCESSED}
    assert {event.source for event in events()} == {f"messages/{desk.way.key}"}


@desks()
def test_receipts_that_come_twice_and_in_any_order_end_the_same(desk, run_jobs):
    made, ours = desk.sent()
    for step in steps(desk):
        desk.stand_in.report(made, step)
    assert set(desk.carry(times=2, backwards=True)) == {200}
    run_jobs()
    assert desk.row(ours).status == steps(desk)[-1]
    assert [event.repeats for event in events()] == [1] * len(steps(desk))


@desks()
def test_a_receipt_that_is_not_proven_is_refused_and_leaves_nothing(desk):
    made, ours = desk.sent()
    desk.stand_in.report(made, "delivered")
    (hook,) = desk.stand_in.outbox
    path = hook.url.removeprefix(settings().public_url)
    proof = hook.sign(hook.body)
    kind = proof.get("Content-Type", "application/json")
    bad = {name: "x" * len(value) for name, value in proof.items() if name != "Content-Type"}
    wrong = path.replace(desk.way.receipts_path, "/guessed") if desk.way.receipts_path else path
    for attempt in ({}, bad):
        told = desk.client.post(wrong, data=hook.body, headers={**attempt, "Content-Type": kind})
        assert told.status_code == 400
    assert events() == []
    assert db.session.scalars(db.select(WebhookRefusal.count)).all() == [2]
    assert desk.row(ours).status == S.SENT


@desks(*WITH_REFERENCE)
def test_a_receipt_ends_the_doubt_about_a_lost_answer(desk, run_jobs):
    made = desk.send()
    ours = desk.note(S.UNCERTAIN)
    desk.stand_in.report(made, "delivered")
    desk.carry()
    run_jobs()
    found = desk.row(ours)
    assert (found.status, found.provider_id) == (S.DELIVERED, made)


@desks("sms-termii", "whatsapp-msg91", "whatsapp-wati", both=True)
def test_without_a_reference_the_only_doubtful_message_to_the_number_is_meant(desk, run_jobs):
    made = desk.send()
    ours = desk.note(S.UNCERTAIN, message_id="other")
    desk.stand_in.report(made, "sent")
    desk.carry()
    run_jobs()
    found = desk.row(ours)
    assert (found.status, found.provider_id) == (S.SENT, made)
    assert found.sent_at


@desks("whatsapp-wati", both=True)
def test_of_two_doubtful_messages_neither_is_taken(desk, run_jobs):
    made = desk.send()
    both = [desk.note(S.UNCERTAIN), desk.note(S.UNCERTAIN)]
    desk.stand_in.report(made, "sent")
    desk.carry()
    run_jobs(ahead=600)
    assert [desk.row(one).status for one in both] == [S.UNCERTAIN, S.UNCERTAIN]
    assert events()[0].status == WebhookStatus.IGNORED


@desks("sms-termii", "whatsapp-msg91", "whatsapp-wati", both=True)
@pytest.mark.parametrize("state", [S.QUEUED, S.SENDING])
def test_while_another_message_is_under_way_the_doubtful_one_is_not_taken(desk, run_jobs, state):
    made = desk.send()
    ours = desk.note(S.UNCERTAIN, message_id="other")
    desk.note(state, message_id="its own")
    desk.stand_in.report(made, "sent")
    desk.carry()
    run_jobs()
    found = desk.row(ours)
    assert (found.status, found.provider_id) == (S.UNCERTAIN, None)


@desks("whatsapp-msg91", "whatsapp-wati")
def test_news_of_another_template_is_not_of_the_doubtful_message(desk, run_jobs):
    made = desk.send()
    sent = {"template": "order_confirmation", "language": "en", "parameters": []}
    ours = desk.note(S.UNCERTAIN, message_id="other", context={"whatsapp": sent})
    desk.stand_in.report(made, "sent")
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.UNCERTAIN


@desks("sms-termii", "whatsapp-msg91", "whatsapp-wati")
def test_a_receipt_that_overtakes_the_answer_waits_for_it(desk, run_jobs):
    made = desk.send()
    ours = desk.note(S.SENDING)
    desk.stand_in.report(made, "sent")
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.SENDING
    with transaction():
        desk.row(ours).provider_id = made
    run_jobs(ahead=30)
    assert desk.row(ours).status == S.SENT


@desks("whatsapp-wati", "whatsapp-cloud", "sms-twilio")
def test_news_of_somebody_elses_message_is_ignored_in_the_end(desk, run_jobs):
    made = desk.send()
    desk.stand_in.report(made, "delivered")
    desk.carry()
    run_jobs()
    assert events()[0].status == WebhookStatus.RECEIVED
    run_jobs(ahead=200)
    assert events()[0].status == WebhookStatus.IGNORED
    assert db.session.scalars(db.select(Incident)).all() == []


@desks()
def test_a_failure_counts_only_while_nothing_better_has_come(desk, run_jobs):
    made, ours = desk.sent()
    desk.stand_in.report(made, "delivered")
    desk.stand_in.report(made, "failed", 30008 if desk.way.key == "twilio" else 131000)
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.DELIVERED
    assert consents.is_suppressed(desk.way.kind, OUTGOING.recipient) == ""


@desks()
@pytest.mark.forces("message_undelivered")
def test_a_delivery_after_a_failure_counts(desk, run_jobs):
    made, ours = desk.sent()
    desk.stand_in.report(made, "failed", 30008 if desk.way.key == "twilio" else 131000)
    desk.carry()
    run_jobs()
    failed = desk.row(ours)
    assert failed.status == S.FAILED
    assert failed.error
    (incident,) = db.session.scalars(db.select(Incident))
    assert incident.fingerprint == f"message_undelivered:{desk.way.kind}:{desk.way.key}"
    desk.stand_in.report(made, "delivered")
    desk.carry()
    run_jobs()
    assert (desk.row(ours).status, desk.row(ours).error) == (S.DELIVERED, None)


@desks("sms-twilio", both=True)
def test_undelivered_messages_are_counted_up_for_each_provider(desk, run_jobs):
    for number in range(3):
        made = desk.send(text=f"message {number}", message_id=f"m{number}")
        desk.note(provider_id=made, message_id=f"m{number}")
        desk.stand_in.report(made, "undelivered", 30007)
    desk.carry()
    run_jobs()
    (incident,) = db.session.scalars(db.select(Incident))
    assert incident.repeats == 2


@desks("sms-twilio", both=True)
def test_undelivered_messages_of_many_orders_name_no_customer(desk, run_jobs):
    orders = [factories.make_order() for _ in range(2)]
    told = [(order.id, order.number) for order in orders]
    for number, (order_id, _) in enumerate([*told, told[0]]):
        made = desk.send(text=f"message {number}", message_id=f"m{number}")
        desk.note(provider_id=made, message_id=f"m{number}", order_id=order_id)
        desk.stand_in.report(made, "undelivered", 30007)
    desk.carry()
    run_jobs()
    incident = db.session.scalars(db.select(Incident)).one()
    assert incident.order_id is None
    assert sorted(incident.context) == ["channel", "orders", "provider", "template"]
    assert sorted(incident.context["orders"]) == sorted(number for _, number in told)


@sqlite_only
@pytest.mark.parametrize(
    ("desk", "code"),
    [
        ("sms-twilio", 30005), ("sms-twilio", 30006), ("whatsapp-twilio", 63024),
        ("whatsapp-cloud", 131026), ("whatsapp-wati", 131026), ("whatsapp-interakt", 131026),
    ],
    indirect=["desk"],
)  # fmt: skip
def test_a_number_that_is_not_there_is_marked(desk, code, run_jobs):
    made, ours = desk.sent()
    desk.stand_in.report(made, "failed", code)
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.FAILED
    assert consents.is_suppressed(desk.way.kind, OUTGOING.recipient) == "bounced"
    other = "whatsapp" if desk.way.kind == "sms" else "sms"
    assert consents.is_suppressed(other, OUTGOING.recipient) == ""
    assert db.session.scalars(db.select(Incident)).all() == []


@desks("whatsapp-cloud", both=True)
def test_who_wants_no_offers_still_hears_of_orders(desk, run_jobs):
    with transaction():
        for purpose in (Purpose.MARKETING, Purpose.TRANSACTIONAL):
            consents.grant("whatsapp", OUTGOING.recipient, purpose, "checkout")
    made, ours = desk.sent()
    desk.stand_in.report(made, "failed", 131050)
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.FAILED
    assert consents.is_suppressed("whatsapp", OUTGOING.recipient) == ""
    assert not consents.agreed("whatsapp", OUTGOING.recipient, Purpose.MARKETING)
    assert consents.agreed("whatsapp", OUTGOING.recipient, Purpose.TRANSACTIONAL)


@desks("sms-twilio", "whatsapp-cloud", "whatsapp-interakt", both=True)
def test_stop_is_heard_and_start_takes_it_back(desk, run_jobs):
    kind = desk.way.kind
    desk.stand_in.says(DIGITS, "Where is my order? Stop asking me to wait.")
    desk.stand_in.says(DIGITS, " Stop. ")
    desk.carry()
    run_jobs()
    assert consents.is_suppressed(kind, OUTGOING.recipient) == "opted_out"
    desk.stand_in.says(DIGITS, "UNSTOP")
    desk.carry()
    run_jobs()
    assert consents.is_suppressed(kind, OUTGOING.recipient) == ""
    assert [event.status for event in events()] == [
        WebhookStatus.IGNORED, WebhookStatus.PROCESSED, WebhookStatus.PROCESSED,
    ]  # fmt: skip


@desks("sms-twilio", "whatsapp-twilio", "whatsapp-cloud", "whatsapp-interakt")
def test_in_a_conversation_cancel_is_about_the_order(desk, run_jobs):
    desk.stand_in.says(DIGITS, "Cancel")
    desk.carry()
    run_jobs()
    stopped = consents.is_suppressed(desk.way.kind, OUTGOING.recipient)
    assert stopped == ("opted_out" if desk.way.kind == "sms" else "")


@desks("sms-twilio")
def test_a_word_does_not_let_in_a_number_that_bounced(desk, run_jobs):
    with transaction():
        consents.suppress("sms", OUTGOING.recipient, "bounced")
    desk.stand_in.says(DIGITS, "START")
    desk.carry()
    run_jobs()
    assert consents.is_suppressed("sms", OUTGOING.recipient) == "bounced"


@desks("whatsapp-cloud", both=True)
def test_a_post_may_hold_news_of_several_messages(desk, run_jobs):
    cloud = desk.stand_in
    first, second = (desk.send(message_id=name) for name in ("a", "b"))
    ours = [desk.note(provider_id=one, message_id=name) for one, name in [(first, "a"), (second, "b")]]  # fmt: skip
    cloud.batch(
        [cloud.status(first, "delivered"), cloud.status(second, "delivered")],
        [cloud.status(first, "read")],
    )
    assert desk.carry(times=2) == [200, 200]
    run_jobs()
    assert [desk.row(one).status for one in ours] == [S.READ, S.DELIVERED]
    (event,) = events()
    assert (event.kind, event.repeats) == ("3 receipts", 1)


@desks("whatsapp-cloud")
def test_usernames_hide_the_number_and_the_message_is_known_all_the_same(desk, run_jobs):
    desk.stand_in.hides_numbers = True
    try:
        made, ours = desk.sent()
        desk.stand_in.report(made, "read")
    finally:
        desk.stand_in.hides_numbers = False
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.READ


@desks("whatsapp-interakt")
def test_the_set_up_call_is_answered_and_ignored(desk, run_jobs):
    desk.stand_in.set_up()
    assert desk.carry() == [200]
    run_jobs()
    assert [event.status for event in events()] == [WebhookStatus.IGNORED]


@desks("whatsapp-wati")
def test_each_event_is_read_in_one_of_its_two_forms(desk, run_jobs):
    desk.stand_in.tells_twice = True
    try:
        made, ours = desk.sent()
        desk.stand_in.report(made, "delivered")
    finally:
        desk.stand_in.tells_twice = False
    desk.carry()
    run_jobs()
    assert desk.row(ours).status == S.DELIVERED
    assert sorted(event.status for event in events()) == [WebhookStatus.IGNORED, WebhookStatus.PROCESSED]  # fmt: skip


@desks("sms-twilio")
def test_what_proves_is_not_kept_and_the_reference_is(desk):
    desk.stand_in.report(desk.send(), "sent")
    desk.carry()
    (event,) = events()
    assert event.headers["Reference"] == OUTGOING.message_id
    assert not any("signature" in name.lower() for name in event.headers)


@desks("whatsapp-cloud")
def test_meta_is_told_that_the_address_is_ours(desk, client):
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-token-invented", "hub.challenge": "1158201444"}  # fmt: skip
    told = client.get("/webhooks/messages/cloud", query_string=query)
    assert (told.status_code, told.text, told.mimetype) == (200, "1158201444", "text/plain")
    told = client.get("/webhooks/messages/cloud", query_string={**query, "hub.verify_token": "x"})
    assert told.status_code == 403
    assert "1158201444" not in told.text


@sqlite_only
def test_who_is_not_set_up_has_no_address(client, app):
    for name in ("twilio", "wati/guess", "ses/guess", "pigeon", "smtp", "mailbox"):
        assert client.post(f"/webhooks/messages/{name}", data=b"{}").status_code == 404
    assert client.get("/webhooks/messages/twilio").status_code == 405
