"""A refund that one payment cannot bear comes from several at once, or not at all."""

from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.orders.models import Order, OrderStatus
from shop.payments import recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Payment, Refund
from shop.payments.refunds import RefundLine, request_refund
from shop.payments.spreading import request_refunds, split
from shop.promotions import gift_cards
from shop.returns.models import Disposition, Resolution, ReturnRequest
from shop.stock.models import StockLevel
from tests.factories import make_order, make_product
from tests.payments.histories import goods_go_on, handed_on
from tests.shops import Shop

ON_CARD = 50_000
SHIPPING = 9_900


@pytest.mark.parametrize(
    ("budget", "taken", "rest"),
    [
        (300, [(1, 2, 200), (2, 1, 100)], []),
        (250, [(1, 2, 200), (2, 1, 50)], [(2, 0, 50)]),
        (200, [(1, 2, 200)], [(2, 1, 100)]),
        (50, [(1, 2, 50)], [(1, 0, 150), (2, 1, 100)]),
    ],
)
def test_lines_are_shared_among_payments_and_each_unit_counts_once(budget, taken, rest):
    lines = [RefundLine(1, 2, 200), RefundLine(2, 1, 100)]
    first, second = split(lines, budget)
    shown = [
        [(one.line_id, one.quantity, one.amount_minor) for one in part] for part in (first, second)
    ]
    assert shown == [taken, rest]


@pytest.fixture
def order(shop: Shop, configure: Any) -> Order:
    """Two units of ₹1,000.00, of which a gift card paid ₹500.00 and the sandbox the rest."""
    configure(payment_gateways=("sandbox", "gift_card"))

    def pay() -> int:
        with transaction():
            code = gift_cards.issue(ON_CARD, "INR", "user:1")[1]
        return make_order(
            "paid", lines={make_product(price=100_000, stock=5): 2}, gift_code=code
        ).id

    return db.session.get_one(Order, shop.scene("paid-by-card-and-sandbox", pay))


def payments(order: Order) -> dict[str, Payment]:
    found = db.session.scalars(sa.select(Payment).where(Payment.order_id == order.id))
    return {one.gateway: one for one in found}


def refund(order: Order, amount: int, units: int, **more: Any) -> None:
    line = RefundLine(order.lines[0].id, units, 100_000 * units, restock=True)
    with transaction():
        request_refunds(order, amount, [line], "scratched", "user:1", **more)


def made() -> list[tuple[str, int, int, int]]:
    """Each refund: which way, how much, units and money of the line."""
    return [
        (one.payment.gateway, one.amount_minor, line["quantity"], line["amount_minor"])
        for one in refunds()
        for line in one.lines
    ]


def refunds() -> list[Refund]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(Refund).order_by(Refund.id)))


def test_a_gift_card_is_refilled_last_and_each_unit_counts_once(order, run_jobs):
    level = sa.select(StockLevel.on_hand).filter_by(variant_id=order.lines[0].variant_id)
    before = db.session.scalar(level)
    refund(order, order.total_minor, 2)
    by_sandbox = order.total_minor - ON_CARD
    assert made() == [
        ("sandbox", by_sandbox, 2, by_sandbox),
        ("gift_card", ON_CARD, 0, 200_000 - by_sandbox),
    ]
    assert db.session.scalar(level) == before + 2
    run_jobs()
    db.session.rollback()
    db.session.refresh(order)
    assert order.status == OrderStatus.REFUNDED
    assert (order.lines[0].refunded_quantity, order.lines[0].refunded_minor) == (2, 200_000)


def test_what_one_can_bear_comes_from_one(order):
    refund(order, 40_000, 0)
    assert [(one.payment.gateway, one.amount_minor) for one in refunds()] == [("sandbox", 40_000)]


def test_the_chosen_payment_goes_first_and_the_rest_comes_from_the_other(order):
    refund(order, 100_000, 1, first=payments(order)["gift_card"].id)
    assert made() == [("gift_card", ON_CARD, 1, ON_CARD), ("sandbox", 50_000, 0, 50_000)]


def test_more_than_all_of_them_can_bear_is_refused_and_nothing_goes(order):
    with pytest.raises(Refused):
        refund(order, order.total_minor + 1, 2)
    assert made() == []


def test_a_disputed_payment_bears_nothing_and_cannot_be_chosen(order):
    sandbox = payments(order)["sandbox"]
    news = GatewayEvent(
        EventKind.DISPUTE_OPENED, reference=sandbox.reference, amount_minor=sandbox.captured_minor,
        currency="INR", dispute_gateway_id="dp_1",
    )  # fmt: skip
    with transaction():
        recording.record(news, "sandbox", "webhook")
    for more, words in (
        ({}, "Not more than ₹500.00 can go back now. The disputed payment waits"),
        ({"first": sandbox.id}, "This payment is disputed"),
    ):
        with pytest.raises(Refused, match=words):
            refund(order, 100_000, 1, **more)
        assert made() == []
    refund(order, 40_000, 0)
    assert [(one.payment.gateway, one.amount_minor) for one in refunds()] == [("gift_card", 40_000)]


def test_a_part_for_delivery_alone_takes_no_line_that_nobody_named(app, configure):
    """As much as the other cost went back already, for no line; the rest is asked for at once."""
    configure(payment_gateways=("sandbox", "gift_card"))
    with transaction():
        code = gift_cards.issue(SHIPPING, "INR", "user:1")[1]
    goods = {make_product(price=10_000, stock=5): 1, make_product(price=10_000, stock=5): 1}
    order = make_order("paid", lines=goods, gift_code=code)
    assert order.shipping_minor == SHIPPING
    one, other = order.lines
    with transaction():
        request_refund(payments(order)["sandbox"].id, 10_000, [], "goodwill", "user:1")
        named = [RefundLine(one.id, 1, 10_000)]
        request_refunds(order, 10_000 + SHIPPING, named, "scratched", "user:1")
    assert [(refund.payment.gateway, refund.amount_minor) for refund in refunds()] == [
        ("sandbox", 10_000), ("sandbox", 10_000), ("gift_card", SHIPPING),
    ]  # fmt: skip
    db.session.refresh(one)
    db.session.refresh(other)
    assert [(line.refunded_quantity, line.refunded_minor) for line in (one, other)] == [
        (1, 10_000), (0, 0),
    ]  # fmt: skip


def test_goods_that_come_back_are_paid_back_to_both(order):
    for event in ("accepted", "packed", "shipped", "delivered"):
        with transaction():
            handed_on(order, event)
    assert order.status == OrderStatus.DELIVERED
    for _ in ("asked for", "approved", "looked at", "refunded"):
        with transaction():
            goods_go_on(order, 2, Disposition.RESTOCK)
    by_sandbox = order.total_minor - ON_CARD
    assert made() == [
        ("sandbox", by_sandbox, 2, by_sandbox),
        ("gift_card", 200_000 - by_sandbox, 0, 200_000 - by_sandbox),
    ]
    (request,) = db.session.scalars(sa.select(ReturnRequest))
    assert (request.resolution, request.refund_minor) == (Resolution.REFUND, 200_000)
