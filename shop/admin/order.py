"""The page of one order: what it is, what happened, and the steps that are possible now."""

from typing import Any

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from shop.accounts.models import Role
from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, order_lists, order_steps, step_up
from shop.admin.order_facts import gather, locked_order, order_of
from shop.admin.order_story import FILTERS, story
from shop.admin.rendering import can, done, names_of, screen, shown_again
from shop.admin.words import status_words
from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import by_hand, following
from shop.delivery.story import coming_back
from shop.errors import Conflict, NotAllowed, NotFound, Refused
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.models import Notification
from shop.messaging.resending import resend
from shop.orders.lifecycle import MOVING, Actor, Who, advance
from shop.orders.models import Order, OrderEvent, OrderStatus
from shop.pages import clock, leave_for, not_modified, tagged, with_etag

NOTE_LETTERS = 2000


def show_order(number: str, *, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The page; `problem` is what was refused just now."""
    facts = gather(number)
    show = _filter()
    return screen(
        "admin/order.html",
        status,
        section="admin.orders",
        facts=facts,
        order=facts.order,
        problem=problem,
        entries=story(facts.order, show, sees_money=can(Right.SEE_MONEY)),
        names=names_of(refund.actor for refund in facts.refunds),
        filters=FILTERS,
        shown=show,
        **_next_strip(facts.order),
    )


def _next_strip(order: Order) -> dict[str, Any]:
    """What the strip under the head needs."""
    return {
        "steps": order_steps.offered(order),
        "first": order_steps.FIRST.get(order.status),
        "reason": order_steps.REASONS[order.status],
        "closed": order_steps.closed(order),
    }


def _filter() -> str:
    show = request.args.get("show", "all")
    return show if show in FILTERS else "all"


def _here(number: str) -> str:
    return url_for("admin.order", number=number)


@bp.get("/orders/<number>")
@needs(Right.SEE_ORDERS)
def order(number: str) -> ResponseReturnValue:
    """One order."""
    return show_order(number)


@bp.get("/orders/<number>/timeline")
@needs(Right.SEE_ORDERS)
def order_timeline(number: str) -> ResponseReturnValue:
    """The poll of the open page: timeline, badge and strip. 304 while nothing happened."""
    found = order_of(number)
    tag, is_held = with_etag(f"{order_lists.news_version(found.id)}:{_filter()}")
    if is_held:
        return not_modified(tag)
    response = screen(
        "admin/order_timeline.html",
        section="admin.orders",
        order=found,
        entries=story(found, _filter(), sees_money=can(Right.SEE_MONEY)),
        filters=FILTERS,
        shown=_filter(),
        is_coming_back=found.status in MOVING and found.id in coming_back([found.id]),
        **_next_strip(found),
    )
    return tagged(response, tag)


@bp.get("/orders/<number>/steps/<event>")
@needs(Right.MOVE_ORDERS)
def order_step(number: str, event: str) -> ResponseReturnValue:
    """What a step will do, before it is done."""
    return _show_step(number, event)


def _show_step(number: str, event: str, problem: str = "", status: int = 200) -> Response:
    found = order_of(number)
    step = order_steps.step_for(event)
    return screen(
        "admin/order_step.html",
        status,
        section="admin.orders",
        order=found,
        step=step,
        problem=problem,
        consequences=order_steps.consequences(found, event),
        states=list(OrderStatus),
        asks_password=event == "corrected" and step_up.asks_password(),
    )


def _show_asked(number: str, *, problem: str = "", status: int = 200) -> Response:
    """Where the step was asked for: its dialog, if it has one, else the order's page."""
    step = order_steps.BY_EVENT.get(request.form.get("event", ""))
    if step is not None and step.asks_first:
        return _show_step(number, step.event, problem, status)
    return show_order(number, problem=problem, status=status)


@bp.post("/orders/<number>/transition")
@needs(Right.MOVE_ORDERS)
@shown_again(_show_asked)
def order_transition(number: str) -> ResponseReturnValue:
    """Move the order by one event, if it still stands where the person saw it."""
    event = request.form.get("event", "")
    reason = _typed("reason", 300)
    actor = _actor_for(event, reason)
    if event == "corrected":
        step_up.confirm()
    with transaction():
        found = locked_order(number)
        _check_version(found)
        step = order_steps.step_for(event)
        to = _target() if event == "corrected" else None
        details = {"reason": reason} if reason else None
        advance(found, event, actor, to=to, details=details)
        by_hand.follow(found, event, _typed("courier_name", 80), _typed("awb", 60))
        if event == "delivered":
            following.record_collected(found, actor)
        words = (
            f"{found.number}: {step.label} done. It is now {status_words(found.status).lower()}."
        )
    if not step.asks_first:
        return done(_here(number), words)
    flash(words, "done")
    return leave_for(_here(number))


def _typed(name: str, letters: int) -> str:
    return request.form.get(name, "").strip()[:letters]


def _actor_for(event: str, reason: str) -> Actor:
    """Corrections are the owner's, and say why."""
    if event != "corrected":
        return Actor(Who.ADMIN, staff_actor())
    if current_user.role != Role.OWNER:
        raise NotAllowed
    if not reason:
        raise Refused("Say why the state is corrected.", field="reason")
    return Actor(Who.OWNER, staff_actor())


def _target() -> OrderStatus:
    wanted = request.form.get("to", "")
    if wanted not in list(OrderStatus):
        raise Refused("Choose the state that the order should have.", field="to")
    return OrderStatus(wanted)


def _check_version(found: Order) -> None:
    """409 with what happened, when another was quicker."""
    seen = request.form.get("version", "")
    is_number = seen.isascii() and seen.isdigit() and len(seen) < 16
    if not is_number or int(seen) == found.version:
        return
    last = db.session.scalars(
        db.select(OrderEvent)
        .where(OrderEvent.order_id == found.id, OrderEvent.to_status.is_not(None))
        .order_by(OrderEvent.id.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        raise Conflict
    who = names_of([last.actor]).get(last.actor, "Somebody")
    raise Conflict(
        f"{who} already moved this to {status_words(found.status)} at {clock(last.occurred_at)}."
        " Look again, then repeat."
    )


@bp.post("/orders/<number>/notes")
@needs(Right.ANNOTATE)
@shown_again(show_order)
def order_note(number: str) -> ResponseReturnValue:
    """A note for staff; the customer never sees it."""
    text = request.form.get("note", "").strip()
    if not text or len(text) > NOTE_LETTERS:
        raise Refused(f"Write a note of at most {NOTE_LETTERS} letters.", field="note")
    with transaction() as session:
        found = locked_order(number)
        session.add(
            OrderEvent(
                order_id=found.id, kind="note", actor=staff_actor(), text=text, occurred_at=utcnow()
            )
        )
    return done(_here(number), "Note added.")


@bp.post("/orders/<number>/attention")
@needs(Right.MOVE_ORDERS)
@shown_again(show_order)
def order_attention(number: str) -> ResponseReturnValue:
    """A person has looked: the mark is taken off."""
    with transaction() as session:
        found = locked_order(number)
        if found.attention:
            session.add(
                OrderEvent(
                    order_id=found.id, kind="note", actor=staff_actor(), occurred_at=utcnow(),
                    text=f"Looked at: {found.attention}",
                )
            )  # fmt: skip
            audit.write(
                staff_actor(),
                "order.attention_cleared",
                f"order:{found.number}",
                {"attention": found.attention},
            )
            found.attention = None
    return done(_here(number), "The mark is taken off.")


@bp.post("/orders/<number>/messages/<int:notification_id>/resend")
@needs(Right.ANNOTATE)
@shown_again(show_order)
def order_resend(number: str, notification_id: int) -> ResponseReturnValue:
    """Send a message once more; the log says that a person did."""
    with transaction():
        message = db.session.get(Notification, notification_id)
        # The order is locked after the message (resending): in the order that receipts do it.
        if message is None or message.order_id != order_of(number).id:
            raise NotFound
        resend(notification_id, staff_actor())
    return done(_here(number), "The message goes out again.")


@bp.post("/orders/<number>/suppressions/<int:suppression_id>/lift")
@needs(Right.ANNOTATE)
@shown_again(show_order)
def order_lift(number: str, suppression_id: int) -> ResponseReturnValue:
    """The address or number is good again, a person says. What its owner refused stays refused."""
    with transaction():
        order = locked_order(number)
        held = consents.suppressions_of([order.email, order.phone])
        found = next((one for one in held if one.id == suppression_id), None)
        if found is None:
            raise NotFound
        if found.reason not in consents.FORGIVEN:
            raise Refused("Its owner asked for no more messages. Only they can take that back.")
        consents.lift(found.channel, found.recipient)
        audit.write(
            staff_actor(), "message.allowed", f"order:{number}",
            {"channel": found.channel, "reason": found.reason.value},
        )  # fmt: skip
    return done(_here(number), "Messages go there again.")
