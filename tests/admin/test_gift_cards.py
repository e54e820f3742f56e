"""Gift cards in the admin: issued by managers, the code shown once, blocked for good."""

import re

from shop.audit.models import AuditEntry
from shop.extensions import db
from shop.promotions.models import GiftCard
from tests.factories import make_order, make_product


def issue(browser, **fields):
    wish = {"amount": "500.00", **fields}
    return browser.post_form("/admin/gift-cards", wish, page="/admin/gift-cards")


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
        answer = browser.post_form(
            f"/admin/gift-cards/{card.id}/block", {}, page="/admin/gift-cards"
        )
        assert answer.status_code == 303
    assert "Blocked" in browser.get("/admin/gift-cards").text
    db.session.rollback()
    assert db.session.get_one(GiftCard, card.id).blocked_at
    assert db.session.get_one(GiftCard, card.id).balance_minor == 50_000


def test_support_and_fulfilment_issue_no_money(staff):
    for role in ("support", "fulfilment"):
        assert staff(role).get("/admin/gift-cards").status_code == 403
