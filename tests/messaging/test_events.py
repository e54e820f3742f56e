"""The table of messages: what stands in it has words, and the owner may switch rows of it."""

import pytest

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.messaging import switches
from shop.messaging.events import EVENTS, Audience
from shop.messaging.languages import LANGUAGES
from shop.messaging.models import Purpose
from shop.messaging.whatsapp_templates import WHATSAPP
from shop.messaging.wordings import WORDINGS
from tests import factories

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

TELLINGS = [
    pytest.param(event, telling, id=f"{event}-{telling.audience}-{telling.channel}")
    for event, rows in EVENTS.items()
    for telling in rows
]


@pytest.mark.parametrize(("event", "telling"), TELLINGS)
def test_every_row_has_words_for_its_channel(event, telling):
    has_words = {
        "email": telling.template in WORDINGS,
        "sms": telling.template in LANGUAGES["en"].sms,
        "whatsapp": telling.template in WHATSAPP,
    }
    assert has_words[telling.channel]


def test_the_owner_hears_by_mail_alone_and_nobody_stops_news_of_an_order():
    for rows in EVENTS.values():
        for telling in rows:
            if telling.audience == Audience.OWNER:
                assert telling.channel == "email"
            assert not (telling.is_stoppable and "order" in telling.template)
            if telling.purpose != Purpose.TRANSACTIONAL:
                assert telling.is_stoppable, telling.template


@sqlite_only
def test_everything_is_on_until_it_is_switched_off_and_on_again(app, tell, run_jobs, smtp_server):
    order = factories.make_order()
    assert all(line.is_on for line in switches.lines())
    with transaction():
        switches.switch("order_shipped", "email", False, None, "user:1")
    tell("order_shipped", order.id)
    run_jobs()
    assert smtp_server.messages == []
    off = [line for line in switches.lines() if not line.is_on]
    assert [(line.event, line.telling.channel) for line in off] == [("order_shipped", "email")]
    with transaction():
        switches.switch("order_shipped", "email", True, None, "user:1")
    tell("order_shipped", order.id)
    run_jobs()
    assert len(smtp_server.messages) == 1
    written = db.session.scalars(db.select(AuditEntry.after).filter_by(action="message.switched"))
    assert [entry["is_on"] for entry in written] == [False, True]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_receipt_is_never_switched_off_and_what_is_not_in_the_table_neither(app):
    with pytest.raises(Refused), transaction():
        switches.switch("order_confirmed", "email", False, None, "user:1")
    for event, channel in (
        ("order_confirmed", "pigeon"),
        ("nothing", "email"),
        ("order_link", "sms"),
    ):
        with pytest.raises(NotFound), transaction():
            switches.switch(event, channel, False, None, "user:1")


def test_nothing_is_worded_that_no_event_sends():
    sent = {(told.template, told.channel) for tellings in EVENTS.values() for told in tellings}
    assert {(template, "sms") for template in LANGUAGES["en"].sms} <= sent
    assert {(template, "whatsapp") for template in WHATSAPP} <= sent
