"""The state table: printed whole, and kept by `advance`."""

from pathlib import Path

import pytest
from sqlalchemy import delete, select

from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.errors import Conflict
from shop.extensions import db
from shop.jobs.models import Job
from shop.orders.lifecycle import (
    COURIER_EVENTS,
    MONEY_EVENTS,
    RULES,
    TABLE,
    Actor,
    IllegalTransition,
    Target,
    Who,
    advance,
    allowed_events,
)
from shop.orders.models import Order, OrderEvent, OrderStatus
from tests.orders.scenes import order_in

__all__ = ["order_in"]

GRID = Path(__file__).with_name("lifecycle_grid.txt")
STAFF = Actor(Who.ADMIN, "user:1")


def grid() -> str:
    """Every state against every event: where it leads, and who may."""
    events = list(dict.fromkeys(rule.event for rule in RULES))
    lines = []
    for status in OrderStatus:
        lines.append(f"{status.value}")
        for event in events:
            rule = TABLE.get((status, event))
            if rule is None:
                lines.append(f"    {event:26} –")
                continue
            target = rule.target.value
            who = ", ".join(sorted(who.value for who in rule.who))
            effects = ", ".join(effect.__name__ for effect in rule.effects)
            lines.append(f"    {event:26} → {target:20} by {who:36} then {effects or 'nothing'}")
    return "\n".join(lines) + "\n"


def test_every_state_against_every_event_is_the_picture_that_was_agreed():
    assert grid() == GRID.read_text(encoding="utf-8")


def where_judged(status: OrderStatus, event: str) -> OrderStatus:
    """The state whose rules decide: the one remembered, for the news that reaches it (`make_bare`)."""
    reaching = {OrderStatus.DISPUTED: COURIER_EVENTS, OrderStatus.ARCHIVED: MONEY_EVENTS}
    return OrderStatus.DELIVERED if event in reaching.get(status, ()) else status


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("status", list(OrderStatus))
def test_what_is_not_in_the_table_is_refused_and_says_what_is_allowed(app, status):
    with transaction():
        order = make_bare(status)
    for event in sorted({rule.event for rule in RULES}):
        allowed = allowed_events(where_judged(status, event), Who.ADMIN)
        if event in allowed:
            continue
        with pytest.raises(IllegalTransition) as refused, transaction():
            advance(db.session.get_one(Order, order.id), event, STAFF)
        assert (refused.value.status, refused.value.allowed) == (409, allowed)
        assert f"Allowed: {', '.join(allowed) or 'nothing'}." in str(refused.value)
    assert db.session.get_one(Order, order.id).status == status
    _remove(order)


@pytest.mark.breaks_books  # nobody paid for an order that stands in a state and nothing else
@pytest.mark.parametrize(
    ("status", "event", "reached", "remembered"),
    [
        (OrderStatus.DISPUTED, "returned", OrderStatus.DISPUTED, "returned"),
        (OrderStatus.ARCHIVED, "refunded", OrderStatus.REFUNDED, None),
        (OrderStatus.ARCHIVED, "partly_refunded", OrderStatus.PARTIALLY_REFUNDED, None),
    ],
)
def test_news_of_parcel_or_money_reaches_what_is_remembered(
    app, status, event, reached, remembered
):
    with transaction():
        order = make_bare(status)
    with transaction():
        advance(db.session.get_one(Order, order.id), event, STAFF)
    moved = db.session.get_one(Order, order.id)
    assert (moved.status, moved.status_before) == (reached, remembered)


def make_bare(status: OrderStatus) -> Order:
    """An order that stands in a state, and nothing else. What is remembered beside it: delivered."""
    from shop.clock import utcnow

    before = "delivered" if status in (OrderStatus.DISPUTED, OrderStatus.ARCHIVED) else None
    order = Order(
        number=f"2611.{status.value[:10]}", token=status.value, email="a@shopper.example", currency="INR",
        subtotal_minor=0, total_minor=0, shipping_address={}, billing_address={}, shipping_method="standard",
        payment_method="sandbox", idempotency_key=status.value, placed_at=utcnow(), status=status,
        status_before=before,
    )  # fmt: skip
    db.session.add(order)
    db.session.flush()
    return order


def _remove(order: Order) -> None:
    with transaction():
        db.session.delete(db.session.get_one(Order, order.id))


def test_each_step_writes_timeline_and_audit_with_its_actor(order_in):
    order = order_in("paid")
    with transaction():
        advance(db.session.get_one(Order, order.id), "accepted", STAFF)
    event = db.session.scalars(select(OrderEvent).order_by(OrderEvent.id.desc())).first()
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert (event.kind, event.actor, event.from_status, event.to_status) == (
        "accepted", "user:1", "paid", "processing",
    )  # fmt: skip
    assert (entry.action, entry.actor) == ("order.accepted", "user:1")


def test_of_two_who_move_the_same_version_one_is_told_to_look_again(order_in):
    order = order_in("paid")
    with pytest.raises(Conflict), transaction():
        seen = db.session.get_one(Order, order.id)
        later = db.update(Order).values(version=seen.version + 1)
        db.session.execute(later.execution_options(synchronize_session=False))
        advance(seen, "accepted", STAFF)
    assert db.session.get_one(Order, order.id).status == OrderStatus.PAID


def test_a_correction_moves_no_money_no_stock_and_sends_nothing(order_in):
    order = order_in("paid")
    with transaction() as session:
        session.execute(delete(Job))
    owner = Actor(Who.OWNER, "user:9")
    with transaction():
        found = db.session.get_one(Order, order.id)
        with pytest.raises(IllegalTransition):
            advance(found, "corrected", STAFF, to=OrderStatus.DELIVERED)
        advance(found, "corrected", owner, to=OrderStatus.DELIVERED, text="lost scan")
    assert db.session.get_one(Order, order.id).status == OrderStatus.DELIVERED
    assert db.session.scalar(select(db.func.count(Job.id))) == 0


def test_a_rule_leads_to_a_state_or_says_same_before_or_any():
    assert all(isinstance(rule.target, OrderStatus | Target) for rule in RULES)
