"""What the customer does: asking for a return, withdrawing it, saying that it was sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.returns import claims, exchanging, parcels, pictures
from shop.returns.claims import Returnable
from shop.returns.exchanging import Choice
from shop.returns.models import (
    OVER,
    Resolution,
    ReturnLine,
    ReturnPicture,
    ReturnRequest,
    ReturnShipment,
    ReturnState,
)  # fmt: skip
from shop.returns.steps import locked, move, note, tell

REASONS = {
    "damaged": "It arrived damaged",
    "faulty": "It does not work as it should",
    "wrong_item": "It is not what I ordered",
    "does_not_fit": "It does not fit or suit me",
    "changed_mind": "I changed my mind",
    "other": "Something else",
}
"""Why things go back: the form's list."""

WORDS_LETTERS = 2000
MOST_OPEN = 5
"""Open returns of one order at a time."""

CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")


@dataclass
class AskForm:
    """The form: what may go back, what was typed, and what is wrong with it, by field."""

    returnables: Sequence[Returnable]
    choices: Mapping[int, Sequence[Choice]]
    reason: str = ""
    resolution: str = Resolution.REFUND.value
    words: str = ""
    #: As typed, by order line.
    quantities: dict[int, str] = field(default_factory=dict)
    swaps: dict[int, int] = field(default_factory=dict)
    pictures: list[bytes] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[int, int]:
        """Units by order line; read only when there are no errors."""
        return {line_id: int(typed) for line_id, typed in self.quantities.items() if int(typed)}


def blank_form(order: Order) -> AskForm:
    """The form as it is first shown: with one thing to send back, that is chosen."""
    found = claims.returnable(order)
    form = AskForm(found, exchanging.choices(order, [one.line.id for one in found]))
    if len(found) == 1 and found[0].quantity == 1:
        form.quantities = {found[0].line.id: "1"}
    return form


def read_form(order: Order, sent: Mapping[str, str], files: Sequence[bytes]) -> AskForm:
    """What was sent, each fault beside its field; nothing is stored."""
    form = blank_form(order)
    form.reason = sent.get("reason", "")
    form.resolution = sent.get("resolution", "")
    form.words = without_cards(sent.get("words", "").strip())
    form.quantities = {
        one.line.id: sent.get(f"qty-{one.line.id}", "").strip() or "0" for one in form.returnables
    }
    _check_quantities(form)
    if form.reason not in REASONS:
        form.errors["reason"] = "Choose why you send it back"
    if form.resolution not in set(Resolution):
        form.errors["resolution"] = "Choose what you would like"
    if len(form.words) > WORDS_LETTERS:
        form.errors["words"] = f"Write at most {WORDS_LETTERS} letters"
    _read_swaps(form, sent)
    _read_pictures(form, files)
    return form


def _check_quantities(form: AskForm) -> None:
    for one in form.returnables:
        typed = form.quantities[one.line.id]
        key = f"qty-{one.line.id}"
        if not (typed.isascii() and typed.isdigit() and len(typed) < 7):
            form.errors[key] = "Use a whole number"
        elif int(typed) > one.quantity:
            form.errors[key] = f"Up to {one.quantity} of these can go back"
    if not form.errors and not form.wanted and form.returnables:
        form.errors[f"qty-{form.returnables[0].line.id}"] = "Choose at least one item"


def _read_swaps(form: AskForm, sent: Mapping[str, str]) -> None:
    if form.resolution != Resolution.EXCHANGE:
        return
    for one in form.returnables:
        typed = sent.get(f"swap-{one.line.id}", "")
        if not typed:
            continue
        offered = {str(choice.variant_id): choice for choice in form.choices[one.line.id]}
        if typed not in offered:
            form.errors[f"swap-{one.line.id}"] = "Choose one of these"
        else:
            form.swaps[one.line.id] = offered[typed].variant_id


