"""Messages that are not verified open one incident for each source; a flood of them costs little."""

import pytest

from shop.extensions import db
from shop.incidents.models import Category, Incident, Severity
from shop.webhooks.models import WebhookEvent, WebhookRefusal


@pytest.fixture
def post(client):
    def send(path: str = "sandbox", times: int = 1) -> None:
        for number in range(times):
            answer = client.post(
                f"/webhooks/{path}", data=b'{"id": "evt_%d"}' % number,
                content_type="application/json", headers={"X-Signature": "forged"},
            )  # fmt: skip
            assert answer.status_code == 400

    return send


def incidents() -> list[Incident]:
    db.session.rollback()
    return list(db.session.scalars(db.select(Incident).order_by(Incident.id)))


@pytest.mark.forces("webhook_refused")
def test_a_gateways_refused_messages_are_one_payment_incident_counted_up(post):
    post(times=3)
    [incident] = incidents()
    assert (incident.category, incident.severity) == (Category.PAYMENT, Severity.MEDIUM)
    assert incident.repeats == 2
    assert incident.context == {"source": "sandbox", "refusedInFiveMinutes": 3}
    assert "sandbox" in incident.issue
    assert db.session.scalars(db.select(WebhookEvent)).all() == []
    assert "evt_" not in f"{incident.context} {incident.issue} {incident.error_message}"


def test_more_than_five_in_five_minutes_are_grave(post, turn_clock):
    post(times=5)
    assert incidents()[0].severity == Severity.MEDIUM
    post()
    assert [one.severity for one in incidents()] == [Severity.HIGH]


def test_five_in_each_quarter_of_an_hour_are_not(post, turn_clock):
    for _ in range(3):
        post(times=5)
        turn_clock(minutes=15)
    assert [(one.severity, one.repeats) for one in incidents()] == [(Severity.MEDIUM, 14)]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_source_has_its_own_and_couriers_are_about_delivery(post, configure):
    post()
    post("delivery/sandbox")
    categories = {one.fingerprint: one.category for one in incidents()}
    assert categories == {
        "webhook_refused:sandbox": Category.PAYMENT,
        "webhook_refused:delivery/sandbox": Category.DELIVERY,
    }


def test_a_flood_writes_seldom_and_is_counted_all_the_same(post, turn_clock, sql_count):
    post(times=10)
    with sql_count() as told:
        post(times=40)
    assert not [line for line in told if not line.startswith("SELECT")], "a refusal was written"
    turn_clock(seconds=6)
    post()
    assert db.session.scalar(db.select(db.func.sum(WebhookRefusal.count))) == 51
    assert incidents()[0].repeats == 50


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_source_that_is_not_there_is_not_counted(client):
    assert client.post("/webhooks/nobody", data=b"{}").status_code == 404
    assert not incidents()
