"""The alerts look every minute: each of their queries finds its rows by an index."""

import pytest
from sqlalchemy import event

from shop.admin import channels
from shop.alerts import measures, pace
from shop.alerts.rules import RULES
from shop.extensions import db
from shop.messaging import receipts
from shop.messaging.channels.base import Receipt

RECEIPT = Receipt("e1", "", "sent", message_id="17-3f2a9c41d0be")
ASKED = {
    **{key: rule.measure for key, rule in RULES.items()},
    "pace": pace.paces,
    # Not the alerts', but asked as often: by each receipt, and by each look at the channels.
    "receipt": lambda: receipts.apply_receipt(RECEIPT, "twilio"),
    "channels": channels._last_events,
}


def sent_by(ask):
    """The statements with their parameters, as they reach the driver."""
    sent = []

    def noted(_connection, _cursor, statement, parameters, *_rest):
        sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", noted)
    try:
        with measures.standing_in():
            ask()
    finally:
        event.remove(db.engine, "before_cursor_execute", noted)
    db.session.rollback()
    return [(words, values) for words, values in sent if words.startswith("SELECT")]


def plan_of(engine, statement, parameters):
    """The plan's lines. On PostgreSQL reading from end to end is made dear: tables are empty here."""
    explain = "EXPLAIN QUERY PLAN " if engine == "sqlite" else "EXPLAIN "
    with db.engine.connect() as connection:
        if engine != "sqlite":
            connection.exec_driver_sql("SET enable_seqscan = off")
        try:
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
        finally:
            if engine != "sqlite":
                connection.exec_driver_sql("RESET enable_seqscan")
    return [str(row[-1]) for row in rows]


#: The workers' own table has a row a worker; SQLite does not know its partial index of low variants
#: again, and reads their counts, which are as many as the variants.
SMALL = {("sqlite", "low_stock"), ("postgresql", "no_worker")}


@pytest.mark.parametrize("key", ASKED)
def test_no_table_is_read_from_end_to_end(app, engine, key):
    statements = sent_by(ASKED[key])
    assert statements
    for statement, parameters in statements:
        plan = plan_of(engine, statement, parameters)
        whole = [line for line in plan if "Seq Scan" in line or is_whole(line)]
        if (engine, key) in SMALL:
            assert whole, "it is found by an index now: take it off the list"
        else:
            assert not whole, f"{statement}\n" + "\n".join(plan)


def is_whole(line):
    """SQLite's word for it. The index of unanswered disputes holds those alone."""
    return line.startswith("SCAN") and "ix_disputes_unanswered" not in line


def test_measuring_takes_one_statement_a_figure(app, sql_count):
    with sql_count() as told, measures.standing_in():
        for rule in RULES.values():
            rule.measure()
    assert len(told) == len(RULES)
    assert not [words for words in told if "FROM orders" in words]
