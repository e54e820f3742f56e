"""Returns: the list by what is to be done, and one return with the steps that are possible now."""

from typing import Any

from flask import Response, make_response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, step_up
from shop.admin.order_facts import gather, locked_order
from shop.admin.refund_form import check_limit, delivery_left_minor
from shop.admin.rendering import can, done, newest, screen, shown_again
from shop.database import transaction
from shop.errors import Conflict, NotFound, Refused
from shop.extensions import db
from shop.money import MoneyError, format_minor, parse_minor
from shop.orders.models import Order
from shop.orders.numbers import draw_number
from shop.returns import deciding, exchanging, pictures, settling
from shop.returns.asking import REASONS
from shop.returns.deciding import Checked
from shop.returns.models import (
    OVER,
    Disposition,
    ReturnLine,
    ReturnPicture,
    ReturnRequest,
    ReturnState,
)  # fmt: skip
from shop.returns.steps import may
from shop.stock.reservations import OutOfStock

SHOWS: dict[str, tuple[str, frozenset[ReturnState]]] = {
    "asked": ("To decide", frozenset({ReturnState.REQUESTED})),
    "awaited": ("Awaited", frozenset({ReturnState.APPROVED, ReturnState.ON_ITS_WAY})),
    "here": ("Here", frozenset({ReturnState.RECEIVED})),
    "over": ("Over", OVER),
}
"""The tabs by their name in the address: words and states."""

DISPOSITIONS = {
    Disposition.RESTOCK: "Back in stock",
    Disposition.WRITE_OFF: "Write off",
}


@bp.get("/returns")
@needs(Right.SEE_ORDERS)
def returns() -> ResponseReturnValue:
    """The returns of one tab, newest first."""
    show = request.args.get("show", "asked")
    show = show if show in SHOWS else "asked"
    found = (
        select(ReturnRequest)
        .where(ReturnRequest.state.in_(SHOWS[show][1]))
        .options(
            selectinload(ReturnRequest.order),
            selectinload(ReturnRequest.lines).selectinload(ReturnLine.order_line),
        )
    )
    listed = newest(found, ReturnRequest)
    by_state = dict(
        db.session.execute(
            select(ReturnRequest.state, func.count())
            .where(ReturnRequest.state.not_in(OVER))
            .group_by(ReturnRequest.state)
        ).all()
    )
    return screen(
        "admin/returns.html",
        section="admin.returns",
        rows=listed.rows,
        older=listed.older("admin.returns", {"show": show}),
        show=show,
        shows={key: words for key, (words, _) in SHOWS.items()},
        counts={
            key: sum(by_state.get(state, 0) for state in states)
            for key, (_, states) in SHOWS.items()
        },
        reasons=REASONS,
    )


