"""What staff decide about a return: yes or no, what came, and where it is put."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update

from shop.audit import recording as audit
from shop.clock import in_future, utcnow
from shop.database import rows_changed
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from shop.preferences import preference
from shop.returns import claims, parcels
from shop.returns.models import Disposition, ReturnLine, ReturnRequest, ReturnState
from shop.returns.steps import locked, move
from shop.stock import ledger
from shop.stock.models import MovementReason

CONDITION_LETTERS = 200


@dataclass(frozen=True)
class Checked:
    """What staff found of one line: how many came, how they look, where they go."""

    arrived: int
    condition: str
    disposition: Disposition


def approve(return_id: int, actor: str) -> ReturnRequest:
    """Yes: a job orders the way back, or finds that the customer has to send it, and tells so."""
    request, order = locked(return_id)
    days = preference("return_send_days")
    move(request, order, "approve", actor, deadline_at=in_future(hours=24 * days))
    enqueue("returns.book", {"return_id": request.id}, key=str(request.id))
    return request


def refuse(return_id: int, why: str, actor: str) -> ReturnRequest:
    """No, in words that the customer reads. What was put away already is not turned down."""
    words = why.strip()
    if not words or len(words) > 500:
        raise Refused("Write in a few words why, for the customer to read.", field="why")
    request, order = locked(return_id)
    if request.checked_at is not None and request.state == ReturnState.RECEIVED:
        raise Refused("What came was put away already: refund or replace it.")
    move(request, order, "refuse", actor, refusal=words, deadline_at=None)
    parcels.let_go(request)
    return request


def drop(return_id: int, actor: str) -> ReturnRequest:
    """It will not come any more."""
    request, order = locked(return_id)
    move(request, order, "drop", actor, deadline_at=None)
    parcels.let_go(request)
    return request


def receive(return_id: int, actor: str) -> ReturnRequest:
    """It is here, and waits to be looked at."""
    request, order = locked(return_id)
    _here(request, order, actor)
    return request


def _here(request: ReturnRequest, order: Order, actor: str) -> None:
    """Brought by hand, say: a courier that was to fetch it need not come."""
    move(request, order, "receive", actor, deadline_at=None)
    if request.parcel is None or not request.parcel.left_to_customer:
        parcels.call_off(request)


def check_in(return_id: int, found: Mapping[int, Checked], actor: str) -> ReturnRequest:
    """Put what came where it belongs, line by line; {return line id: what was found}.

    What did not come is the customer's again. Once: the second asker gets Conflict.
    """
    request, order = locked(return_id)
    if request.state != ReturnState.RECEIVED:
        _here(request, order, actor)
    _claim_check(request)
    if not any(found[line.id].arrived for line in request.lines):
        raise Refused("Nothing came? Then this return did not arrive: drop it, or wait.")
    missing = {}
    for line in sorted(request.lines, key=lambda one: one.order_line.variant_id):
        seen = found[line.id]
        if not 0 <= seen.arrived <= line.quantity:
            words = f"Of {line.order_line.name} at most {line.quantity} can have come."
            raise Refused(words, field=f"arrived-{line.id}")
        missing[line.id] = line.quantity - seen.arrived
        line.arrived_quantity, line.condition = seen.arrived, seen.condition[:CONDITION_LETTERS]
        line.disposition = seen.disposition if seen.arrived else None
        _put_away(request, line, actor)
    claims.give_back(request.lines, missing)
    _audit(request, order, actor)
    return request


def _claim_check(request: ReturnRequest) -> None:
    """One person puts it away: by one conditional update."""
    result = db.session.execute(
        update(ReturnRequest)
        .where(
            ReturnRequest.id == request.id,
            ReturnRequest.checked_at.is_(None),
            ReturnRequest.state == ReturnState.RECEIVED,
        )
        .values(checked_at=utcnow(), updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    if not rows_changed(result):
        raise Conflict("Somebody has put this return away already. Look again.")
    db.session.refresh(request, ["checked_at", "updated_at"])


def _put_away(request: ReturnRequest, line: ReturnLine, actor: str) -> None:
    """Back on the shelf; what is written off goes on it and off again, so that the ledger tells both.

    A refund's restock names its refund by a positive number, a return's its return by a negative
    one: neither is done twice, and both together never exceed what was sold.
    """
    if not line.arrived_quantity:
        return
    sold = line.order_line
    units = ledger.restock_line(sold.variant_id, sold.id, line.arrived_quantity, -request.id, actor)
    if units and line.disposition == Disposition.WRITE_OFF:
        why = f"{request.reference}: {line.condition or 'not fit to be sold'}"
        ledger.move(sold.variant_id, -units, MovementReason.WRITE_OFF, actor, why[:300])


def _audit(request: ReturnRequest, order: Order, actor: str) -> None:
    audit.write(
        actor, "return.checked", f"order:{order.number}", None,
        {
            "return": request.reference,
            "lines": [
                {
                    "line": line.order_line_id, "arrived": line.arrived_quantity,
                    "goes": line.disposition.value if line.disposition else "",
                }
                for line in request.lines
            ],
        },
    )  # fmt: skip


def annotate(return_id: int, text: str, actor: str) -> ReturnRequest:
    """The staff's note on the return; the customer never sees it."""
    if len(text) > 2000:
        raise Refused("Write a note of at most 2000 letters.", field="note")
    request, order = locked(return_id)
    before, request.staff_note = request.staff_note, text.strip()
    audit.write(
        actor, "return.note", f"order:{order.number}", {"note": before[:200]},
        {"return": request.reference, "note": text[:200]},
    )  # fmt: skip
    return request
