"""The money desks: what came in and needs a person's judgement, and the bank's statements."""

from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import IntegrityError

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, desks_lists, step_up
from shop.admin.desk_pages import place, turned
from shop.admin.desks_lists import DESKS
from shop.admin.refund_form import check_limit
from shop.admin.rendering import done, names_of, newest, screen, shown_again
from shop.admin.transfer_form import CHANGED, read_amount
from shop.config import settings
from shop.database import is_passing, transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.money import format_minor
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.payments import recording
from shop.payments.excess import give_back_excess
from shop.payments.models import Refund
from shop.payments.refunds import mark_done
from shop.payments.statements import matching, storing
from shop.payments.statements.models import BankStatement, BankStatementLine
from shop.payments.statements.reading import MOST_BYTES, read_statement
from shop.payments.statements.rows import plain_text
from shop.preferences import preferences

DAYS = ("unmatched_money_days", "overpaid_days", "refund_by_hand_days")


@bp.get("/desks")
@needs(Right.SEE_MONEY)
def desks() -> ResponseReturnValue:
    """One desk, with the counts of all."""
    return show_desk()


def show_desk(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The desk that the address or the form names; else the first on which something waits."""
    counted = desks_lists.counts()
    wanted = request.values.get("desk", "")
    waiting = next((key for key in DESKS if counted[key]), "unmatched")
    desk = wanted if wanted in DESKS else waiting
    return screen(
        "admin/desks.html",
        status,
        section="admin.desks",
        desks=DESKS,
        counts=counted,
        desk=desk,
        default=DESKS[desk].default.format(**preferences(*DAYS)),
        problem=problem,
        asks_password=step_up.asks_password(),
        **_rows_of(desk),
    )


def _rows_of(desk: str) -> dict[str, Any]:
    """What the desk's part of the page draws; the other desks are not read."""
    drawn = turned(desks_lists.PARTS[desk]())
    lines = drawn.rows("lines")
    return {
        "lines": lines, "meant": matching.suggestions(lines), "unknown": drawn.rows("unknown"),
        "mismatched": drawn.rows("mismatched"),
        "rows": drawn.rows(desk),
        "shown": len(drawn.shown), "here": drawn.here,
        "older": drawn.older("admin.desks", {"desk": desk}),
        "newer": drawn.newer("admin.desks", {"desk": desk}),
    }  # fmt: skip


def _back(desk: str) -> str:
    """The page of the desk on which the button was pressed."""
    return url_for("admin.desks", desk=desk, **place())


def _line_desk() -> str:
    return "currency" if request.form.get("desk") == "currency" else "unmatched"


@bp.post("/desks/lines/<int:line_id>/match")
@needs(Right.RECORD_MONEY)
@shown_again(show_desk)
def desk_match(line_id: int) -> ResponseReturnValue:
    """A person says which order a statement's line pays."""
    number = request.form.get("number", "").strip()[:20]
    with transaction():
        worth = _worth(number)
        credited = matching.match_by_hand(line_id, number, staff_actor(), worth)
    return done(
        _back(_line_desk()), f"Credited to {number.lstrip('#')}. {CHANGED[credited.changed]}"
    )


def _worth(number: str) -> int | None:
    """What the bank credited in the order's currency, where the form says so."""
    typed = request.form.get("worth", "").strip()
    if not typed:
        return None
    currency = db.session.scalar(
        db.select(Order.currency).where(Order.number == number.lstrip("#"))
    )
    return read_amount(typed, currency or settings().default_currency, "worth")


@bp.post("/desks/lines/<int:line_id>/ignore")
@needs(Right.RECORD_MONEY)
@shown_again(show_desk)
def desk_ignore(line_id: int) -> ResponseReturnValue:
    """A line that needs nothing, with the reason."""
    with transaction():
        matching.set_aside(line_id, request.form.get("reason", ""), staff_actor())
    return done(_back(_line_desk()), "Set aside.")


@bp.post("/desks/lines/<int:line_id>/put-back")
@needs(Right.RECORD_MONEY)
def desk_put_back(line_id: int) -> ResponseReturnValue:
    """A line that was set aside waits again."""
    with transaction():
        matching.put_back(line_id, staff_actor())
    return done(_back("unmatched"), "It waits again.")


@bp.post("/desks/late/<number>")
@needs(Right.RECORD_MONEY)
@shown_again(show_desk)
def desk_late(number: str) -> ResponseReturnValue:
    """Late money: take the stock again, or send the money back."""
    choice = request.form.get("choice", "")
    with transaction():
        recording.decide_late(_order_id(number), choice, staff_actor())
    words = "goes on" if choice == "accept" else "is refunded"
    return done(_back("late"), f"Order {number} {words}.")


@bp.post("/desks/over/<number>")
@needs(Right.REFUND)
@shown_again(show_desk)
def desk_over(number: str) -> ResponseReturnValue:
    """Send back what was paid too much: the amount on the button."""
    seen = request.form.get("seen", "")
    if not (seen.isascii() and seen.isdigit() and len(seen) < 16):
        raise Refused("Look at the amount again, then press the button.")
    order = db.session.get_one(Order, _order_id(number))
    order_id, currency = order.id, order.currency
    step_up.confirm()
    with transaction():
        check_limit(lock_order(order_id), int(seen))
        back = give_back_excess(order_id, staff_actor(), int(seen))
    return done(_back("over"), f"{format_minor(back, currency)} of order {number} goes back.")


@bp.post("/desks/refunds/<int:refund_id>")
@needs(Right.RECORD_MONEY)
@shown_again(show_desk)
def desk_refund_sent(refund_id: int) -> ResponseReturnValue:
    """A person sent a refund at the bank, under the bank's reference."""
    with transaction():
        if db.session.get(Refund, refund_id) is None:
            raise NotFound
        mark_done(refund_id, staff_actor(), request.form.get("bank_reference", ""))
    return done(_back("refunds"), "The refund is marked as sent.")


def _order_id(number: str) -> int:
    found = db.session.scalar(db.select(Order.id).where(Order.number == number))
    if found is None:
        raise NotFound("There is no order of that number.")
    return int(found)


@bp.get("/desks/statements")
@needs(Right.RECORD_MONEY)
def statements() -> ResponseReturnValue:
    """Bringing a statement, and the files brought before."""
    return show_statements()


def show_statements(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The page; `problem` says why a file was not taken."""
    listed = newest(db.select(BankStatement), BankStatement)
    return screen(
        "admin/desks_statements.html",
        status,
        section="admin.desks",
        rows=listed.rows,
        older=listed.older("admin.statements", {}),
        states=desks_lists.states_of([row.id for row in listed.rows]),
        names=names_of(row.actor for row in listed.rows),
        ignored=desks_lists.ignored(),
        most_kb=MOST_BYTES // 1024,
        problem=problem,
    )


@bp.post("/desks/statements")
@needs(Right.RECORD_MONEY)
@shown_again(show_statements)
def statement_import() -> ResponseReturnValue:
    """Read a file; its new lines are kept, and those that name a payment are credited by jobs."""
    name, data = _sent_file()
    read = read_statement(data, settings().default_currency)
    actor = staff_actor()
    try:
        with transaction():
            kept = storing.keep_statement(read, name, data, actor).id
    except IntegrityError as error:
        # Somebody brought the same lines at this moment: now they are known.
        if is_passing(error):
            raise
        with transaction():
            kept = storing.keep_statement(read, name, data, actor).id
    return done(url_for("admin.statement", statement_id=kept), f"{name} is read.")


def _sent_file() -> tuple[str, bytes]:
    """The file's name, as one line, and its bytes; one byte more than is taken, so that it shows."""
    sent = request.files.get("file")
    if sent is None:
        return "", b""
    with sent.stream as stream:
        data = stream.read(MOST_BYTES + 1)
    return plain_text(sent.filename or "")[:120] or "statement", data


@bp.get("/desks/statements/<int:statement_id>")
@needs(Right.RECORD_MONEY)
def statement(statement_id: int) -> ResponseReturnValue:
    """One file: what was new, what could not be read, and where its lines stand."""
    found = db.session.get(BankStatement, statement_id)
    if found is None:
        raise NotFound
    lines = db.session.scalars(
        db.select(BankStatementLine)
        .where(BankStatementLine.statement_id == found.id)
        .options(db.joinedload(BankStatementLine.payment))
        .order_by(BankStatementLine.file_line)
        .limit(500)
    ).all()
    numbers = dict(
        db.session.execute(
            db.select(Order.id, Order.number).where(
                Order.id.in_({line.payment.order_id for line in lines if line.payment})
            )
        ).all()
    )
    return screen(
        "admin/desks_statement.html",
        section="admin.desks",
        row=found,
        lines=lines,
        numbers=numbers,
        names=names_of([found.actor]),
        states=desks_lists.states_of([found.id]).get(found.id, {}),
    )
