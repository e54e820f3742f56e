"""How random histories of money begin, how their goods come back, and where they stand."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from shop.checkout.placing import place
from shop.clock import utcnow
from shop.database import UtcDateTime, transaction
from shop.delivery import by_hand
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance, may
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.payments import recording
from shop.payments.gateways.base import PageEnd
from shop.preferences import change
from shop.promotions import gift_cards
from shop.returns import asking, claims, deciding, settling
from shop.returns.deciding import Checked
from shop.returns.models import OVER, Disposition, ReturnRequest, ReturnState
from shop.stock.models import Reservation, ReservationState
from tests.factories import STAFF, make_cart, make_product, make_wish
from tests.payments import memory_gateway

COURIER = Actor(Who.COURIER, "courier:sandbox")
# Statements that a history runs again and again: building one costs more than running it.
DUE_NOW = sa.text(
    "UPDATE jobs SET run_at = :now WHERE status = 'queued' AND run_at > :now"
).bindparams(sa.bindparam("now", type_=UtcDateTime()))
ASK_NOW = sa.text("UPDATE payments SET ask_at = :now WHERE ask_at IS NOT NULL").bindparams(
    sa.bindparam("now", type_=UtcDateTime())
)
STANDS = sa.text(
    """
    SELECT 'order ' || id || ' ' || status || ' ' || payment_status || ' ' || coalesce(attention, '')
        || (late_money_due_at IS NULL) FROM orders
    UNION ALL SELECT 'part ' || id || ' ' || status || ' ' || amount_minor FROM payment_parts
    UNION ALL SELECT 'payment ' || id || ' ' || status || ' ' || captured_minor || ' '
        || refund_held_minor || ' ' || refunded_minor || ' ' || (ask_at IS NULL) FROM payments
    UNION ALL SELECT 'refund ' || id || ' ' || status || ' ' || amount_minor FROM refunds
    UNION ALL SELECT 'dispute ' || id || ' ' || status FROM disputes
    UNION ALL SELECT 'difference ' || id || ' ' || (settled_at IS NULL) FROM payment_differences
    UNION ALL SELECT 'hold ' || id || ' ' || state FROM reservations
    UNION ALL SELECT 'card ' || id || ' ' || balance_minor FROM gift_cards
    UNION ALL SELECT 'job ' || kind || ' ' || coalesce(key, '') FROM jobs WHERE status = 'queued'
    ORDER BY 1
    """
)


@dataclass(frozen=True)
class Way:
    """How an order is paid; `deposit` says when the goods of a plan leave."""

    gift_minor: int = 0
    deposit: str = ""
    method: str = "sandbox"


WAYS = (
    Way(), Way(), Way(gift_minor=30_000), Way(gift_minor=200_000), Way(deposit="deposit_paid"),
    Way(deposit="paid_in_full"), Way(30_000, "deposit_paid"), Way(method="cod"),
    Way(gift_minor=30_000, method="cod"),
)  # fmt: skip


@dataclass(frozen=True)
class Beginning:
    """How an order is placed: made really, then copied for the histories of the next minutes."""

    way: Way
    opening: str
    never_ends: bool
    is_paid: bool
    #: True where it then was handed over, too. A plan's goods may wait for its other parts.
    is_delivered: bool = False

    @property
    def name(self) -> str:
        """The scene's."""
        flags = f"{self.never_ends:d}{self.is_paid:d}{self.is_delivered:d}"
        return f"history-{WAYS.index(self.way)}-{self.opening}-{flags}"

    def make(self) -> tuple[int, dict[str, Any]]:
        """The order's key, and what the provider then holds."""
        provider = memory_gateway.fresh()
        provider.page_end = PageEnd.NEVER if self.never_ends else PageEnd.BY_CALL
        provider.moods = [self.opening]
        order_id = place(self._wish()).order_id
        db.session.rollback()
        page = next((one for one in provider.pages.values() if one.state == "open"), None)
        if self.is_paid and page:
            page.state, page.captured = "paid", page.amount
            with transaction():
                recording.record(page.news(), "sandbox", "webhook")
        if self.is_delivered:
            self._deliver(order_id)
        return order_id, copy.deepcopy(vars(provider))

    def _deliver(self, order_id: int) -> None:
        for event in ("accepted", "packed", "shipped", "delivered"):
            with transaction():
                handed_on(db.session.get_one(Order, order_id), event)
        if self.way.method == "cod":
            with transaction():
                order = lock_order(order_id)
                recording.record_cash(order, order.total_minor - self.way.gift_minor, "courier:sandbox")  # fmt: skip

    def _wish(self) -> Any:
        way = self.way
        more: dict[str, Any] = {"by_deposit": bool(way.deposit)}
        with transaction():
            if way.deposit:
                change("deposit_percent", "20")
                change("deposit_minimum_minor", "10000")
                change("deposit_ships", way.deposit)
            if way.gift_minor:
                more["gift_code"] = gift_cards.issue(way.gift_minor, "INR", "user:1")[1]
        cart = make_cart({make_product(stock=3, price=50_000): 2})
        return make_wish(cart, method=way.method, **more)


def stands() -> Sequence[str]:
    """Where everything stands that sweeps can change, to tell whether they changed anything."""
    found = db.session.scalars(STANDS).all()
    db.session.rollback()
    return found


def handed_on(order: Order, event: str) -> None:
    """Staff make it ready, the courier takes it; told of the order and of its parcel, where that may be."""
    actor = COURIER if event in {"shipped", "delivered"} else STAFF
    if may(order, event, actor.who):
        advance(order, event, actor)
        by_hand.follow(order, event)


def goods_go_on(order: Order, units: int, goes: Disposition) -> None:
    """The next step of the order's goods on their way back: asked for, approved, looked at, refunded.

    In the caller's transaction; `units` are how many are asked for, and how many of them come.
    """
    request = db.session.scalar(
        sa.select(ReturnRequest)
        .where(ReturnRequest.order_id == order.id, ReturnRequest.state.not_in(OVER))
        .order_by(ReturnRequest.id.desc())
    )
    if request is None:
        wanted = {one.line.id: str(units) for one in claims.returnable(order)}
        form = asking.AskForm([], {}, reason="damaged", quantities=wanted)
        asking.request_return(order.id, form, [], "customer")
    elif request.state == ReturnState.REQUESTED:
        deciding.approve(request.id, "user:1")
    elif request.checked_at is None:
        came = {one.id: Checked(min(units, one.quantity), "", goes) for one in request.lines}
        deciding.check_in(request.id, came, "user:1")
    else:
        due = sum(one.amount_minor for one in settling.dues(request))
        settling.refund(request.id, 0, due, "user:1")


def hold_ends(order_id: int, run_jobs: Callable[..., int]) -> None:
    """The hold's time is over, and the sweep that ends holds has come by."""
    with transaction() as session:
        session.execute(
            sa.update(Reservation)
            .where(Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE)
            .values(expires_at=utcnow() - timedelta(seconds=1))
        )
        enqueue("stock.expire_holds", key="test")
    run_jobs()
