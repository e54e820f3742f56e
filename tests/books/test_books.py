"""The books name each broken line and row. For every branch of every proof one row is broken by SQL."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from shop.books import PROOFS, faults
from shop.books.reading import PAGE, snapshot, stream
from shop.catalog.models import VariantPrice
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, Step
from shop.extensions import db
from shop.incidents.models import Incident, Severity
from shop.jobs.handlers import HANDLERS
from shop.jobs.models import Job
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import RULES, Target
from shop.orders.models import Order, OrderEvent, OrderLine
from shop.payments import attempts
from shop.payments.models import Payment, Refund
from shop.payments.refunds import RefundLine, request_refund
from shop.promotions import gift_cards
from shop.stock import ledger
from shop.stock.models import StockLevel, StockMovement
from tests.books.breaks import BREAKS, step
from tests.books.silence import all_of
from tests.factories import make_order, make_product, make_user

AUDITS = int(os.environ.get("AUDITS", "3"))
"""How often the books are proved while the shop is busy."""


@pytest.fixture
def paid(shop):
    """A paid order of three, one of them refunded by user 1, and a parcel row with two."""
    return db.session.get_one(Order, shop.scene("paid", make_paid))


def make_paid():
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
    return order.id


@pytest.fixture
def names(shop):
    """The keys of the rows that faults name: those of the paid order, and of one that is open."""
    return shop.scene("paid and open", make_names)


def make_names():
    paid = db.session.get_one(Order, make_paid())
    opened = make_order(lines=1)
    bare = make_product(stock=0).variants[0].id
    clerk, former, guest = (make_user(role).id for role in ("support", "support", "customer"))
    with transaction():
        card = gift_cards.issue(50_000, "INR", "user:1")[0].id
    payment, line, open_line = attempts.latest(paid.id), paid.lines[0], opened.lines[0]
    price = sa.select(VariantPrice.id).filter_by(variant_id=line.variant_id)
    first = sa.select(sa.func.min(OrderEvent.id)).where(OrderEvent.order_id == paid.id)
    found = {
        "order": paid.id, "number": paid.number, "line": line.id, "variant": line.variant_id,
        "seller": line.seller_id, "payment": payment.id, "reference": payment.reference,
        "part": payment.part_id, "first": db.session.scalar(first),
        "job": db.session.scalar(sa.select(sa.func.min(Job.id))),
        "shipment": db.session.scalar(sa.select(Shipment.id)),
        "open_order": opened.id, "open_line": open_line.id, "bare": bare, "card": card,
        "open_number": opened.number, "open_payment": attempts.latest(opened.id).id,
        "price": db.session.scalar(price), "clerk": clerk, "former": former, "guest": guest,
        "now": utcnow(),
    }  # fmt: skip
    db.session.rollback()
    return found


@pytest.fixture
def loosen(app, engine) -> Iterator[Callable[[str], None]]:
    """`loosen("orders")` takes the table's checks, unique keys and triggers away, for this test."""
    tied: list[tuple[str, list[tuple[str, str]]]] = []

    def on_postgresql(table: str) -> None:
        with together().begin() as connection:
            guards = connection.execute(
                sa.text(
                    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
                    " WHERE conrelid = CAST(:table AS regclass) AND contype IN ('c', 'u')"
                ),
                {"table": table},
            ).all()
            for name, _ in guards:
                connection.execute(sa.text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
        tied.append((table, [(name, words) for name, words in guards]))

    def on_sqlite(table: str) -> None:
        with untied() as execute:
            execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
            execute(f"DROP TABLE {table}")
            execute(f"ALTER TABLE loose RENAME TO {table}")

    yield on_sqlite if engine == "sqlite" else on_postgresql
    db.session.rollback()
    for table, guards in tied:
        with together().begin() as connection:
            connection.execute(sa.text(f"TRUNCATE {table} CASCADE"))
            for name, words in guards:
                connection.execute(sa.text(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {words}'))


def together() -> sa.Engine:
    """For several statements in one transaction."""
    return db.engine.execution_options(isolation_level="READ COMMITTED")


@contextmanager
def untied() -> Iterator[Callable[[str], object]]:
    """A connection that keeps no foreign keys on SQLite; elsewhere an ordinary transaction."""
    if db.engine.dialect.name != "sqlite":
        with transaction() as session:
            yield lambda statement: session.execute(sa.text(statement.replace(":", r"\:")))
        return
    raw = db.engine.raw_connection()
    try:
        raw.driver_connection.execute("PRAGMA foreign_keys=OFF")
        yield raw.driver_connection.execute
        raw.driver_connection.execute("PRAGMA foreign_keys=ON")
    finally:
        raw.close()


def faults_of(line: str) -> list[str]:
    """What the proofs of this line find."""
    with snapshot() as connection:
        return [fault for proof in PROOFS if proof.line == line for fault in proof.find(connection)]


def test_the_books_of_a_usual_order_are_right(names):
    assert faults() == []
    assert db.session.scalar(sa.select(sa.func.count(Refund.id))) == 1


@pytest.mark.breaks_books
@pytest.mark.parametrize("branch", sorted(BREAKS))
def test_a_row_broken_by_sql_is_named(names, loosen, engine, branch):
    """On SQLite all proofs read the broken row; on PostgreSQL, which is slower at it, its own."""
    broken = BREAKS[branch]
    if broken.loosen:
        loosen(broken.loosen)
    with untied() as execute:
        for statement in broken.statements:
            execute(statement.format(**names))
    last = db.session.scalar(sa.select(sa.func.max(OrderEvent.id)))
    line, told = branch.split("-")[0], broken.told.format(**names, last=last)
    found = faults() if engine == "sqlite" else [f"{line} {fault}" for fault in faults_of(line)]
    assert any(fault.startswith(f"{line} {told}") for fault in found), found


@pytest.mark.breaks_books
def test_what_people_did_in_silence_is_named(names):
    """All of it at once: no fault of one hides that of another."""
    silent = all_of(names)
    with transaction() as session:
        for deed in silent:
            for row in deed.rows:
                session.execute(row)
    found, due = faults(), [f"I33 {words}" for deed in silent for words in deed.told]
    assert [words for words in due if words not in found] == [], found


def test_every_proof_is_broken_by_some_test():
    assert {proof.line for proof in PROOFS} == {branch.split("-")[0] for branch in BREAKS}


def test_only_a_correction_may_lead_anywhere():
    assert {rule.event for rule in RULES if rule.target == Target.ANY} == {"corrected"}


@pytest.mark.breaks_books
def test_a_state_corrected_by_hand_asks_for_no_sale(names):
    with transaction() as session:
        said = step("corrected", "pending_payment", "paid", of="open_order").format(**names)
        session.execute(sa.text(said))
        session.execute(
            sa.text(f"UPDATE orders SET status = 'paid' WHERE id = {names['open_order']}")
        )
    assert faults() == []


@pytest.mark.breaks_books
def test_a_parcel_begun_after_the_order_came_back_to_life_is_right(names):
    with transaction() as session:
        for event, before, after in (
            ("cancelled", "paid", "cancelled"),
            ("payment_succeeded", "cancelled", "paid"),
        ):
            session.execute(sa.text(step(event, before, after).format(**names)))
        session.execute(sa.text("UPDATE shipments SET created_at = '2199-01-01 00:00:00.000000'"))
    assert faults() == []


@pytest.mark.breaks_books
def test_a_disputed_order_remembers_where_its_parcel_came(names):
    with transaction() as session:
        for event, before, after in (
            ("accepted", "paid", "processing"),
            ("packed", "processing", "ready_for_shipment"),
            ("dispute_opened", "ready_for_shipment", "disputed"),
            ("shipped", "disputed", "disputed"),
            ("partly_refunded", "disputed", "disputed"),
            ("delivered", "disputed", "disputed"),
            ("dispute_won", "disputed", "delivered"),
            ("archived", "delivered", "archived"),
            ("unarchived", "archived", "delivered"),
            ("archived", "delivered", "archived"),
        ):
            session.execute(sa.text(step(event, before, after).format(**names)))
        session.execute(
            sa.update(Order)
            .where(Order.id == names["order"])
            .values(status="archived", status_before="delivered")
        )
    assert faults() == []


def test_lines_of_a_lost_dispute_may_say_more_than_refunds(paid):
    """The rest went back by the dispute; the audit after the test looks at the lines."""
    from shop.payments.gateways.base import EventKind, GatewayEvent
    from shop.payments.recording import record

    reference = attempts.latest(paid.id).reference
    with transaction():
        record(
            GatewayEvent(EventKind.DISPUTE_LOST, reference=reference, dispute_gateway_id="d"),
            "sandbox",
            "webhook",
        )
    line = db.session.scalars(sa.select(OrderLine)).one()
    assert line.refunded_quantity == line.quantity
    assert faults() == []


# --- one snapshot ----------------------------------------------------------------------------


def test_what_happens_meanwhile_is_never_a_fault(app, loose_limits):
    """Orders are placed and stock comes in while the books are proved, again and again."""
    product = make_product(stock=1_000)
    variant_id = product.variants[0].id
    db.session.rollback()
    stop, placed, failed = threading.Event(), [], []

    def busy(work: Callable[[], object]) -> None:
        with app.app_context():
            try:
                while not stop.is_set():
                    work()
            except BaseException as error:
                failed.append(error)
                raise

    def stock_up() -> None:
        with transaction():
            ledger.receive(variant_id, 1, "user:1")
        time.sleep(0.01)  # SQLite's lock goes to whoever asks first again, so the others starve

    def order() -> None:
        placed.append(make_order("paid", lines={variant_id: 1}).id)

    workers = [threading.Thread(target=busy, args=(work,)) for work in (stock_up, order)]
    for worker in workers:
        worker.start()
    seen, audits, until = [], 0, time.monotonic() + 40
    try:
        while audits < AUDITS or (len(placed) < 3 and not failed and time.monotonic() < until):
            seen += faults()
            audits += 1
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not failed
    assert seen == []
    assert len(placed) > 2


def test_the_caller_s_transaction_goes_on(app):
    variant_id = make_product(stock=2).variants[0].id
    with transaction() as session:
        ledger.receive(variant_id, 3, "system")
        assert faults() == []
        assert session.in_transaction()
    level = sa.select(StockLevel.on_hand).where(StockLevel.variant_id == variant_id)
    assert db.session.scalar(level) == 5


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.pg
def test_the_snapshot_cannot_write_and_leaves_connections_as_they_were(app):
    with snapshot() as session, pytest.raises(sa.exc.DBAPIError, match="read-only"):
        session.execute(sa.text("UPDATE sellers SET sales_count = 1"))
    for _ in range(3):
        with transaction() as session:
            assert session.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
            assert session.scalar(sa.text("SHOW transaction_read_only")) == "off"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.pg
def test_a_large_table_is_read_by_a_cursor_at_the_server(shop, monkeypatch):
    """Which the other tests do without: it takes four round trips to read one row."""
    monkeypatch.setattr(shop.sa_engine.dialect, "supports_server_side_cursors", True)
    several = sa.text(f"SELECT * FROM generate_series(1, {3 * PAGE})")
    with snapshot() as connection:
        rows = iter(stream(connection, several))
        assert next(rows)[0] == 1
        assert connection.scalar(sa.text("SELECT count(*) FROM pg_cursors")) == 1
        assert sum(1 for _row in rows) == 3 * PAGE - 1


# --- the jobs --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["books.light", "books.full"])
def test_the_books_are_proved_while_somebody_writes(app, kind):
    """No handler may hold the writers' lock while it reads: on SQLite the shop would stand still."""
    variant_id = make_product(stock=2).variants[0].id
    found: list[list[str]] = []
    outward = HANDLERS[kind].outward

    def prove() -> None:
        with app.app_context():
            found.append(outward.call(kind))

    with transaction():
        ledger.receive(variant_id, 1, "system")
        reader = threading.Thread(target=prove)
        reader.start()
        reader.join(timeout=4)
    reader.join()
    assert found == [[]]


@pytest.mark.breaks_books
@pytest.mark.parametrize(("kind", "line"), [("books.light", "I8"), ("books.full", "I3")])
@pytest.mark.forces("books")
def test_wrong_books_open_an_incident_with_the_rows(paid, run_jobs, kind, line):
    with transaction() as session:
        session.execute(sa.text("UPDATE sellers SET sales_count = 77"))
        session.execute(sa.update(Payment).values(captured_minor=Payment.captured_minor + 1))
        session.execute(sa.delete(Job))
        enqueue(kind, {})
    run_jobs()
    told = db.session.scalars(sa.select(Incident)).one()
    assert told.severity == Severity.CRITICAL
    assert any(fault.startswith(f"{line} ") for fault in told.context["faults"])
    named = {fault.split()[0] for fault in told.context["faults"]}
    assert ("I3" in named) == (kind == "books.full")


def test_right_books_open_no_incident(paid, run_jobs):
    with transaction() as session:
        session.execute(sa.delete(Job))
        enqueue("books.full", {})
    assert run_jobs() == 1
    assert db.session.scalar(sa.select(Incident.id)) is None


# --- what the database keeps by itself -------------------------------------------------------


def test_the_database_itself_refuses_more_held_than_there_is(app):
    make_product(stock=2)
    with pytest.raises(sa.exc.IntegrityError), transaction() as session:
        session.execute(sa.update(StockLevel).values(reserved=3))


def test_ledgers_refuse_to_be_changed(paid):
    for statement in (
        "UPDATE stock_movements SET created_at = created_at", "DELETE FROM stock_movements",
        "UPDATE audit_entries SET action = 'x'", "DELETE FROM audit_entries",
        "UPDATE payment_events SET created_at = created_at", "DELETE FROM payment_events",
    ):  # fmt: skip
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), transaction() as session:
            session.execute(sa.text(statement))


def test_movements_are_the_only_way_to_change_the_count(paid):
    total = db.session.scalar(sa.select(sa.func.sum(StockMovement.delta)))
    assert total == db.session.scalar(sa.select(sa.func.sum(StockLevel.on_hand)))
