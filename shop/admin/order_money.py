"""The money of one order, by hand: asking the gateway, bank transfers, refunds, late money."""

from typing import Any

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, step_up
from shop.admin.order import show_order
from shop.admin.order_facts import gather, locked_order, order_of
from shop.admin.refund_form import RefundForm, check_limit, read_form, warn_of_parcels
from shop.admin.rendering import done, screen, shown_again
from shop.admin.transfer_form import CHANGED, read_transfer
from shop.admin.words import gateway_words
from shop.audit import recording as audit
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.money import format_minor
from shop.orders.models import Order
from shop.pages import leave_for
from shop.payments import attempts, recording, transfers
from shop.payments.models import Payment, Refund
from shop.payments.refunds import mark_done
from shop.payments.spreading import request_refunds
from shop.payments.statements import matching
from shop.providers import ProviderError


def _here(number: str) -> str:
    return url_for("admin.order", number=number)


def _payment(order: Order, payment_id: int) -> Payment:
    """A payment of this order; another order's is as one that does not exist."""
    found = db.session.get(Payment, payment_id)
    if found is None or found.order_id != order.id:
        raise NotFound
    return found


@bp.post("/orders/<number>/payments/<int:payment_id>/ask")
@needs(Right.SEE_MONEY)
@shown_again(show_order)
def order_ask(number: str, payment_id: int) -> ResponseReturnValue:
    """Ask the gateway how an attempt stands, and record its answer."""
    payment = _payment(order_of(number), payment_id)
    way = gateway_words(payment.gateway)
    before = payment.status
    try:
        attempts.ask(payment_id, "admin")
    except ProviderError as error:
        raise Refused(f"{way} did not answer: {error.words or 'try again in a minute'}.") from error
    with transaction():
        after = _payment(order_of(number), payment_id)
        audit.write(staff_actor(), "payment.asked", f"order:{number}", {"status": before.value}, {"status": after.status.value})  # fmt: skip
        words = f"{way} says: {after.status.value}." + (
            " Nothing changed." if after.status == before else ""
        )
    return done(_here(number), words)


@bp.post("/orders/<number>/payments/<int:payment_id>/received")
@needs(Right.RECORD_MONEY)
@shown_again(show_order)
def order_received(number: str, payment_id: int) -> ResponseReturnValue:
    """A bank transfer was seen on the account."""
    with transaction():
        payment = _payment(order_of(number), payment_id)
        seen = read_transfer(request.form, payment.currency)
        changed = matching.confirm(payment.id, seen, staff_actor()).changed
    shown = format_minor(seen.amount_minor, seen.currency)
    return done(_here(number), f"{shown} recorded. {CHANGED[changed]}")


@bp.post("/orders/<number>/payments/<int:payment_id>/reject")
@needs(Right.RECORD_MONEY)
@shown_again(show_order)
def order_rejected(number: str, payment_id: int) -> ResponseReturnValue:
    """A bank transfer that is not taken: the customer reads why, and may pay another way."""
    with transaction():
        payment = _payment(order_of(number), payment_id)
        transfers.reject(payment.id, request.form.get("reason", ""), staff_actor())
    return done(_here(number), "The transfer is turned down, and the customer is told.")


@bp.post("/orders/<number>/late-money")
@needs(Right.RECORD_MONEY)
@shown_again(show_order)
def order_late_money(number: str) -> ResponseReturnValue:
    """Money that came after the hold: take the stock again, or send the money back."""
    choice = request.form.get("choice", "")
    with transaction():
        order = locked_order(number)
        recording.decide_late(order.id, choice, staff_actor())
    words = "The order goes on." if choice == "accept" else "The money goes back."
    return done(_here(number), words)


@bp.get("/orders/<number>/refund")
@needs(Right.REFUND)
def order_refund(number: str) -> ResponseReturnValue:
    """The refund dialog; a page of its own without JavaScript."""
    return _show_refund(number)


def _show_refund(number: str, *, problem: str = "", status: int = 200, **_others: Any) -> Response:
    facts = gather(number)
    try:
        form = read_form(facts, request.form or request.args)
    except NotFound:
        raise
    except Refused as refusal:
        # Somebody else was quicker: there is no dialog to show, and the order's page says why.
        flash(problem or str(refusal), "problem")
        return leave_for(_here(number))
    return screen(
        "admin/order_refund.html",
        status,
        section="admin.orders",
        facts=facts,
        order=facts.order,
        form=form,
        problem=problem or (form.problem if request.form else ""),
        asks_password=step_up.asks_password(),
    )


@bp.post("/orders/<number>/refund/preview")
@needs(Right.REFUND)
def order_refund_preview(number: str) -> ResponseReturnValue:
    """The figures for what is chosen now; nothing is refunded."""
    facts = gather(number)
    form = read_form(facts, request.form)
    return screen(
        "admin/order_refund_total.html",
        section="admin.orders",
        facts=facts,
        order=facts.order,
        form=form,
        problem=form.problem,
    )


@bp.post("/orders/<number>/refunds")
@needs(Right.REFUND)
@shown_again(_show_refund)
def order_refunds(number: str) -> ResponseReturnValue:
    """Refund. Without JavaScript "Work out" sends the form back with its figures."""
    if request.form.get("do") == "count":
        return _show_refund(number)
    _judged(number)
    step_up.confirm()
    with transaction():
        # Worked out again under the lock: somebody else may have refunded meanwhile.
        order = locked_order(number)
        form = _judged(number)
        check_limit(order, form.total_minor)
        made = request_refunds(
            order, form.total_minor, form.refund_lines(), form.reason, staff_actor(),
            first=form.payment.id,
        )  # fmt: skip
        warn_of_parcels(gather(number))
        shown = [
            f"{format_minor(one.amount_minor, order.currency)} sent to {gateway_words(one.payment.gateway)}"
            for one in made
        ]
        words = f"Refund of {', '.join(shown)}."
    flash(words, "done")
    return leave_for(_here(number))


def _judged(number: str) -> RefundForm:
    """The form as it stands now. Raises Refused with what is wrong."""
    form = read_form(gather(number), request.form).checked()
    _check_seen(form)
    return form


def _check_seen(form: RefundForm) -> None:
    """The amount on the button is the amount refunded; a page without script shows it first."""
    seen = request.form.get("seen", "")
    if seen != str(form.total_minor):
        shown = format_minor(form.total_minor, form.payment.currency)
        raise Refused(f"This comes to {shown}. Press the button again if that is right.")


@bp.post("/orders/<number>/refunds/<int:refund_id>/done")
@needs(Right.RECORD_MONEY)
@shown_again(show_order)
def order_refund_done(number: str, refund_id: int) -> ResponseReturnValue:
    """A refund that a person makes (bank transfer, cash) was made."""
    with transaction():
        order = locked_order(number)
        refund = db.session.get(Refund, refund_id)
        if refund is None or refund.order_id != order.id:
            raise NotFound
        mark_done(refund_id, staff_actor(), request.form.get("bank_reference", ""))
    return done(_here(number), "The refund is marked as paid out.")
