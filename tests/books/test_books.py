"""The books name each broken line and row. For every proof one row is broken by SQL."""

import pytest
import sqlalchemy as sa

from shop.books import PROOFS, faults
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, Step
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.models import Order, OrderLine
from shop.payments import attempts
from shop.payments.models import Payment, Refund
from shop.payments.refunds import RefundLine, request_refund
from shop.stock.models import StockLevel, StockMovement
from tests.factories import make_order, make_product


@pytest.fixture
def paid(app):
    """A paid order of three, one of them refunded by user 1, and a parcel row with two."""
    order = make_order("paid", lines={make_product(stock=9, price=10_000): 3})
    payment = attempts.latest(order.id)
    line = order.lines[0]
    with transaction() as session:
        request_refund(payment.id, 10_000, [RefundLine(line.id, 1, 10_000, True)], "x", "user:1")
        parcel = Shipment(
            order_id=order.id, courier="sandbox", reference=order.number, awb="AWB1", step=Step.LABELLED
        )  # fmt: skip
        session.add(parcel)
        session.flush()
        session.add(ShipmentLine(shipment_id=parcel.id, order_line_id=line.id, quantity=2))
        session.get_one(OrderLine, line.id).shipped_quantity = 2
    return db.session.get_one(Order, order.id)


BREAKS = {
    "I1": ("UPDATE payment_parts SET amount_minor = amount_minor + 1", "orders:{number} parts"),
    "I2": (
        "UPDATE payments SET captured_minor = captured_minor - 1 WHERE captured_minor > 0",
        "payment_parts:{part} is paid by nothing",
    ),
    "I3": ("UPDATE payments SET captured_minor = captured_minor + 1", "payments:{reference} holds"),
    "I4": ("UPDATE payments SET refund_held_minor = 1", "payments:{reference} holds 1 for refunds"),
    "I8": ("UPDATE sellers SET sales_count = 77", "sellers:{seller} counts 77"),
    "I10": ("UPDATE stock_levels SET on_hand = on_hand + 1", "stock_levels:{variant} on hand"),
    "I11": (
        "INSERT INTO stock_movements (variant_id, delta, reason, order_line_id, sequence, actor, note,"
        " created_at, updated_at) SELECT variant_id, 9, 'restock', id, 99, 'system', '', created_at,"
        " updated_at FROM order_lines",
        "order_lines:{line} was put back more often",
    ),
    "I14": ("UPDATE orders SET status = 'delivered'", "orders:{number} is delivered"),
    "I17": (
        "INSERT INTO webhook_events (source, event_id, kind, raw_body, headers, received_at, status,"
        " attempts, repeats, created_at, updated_at) SELECT 'sandbox', 'e', 'k', '', '{{}}', placed_at,"
        " 'processed', 0, 0, placed_at, placed_at FROM orders",
        "webhook_events:",
    ),
    "I24": ("UPDATE jobs SET status = 'failed'", "jobs:{job}"),
    "I28": ("UPDATE shipments SET awb = NULL", "shipments:{shipment} is labelled"),
    "I29": ("UPDATE order_lines SET shipped_quantity = 1", "order_lines:{line} says 1 shipped"),
    "I33": (
        "UPDATE refunds SET actor = 'user:2'",
        "audit_entries:order:{number} lacks refund.requested by user:2",
    ),
}


def names(order):
    """The keys of the rows that a fault must name."""
    payment = db.session.scalars(sa.select(Payment)).one()
    return {
        "number": order.number, "part": payment.part_id, "reference": payment.reference,
        "line": order.lines[0].id, "seller": order.lines[0].seller_id, "variant": order.lines[0].variant_id,
        "job": db.session.scalar(sa.select(sa.func.min(Job.id))),
        "shipment": db.session.scalar(sa.select(Shipment.id)),
    }  # fmt: skip


def test_the_books_of_a_usual_order_are_right(paid):
    assert faults() == []
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 1


@pytest.mark.breaks_books
@pytest.mark.parametrize("line", sorted(BREAKS))
def test_a_row_broken_by_sql_is_named(paid, line):
    statement, told = BREAKS[line]
    expected = told.format(**names(paid))
    with transaction() as session:
        session.execute(sa.text(statement.replace("{{}}", "{}")))
    found = [fault for fault in faults() if fault.startswith(f"{line} ")]
    assert any(expected in fault for fault in found), found


@pytest.mark.breaks_books
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_held_than_there_is_would_be_named_too(app):
    """I9 is kept by the table's own checks; with them switched off the proof still sees it."""
    make_product(stock=2)
    with db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
        connection.exec_driver_sql("UPDATE stock_levels SET reserved = 3")
        connection.commit()
        connection.exec_driver_sql("PRAGMA ignore_check_constraints=OFF")
    variant = db.session.scalar(sa.select(StockLevel.variant_id))
    assert f"I9 stock_levels:{variant} reserved 3 of 2 on hand" in faults()


def test_the_database_itself_refuses_more_held_than_there_is(app):
    make_product(stock=2)
    with pytest.raises(sa.exc.IntegrityError), transaction() as session:
        session.execute(sa.update(StockLevel).values(reserved=3))


@pytest.mark.parametrize("change", ["UPDATE {} SET created_at = created_at", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["stock_movements", "audit_entries", "payment_events"])
def test_ledgers_refuse_to_be_changed(paid, table, change):
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), transaction() as session:
        if table == "audit_entries" and change.startswith("UPDATE"):
            change = "UPDATE {} SET action = 'x'"
        session.execute(sa.text(change.format(table)))


def test_every_proof_is_broken_by_some_test():
    assert {proof.line for proof in PROOFS} == {*BREAKS, "I9"}


def test_movements_are_the_only_way_to_change_the_count(paid):
    total = db.session.scalar(sa.select(sa.func.sum(StockMovement.delta)))
    assert total == db.session.scalar(sa.select(sa.func.sum(StockLevel.on_hand)))
