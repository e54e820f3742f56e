"""Who gets nothing more: seen by those who see contacts, kept out by hand, let in again but after a STOP."""

import pytest
import sqlalchemy as sa

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.models import Suppression

PAGE = "/admin/kept-out"
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def three(app) -> dict[str, int]:
    """An address that bounced, a number that wrote STOP, one kept out by hand."""
    with transaction():
        consents.suppress("email", "Gone@Shopper.example", "bounced", "550 <b>no such user</b>")
        consents.suppress("sms", "+919876543210", "opted_out")
        consents.suppress("whatsapp", "+919876543211", "by_hand")
    rows = db.session.execute(sa.select(Suppression.channel, Suppression.id))
    return {row.channel: row.id for row in rows}


def test_the_list_says_who_and_why_and_finds_one(staff, three):
    browser = staff("support")
    shown = browser.get(PAGE).text
    for words in ("gone@shopper.example", "+919876543210", "Not there", "Wrote STOP", "By hand"):
        assert words in shown
    assert "&lt;b&gt;no such user" in shown
    found = browser.get(f"{PAGE}?q=GONE@").text
    assert "gone@shopper.example" in found
    assert "+919876543210" not in found
    assert "Not kept out" in browser.get(f"{PAGE}?q=_@%").text


@sqlite_only
def test_a_person_is_kept_out_by_hand(staff):
    browser = staff("support")
    wish = {"kind": "sms", "recipient": "+91 98765 43210", "details": "telephoned"}
    assert browser.send(PAGE, wish).status_code == 303
    assert consents.is_suppressed("sms", "+919876543210") == "by_hand"
    assert consents.is_suppressed("whatsapp", "+919876543210") == ""
    entry = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (entry.action, entry.after) == ("recipient.kept_out", {"recipient": "…210"})


@sqlite_only
def test_what_is_neither_address_nor_number_is_refused(staff):
    browser = staff("support")
    for kind, recipient in (
        ("sms", "09876543210"), ("sms", "a@b.example"), ("email", "+919876543210"),
        ("email", "a@b"), ("pigeon", "+919876543210"),
    ):  # fmt: skip
        wish = {"kind": kind, "recipient": recipient}
        assert browser.send(PAGE, wish).status_code == 422, wish
    assert db.session.scalars(sa.select(Suppression)).all() == []


@sqlite_only
def test_who_bounced_may_be_let_in_again_and_who_said_stop_may_not(staff, three):
    browser = staff("support")
    assert browser.get(PAGE).text.count("Let in again<") == 2
    for channel, status in (("email", 303), ("whatsapp", 303), ("sms", 422)):
        path = f"{PAGE}/{three[channel]}/let-in"
        assert browser.send(path, {}).status_code == status
    assert browser.send(f"{PAGE}/{three['email']}/let-in", {}).status_code == 404
    left = db.session.scalars(sa.select(Suppression.channel)).all()
    assert left == ["sms"]


@sqlite_only
def test_who_sees_no_contacts_sees_nobody(staff, three):
    browser = staff("fulfilment")
    assert browser.get(PAGE).status_code in {403, 404}
    assert browser.post(f"{PAGE}/{three['email']}/let-in").status_code in {400, 403, 404}
    assert consents.is_suppressed("email", "gone@shopper.example") == "bounced"


@sqlite_only
def test_who_called_it_spam_is_not_let_in_again(staff, app):
    with transaction():
        consents.suppress("email", "asha@shopper.example", "complained")
    row_id = db.session.scalar(sa.select(Suppression.id))
    browser = staff("support")
    assert "Let in again<" not in browser.get(PAGE).text
    answer = browser.send(f"{PAGE}/{row_id}/let-in", {})
    assert answer.status_code == 422
    assert consents.is_suppressed("email", "asha@shopper.example") == "complained"