def _found(return_id: int) -> ReturnRequest:
    found = db.session.scalars(
        select(ReturnRequest)
        .where(ReturnRequest.id == return_id)
        .options(selectinload(ReturnRequest.lines).selectinload(ReturnLine.order_line))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such return.")
    return found


def show_return(
    return_id: int, *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    """The page; `problem` is what was refused just now, and what was typed stands in its fields."""
    found = _found(return_id)
    is_checked = found.state == ReturnState.RECEIVED and found.checked_at is not None
    return screen(
        "admin/return.html",
        status,
        section="admin.returns",
        row=found,
        order=found.order,
        problem=problem,
        may={step: may(found, step) for step in ("approve", "refuse", "drop", "receive")},
        may_check=found.checked_at is None and (may(found, "receive") or found.state == "received"),
        reasons=REASONS,
        dispositions=DISPOSITIONS,
        **(_settling(found) if is_checked else {"due": None}),
    )


def _settling(found: ReturnRequest) -> dict[str, Any]:
    """The figures of the refund, and what may be sent instead."""
    due = settling.dues(found)
    left = delivery_left_minor(gather(found.order.number)) if can(Right.SEE_MONEY) else 0
    delivery, _ = _delivery(found.order)
    return {
        "due": due,
        "total_minor": sum(one.amount_minor for one in due) + delivery,
        "delivery_left_minor": left,
        "choices": exchanging.choices(found.order, [line.order_line_id for line in found.lines]),
        "asks_password": step_up.asks_password(),
    }


def _delivery(order: Order) -> tuple[int, str]:
    """What of delivery is typed, in minor units, and what is wrong with it."""
    typed = request.form.get("delivery", "").strip()
    if not typed:
        return 0, ""
    try:
        return max(0, parse_minor(typed, order.currency)), ""
    except MoneyError as error:
        return 0, str(error)


def _here(return_id: int) -> str:
    return url_for("admin.return_page", return_id=return_id)


@bp.get("/returns/<int:return_id>")
@needs(Right.SEE_ORDERS)
def return_page(return_id: int) -> ResponseReturnValue:
    """One return."""
    return show_return(return_id)


@bp.get("/returns/<int:return_id>/pictures/<int:picture_id>")
@needs(Right.SEE_ORDERS)
def return_picture(return_id: int, picture_id: int) -> ResponseReturnValue:
    """A picture that the customer sent. It is a JPEG of ours, and nothing else is run with it."""
    found = db.session.get(ReturnPicture, picture_id)
    if found is None or found.return_id != return_id:
        raise NotFound("There is no such picture.")
    response = make_response(pictures.read(found.storage_key))
    response.headers["Content-Type"] = "image/jpeg"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Disposition"] = f'inline; filename="return-{picture_id}.jpg"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@bp.post("/returns/<int:return_id>/approve")
@needs(Right.DECIDE_RETURNS)
@shown_again(show_return)
def return_approve(return_id: int) -> ResponseReturnValue:
    """Yes; the way back is ordered, and the customer told."""
    with transaction():
        deciding.approve(return_id, staff_actor())
    return done(_here(return_id), "Approved. The customer is told how it comes back.")


@bp.post("/returns/<int:return_id>/refuse")
@needs(Right.DECIDE_RETURNS)
@shown_again(show_return)
def return_refuse(return_id: int) -> ResponseReturnValue:
    """No, and why."""
    with transaction():
        deciding.refuse(return_id, request.form.get("why", ""), staff_actor())
    return done(_here(return_id), "Turned down. The customer is told why.")


@bp.post("/returns/<int:return_id>/drop")
@needs(Right.DECIDE_RETURNS)
@shown_again(show_return)
def return_drop(return_id: int) -> ResponseReturnValue:
    """It will not come any more."""
    with transaction():
        deciding.drop(return_id, staff_actor())
    return done(_here(return_id), "Dropped. The customer keeps it.")


@bp.post("/returns/<int:return_id>/receive")
@needs(Right.MOVE_ORDERS)
@shown_again(show_return)
def return_receive(return_id: int) -> ResponseReturnValue:
    """It is here."""
    with transaction():
        deciding.receive(return_id, staff_actor())
    return done(_here(return_id), "Received. Now say what came.")


@bp.post("/returns/<int:return_id>/check")
@needs(Right.MOVE_ORDERS)
@shown_again(show_return)
def return_check(return_id: int) -> ResponseReturnValue:
    """What came, and where it goes."""
    seen = {line.id: _checked(line) for line in _found(return_id).lines}
    with transaction():
        deciding.check_in(return_id, seen, staff_actor())
    return done(_here(return_id), "Put away. Now refund it or send another one.")


def _checked(line: ReturnLine) -> Checked:
    arrived_at, goes_to = f"arrived-{line.id}", f"goes-{line.id}"
    arrived = request.form.get(arrived_at, "").strip()
    if not (arrived.isascii() and arrived.isdigit() and len(arrived) < 7):
        words = f"Say how many of {line.order_line.name} came, as a whole number."
        raise Refused(words, field=arrived_at)
    goes = request.form.get(goes_to, "")
    if goes not in set(Disposition):
        raise Refused(f"Say where {line.order_line.name} goes.", field=goes_to)
    condition = request.form.get(f"condition-{line.id}", "").strip()
    return Checked(int(arrived), condition, Disposition(goes))


@bp.post("/returns/<int:return_id>/refund")
@needs(Right.REFUND)
@shown_again(show_return)
def return_refund(return_id: int) -> ResponseReturnValue:
    """Send the money. Without JavaScript "Work out" shows the figures with delivery first."""
    order = _found(return_id).order
    number, currency = order.number, order.currency
    delivery, wrong = _delivery(order)
    if wrong:
        raise Refused(f"{wrong}.", field="delivery")
    if request.form.get("do") == "count":
        return show_return(return_id)
    _check_delivery(number, delivery, currency)
    seen = request.form.get("seen", "")
    seen_minor = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else -1
    step_up.confirm()
    with transaction():
        check_limit(locked_order(number), max(0, seen_minor))
        # Again under the lock: another refund may have taken it meanwhile.
        _check_delivery(number, delivery, currency)
        _, amount = settling.refund(return_id, delivery, seen_minor, staff_actor())
    return done(_here(return_id), f"{format_minor(amount, currency)} goes back to the customer.")


def _check_delivery(number: str, delivery_minor: int, currency: str) -> None:
    """Not more than is left of what was paid for delivery. Raises Refused."""
    most = delivery_left_minor(gather(number)) if delivery_minor else 0
    if delivery_minor > most:
        words = f"At most {format_minor(most, currency)} of delivery can go back."
        raise Refused(words, field="delivery")


@bp.post("/returns/<int:return_id>/exchange")
@needs(Right.MOVE_ORDERS)
@shown_again(show_return)
def return_exchange(return_id: int) -> ResponseReturnValue:
    """Send other goods, as an order of their own."""
    found = _found(return_id)
    wanted = {
        line.id: int(typed)
        for line in found.lines
        if (typed := request.form.get(f"swap-{line.id}", "")).isascii()
        and typed.isdigit()
        and len(typed) < 16
    }
    if not may(found, "exchange"):
        raise Conflict("This return is not here, or was made good already. Look again.")
    number = draw_number()
    try:
        with transaction():
            settling.exchange(return_id, wanted, number, staff_actor())
    except OutOfStock:
        raise Conflict(
            "There is not enough of it in stock. Choose another one, or refund."
        ) from None
    return done(_here(return_id), f"Order {number} replaces it. The customer is told.")


@bp.post("/returns/<int:return_id>/settle")
@needs(Right.DECIDE_RETURNS)
@shown_again(show_return)
def return_settle(return_id: int) -> ResponseReturnValue:
    """It was made good another way: nothing more moves."""
    with transaction():
        settling.settle(return_id, request.form.get("why", ""), staff_actor())
    return done(_here(return_id), "Closed. The customer is told that it is settled.")


@bp.post("/returns/<int:return_id>/note")
@needs(Right.ANNOTATE)
@shown_again(show_return)
def return_note(return_id: int) -> ResponseReturnValue:
    """A note for staff."""
    with transaction():
        deciding.annotate(return_id, request.form.get("note", ""), staff_actor())
    return done(_here(return_id), "Note kept.")
