"""The tests' own tools keep their promises: otherwise nothing else proves anything."""

import socket

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import ScheduleSlot
from tests.factories import make_order


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_an_empty_database(app, turn):
    assert db.session.scalar(sa.select(sa.func.count()).select_from(ScheduleSlot)) == 0
    with transaction() as session:
        session.add(ScheduleSlot(task="a", slot_at=utcnow()))


def test_a_request_does_not_share_the_session_of_the_test(app, client, shop):
    seen = []
    app.before_request_funcs.setdefault(None, []).insert(0, lambda: seen.append(db.session()))
    client.get("/static/css/shop.css")
    app.before_request_funcs[None].pop(0)
    assert seen
    assert seen[0] is not db.session()


def test_the_shop_answers_http_on_loopback(live):
    import requests

    assert requests.get(live + "/static/css/shop.css", timeout=5).status_code == 200


def test_nothing_reaches_the_outside():
    with socket.socket() as sock, pytest.raises(AssertionError, match="tried to reach"):
        sock.connect(("192.0.2.1", 80))


def test_statements_are_counted(app, sql_count):
    with sql_count() as told:
        db.session.execute(sa.text("SELECT 1"))
    assert told == ["SELECT 1"]


@pytest.mark.redis
def test_a_redis_is_there(redis_url):
    import redis

    assert redis.Redis.from_url(redis_url).ping()


def test_the_clock_can_be_turned(turn_clock):
    before = utcnow()
    turn_clock(minutes=11)
    assert (utcnow() - before).total_seconds() > 600


@pytest.mark.browser
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.allows_console("404|Refused to execute")
def test_a_browser_is_there(live, page):
    page.goto(live + "/no-such-page")
    assert page.content()


def test_an_order_is_made_and_paid_as_by_a_shopper(app):
    order = make_order("paid", lines=2)

    assert order.status == "paid"
    assert order.payment_status == "paid"
