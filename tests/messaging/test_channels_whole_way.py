"""From an order's event to a telephone and back: the whole machinery, with a provider that breaks on the way."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.channels import talking
from shop.messaging.models import Notification, NotificationStatus, Purpose
from shop.orders.models import Order, OrderEvent
from shop.providers import reset_lines
from tests.factories import make_order
from tests.messaging.ways import BY_ID, WAYS
from tests.simulators.messengers import Messenger

S = NotificationStatus
NUMBER = "+919876543210"
#: Nobody's telephone is to be quiet then, in India.
NOON = datetime(2027, 1, 4, 6, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, Messenger]]:
    made: dict[str, Messenger] = {}
    yield made
    for one in made.values():
        one.stop()


@pytest.fixture
def way(request, app, configure, stand_ins, turn_clock, monkeypatch):
    """The way named by the test's parameter, chosen by settings and nothing else."""
    monkeypatch.setattr(talking, "READ_SECONDS", 0.3)
    found = BY_ID[request.param]
    if found.id not in stand_ins:
        stand_ins[found.id] = found.stand_in()
    stand_in = stand_ins[found.id]
    stand_in.messages.clear()
    stand_in.faults.clear()
    stand_in.outbox.clear()
    stand_in.delivers, stand_in.takes_any_template = False, True
    configure(
        **{
            **found.settings(stand_in), "messages_dry_run": False, f"{found.kind}_channel": found.key,
            "twilio_templates": ("order_confirmation=HX1",),
        }
    )  # fmt: skip
    stand_in.webhook_url = f"{settings().public_url}{found.hook}"
    reset_lines()
    turn_clock(NOON)
    yield found
    reset_lines()


def ways(*ids: str):
    return pytest.mark.parametrize("way", ids or [way.id for way in WAYS], indirect=True)


#: The engines differ in nothing here but in what the doubt's tests try.
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def ordered(app):
    """Makes an order of somebody who wants news by that kind."""

    def made(kind: str) -> Order:
        order = make_order(lines=1)
        with transaction():
            order = db.session.get_one(Order, order.id)
            order.phone = NUMBER
            consents.grant(kind, NUMBER, Purpose.TRANSACTIONAL, "checkout")
        return order

    return made


def tell_of(order: Order, tell, run_jobs, kind: str) -> Notification:
    tell("order_confirmed", order.id)
    run_jobs()
    return row(kind)


def row(kind: str) -> Notification:
    db.session.rollback()
    (found,) = db.session.scalars(
        db.select(Notification).where(
            Notification.channel == kind, Notification.template == "order_confirmed"
        )
    )
    return found


def post_all(client, stand_in) -> list[int]:
    hooks, stand_in.outbox = stand_in.outbox, []
    told = []
    for hook in hooks:
        path = hook.url.removeprefix(settings().public_url)
        headers = {"Content-Type": "application/json", **hook.sign(hook.body)}
        told.append(client.post(path, data=hook.body, headers=headers).status_code)
    return told


@sqlite_only
@ways()
def test_who_wants_news_gets_it_once_and_its_receipt_is_noted(
    way, ordered, tell, run_jobs, client, stand_ins
):
    stand_in = stand_ins[way.id]
    order = ordered(way.kind)
    found = tell_of(order, tell, run_jobs, way.kind)
    tell("order_confirmed", order.id)
    run_jobs()
    (made,) = stand_in.messages
    assert (found.status, found.provider, found.provider_id) == (S.SENT, way.key, made)
    assert f"+{stand_in.messages[made].to}" == NUMBER
    stand_in.report(made, "delivered")
    assert post_all(client, stand_in) == [200]
    run_jobs()
    assert row(way.kind).status == S.DELIVERED


@sqlite_only
@ways("sms-termii")
def test_a_message_that_was_put_off_goes_once_when_its_time_comes(
    way, ordered, tell, run_jobs, stand_ins
):
    stand_in = stand_ins[way.id]
    stand_in.fault("refuse", status=429, headers={"Retry-After": "20"}, path=way.path)
    found = tell_of(ordered(way.kind), tell, run_jobs, way.kind)
    assert (found.status, stand_in.messages) == (S.QUEUED, {})
    run_jobs(ahead=120)
    assert row(way.kind).status == S.SENT
    assert len(stand_in.messages) == 1


@ways("sms-termii", "whatsapp-cloud")
def test_a_message_whose_answer_was_lost_is_never_repeated_and_its_receipt_ends_the_doubt(
    way, ordered, tell, run_jobs, client, stand_ins
):
    stand_in = stand_ins[way.id]
    stand_in.fault("hang_after", path=way.path)
    found = tell_of(ordered(way.kind), tell, run_jobs, way.kind)
    assert found.status in {S.UNCERTAIN, S.SENT}
    run_jobs(ahead=900)
    (made,) = stand_in.messages
    stand_in.report(made, "sent")
    stand_in.report(made, "delivered")
    post_all(client, stand_in)
    run_jobs(ahead=1000)
    found = row(way.kind)
    assert (found.status, found.provider_id) == (S.DELIVERED, made)
    assert len(stand_in.messages) == 1
    notes = db.session.scalars(db.select(OrderEvent.text).where(OrderEvent.kind == "message")).all()
    assert len([note for note in notes if "…210" in note]) == 1


@sqlite_only
@ways("sms-twilio")
def test_twilio_is_asked_about_a_lost_answer_and_says_what_it_has(
    way, ordered, tell, run_jobs, stand_ins
):
    stand_in = stand_ins[way.id]
    stand_in.fault("hang_after", path=way.path)
    assert tell_of(ordered("sms"), tell, run_jobs, "sms").status in {S.UNCERTAIN, S.SENT}
    run_jobs(ahead=60)
    (made,) = stand_in.messages
    assert (row("sms").status, row("sms").provider_id) == (S.SENT, made)


@sqlite_only
@ways("sms-twilio")
def test_who_said_stop_to_the_provider_is_not_written_to_again(
    way, ordered, tell, run_jobs, stand_ins
):
    stand_in = stand_ins[way.id]
    stand_in.stopped.add(NUMBER.lstrip("+"))
    order = ordered("sms")
    assert tell_of(order, tell, run_jobs, "sms").status == S.FAILED
    assert consents.is_suppressed("sms", NUMBER) == "opted_out"
    asked = len(stand_in.requests)
    tell("payment_failed", order.id, payment_id=1)
    run_jobs()
    assert len(stand_in.requests) == asked


@sqlite_only
@ways("whatsapp-cloud")
def test_a_dry_run_writes_the_message_and_nothing_leaves(
    way, ordered, tell, run_jobs, configure, stand_ins
):
    configure(messages_dry_run=True)
    asked = len(stand_ins[way.id].requests)
    found = tell_of(ordered(way.kind), tell, run_jobs, way.kind)
    assert found.status == S.SENT
    assert found.provider_id.startswith("dry-run-")
    assert found.body_text
    assert len(stand_ins[way.id].requests) == asked