def _read_pictures(form: AskForm, files: Sequence[bytes]) -> None:
    if len(files) > pictures.MOST:
        form.errors["pictures"] = f"Up to {pictures.MOST} pictures"
        return
    try:
        form.pictures = [pictures.made_anew(body) for body in files]
    except pictures.NoPicture as refusal:
        form.errors["pictures"] = str(refusal)


def without_cards(text: str) -> str:
    """The text without card numbers that somebody typed into it (security.md, S88)."""
    return CARD.sub(lambda found: "[number removed]" if _is_card(found[0]) else found[0], text)


def _is_card(written: str) -> bool:
    """13 to 19 digits whose check digit is right."""
    digits = [int(sign) for sign in reversed(written) if sign.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + doubled) % 10 == 0


def request_return(order_id: int, form: AskForm, keys: Sequence[str], actor: str) -> ReturnRequest:
    """Store the wish, in the caller's transaction. `keys` are the pictures', stored before.

    Raises Refused or Conflict when the order or its units moved on meanwhile.
    """
    order = lock_order(order_id)
    if not claims.may_ask(order) or not form.wanted:
        raise Refused("Nothing of this order can be sent back as it stands.")
    before = db.session.scalars(
        select(ReturnRequest).where(ReturnRequest.order_id == order.id)
    ).all()
    if sum(one.state not in OVER for one in before) >= MOST_OPEN:
        raise Refused("There are several returns of this order already. Please write to us.")
    _check_window(order, form)
    claims.take(order, form.wanted)
    request = ReturnRequest(
        order_id=order.id, reference=f"{order.number}-RET{1 + len(before)}", reason=form.reason,
        resolution=Resolution(form.resolution), words=form.words,
    )  # fmt: skip
    request.lines = [
        ReturnLine(
            order_line_id=line_id, quantity=quantity, wanted_variant_id=form.swaps.get(line_id)
        )
        for line_id, quantity in sorted(form.wanted.items())
    ]
    request.pictures = [ReturnPicture(storage_key=key) for key in keys]
    db.session.add(request)
    db.session.flush()
    note(request, order, actor, f"Return {request.reference} asked for")
    tell(request, "return_requested")
    return request


def _check_window(order: Order, form: AskForm) -> None:
    """Judged again under the lock: the form was read before it."""
    left = {one.line.id: one.quantity for one in claims.returnable(order)}
    if any(quantity > left.get(line_id, 0) for line_id, quantity in form.wanted.items()):
        raise Conflict("Part of that is on its way back or was refunded already. Look again.")


def withdraw(return_id: int, order_id: int, actor: str) -> ReturnRequest:
    """The customer keeps it after all; a courier that was ordered is told."""
    request, order = locked(return_id, order_id)
    move(request, order, "withdraw", actor, deadline_at=None)
    parcels.let_go(request)
    return request


def sent_by_customer(
    return_id: int, order_id: int, courier_name: str, awb: str, actor: str
) -> ReturnRequest:
    """The customer handed it in somewhere, with this tracking number or none."""
    request, order = locked(return_id, order_id)
    parcel = request.parcel
    if request.state == ReturnState.APPROVED and (parcel is None or not parcel.by_customer):
        raise Refused("A courier comes for it: you need not send it yourself.")
    move(request, order, "send", actor, why=" ".join(one for one in (courier_name, awb) if one))
    if parcel is None:
        parcel = ReturnShipment(return_id=request.id)
        db.session.add(parcel)
    if parcel.courier is None:
        # Else the number is that of a courier who was told not to come, and whose news must be found.
        parcel.courier_name, parcel.awb = courier_name, awb or None
    return request


def of_order(order_id: int) -> list[ReturnRequest]:
    """The order's returns, first to last."""
    return list(
        db.session.scalars(
            select(ReturnRequest)
            .where(ReturnRequest.order_id == order_id)
            .order_by(ReturnRequest.id)
        )
    )
