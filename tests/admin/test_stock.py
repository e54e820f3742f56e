"""Stock by hand: never below what is held, each change with its reason and its person."""

import pytest

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.extensions import db
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.stock.models import StockLevel, StockMovement
from tests.factories import make_order, make_product


def level_of(product):
    db.session.rollback()
    return db.session.scalars(
        db.select(StockLevel).filter_by(variant_id=product.variants[0].id)
    ).one()


def save(browser, product, **fields):
    return browser.send(f"/admin/stock/{product.variants[0].id}", fields)


def test_receiving_counting_and_writing_off_are_movements(staff):
    ball = make_product(stock=10)
    browser = staff("fulfilment")
    save(browser, ball, reason="receive", units="5", note="box 7")
    assert level_of(ball).on_hand == 15
    save(browser, ball, reason="adjust", units="12")
    assert level_of(ball).on_hand == 12
    save(browser, ball, reason="write_off", units="2")
    assert level_of(ball).on_hand == 10
    moves = db.session.scalars(db.select(StockMovement).order_by(StockMovement.id)).all()[1:]
    assert [(move.reason, move.delta) for move in moves] == [
        ("receive", 5),
        ("adjust", -3),
        ("write_off", -2),
    ]
    assert {move.actor for move in moves} == {f"user:{browser.user_id}"}
    assert db.session.scalar(
        db.select(db.func.count()).select_from(AuditEntry).filter_by(action="stock.write_off")
    )
    assert "box 7" in browser.get("/admin/stock/movements").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_never_below_what_is_held(staff):
    ball = make_product(stock=5)
    make_order("pending_payment", lines={ball: 3})
    browser = staff("manager")
    answer = save(browser, ball, reason="adjust", units="2")
    assert answer.status_code == 422
    assert "3 of the 5 are held" in answer.text
    assert "at most 2 can be taken away" in answer.text
    assert level_of(ball).on_hand == 5
    assert save(browser, ball, reason="write_off", units="2").status_code == 303
    assert level_of(ball).on_hand == 3


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_no_number_is_refused(staff):
    ball = make_product(stock=5)
    browser = staff("manager")
    for typed in ("-1", "1.5", "", "1e3", "٣", "1000000000", "ten"):
        answer = save(browser, ball, reason="receive", units=typed)
        assert answer.status_code == 422, typed
        assert "whole number" in answer.text, typed
    assert level_of(ball).on_hand == 5


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_reason_or_variant_is_refused(staff):
    ball = make_product(stock=5)
    browser = staff("manager")
    assert save(browser, ball, reason="sale", units="1").status_code == 422
    answer = browser.send("/admin/stock/999999", {"reason": "receive", "units": "1"})
    assert answer.status_code == 404


def test_who_holds_what_is_shown_until_when(staff):
    ball = make_product("Tidal", stock=5)
    order = make_order("pending_payment", lines={ball: 3})
    shown = staff("fulfilment").get("/admin/stock").text
    assert order.number in shown
    assert "holds 3 until" in shown
    assert "Release" not in shown


def test_a_manager_releases_a_hold_that_nobody_is_paying(staff):
    ball = make_product(stock=5)
    order = make_order("pending_payment", lines={ball: 3})
    browser = staff("manager")
    way = f"/admin/stock/holds/{order.number}/release"
    refused = browser.send(way, {})
    assert refused.status_code == 422
    assert "may be paying now" in refused.text
    assert level_of(ball).reserved == 3
    with transaction():
        payment = attempts.latest(order.id)
        recording.record(
            GatewayEvent(EventKind.EXPIRED, reference=payment.reference), "sandbox", "webhook"
        )
    assert browser.send(way, {}).status_code == 303
    assert level_of(ball).reserved == 0
    assert (
        db.session.scalar(db.select(AuditEntry.subject).filter_by(action="stock.hold_released"))
        == f"order:{order.number}"
    )
    assert browser.send(way, {}).status_code == 422
    assert staff("fulfilment").send(way, {}).status_code == 403


def test_search_and_what_runs_out_first(staff):
    make_product("Plenty", stock=50)
    scarce = make_product("Scarce", stock=1)
    browser = staff("manager")
    shown = browser.get("/admin/stock").text
    assert shown.index("Scarce") < shown.index("Plenty")
    assert "Plenty" not in browser.get("/admin/stock?low=1").text
    assert "Scarce" not in browser.get("/admin/stock?q=plen").text
    assert (
        "Scarce"
        in browser.get("/admin/stock", query_string={"q": scarce.variants[0].sku.lower()}).text
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_number_of_statements_does_not_grow_with_the_rows(staff, sql_count):
    make_order("pending_payment", lines={make_product(stock=5): 1})
    browser = staff("manager")

    def statements():
        with sql_count() as told:
            assert browser.get("/admin/stock").status_code == 200
        return len(told)

    few = statements()
    for number in range(6):
        make_product(f"Ball {number}", variants=2)
    assert statements() == few <= 6
