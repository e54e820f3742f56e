"""Stock is held by conditional updates: all or nothing, never more than there is, each hold ended once."""

import threading

import pytest
import sqlalchemy as sa

from shop.clock import in_future
from shop.database import retried, transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.stock import ledger, reservations
from shop.stock.ledger import NotOnShelf
from shop.stock.models import (
    MovementReason,
    Reservation,
    ReservationState,
    StockLevel,
    StockMovement,
)
from tests.factories import make_order, make_product


def variant_of(product):
    return product.variants[0].id


def level_of(variant_id):
    db.session.rollback()
    return db.session.scalars(sa.select(StockLevel).filter_by(variant_id=variant_id)).one()


@pytest.fixture
def order_id(shop):
    """An order without a hold of its own, to hang holds on."""

    def without_hold():
        order_id = make_order(lines={make_product("Other", stock=1): 1}).id
        with transaction():
            reservations.release(order_id, ReservationState.CANCELLED)
        return order_id

    return shop.scene("order-without-a-hold", without_hold)


def test_all_lines_are_held_or_none(app, order_id):
    ball, net = variant_of(make_product("Ball", stock=5)), variant_of(make_product("Net", stock=1))
    with pytest.raises(reservations.OutOfStock) as short, transaction():
        reservations.hold(order_id, {ball: 2, net: 2}, in_future(minutes=10))
    assert short.value.left == {net: 1}
    assert (level_of(ball).reserved, level_of(net).reserved) == (0, 0)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_variant_without_a_level_has_nothing_left(app, order_id):
    with pytest.raises(reservations.OutOfStock) as short, transaction():
        reservations.hold(order_id, {987654: 1}, in_future(minutes=10))
    assert short.value.left == {987654: 0}


def test_a_hold_ends_once_whoever_ends_it(app, order_id):
    ball = variant_of(make_product("Ball", stock=5))
    with transaction():
        reservations.hold(order_id, {ball: 2}, in_future(minutes=10))
    with transaction():
        assert reservations.release(order_id, ReservationState.EXPIRED) == 1
    with transaction():
        assert reservations.release(order_id, ReservationState.CANCELLED) == 0
        assert reservations.confirm(order_id, {ball: 1}, "system") == 0
    assert level_of(ball).reserved == 0


def test_one_order_has_one_live_hold_of_a_variant(app, order_id):
    ball = variant_of(make_product("Ball", stock=5))
    with transaction():
        reservations.hold(order_id, {ball: 1}, in_future(minutes=10))
    with pytest.raises(sa.exc.IntegrityError), transaction():
        reservations.hold(order_id, {ball: 1}, in_future(minutes=10))
    assert level_of(ball).reserved == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("minutes", [10, 30])
def test_the_preference_decides_how_long_stock_is_held(app, minutes):
    from shop.clock import utcnow
    from shop.preferences import change

    with transaction():
        change("hold_minutes", str(minutes))
    make_order(lines={make_product(stock=1): 1})
    until = db.session.scalars(sa.select(Reservation.expires_at)).one()
    assert abs((until - utcnow()).total_seconds() - 60 * minutes) < 30


@pytest.mark.timeout(120)
def test_two_hundred_crossing_holds_meet_no_deadlock(app):
    """Two carts name the same two variants in opposite order; locks are taken by variant id."""
    ball, net = (
        variant_of(make_product("Ball", stock=900)),
        variant_of(make_product("Net", stock=900)),
    )
    first, second = (make_order(lines={make_product(stock=1): 1}).id for _ in range(2))
    with transaction():
        for order in (first, second):
            reservations.release(order, ReservationState.CANCELLED)
    failures: list[BaseException] = []

    def hold_and_release(order: int, wanted: dict[int, int]) -> None:
        with app.app_context():
            for _ in range(100):
                try:
                    retried(lambda: _hold(order, wanted), tries=1)
                except sa.exc.DBAPIError as error:
                    if "locked" not in str(error.orig):
                        failures.append(error)

    crowd = [
        threading.Thread(target=hold_and_release, args=(first, {ball: 1, net: 1})),
        threading.Thread(target=hold_and_release, args=(second, {net: 1, ball: 1})),
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert failures == []
    assert (level_of(ball).reserved, level_of(net).reserved) == (0, 0)


def _hold(order: int, wanted: dict[int, int]) -> None:
    with transaction():
        reservations.hold(order, wanted, in_future(minutes=10))
    with transaction():
        reservations.release(order, ReservationState.CANCELLED)


def test_the_shelf_never_goes_below_what_is_held(app):
    ball = make_product(stock=3)
    make_order(lines={ball: 2})
    with pytest.raises(NotOnShelf), transaction():
        ledger.move(variant_of(ball), -2, MovementReason.ADJUST, "user:1")
    with transaction():
        ledger.move(variant_of(ball), -1, MovementReason.WRITE_OFF, "user:1", "broken")
    assert level_of(variant_of(ball)).on_hand == 2


def test_sold_units_go_back_to_the_shelf_once_for_each_cause(app):
    order = make_order("paid", lines={make_product(stock=3): 2})
    line = db.session.get_one(Order, order.id).lines[0]
    variant_id, line_id = line.variant_id, line.id
    with transaction():
        assert ledger.restock_line(variant_id, line_id, 1, 7, "system")
        assert not ledger.restock_line(variant_id, line_id, 1, 7, "system")
    assert level_of(variant_id).on_hand == 2
    restocked = sa.select(sa.func.count()).select_from(StockMovement).filter_by(reason="restock")
    assert db.session.scalar(restocked) == 1
