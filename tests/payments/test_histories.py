"""Random histories of money: whatever happens in whatever order, the books balance.

Each history is one order and its provider: attempts, news that is doubled, lost and reordered,
returns of shoppers and of goods, refunds from both sides, disputes, holds that end, late money; paid
at once, in parts, with a gift card or at the door. HISTORIES=10000 makes that many on each database;
the suite makes a few.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
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
from shop.clock import utcnow
from shop.database import insert_ignore, transaction
from shop.delivery import by_hand
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs import queue, runner
from shop.jobs.queue import enqueue
from shop.orders.lifecycle import MOVING, PACKING, advance
from shop.orders.models import Order, OrderStatus
from shop.payments import attempts, parts, recording
from shop.payments.gateways import GATEWAYS
from shop.payments.models import (
    LIVE,
    Dispute,
    DisputeStatus,
    PartStatus,
    Payment,
    PaymentPart,
    Refund,
    RefundStatus,
)
from shop.payments.refunds import mark_done, request_refund
from shop.payments.status import kept_minor
from shop.providers import ProviderError, TryLater
from shop.returns.models import Disposition
from shop.stock.models import Reservation, ReservationState
from tests.factories import STAFF
from tests.payments import memory_gateway
from tests.payments.histories import (
    ASK_NOW,
    DUE_NOW,
    WAYS,
    Beginning,
    Way,
    goods_go_on,
    handed_on,
    stands,
)
from tests.payments.memory_gateway import Given, Page, as_rows
from tests.shops import Shop

HISTORIES = int(os.environ.get("HISTORIES", "8"))
STEPS = 14
OURS = ("payments.", "orders.", "stock.")
ROUNDS = 4
MOVES = ("cancelled", "accepted", "packed", "shipped", "delivered", "returned", "archived")
ASKED = "asked"
MOODS = st.lists(st.sampled_from(["ok", "ok", "later", "unknown"]), max_size=2)


class History(RuleBasedStateMachine):
    """One order and its provider, until both have come to rest."""

    @initialize(
        never_ends=st.booleans(),
        opening=st.sampled_from(["ok", "ok", "ok", "unknown", "refuse"]),
        way=st.sampled_from(WAYS),
        is_paid=st.sampled_from([True, True, False]),
        back=st.sampled_from([None, 0, 2, 4, 4]),
    )
    def place_an_order(
        self, never_ends: bool, opening: str, way: Way, is_paid: bool, back: int | None
    ) -> None:
        """Paid or not, and delivered where `back` says how many steps its goods have come back."""
        _begin_afresh()
        self.is_delivered = back is not None and is_paid and not way.deposit
        beginning = Beginning(way, opening, never_ends, is_paid, self.is_delivered)
        self.order_id, kept = _shops[0].scene(beginning.name, beginning.make)
        self.provider = memory_gateway.fresh(kept)
        if self.is_delivered:
            self._goods_come_back(back or 0, 1, Disposition.RESTOCK)

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
        if fate == "lose":
            return
        try:
            with transaction():
                recording.record(event, "sandbox", "webhook")
        except TryLater:
            # Its job is tried again: a refund of ours that nobody has answered holds the money.
            self.provider.tell(event)

    # --- staff ---------------------------------------------------------------------------------

    @rule(index=st.integers(0, 4), amount=st.sampled_from([1, 5_000, 20_000, 40_000, 100_000]))
    def refund(self, index: int, amount: int) -> None:
        payments = [one for one in self._payments() if one.captured_minor]
        if payments:
            payment = payments[index % len(payments)]
            self._allow(
                lambda: self._in_transaction(
                    lambda: request_refund(payment.id, amount, [], ASKED, "user:1")
                )
            )

    @rule()
    def send_a_refund_by_hand(self) -> None:
        waiting = sa.select(Refund.id).where(
            Refund.status.in_([RefundStatus.REQUESTED, RefundStatus.SENT])
        )
        for refund_id in db.session.scalars(waiting).all():
            bank = f"TR{next(self.provider.numbers)}"
            self._allow(
                lambda one=refund_id, bank=bank: self._in_transaction(
                    lambda: mark_done(one, "user:1", bank)
                )
            )

    @rule(choice=st.sampled_from(["accept", "refund"]))
    def decide_late_money(self, choice: str) -> None:
        self._allow(
            lambda: self._in_transaction(
                lambda: recording.decide_late(self.order_id, choice, "user:1")
            )
        )

    @rule(event=st.sampled_from(MOVES))
    def move(self, event: str) -> None:
        self._allow(lambda: self._in_transaction(lambda: self._moved(event)))

    def _moved(self, event: str) -> None:
        """As the order's page does it: the order, and its parcels with it."""
        order = self._order()
        advance(order, event, STAFF)
        by_hand.follow(order, event)

    @rule(more=st.sampled_from([0, 0, 0, -100, 100]))
    def be_delivered(self, more: int) -> None:
        """The parcel is handed over, and the cash for it taken."""
        self.is_delivered = True
        for event in ("accepted", "packed", "shipped", "delivered"):
            self._allow(
                lambda one=event: self._in_transaction(lambda: handed_on(self._order(), one))
            )
        payment = attempts.latest(self.order_id)
        if payment and payment.gateway == "cod":
            amount = payment.amount_minor + more
            self._in_transaction(
                lambda: recording.record_cash(self._order(), amount, "courier:sandbox")
            )

    @precondition(lambda self: self.is_delivered)
    @rule(steps=st.integers(1, 4), units=st.integers(1, 2), goes=st.sampled_from(Disposition))
    def goods_come_back(self, steps: int, units: int, goes: Disposition) -> None:
        """The customer asks to send goods back, or such a return goes on."""
        self._goods_come_back(steps, units, goes)

    def _goods_come_back(self, steps: int, units: int, goes: Disposition) -> None:
        for _ in range(steps):
            self._allow(
                lambda: self._in_transaction(lambda: goods_go_on(self._order(), units, goes))
            )

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
            # News of the opening may be lost: the outcome is the first that is heard of it.
            if page.dispute in {None, "open"} and page.dispute != outcome:
                page.dispute = outcome
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

    @rule()
    def an_instalment_is_missed(self) -> None:
        with transaction() as session:
            session.execute(
                sa.update(PaymentPart)
                .where(
                    PaymentPart.order_id == self.order_id, PaymentPart.status == PartStatus.DUE,
                    PaymentPart.due_at.is_not(None),
                )
                .values(due_at=utcnow() - timedelta(days=60))
            )  # fmt: skip
            enqueue("payments.remind", key="history")
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
        now = stands()
        for _ in range(ROUNDS):
            with transaction() as session:
                session.execute(ASK_NOW, {"now": utcnow()})
                for kind in ("payments.ask_due", "payments.reconcile", "payments.ask_refunds"):
                    enqueue(kind, key="history")
            self._work(all_due=True)
            before, now = now, stands()
            if now == before:
                break
        self._judge()

    def _judge(self) -> None:
        faults = books.faults()
        assert not faults, faults
        payments = self._payments()
        disputes = {
            one.payment_id: one.status.value for one in db.session.scalars(sa.select(Dispute)).all()
        }
        ours = {
            one.reference: (one.captured_minor, one.refunded_minor, disputes.get(one.id))
            for one in payments
            if one.reference in self.provider.pages
        }
        assert ours == as_rows(self.provider.pages)
        order = self._order()
        if not order.attention and DisputeStatus.OPEN not in disputes.values():
            self._what_is_kept_is_what_was_paid(order)

    def _what_is_kept_is_what_was_paid(self, order: Order) -> None:
        """Of an order that nobody need look at."""
        kept, given = kept_minor(order.id), self._given_by_people()
        paid = sum(one.amount_minor for one in parts.of_order(order.id) if one.status == "paid")
        if order.status in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}:
            has_desk = order.late_money_due_at is not None
            assert kept <= 0 or has_desk, f"{kept} are kept for nothing: {order.status}"
        if order.status in {*PACKING, *MOVING, OrderStatus.DELIVERED}:
            assert kept + given >= paid, f"{kept} kept and {given} given of {paid} paid"
            assert kept <= order.total_minor, f"{kept} kept of {order.total_minor}"

    def _given_by_people(self) -> int:
        """Refunds that the shop did not make by itself."""
        amounts = sa.select(sa.func.sum(Refund.amount_minor)).where(
            Refund.order_id == self.order_id,
            Refund.status != RefundStatus.FAILED,
            Refund.reason.in_([ASKED, "made at the gateway"]) | Refund.reason.startswith("Return "),
        )
        return db.session.scalar(amounts) or 0

    # --- steps -----------------------------------------------------------------------------------

    def _pages(self, state: str) -> list[Page]:
        return [page for page in self.provider.pages.values() if page.state == state]

    def _payments(self) -> Sequence[Payment]:
        payments = sa.select(Payment).where(Payment.order_id == self.order_id)
        return db.session.scalars(payments.order_by(Payment.id)).all()

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
        """Run what is due; with `all_due` what waits for its hour or another try too."""
        for _ in range(30):
            if not runner.run_next("history") and not (all_due and self._brought_forward()):
                return

    def _brought_forward(self) -> bool:
        with transaction() as session:
            return bool(session.execute(DUE_NOW, {"now": utcnow()}).rowcount)  # type: ignore[attr-defined]


