"""The customer's side of returns, below the order's page: asking, seeing how it stands, withdrawing.

Whoever has the order's token may ask: nothing moves before staff have approved, and what is
refunded goes back the way it was paid (docs/decisions: returns).
"""

from collections.abc import Sequence

from flask import Blueprint, Flask, Response, request, url_for
from flask_login import current_user
from sqlalchemy import select

from shop.audit.recording import actor_name
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.limits import count_try
from shop.orders.models import Order
from shop.pages import leave_for, page
from shop.preferences import preference
from shop.returns import asking, pictures
from shop.returns.asking import REASONS, AskForm
from shop.returns.exchanging import Choice
from shop.returns.models import ReturnRequest, ReturnState
from shop.returns.steps import may

bp = Blueprint("returns", __name__, url_prefix="/orders/<token>/returns")

SHOWN = {
    ReturnState.REQUESTED: ("Asked for", "warn"),
    ReturnState.APPROVED: ("Approved", "info"),
    ReturnState.REFUSED: ("Turned down", "danger"),
    ReturnState.ON_ITS_WAY: ("On its way back", "info"),
    ReturnState.RECEIVED: ("Received", "warn"),
    ReturnState.CLOSED: ("Done", "ok"),
    ReturnState.WITHDRAWN: ("Withdrawn", ""),
}
"""A return's state on its badge: words and tone."""


def init_app(app: Flask) -> None:
    """What the templates of returns use, the admin's too."""
    app.jinja_env.globals.update(
        return_words=lambda state: SHOWN[state][0],
        return_tone=lambda state: SHOWN[state][1],
        choice_options=choice_options,
    )


def choice_options(offered: Sequence[Choice]) -> list[tuple[str | int, str]]:
    """What a line may be exchanged for, as options of a select: the same comes first."""
    others = [
        (one.variant_id, one.words if one.free else f"{one.words}, out of stock") for one in offered
    ]
    return [("", "the same again"), *others]


@bp.after_request
def _kept_private(response: Response) -> Response:
    """The address holds the order's key, as the order's page does (security.md, S29)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@bp.errorhandler(NotFound)
def _unknown(_error: NotFound) -> Response:
    """The same for another's return and for one that never was."""
    return page("orders/unknown.html", 404)


def _order(token: str) -> Order:
    order = db.session.scalars(select(Order).where(Order.token == token)).one_or_none()
    if order is None:
        raise NotFound
    return order


def _of(order: Order, return_id: int) -> ReturnRequest:
    found = db.session.get(ReturnRequest, return_id)
    if found is None or found.order_id != order.id:
        raise NotFound
    return found


@bp.get("/new")
def ask(token: str) -> Response:
    """What may go back, and why."""
    order = _order(token)
    return _form(order, asking.blank_form(order))


def _form(order: Order, form: AskForm, status: int = 200, said: str = "") -> Response:
    return page(
        "returns/ask.html", status, order=order, form=form, reasons=REASONS, said=said,
        most_pictures=pictures.MOST, days=preference("return_days"),
    )  # fmt: skip


@bp.post("")
def request_return(token: str) -> Response:
    """Store the wish, with its pictures; errors stand beside their fields."""
    order = _order(token)
    order_id, token = order.id, order.token
    count_try("return", f"order:{order_id}", f"address:{request.remote_addr}")
    order = db.session.get_one(Order, order_id)
    form = asking.read_form(order, request.form, _sent_pictures())
    if form.errors or not form.returnables:
        return _form(order, form, 422)
    keys: list[str] = []
    try:
        for body in form.pictures:
            keys.append(pictures.keep(body))
        with transaction():
            made = asking.request_return(order_id, form, keys, actor_name(current_user))
            return_id = made.id
    except Refused as refusal:
        pictures.drop(keys)
        order = db.session.get_one(Order, order_id, populate_existing=True)
        again = asking.read_form(order, request.form, [])
        return _form(order, again, refusal.status, str(refusal))
    except BaseException:
        # Whatever it was, no return names these files: they would stay for ever.
        pictures.drop(keys)
        raise
    return leave_for(url_for("returns.show", token=token, return_id=return_id))


def _sent_pictures() -> list[bytes]:
    """What was chosen; one more than is allowed is enough to say so."""
    files = [one for one in request.files.getlist("pictures") if one.filename]
    return [one.stream.read(pictures.MAX_BYTES + 1) for one in files[: pictures.MOST + 1]]


@bp.get("/<int:return_id>")
def show(token: str, return_id: int) -> Response:
    """How the return stands, and what is to be done next."""
    order = _order(token)
    return _show(order, _of(order, return_id))


def _show(order: Order, found: ReturnRequest, status: int = 200, said: str = "") -> Response:
    return page(
        "returns/show.html", status, order=order, request=found, reasons=REASONS, said=said,
        may_withdraw=may(found, "withdraw"), may_send=_may_send(found),
        send_to=preference("return_address"),
    )  # fmt: skip


def _may_send(found: ReturnRequest) -> bool:
    """The customer sends it, and has not said yet that it is on its way."""
    return may(found, "send") and found.parcel is not None and found.parcel.by_customer


@bp.post("/<int:return_id>/withdraw")
def withdraw(token: str, return_id: int) -> Response:
    """Keep it after all, as long as it is not on its way."""
    order = _order(token)
    try:
        with transaction():
            asking.withdraw(return_id, order.id, actor_name(current_user))
    except NotFound:
        raise
    except Refused as refusal:
        return _again(token, return_id, refusal)
    return leave_for(url_for("returns.show", token=token, return_id=return_id))


@bp.post("/<int:return_id>/sent")
def sent(token: str, return_id: int) -> Response:
    """The customer handed it in somewhere."""
    order = _order(token)
    courier_name = request.form.get("courier_name", "").strip()[:80]
    awb = request.form.get("awb", "").strip()[:60]
    try:
        with transaction():
            asking.sent_by_customer(
                return_id, order.id, courier_name, awb, actor_name(current_user)
            )
    except NotFound:
        raise
    except Refused as refusal:
        return _again(token, return_id, refusal)
    return leave_for(url_for("returns.show", token=token, return_id=return_id))


def _again(token: str, return_id: int, refusal: Refused) -> Response:
    """The page as it stands now, with what was refused."""
    db.session.rollback()
    order = _order(token)
    return _show(order, _of(order, return_id), refusal.status, str(refusal))
