"""Random histories of money: whatever happens in whatever order, the books balance.

Each history is one order and its provider: attempts, news that is doubled, lost and reordered,
returns, refunds from both sides, disputes, holds that end, late money. HISTORIES=10000 makes that
many on each database; the suite makes a few.
"""

import os
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shop import books
from shop.checkout.placing import place
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, recording
from shop.payments.gateways import GATEWAYS
from shop.payments.gateways.base import PageEnd
from shop.payments.models import LIVE, Dispute, Payment
from shop.payments.refunds import request_refund
from shop.providers import ProviderError
from shop.stock.models import Reservation, ReservationState
from tests.factories import make_cart, make_product, make_wish
from tests.payments import memory_gateway
from tests.payments.memory_gateway import Given, Page, as_rows
from tests.shops import Shop

HISTORIES = int(os.environ.get("HISTORIES", "25"))
STEPS = 14
OURS = ("payments.", "orders.", "stock.")
ADMIN = Actor(Who.ADMIN, "user:1")
MOODS = st.lists(st.sampled_from(["ok", "ok", "later", "unknown"]), max_size=2)


class History(RuleBasedStateMachine):
    """One order and its provider, until both have come to rest."""

    @initialize(
        never_ends=st.booleans(), opening=st.sampled_from(["ok", "ok", "ok", "unknown", "refuse"])
    )
    def place_an_order(self, never_ends: bool, opening: str) -> None:
        _begin_afresh()
        self.provider = memory_gateway.fresh()
        self.provider.page_end = PageEnd.NEVER if never_ends else PageEnd.BY_CALL
        self.provider.moods = [opening]
        wish = make_wish(make_cart({make_product(stock=3, price=50_000): 2}))
        self.order_id = place(wish).order_id
        db.session.rollback()

    # --- the shopper ---------------------------------------------------------------------------

    @rule(index=st.integers(0, 9), amount=st.sampled_from([0, 0, 0, 0, 0, -100, 100]))
    def pay(self, index: int, amount: int) -> None:
        """On any page that is open, superseded or expired ones too."""
        pages = self._pages("open")
        if pages:
            page = pages[index % len(pages)]
            page.state, page.captured = "paid", page.amount + amount
            self.provider.tell(page.news())

    @rule(index=st.integers(0, 9))
    def be_declined(self, index: int) -> None:
        pages = self._pages("open")
        if pages:
            page = pages[index % len(pages)]
            page.state = "failed"
            self.provider.tell(page.news())

    @rule(moods=MOODS, part=st.sampled_from([0, 0, 10_000]))
    def try_again(self, moods: list[str], part: int) -> None:
        self.provider.moods = moods
        self._allow(lambda: attempts.pay(self.order_id, "sandbox", part))

    @rule(moods=MOODS)
    def come_back(self, moods: list[str]) -> None:
        payment = attempts.latest(self.order_id)
        if payment and payment.status in LIVE:
            self.provider.moods = moods
            self._allow(lambda: attempts.ask(payment.id, "return"))

    @rule()
    def cancel(self) -> None:
        self._allow(lambda: attempts.cancel_by_shopper(self.order_id))

    # --- the network ---------------------------------------------------------------------------

    @precondition(lambda self: self.provider.wire)
    @rule(index=st.integers(0, 20), fate=st.sampled_from(["deliver", "deliver", "double", "lose"]))
    def news_moves(self, index: int, fate: str) -> None:
        wire = self.provider.wire
        event = wire[index % len(wire)]
        if fate != "double":
            wire.remove(event)
        if fate != "lose":
            with transaction():
                recording.record(event, "sandbox", "webhook")

    # --- staff ---------------------------------------------------------------------------------

    @rule(amount=st.sampled_from([1, 5_000, 40_000, 100_000, 109_900]))
    def refund(self, amount: int) -> None:
        payment = attempts.latest(self.order_id)
        if payment and payment.captured_minor:
            self._allow(
                lambda: self._in_transaction(
                    lambda: request_refund(payment.id, amount, [], "asked", "user:1")
                )
            )

    @rule(choice=st.sampled_from(["accept", "refund"]))
    def decide_late_money(self, choice: str) -> None:
        self._allow(
            lambda: self._in_transaction(
                lambda: recording.decide_late(self.order_id, choice, "user:1")
            )
        )

    @rule(event=st.sampled_from(["cancelled", "accepted", "packed", "shipped", "archived"]))
    def move(self, event: str) -> None:
        self._allow(lambda: self._in_transaction(lambda: advance(self._order(), event, ADMIN)))

    # --- the provider's side ---------------------------------------------------------------------

    @rule(index=st.integers(0, 9), amount=st.sampled_from([1_000, 100_000]))
    def refund_in_their_dashboard(self, index: int, amount: int) -> None:
        pages = [page for page in self._pages("paid") if page.kept >= amount and not page.dispute]
        if pages:
            page = pages[index % len(pages)]
            name = f"rf-{next(self.provider.numbers)}"
            page.refunds[name] = Given(name, "", amount, "succeeded")
            self.provider.tell(page.refund_news(page.refunds[name]))

    @rule(index=st.integers(0, 9), outcome=st.sampled_from(["open", "won", "lost"]))
    def dispute(self, index: int, outcome: str) -> None:
        pages = [page for page in self._pages("paid") if page.kept == page.captured]
        if pages:
            page = pages[index % len(pages)]
            if outcome == "open" and page.dispute is None:
                page.dispute = "open"
            elif outcome != "open" and page.dispute == "open":
                page.dispute = outcome
            else:
                return
            self.provider.tell(page.dispute_news())

    @rule(status=st.sampled_from(["succeeded", "pending"]))
    def refunds_take_time(self, status: str) -> None:
        self.provider.refunds_end = status

    # --- time ----------------------------------------------------------------------------------

    @rule()
    def hold_ends(self) -> None:
        with transaction() as session:
            session.execute(
                sa.update(Reservation)
                .where(
                    Reservation.order_id == self.order_id,
                    Reservation.state == ReservationState.ACTIVE,
                )
                .values(expires_at=utcnow())
            )
            enqueue("stock.expire_holds", key="history")
        self._work()

    @rule(moods=MOODS)
    def workers_work(self, moods: list[str]) -> None:
        self.provider.moods = moods
        self._work()

    @rule()
    def nobody_paid_for_a_day(self) -> None:
        with transaction() as session:
            session.execute(
                sa.update(Order).where(Order.id == self.order_id).values(expires_at=utcnow())
            )
            enqueue("orders.cancel_unpaid", key="history")
        self._work()

    # --- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """The news still on the wire is lost; sweeps and the nightly comparison find all of it."""
        if not hasattr(self, "order_id"):
            return
        self.provider.moods.clear()
        self.provider.wire.clear()
        self.provider.refunds_end = "succeeded"
        for page in self.provider.pages.values():
            for refund in page.refunds.values():
                refund.status = "succeeded" if refund.status == "pending" else refund.status
        for _ in range(4):
            with transaction() as session:
                session.execute(
                    sa.update(Payment).where(Payment.ask_at.is_not(None)).values(ask_at=utcnow())
                )
                for kind in ("payments.ask_due", "payments.reconcile", "payments.ask_refunds"):
                    enqueue(kind, key="history")
            self._work(all_due=True)
        self._judge()

    def _judge(self) -> None:
        faults = books.faults()
        assert not faults, faults
        payments = db.session.scalars(
            sa.select(Payment).where(Payment.order_id == self.order_id)
        ).all()
        disputes = {
            one.payment_id: one.status.value for one in db.session.scalars(sa.select(Dispute)).all()
        }
        ours = {
            one.reference: (one.captured_minor, one.refunded_minor, disputes.get(one.id))
            for one in payments
            if one.reference in self.provider.pages
        }
        assert ours == as_rows(self.provider.pages)
        self._nothing_is_kept_for_a_cancelled_order(payments)

    def _nothing_is_kept_for_a_cancelled_order(self, payments: Any) -> None:
        order = self._order()
        if order.status != OrderStatus.CANCELLED or order.attention or order.late_money_due_at:
            return
        kept = sum(one.captured_minor - one.refund_held_minor for one in payments)
        disputed = any(page.dispute for page in self.provider.pages.values())
        assert kept == 0 or disputed, f"{kept} are kept for a cancelled order"

    # --- steps -----------------------------------------------------------------------------------

    def _pages(self, state: str) -> list[Page]:
        return [page for page in self.provider.pages.values() if page.state == state]

    def _order(self) -> Order:
        return db.session.get_one(Order, self.order_id, populate_existing=True)

    def _in_transaction(self, work: Any) -> None:
        with transaction():
            work()

    def _allow(self, work: Any) -> None:
        """Do it; a refusal is an answer too."""
        try:
            work()
        except (Refused, Conflict, ProviderError):
            pass
        db.session.rollback()

    def _work(self, all_due: bool = False) -> None:
        """Run what is due of money, orders and stock; messages and parcels are others' tests."""
        for _ in range(30):
            with transaction() as session:
                mine = sa.or_(*(Job.kind.startswith(name) for name in OURS))
                session.execute(sa.delete(Job).where(Job.status == JobStatus.QUEUED, ~mine))
                if all_due:
                    session.execute(
                        sa.update(Job).where(Job.status == JobStatus.QUEUED).values(run_at=utcnow())
                    )
            if not runner.run_next("history"):
                return


_shops: list[Shop] = []


def _begin_afresh() -> None:
    """An empty database for each history, so that its audit is its own."""
    db.session.remove()
    _shops[0].after()
    _shops[0].before()


@pytest.fixture
def in_memory(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(GATEWAYS, "sandbox", "tests.payments.memory_gateway:MemoryGateway")
    _shops[:] = [shop]
    with shop.app.test_request_context(base_url=shop.app.extensions["settings"].public_url):
        yield


@pytest.mark.timeout(0 if HISTORIES > 100 else 180)
def test_whatever_happens_in_whatever_order_the_books_balance(in_memory):
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=HISTORIES <= 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
