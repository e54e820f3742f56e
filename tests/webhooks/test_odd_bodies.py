"""A body that is proven and odd: read, or stored as unreadable with an incident. Never a 500, never in a loop."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from shop.database import transaction
from shop.delivery.couriers.base import STAGES
from shop.delivery.models import ShipmentStatus
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.models import Job, JobStatus
from shop.payments.gateways.sandbox import Sandbox
from shop.provider_json import FIRST_YEAR, LARGEST, LAST_YEAR, MOST_LEVELS, read_json, storable
from shop.webhooks.models import WebhookEvent, WebhookRefusal, WebhookStatus
from tests.messaging.ways import settings_of
from tests.webhooks.sources import BY_NAME, KEYS, SOURCES, Source, with_odd_values, written

once = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
DEEP = (b'{"a":' * 40_000, b"[" * 90_000)
NO_OBJECTS = (b"not json", b"\xff\xfe", b"[1]", b"7", b'"x"', b"null")


def events() -> list[WebhookEvent]:
    db.session.expire_all()
    return list(db.session.scalars(sa.select(WebhookEvent).order_by(WebhookEvent.id)))


# --- reading, without a database -------------------------------------------------------------


def faults_in(value: Any, where: str = "") -> Iterator[str]:
    """What a database or a page would trip over."""
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from faults_in(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from faults_in(inner, where)
    elif isinstance(value, str):
        if storable(value) != value:
            yield f"{where} cannot be stored"
    elif isinstance(value, datetime):
        if value.tzinfo is None or not FIRST_YEAR - 1 <= value.year <= LAST_YEAR:
            yield f"{where} is no time: {value}"
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            yield f"{where} is too large"
    elif value is not None and not (isinstance(value, float) and ".raw." in where):
        yield f"{where} is a {type(value).__name__}"


@each_source
def test_every_place_of_every_sample_may_hold_anything(source: Source) -> None:
    """It is read into what can be stored, or ValueError is raised: nothing else, whatever stands where."""
    read = 0
    with settings_of(**KEYS):
        for sample in source.samples:
            assert not list(faults_in(source.read(written(sample))))
            for odd in with_odd_values(sample):
                try:
                    told = source.read(written(odd))
                except ValueError:
                    continue
                read += 1
                assert not list(faults_in(told)), odd
    assert read


@each_source
def test_what_is_no_object_of_the_provider_is_a_value_error(source: Source) -> None:
    with settings_of(**KEYS):
        for body in (*NO_OBJECTS, *DEEP):
            if source.name == "messages/msg91" and body == b"[1]":
                continue  # A list of reports is one of its shapes.
            with pytest.raises(ValueError):  # noqa: PT011  (any of its kinds: the inbox asks for no more)
                source.read(body)


def test_json_is_read_so_that_it_can_be_stored() -> None:
    assert read_json('["\\u0000a", "\\ud83d", "\\ud83d\\ude00", {"\\u0000": 1}]') == [
        "\ufffda", "\ufffd", "😀", {"\ufffd": 1},
    ]  # fmt: skip
    assert read_json("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    deeper = MOST_LEVELS + 1
    for wrong in ("NaN", "-Infinity", "1e999", str(2**63), "[" * deeper + "]" * deeper, "9" * 5000):
        with pytest.raises(ValueError):  # noqa: PT011
            read_json(wrong)


def test_couriers_and_the_shop_have_the_same_stages() -> None:
    assert {stage.value for stage in ShipmentStatus} == STAGES


# --- through the inbox -----------------------------------------------------------------------


@once
@each_source
def test_each_source_is_answered_and_what_cannot_be_read_ends_with_an_incident(
    client, configure, run_jobs, source
):
    configure(**KEYS)
    wanted = 200 if source.proves_anything else 400
    bodies = (*NO_OBJECTS, *DEEP)
    assert {source.post(client, body) for body in bodies} == {wanted}
    run_jobs()
    stored = events()
    if not source.proves_anything:
        assert stored == []
        assert db.session.scalars(sa.select(WebhookRefusal)).one().count == len(bodies)
    else:
        left = {event.raw_body for event in stored if event.status != WebhookStatus.FAILED}
        assert left == ({b"[1]"} if source.name == "messages/msg91" else set())
        assert {event.raw_body for event in stored} == set(bodies)
        incident = db.session.scalars(sa.select(Incident)).one()
        assert incident.fingerprint == f"webhook_unreadable:{source.name}"
    assert source.post(client, written(source.unknown)) == 200
    run_jobs()
    assert events()[-1].status == WebhookStatus.IGNORED


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("delivery/parcel", {"scans": 1}),
        ("stripe", {"id": "evt_\x00\ud83d", "type": "moon.rose \x00"}),
        ("messages/cloud", {"entry": [{"changes": [{"value": {"metadata": "x"}}]}]}),
    ],
)
def test_what_is_odd_and_can_be_read_is_taken_in(client, configure, run_jobs, name, change):
    configure(**KEYS)
    source = BY_NAME[name]
    assert source.post(client, written({**source.samples[0], **change})) == 200
    run_jobs()
    (event,) = events()
    assert event.status == WebhookStatus.IGNORED
    assert storable(event.event_id + event.kind) == event.event_id + event.kind


@once
@pytest.mark.parametrize(
    "fault", [TypeError, AttributeError, KeyError, RecursionError, OverflowError]
)
@pytest.mark.forces("webhook_unreadable")
def test_a_readers_own_mistake_is_no_500_and_is_seen_in_the_log(client, monkeypatch, fault):
    def mistaken(self, body):
        raise fault("oops")

    monkeypatch.setattr(Sandbox, "parse", mistaken)
    source = BY_NAME["sandbox"]
    with capture_logs() as logged:
        assert source.post(client, written(source.samples[0])) == 200
    (event,) = events()
    assert (event.status, event.error.startswith(fault.__name__)) == (WebhookStatus.FAILED, True)
    (line,) = [one for one in logged if one["event"] == "webhook.unreadable"]
    assert (line["error"], line["log_level"]) == (fault.__name__, "error")


@pytest.mark.forces("webhook_unreadable")
def test_a_stored_body_that_can_no_longer_be_read_fails_once_and_can_be_replayed(
    client, configure, run_jobs
):
    configure(**KEYS)
    for name in ("stripe", "delivery/parcel", "messages/cloud"):
        assert BY_NAME[name].post(client, written(BY_NAME[name].samples[0])) == 200
    with transaction() as session:
        session.execute(sa.update(WebhookEvent).values(raw_body=b"[" * 5_000))
    run_jobs()
    assert {(event.status, event.attempts) for event in events()} == {(WebhookStatus.FAILED, 1)}
    processed = sa.select(Job.status, Job.attempts).where(Job.kind == "webhooks.process")
    assert set(map(tuple, db.session.execute(processed))) == {(JobStatus.SUCCEEDED, 1)}
    told = set(db.session.scalars(sa.select(Incident.fingerprint)))
    assert told == {f"webhook_unreadable:{event.source}" for event in events()}


@once
@pytest.mark.parametrize("name", ["stripe", "razorpay", "paystack", "flutterwave", "swish"])
@pytest.mark.forces("unknown_money")
def test_news_of_no_order_of_ours_waits_ten_minutes_and_then_calls_a_person(
    client, configure, run_jobs, turn_clock, name
):
    """A hint, too: nobody is asked about a payment that the shop does not have."""
    configure(**KEYS)
    source = BY_NAME[name]
    assert source.post(client, written(source.samples[0])) == 200
    run_jobs()
    turn_clock(minutes=9)
    run_jobs()
    (event,) = events()
    assert event.status == WebhookStatus.RECEIVED
    assert db.session.scalar(sa.select(sa.func.count(Incident.id))) == 0
    turn_clock(minutes=52)
    run_jobs()
    (event,) = events()
    assert event.status == WebhookStatus.FAILED
    assert "names no order of ours" in db.session.scalars(sa.select(Incident.issue)).one()


def test_the_table_of_sources_has_everybody_who_may_post() -> None:
    from shop.delivery.couriers import COURIERS
    from shop.messaging.channels import SOURCES as CHANNELS
    from shop.payments.gateways import GATEWAYS, gateway

    gateways = {key for key in GATEWAYS if gateway(key).is_online}
    couriers = {f"delivery/{key}" for key in COURIERS} - {"delivery/manual"}
    assert set(BY_NAME) == gateways | couriers | {f"messages/{key}" for key in CHANNELS}
