"""The list of orders: tabs, search, pages, and quiet refreshing of what is shown."""

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, order_lists
from shop.admin.order_lists import DESKS, TABS, Wish
from shop.admin.rendering import PAGE_ROWS, can, done, screen
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.orders.lifecycle import Actor, Who, advance, may
from shop.orders.models import Order, PaymentStatus
from shop.pages import clock, leave_for, not_modified, tagged, with_etag

COUNTRIES = (("IN", "India"), ("SE", "Sweden"), ("NG", "Nigeria"), ("US", "United States"), ("GB", "United Kingdom"), ("DE", "Germany"))  # fmt: skip
BULK = {"accepted": "started", "archived": "archived"}
"""What may be done to many orders at once: event, and its word in the answer."""


@bp.get("/orders")
@needs(Right.SEE_ORDERS)
def orders() -> ResponseReturnValue:
    """A page of the list. An order's exact number opens the order."""
    wish = order_lists.read_wish(request.args)
    if wish.query and (number := order_lists.number_of(wish.query)):
        return leave_for(url_for("admin.order", number=number))
    sees_contact = can(Right.SEE_CONTACT)
    listed = order_lists.listed(wish, sees_contact, PAGE_ROWS)
    facts = order_lists.facts_of(listed.rows)
    return screen(
        "admin/orders.html",
        section="admin.orders",
        wish=wish,
        tabs=TABS,
        desks=DESKS,
        counts=order_lists.counts(wish),
        rows=listed.rows,
        facts=facts,
        older=_page(wish, before=listed.rows[-1].id) if listed.has_older and listed.rows else None,
        newer=_page(wish, after=listed.rows[0].id) if listed.has_newer and listed.rows else None,
        countries=COUNTRIES,
        payment_states=[(state.value, state) for state in PaymentStatus],
        fresh=_fresh_address(wish, listed.rows),
    )


@bp.get("/search")
@needs(Right.SEE_ORDERS)
def search() -> ResponseReturnValue:
    """The field in the top bar: an exact number opens the order, anything else searches all."""
    return redirect(url_for("admin.orders", q=request.args.get("q", "").strip()[:120] or None), 303)


@bp.get("/orders/fresh")
@needs(Right.SEE_ORDERS)
def orders_fresh() -> ResponseReturnValue:
    """The poll: how many newer orders, and the changed cells of the rows shown. 304 mostly."""
    tag, is_held = with_etag(order_lists.news_version() + request.query_string.decode())
    if is_held:
        return not_modified(tag)
    wish = order_lists.read_wish(request.args)
    parts = request.args.get("ids", "").split(".")[:PAGE_ROWS]
    shown = [key for part in parts if (key := order_lists.read_key(part)) is not None]
    newest = max(shown, default=0)
    rows = order_lists.by_ids(shown)
    response = screen(
        "admin/orders_fresh.html",
        section="admin.orders",
        wish=wish,
        newer_count=order_lists.newer_than(wish, can(Right.SEE_CONTACT), newest),
        since=request.args.get("since", ""),
        fresh=request.full_path,
        rows=rows,
        facts=order_lists.facts_of(rows),
        here=url_for("admin.orders", **wish.arguments()),
    )
    return tagged(response, tag)


@bp.post("/orders/bulk")
@needs(Right.MOVE_ORDERS)
def orders_bulk() -> ResponseReturnValue:
    """Move many orders by one event. Those that cannot take it are skipped and counted."""
    event = request.form.get("do", "")
    if event not in BULK:
        raise Refused("Choose what to do with the selected orders.")
    numbers = request.form.getlist("id")[:PAGE_ROWS]
    actor = Actor(Who.ADMIN, staff_actor())
    with transaction():
        chosen = db.session.scalars(
            select(Order).where(Order.number.in_(numbers)).order_by(Order.id).with_for_update()
        ).all()
        able = [order for order in chosen if may(order, event, Who.ADMIN)]
        for order in able:
            advance(order, event, actor)
    skipped = len(numbers) - len(able)
    words = f"{len(able)} {BULK[event]}" + (
        f", {skipped} skipped (not possible in their state)" if skipped else ""
    )
    return done(url_for("admin.orders", **order_lists.read_wish(request.args).arguments()), words)


def _page(wish: Wish, **cursor: int) -> str:
    return url_for("admin.orders", **wish.arguments(**cursor))


def _fresh_address(wish: Wish, rows: list[Order]) -> str | None:
    """Where the list asks for news: only its first page does."""
    if wish.before is not None or wish.after is not None:
        return None
    ids = ".".join(str(row.id) for row in rows)
    return url_for("admin.orders_fresh", **wish.arguments(ids=ids, since=clock(utcnow())))
