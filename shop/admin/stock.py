"""Stock: what is there, who holds it, and every change of it."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, or_, select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.order_facts import locked_order
from shop.admin.rendering import PAGE_ROWS, done, is_low, kept, names_of, screen, shown_again, whole
from shop.audit import recording as audit
from shop.catalog.models import Product, Variant
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.orders.models import Order, OrderEvent, OrderLine
from shop.payments.models import LIVE, Payment
from shop.stock import ledger, reservations
from shop.stock.models import (
    MovementReason,
    Reservation,
    ReservationState,
    StockLevel,
    StockMovement,
)  # fmt: skip

MOST_UNITS = 100_000
REASONS = {
    "receive": (MovementReason.RECEIVE, "Goods came in", 1),
    "adjust": (MovementReason.ADJUST, "Counted anew", 0),
    "write_off": (MovementReason.WRITE_OFF, "Broken or lost", -1),
}
"""What the form offers: reason, words, and the sign of its number (0: the number is the new count)."""


def _levels(query: str, only_low: bool) -> Any:
    found = (
        select(StockLevel, Variant, Product)
        .join(Variant, Variant.id == StockLevel.variant_id)
        .join(Product, Product.id == Variant.product_id)
    )
    if only_low:
        found = found.where(is_low())
    if query:
        found = found.where(
            or_(
                Product.name.icontains(query, autoescape=True),
                Variant.sku.icontains(query, autoescape=True),
            )
        )
    return found


@bp.get("/stock")
@needs(Right.SEE_STOCK)
def stock() -> ResponseReturnValue:
    """Levels by variant, those that run out first."""
    return show_stock()


def show_stock(*_args: Any, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The list; `problem` is what was refused just now."""
    query, only_low = request.values.get("q", "").strip()[:80], request.values.get("low") == "1"
    number = max(1, whole("page") or 1)
    free = StockLevel.on_hand - StockLevel.reserved
    found = db.session.execute(
        _levels(query, only_low)
        .order_by(free - StockLevel.low_threshold, Variant.id)
        .offset((number - 1) * PAGE_ROWS)
        .limit(PAGE_ROWS + 1)
    ).all()
    rows = found[:PAGE_ROWS]
    same = kept({"q": query, "low": "1" if only_low else ""})
    return screen(
        "admin/stock.html",
        status,
        section="admin.stock",
        problem=problem,
        rows=rows,
        holders=_holders([level.variant_id for level, _variant, _product in rows]),
        query=query,
        only_low=only_low,
        number=number,
        reasons=REASONS,
        older=url_for("admin.stock", **same, page=number + 1) if len(found) > PAGE_ROWS else None,
        newer=url_for("admin.stock", **same, page=number - 1) if number > 1 else None,
        here=url_for("admin.stock", **same, page=number if number > 1 else None),
    )


def _holders(variant_ids: Sequence[int]) -> dict[int, list[Any]]:
    """Who holds what: the open orders that hold units of each variant, and until when."""
    rows = db.session.execute(
        select(
            Reservation.variant_id,
            Reservation.quantity,
            Reservation.expires_at,
            Order.number,
            Order.id,
        )
        .join(Order, Order.id == Reservation.order_id)
        .where(
            Reservation.variant_id.in_(variant_ids), Reservation.state == ReservationState.ACTIVE
        )
        .order_by(Reservation.expires_at)
    ).all()
    held: dict[int, list[Any]] = {}
    for row in rows:
        held.setdefault(row.variant_id, []).append(row)
    return held


