"""What people agreed to, and who gets nothing more."""

import pytest

from shop.database import transaction
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.models import Consent, Purpose

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

NUMBER = "+919812345678"


def test_news_by_telephone_needs_a_word_and_mail_about_an_order_none(app):
    assert consents.may_send("email", "asha@shopper.example", "transactional") == ""
    for kind, purpose in (("sms", "transactional"), ("email", "reminders"), ("email", "marketing")):
        assert "nobody there agreed" in consents.may_send(kind, NUMBER, purpose)


def test_the_newest_word_counts_and_every_word_is_kept(app):
    with transaction():
        consents.grant("sms", NUMBER, "transactional", "checkout")
        consents.grant("sms", NUMBER, "transactional", "checkout")
        consents.withdraw("sms", NUMBER, "transactional", "account")
        consents.grant("sms", NUMBER, "transactional", "account")
    assert consents.may_send("sms", NUMBER, "transactional") == ""
    said = db.session.execute(db.select(Consent.state, Consent.source)).all()
    assert [tuple(row) for row in said] == [
        ("granted", "checkout"), ("withdrawn", "account"), ("granted", "account"),
    ]  # fmt: skip


@sqlite_only
def test_a_word_for_one_way_and_purpose_is_none_for_another(app):
    with transaction():
        consents.grant("sms", NUMBER, "transactional", "checkout")
    assert consents.may_send("whatsapp", NUMBER, "transactional")
    assert consents.may_send("sms", NUMBER, "marketing")


@pytest.mark.parametrize("reason", ["bounced", "complained", "opted_out", "by_hand"])
def test_a_suppressed_address_gets_nothing_until_it_is_lifted(app, reason):
    with transaction():
        consents.suppress("email", "Asha@Shopper.example", reason, "550 5.1.1 no such user")
        consents.suppress("email", "asha@shopper.example", "bounced")
    assert consents.is_suppressed("email", "ASHA@shopper.example") == reason
    assert consents.may_send("email", "asha@shopper.example", "transactional")
    with transaction():
        assert consents.lift("email", "asha@shopper.example")
    assert consents.may_send("email", "asha@shopper.example", "transactional") == ""


@pytest.mark.parametrize("first", ["bounced", "by_hand"])
@pytest.mark.parametrize("no", ["opted_out", "complained"])
def test_a_no_is_not_lost_behind_what_a_person_may_set_aside(app, first, no):
    for reason in (first, no, first):
        with transaction():
            consents.suppress("sms", NUMBER, reason, reason)
    assert consents.is_suppressed("sms", NUMBER) == no
    assert [one.details for one in consents.suppressions_of([NUMBER])] == [no]


@pytest.mark.parametrize(
    ("reason", "may"),
    [("bounced", True), ("by_hand", True), ("opted_out", False), ("complained", False)],
)
def test_a_person_may_set_aside_a_bounce_but_not_a_no(app, reason, may):
    with transaction():
        consents.suppress("email", "asha@shopper.example", reason)
    words = consents.may_send("email", "asha@shopper.example", Purpose.TRANSACTIONAL, by_hand=True)
    assert (words == "") is may


@sqlite_only
def test_a_new_word_does_not_undo_a_stop(app):
    with transaction():
        consents.grant("sms", NUMBER, "transactional", "checkout")
        consents.suppress("sms", NUMBER, "opted_out", "STOP")
        consents.grant("sms", NUMBER, "transactional", "checkout")
    assert (
        consents.may_send("sms", NUMBER, "transactional") == "its owner asked for no more messages"
    )
    with transaction():
        consents.lift("sms", NUMBER)
    assert consents.may_send("sms", NUMBER, "transactional") == ""
