"""Gift cards in the admin: issued by managers, the code shown once, blocked for good."""

import re

import pytest

from shop import limits
from shop.accounts.models import SignIn
from shop.audit.models import AuditEntry
from shop.clock import in_future
from shop.database import transaction
from shop.extensions import db
from shop.promotions.models import GiftCard
from tests.factories import PASSWORD, make_order, make_product


def issue(browser, **fields):
    wish = {"amount": "500.00", **fields}
    return browser.send("/admin/gift-cards", wish)


def test_a_manager_issues_a_card_whose_code_is_shown_once(staff, configure):
    configure(payment_gateways=("sandbox", "gift_card"))
    browser = staff("manager")
    answer = issue(browser, note="Club prize", expires="2030-12-31")
    told = browser.get(answer.headers["Location"]).text
    code = re.search(r"([A-Z2-9]{4}-){3}[A-Z2-9]{4}", told)
    assert code
    again = browser.get("/admin/gift-cards").text
    assert code.group(0) not in again
    assert "₹500.00" in again
    assert "Club prize" in again
    order = make_order(lines={make_product(price=10_000): 1}, gift_code=code.group(0))
    assert order.payment_method == "gift_card"
    assert db.session.scalars(
        db.select(AuditEntry).filter_by(action="gift_card.issued", actor=f"user:{browser.user_id}")
    ).all()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s40_after_ten_minutes_money_is_made_only_with_the_password(staff):
    browser = staff("manager")
    with transaction() as session:
        session.scalars(db.select(SignIn)).one().stepped_up_at = in_future(minutes=-11)
    for wrong in ({}, {"password": "not the one"}):
        answer = issue(browser, **wrong)
        assert answer.status_code == 422
        assert "Enter your password" in answer.text
    assert not db.session.scalars(db.select(GiftCard)).all()
    assert issue(browser, password=PASSWORD).status_code == 303
    assert 'name="password"' not in browser.get("/admin/gift-cards").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_cards_are_issued_no_faster_than_other_money_moves(staff, monkeypatch):
    monkeypatch.setitem(limits.LIMITS, "admin_action", limits.Limit(2, 60))
    browser = staff("manager")
    assert [issue(browser, amount="0").status_code for _ in range(3)] == [422, 422, 429]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s18_an_amount_given_twice_makes_no_card(staff):
    assert issue(staff("manager"), amount=["500.00", "9.00"]).status_code == 400
    assert not db.session.scalars(db.select(GiftCard)).all()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(staff):
    browser = staff("manager")
    for fields, words in (
        ({"amount": "a lot"}, "amount like"),
        ({"amount": "0"}, "above zero"),
        ({"expires": "soon"}, "YYYY-MM-DD"),
        ({"expires": "2020-01-01"}, "in the future"),
    ):
        answer = issue(browser, note="For Asha", **fields)
        assert answer.status_code == 422
        assert words in answer.text
        assert "For Asha" in answer.text
    assert not db.session.scalars(db.select(GiftCard)).all()


def test_a_blocked_card_pays_no_more(staff):
    browser = staff("manager")
    issue(browser)
    (card,) = db.session.scalars(db.select(GiftCard)).all()
    for _ in range(2):
        answer = browser.send(f"/admin/gift-cards/{card.id}/block", {})
        assert answer.status_code == 303
    assert "Blocked" in browser.get("/admin/gift-cards").text
    db.session.rollback()
    assert db.session.get_one(GiftCard, card.id).blocked_at
    assert db.session.get_one(GiftCard, card.id).balance_minor == 50_000


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_support_and_fulfilment_issue_no_money(staff):
    for role in ("support", "fulfilment"):
        assert staff(role).get("/admin/gift-cards").status_code == 403
