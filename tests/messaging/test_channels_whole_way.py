"""From an order's event to a telephone and back: the whole machinery, with a provider that breaks on the way."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.incidents.catalogue import key_of
from shop.incidents.models import Incident
from shop.messaging import consents
from shop.messaging.channels import talking
from shop.messaging.models import Notification, NotificationStatus, Purpose
from shop.orders.models import Order, OrderEvent
from shop.providers import reset_lines
from tests.factories import make_order
from tests.incidents import pages
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
    monkeypatch.setattr(talking, "READ_SECONDS", 0.8)
    found = BY_ID[request.param]
    if found.id not in stand_ins:
        stand_ins[found.id] = found.stand_in()
    stand_in = stand_ins[found.id]
    stand_in.messages.clear()
    stand_in.faults.clear()
    stand_in.outbox.clear()
    stand_in.unknown.clear()
    stand_in.stopped.clear()
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
def ordered(shop):
    """Makes an order of somebody who wants news by that kind."""

    def make(kind: str) -> int:
        order_id = make_order(lines=1).id
        with transaction() as session:
            session.get_one(Order, order_id).phone = NUMBER
            consents.grant(kind, NUMBER, Purpose.TRANSACTIONAL, "checkout")
        return order_id

    def made(kind: str) -> Order:
        return db.session.get_one(Order, shop.scene(f"wants {kind} at noon", lambda: make(kind)))

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


KEYS = {
    "twilio": "twilio_auth_token", "termii": "termii_api_key", "msg91": "msg91_auth_key",
    "wati": "wati_token", "interakt": "interakt_api_key", "cloud": "whatsapp_cloud_token",
}  # fmt: skip


def no_number(stand_in, _configure, _way):
    """Twilio's 21211, Termii's and Wati's words for it."""
    stand_in.unknown.add(NUMBER.lstrip("+"))


def stopped(stand_in, _configure, _way):
    """Twilio's 21610."""
    stand_in.stopped.add(NUMBER.lstrip("+"))


def not_on_whatsapp(stand_in, _configure, _way):
    stand_in.codes = [131026]


def another_key(_stand_in, configure, way):
    configure(**{KEYS[way.key]: "another"})


@sqlite_only
@pytest.mark.parametrize(
    ("way", "happens", "is_unreachable"),
    [
        *((way.id, no_number, True) for way in WAYS if way.refuses_unknown),
        ("sms-twilio", stopped, True), ("whatsapp-cloud", not_on_whatsapp, True),
        *((way.id, another_key, False) for way in WAYS),
    ],
    indirect=["way"],
)  # fmt: skip
def test_what_a_provider_refuses_opens_the_incidents_that_the_table_names(
    way, happens, is_unreachable, ordered, tell, run_jobs, stand_ins, configure
):
    happens(stand_ins[way.id], configure, way)
    found = tell_of(ordered(way.kind), tell, run_jobs, way.kind)
    provider = "whatsapp-cloud" if way.key == "cloud" else way.key
    row, *_others = (
        told
        for told in pages.PROVIDERS
        if told.provider == provider and (told.seen == pages.UNREACHABLE) == is_unreachable
    )
    opened = [key_of(one.fingerprint) for one in db.session.scalars(db.select(Incident))]
    assert opened == list(row.keys[:1])
    assert bool(consents.is_suppressed(way.kind, NUMBER)) == is_unreachable
    assert (found.status == S.FAILED) == is_unreachable
    assert found.error, "the order's page shows it"


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