_shops: list[Shop] = []


def _begin_afresh() -> None:
    """An empty database for each history, so that its audit is its own."""
    db.session.remove()
    _shops[0].after()
    _shops[0].before()


def _only_ours(model: Any, values: dict[str, Any]) -> int | None:
    """Work on money, orders and stock is queued; messages and parcels are others' tests."""
    return insert_ignore(model, values) if values["kind"].startswith(OURS) else None


@pytest.fixture
def in_memory(shop: Shop, configure: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    configure(payment_gateways=("sandbox", "cod", "gift_card"))
    monkeypatch.setitem(GATEWAYS, "sandbox", "tests.payments.memory_gateway:MemoryGateway")
    monkeypatch.setattr(queue, "insert_ignore", _only_ours)
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


def test_news_of_a_refund_that_overtook_ours_waits_until_ours_is_answered(in_memory):
    history = History()
    history.place_an_order(never_ends=False, opening="ok", way=Way(), is_paid=True, back=None)
    history.refund_in_their_dashboard(index=0, amount=100_000)
    history.refund(index=0, amount=40_000)

    history.news_moves(index=0, fate="deliver")
    assert history.provider.wire, "it is told again, since ours holds the money"

    history.workers_work(moods=[])
    history.news_moves(index=0, fate="deliver")
    stand = db.session.execute(sa.select(Refund.amount_minor, Refund.status)).all()
    assert sorted(stand) == [(40_000, RefundStatus.FAILED), (100_000, RefundStatus.SUCCEEDED)]
    history.teardown()
