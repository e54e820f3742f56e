"""Gift cards: issuing one, what is left on each, blocking."""

from datetime import date, datetime, time
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, step_up
from shop.admin.rendering import PAGE_ROWS, done, screen, shown_again, whole
from shop.clock import from_local
from shop.config import settings
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.money import MoneyError, format_minor, parse_minor
from shop.promotions import gift_cards as cards
from shop.promotions.models import EntryKind, GiftCard, GiftCardEntry


@bp.get("/gift-cards")
@needs(Right.RECORD_MONEY)
def gift_cards() -> ResponseReturnValue:
    """Every card with what is left on it, newest first; never its code."""
    return show_gift_cards()


def show_gift_cards(*_args: Any, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The list and the form; `problem` is what was refused just now."""
    before = whole("before")
    issued = (
        select(func.sum(GiftCardEntry.amount_minor))
        .where(GiftCardEntry.gift_card_id == GiftCard.id, GiftCardEntry.kind == EntryKind.ISSUE)
        .scalar_subquery()
    )
    found = select(GiftCard, issued.label("issued_minor")).order_by(GiftCard.id.desc())
    if before is not None:
        found = found.where(GiftCard.id < before)
    rows = db.session.execute(found.limit(PAGE_ROWS + 1)).all()
    shown = rows[:PAGE_ROWS]
    return screen(
        "admin/gift_cards.html",
        status,
        section="admin.gift_cards",
        problem=problem,
        rows=shown,
        asks_password=step_up.asks_password(),
        is_taken="gift_card" in settings().payment_gateways,
        older=url_for("admin.gift_cards", before=shown[-1][0].id)
        if len(rows) > len(shown)
        else None,
    )


@bp.post("/gift-cards")
@needs(Right.RECORD_MONEY)
@shown_again(show_gift_cards)
def gift_card_issue() -> ResponseReturnValue:
    """Make a card; its code is shown this once."""
    currency = settings().default_currency
    try:
        amount_minor = parse_minor(request.form.get("amount", ""), currency)
    except MoneyError as error:
        raise Refused(f"{error}.", field="amount") from error
    until = _end_of(request.form.get("expires", ""))
    note = request.form.get("note", "").strip()
    step_up.confirm()
    with transaction():
        _, code = cards.issue(amount_minor, currency, staff_actor(), until, note)
    worth = format_minor(amount_minor, currency)
    return done(
        url_for("admin.gift_cards"),
        f"The card of {worth} has the code {code}. Write it down: it is shown only now.",
    )


def _end_of(written: str) -> datetime | None:
    """The last moment of the day typed, in the shop's time zone; None without one."""
    if not written.strip():
        return None
    try:
        day = date.fromisoformat(written.strip())
    except ValueError as error:
        words = "Enter the last day as YYYY-MM-DD, or leave it empty."
        raise Refused(words, field="expires") from error
    return from_local(datetime.combine(day, time(23, 59, 59)))


@bp.post("/gift-cards/<int:card_id>/block")
@needs(Right.RECORD_MONEY)
@shown_again(show_gift_cards)
def gift_card_block(card_id: int) -> ResponseReturnValue:
    """The card pays no more."""
    with transaction():
        cards.block(card_id, staff_actor())
    return done(url_for("admin.gift_cards"), "The card is blocked.")
