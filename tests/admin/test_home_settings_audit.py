"""The first page, the owner's settings, and the audit that can only be read."""

import pytest

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.preferences import preference
from tests.factories import make_order, make_product


def test_home_says_what_needs_a_person(staff):
    order = make_order("paid", lines={make_product(stock=2): 1})
    with transaction():
        db.session.get(Order, order.id).attention = "Paid too little"
    shown = staff("manager").get("/admin/").text
    for words in ("To pack", "Marked orders", "Low stock"):
        assert f'">{words}</a>' in shown
    assert order.number in shown
    assert "nothing waits at" in shown.lower()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_each_role_sees_its_own_desks_and_menu(staff):
    make_order(lines=1)
    support, packer = staff("support").get("/admin/").text, staff("fulfilment").get("/admin/").text
    assert "/admin/stock" not in support
    assert "/admin/jobs" not in support + packer
    assert "₹" not in packer
    assert "/admin/settings" in staff("owner").get("/admin/").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_customers_and_strangers_stay_outside(staff, client):
    assert staff("customer").get("/admin/").status_code == 403
    answer = client.get("/admin/orders")
    assert answer.status_code == 303
    assert "/account/sign-in" in answer.headers["Location"]
    by_htmx = client.get("/admin/orders", headers={"HX-Request": "true"})
    assert by_htmx.status_code == 401
    assert "/account/sign-in" in by_htmx.headers["HX-Redirect"]


def test_a_setting_is_changed_once_read_and_audited(staff):
    browser = staff("owner")
    browser.send("/admin/settings/hold_minutes", {"value": "20"})
    db.session.rollback()
    assert preference("hold_minutes") == 20
    entry = db.session.scalars(db.select(AuditEntry).filter_by(action="setting.changed")).one()
    assert (entry.subject, entry.before, entry.after) == (
        "setting:hold_minutes",
        {"value": 10},
        {"value": 20},
    )
    browser.send("/admin/settings/auto_ship", {"value": "false"})
    db.session.rollback()
    assert preference("auto_ship") is False


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_setting_out_of_bounds_is_refused_beside_its_field(staff):
    browser = staff("owner")
    for typed in ("0", "61", "ten", "", "1e1"):
        answer = browser.send("/admin/settings/hold_minutes", {"value": typed})
        assert answer.status_code == 422, typed
        assert "must be a whole number from 1 to 60" in answer.text, typed
    assert preference("hold_minutes") == 10


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_settings_are_the_owners_and_only_those_there_are(staff):
    assert staff("manager").send("/admin/settings/hold_minutes", {"value": "20"}).status_code == 403
    assert staff("owner").send("/admin/settings/secret_key", {"value": "20"}).status_code == 404


def test_the_audit_is_filtered_and_read_only(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    shown = browser.get(f"/admin/audit?subject=order:{order.number}").text
    assert "order.payment_succeeded" in shown
    assert "Nothing matches" in browser.get("/admin/audit?actor=user:99999").text
    assert (
        browser.post("/admin/audit", data={"csrf_token": browser.csrf_token()}).status_code == 405
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_support_reads_its_own_part_of_the_audit(staff):
    make_order("paid", lines=1)
    assert "Nothing matches" in staff("support").get("/admin/audit").text
