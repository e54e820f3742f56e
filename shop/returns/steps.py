"""The life of a return: which step leads from which states to which, and what is written of it.

STEPS is the whole of it; `move` is the only place where a return's state changes. Whoever moves a
return holds its order's lock.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import rows_changed
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.locking import lock_order
from shop.orders.models import Order, OrderEvent
from shop.pages import clock, day
from shop.returns.models import OVER, ReturnRequest, ReturnState

R = ReturnState


@dataclass(frozen=True)
class Step:
    """From any of `sources` to `target`; `text` is the timeline's, about {} of that reference; `tells` the message's event."""

    sources: frozenset[ReturnState]
    target: ReturnState
    text: str
    tells: str = ""


# fmt: off
STEPS: dict[str, Step] = {
    "approve":  Step(frozenset({R.REQUESTED}),                            R.APPROVED,   "Return {} approved"),
    "refuse":   Step(frozenset({R.REQUESTED, R.RECEIVED}),                R.REFUSED,    "Return {} turned down",       "return_refused"),
    "withdraw": Step(frozenset({R.REQUESTED, R.APPROVED}),                R.WITHDRAWN,  "Return {} withdrawn"),
    "drop":     Step(frozenset({R.REQUESTED, R.APPROVED, R.ON_ITS_WAY}),  R.WITHDRAWN,  "Return {} dropped: it never came"),
    "send":     Step(frozenset({R.APPROVED}),                             R.ON_ITS_WAY, "Return {} on its way to us"),
    "receive":  Step(frozenset({R.APPROVED, R.ON_ITS_WAY}),               R.RECEIVED,   "Return {} arrived",           "return_received"),
    "refund":   Step(frozenset({R.RECEIVED}),                             R.CLOSED,     "Return {} done, refunded",    "return_closed"),
    "exchange": Step(frozenset({R.RECEIVED}),                             R.CLOSED,     "Return {} done, replaced",    "return_closed"),
    "settle":   Step(frozenset({R.RECEIVED}),                             R.CLOSED,     "Return {} done",              "return_closed"),
}
# fmt: on
"""Approving tells nobody yet: how it comes back is known when the courier has answered (jobs.py)."""

WORDS = {
    R.REQUESTED: "asked for",
    R.APPROVED: "approved",
    R.REFUSED: "turned down",
    R.ON_ITS_WAY: "on its way",
    R.RECEIVED: "received",
    R.CLOSED: "closed",
    R.WITHDRAWN: "withdrawn",
}
"""A state as it stands in a sentence."""


def may(request: ReturnRequest, step: str) -> bool:
    """True when the table has this step from where the return stands."""
    return request.state in STEPS[step].sources


def check(request: ReturnRequest, step: str) -> None:
    """Raises Conflict, which says what happened meanwhile, when the step is not possible any more."""
    if not may(request, step):
        raise Conflict(_moved_on(request))


def locked(return_id: int, order_id: int | None = None) -> tuple[ReturnRequest, Order]:
    """The return and its order, the order locked, both read afresh.

    Raises NotFound, also when it is another order's than the one named.
    """
    belongs_to = db.session.scalar(
        select(ReturnRequest.order_id).where(ReturnRequest.id == return_id)
    )
    if belongs_to is None or order_id not in {None, belongs_to}:
        raise NotFound("There is no such return.")
    order = lock_order(belongs_to)
    return db.session.get_one(ReturnRequest, return_id, populate_existing=True), order


def move(
    request: ReturnRequest, order: Order, step: str, actor: str, *, why: str = "", **changes: Any
) -> None:
    """Take one step, in the caller's transaction; `changes` are written with it.

    Raises Conflict, which says what happened meanwhile, when the return stands elsewhere.
    """
    found, old = STEPS[step], request.state
    check(request, step)
    db.session.flush()
    result = db.session.execute(
        update(ReturnRequest)
        .where(ReturnRequest.id == request.id, ReturnRequest.state == old)
        .values(state=found.target, state_at=utcnow(), updated_at=utcnow(), **changes)
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise Conflict(_moved_on(request))
    db.session.refresh(request)
    text = found.text.format(request.reference)
    note(request, order, actor, f"{text}: {why}" if why else text)
    audit.write(
        actor, f"return.{step}", f"order:{order.number}",
        {"state": old.value}, {"state": found.target.value, "return": request.reference},
    )  # fmt: skip
    if found.tells:
        tell(request, found.tells)


def _moved_on(request: ReturnRequest) -> str:
    when = f"{day(request.state_at)}, {clock(request.state_at)}"
    words = f"This return is {WORDS[request.state]} since {when}."
    return words if request.state in OVER else f"{words} Look again, then repeat."


def note(
    request: ReturnRequest, order: Order, actor: str, text: str, *, for_customer: bool = True
) -> None:
    """A line in the order's timeline."""
    db.session.add(
        OrderEvent(
            order_id=order.id, kind="return", actor=actor, text=text[:500], for_customer=for_customer,
            details={"return": request.reference, "state": request.state.value}, occurred_at=utcnow(),
        )
    )  # fmt: skip


def tell(request: ReturnRequest, event: str) -> None:
    """The message about this event, once for the return."""
    enqueue(
        "messaging.tell",
        {"event": event, "order_id": request.order_id, "return_id": request.id},
        key=f"{event}:{request.id}",
    )