@bp.post("/stock/<int:variant_id>")
@needs(Right.COUNT_STOCK)
@shown_again(show_stock)
def stock_move(variant_id: int) -> ResponseReturnValue:
    """Receive, count anew, or write off; never below what is held for orders."""
    chosen = REASONS.get(request.form.get("reason", ""))
    if chosen is None:
        raise Refused("Choose why the count changes.", field="reason")
    reason, words, sign = chosen
    number = _units(request.form.get("units", ""))
    with transaction() as session:
        level = session.scalars(
            select(StockLevel).where(StockLevel.variant_id == variant_id).with_for_update()
        ).one_or_none()
        if level is None:
            raise NotFound
        delta = sign * number if sign else number - level.on_hand
        if level.on_hand + delta < level.reserved:
            raise Refused(_too_low(level, delta), field="units")
        note = request.form.get("note", "").strip()[:300]
        ledger.move(variant_id, delta, reason, staff_actor(), note)
        session.refresh(level)
        after = level.on_hand
    shown = f"{delta:+d}".replace("-", "−")
    return done(
        _back(),
        f"{words}: {shown}. On hand {after} now."
        if delta
        else "The count was right; nothing changed.",
    )


def _units(written: str) -> int:
    value = written.strip()
    if not value.isascii() or not value.isdigit() or len(value) > 7 or int(value) > MOST_UNITS:
        raise Refused(f"Use a whole number from 0 to {MOST_UNITS:,}.", field="units")
    return int(value)


def _too_low(level: StockLevel, delta: int) -> str:
    if level.on_hand + delta < 0:
        return f"There are only {level.on_hand} on the shelf."
    return (
        f"{level.reserved} of the {level.on_hand} are held for orders that wait for payment:"
        f" at most {level.free} can be taken away."
    )


def _back() -> str:
    """The same page of the list again."""
    query, number = request.form.get("q", "")[:80], request.form.get("page", "")
    return url_for(
        "admin.stock", q=query or None, low=request.form.get("low") or None,
        page=number if number.isdigit() and number != "1" else None,
    )  # fmt: skip


@bp.post("/stock/holds/<number>/release")
@needs(Right.CHANGE_CATALOG)
@shown_again(show_stock)
def stock_release(number: str) -> ResponseReturnValue:
    """Let go what an unpaid order holds, unless somebody may be paying it just now."""
    with transaction() as session:
        order = locked_order(number)
        live = session.scalar(
            select(func.count())
            .select_from(Payment)
            .where(Payment.order_id == order.id, Payment.status.in_(LIVE))
        )
        if live:
            raise Refused(
                f"Order {order.number} has an open payment: the customer may be paying now."
                " Cancel the order instead, which closes the payment first."
            )
        released = reservations.release(order.id, ReservationState.EXPIRED)
        if not released:
            raise Refused(f"Order {order.number} holds nothing any more.")
        session.add(
            OrderEvent(
                order_id=order.id, kind="note", actor=staff_actor(), text="Hold on the stock released", occurred_at=utcnow()
            )
        )  # fmt: skip
        audit.write(
            staff_actor(), "stock.hold_released", f"order:{order.number}", {"holds": released}
        )
    return done(url_for("admin.stock"), f"The hold of {number} is released.")


@bp.get("/stock/movements")
@needs(Right.SEE_STOCK)
def stock_movements() -> ResponseReturnValue:
    """Every change of every count, newest first."""
    before, variant_id = whole("before"), whole("variant")
    found = (
        select(StockMovement, Variant, Product, Order.number)
        .join(Variant, Variant.id == StockMovement.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .outerjoin(OrderLine, OrderLine.id == StockMovement.order_line_id)
        .outerjoin(Order, Order.id == OrderLine.order_id)
        .order_by(StockMovement.id.desc())
        .limit(PAGE_ROWS * 2 + 1)
    )
    if before is not None:
        found = found.where(StockMovement.id < before)
    if variant_id is not None:
        found = found.where(StockMovement.variant_id == variant_id)
    rows = db.session.execute(found).all()
    shown = rows[: PAGE_ROWS * 2]
    return screen(
        "admin/stock_movements.html",
        section="admin.stock",
        rows=shown,
        names=names_of(movement.actor for movement, *_rest in shown),
        variant_id=variant_id,
        older=url_for("admin.stock_movements", before=shown[-1][0].id, variant=variant_id)
        if len(rows) > len(shown)
        else None,
    )
