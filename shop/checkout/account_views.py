"""The customer's own orders, the download of what is kept about them, and the end of an account.

These pages stand here because they read orders, which the accounts part may not import.
"""

import json

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    flash,
    make_response,
    redirect,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from shop.accounts.forms import PasswordForm
from shop.accounts.people import on_confirmed
from shop.accounts.signing_in import forget, stepped_up_within, who_fits
from shop.audit import recording
from shop.checkout import account_data
from shop.checkout.customer_orders import TABS, claim_guest_orders, orders_of
from shop.clock import local, utcnow
from shop.database import transaction
from shop.pages import leave_for, page

bp = Blueprint("account_orders", __name__, url_prefix="/account")

MOST_PAGES = 1_000


def init_app(app: Flask) -> None:
    """A confirmed address brings the orders that were placed with it."""
    if claim_guest_orders not in on_confirmed:
        on_confirmed.append(claim_guest_orders)


@bp.get("/")
@login_required
def home() -> ResponseReturnValue:
    """An account opens with its orders."""
    return redirect(url_for("account_orders.index"), 303)


@bp.get("/orders")
@login_required
def index() -> ResponseReturnValue:
    """One's own orders, by tab and page."""
    tab = request.args.get("tab", "")
    number = request.args.get("page", "1")
    if (
        tab not in TABS
        or not number.isascii()
        or not number.isdigit()
        or not 1 <= int(number) <= MOST_PAGES
    ):
        abort(404)
    listing = orders_of(current_user.id, tab, int(number))
    return page("account/orders.html", listing=listing, tabs=TABS, tab=tab, number=int(number))


@bp.route("/export", methods=["GET", "POST"])
@login_required
def export() -> ResponseReturnValue:
    """What is kept about the person, as a file; it asks for the password if that is long ago."""
    if request.method == "GET":
        return page("account/export.html")
    if not stepped_up_within(minutes=10):
        return leave_for(url_for("accounts.step_up", next=url_for("account_orders.export")))
    content = account_data.everything_about(current_user.id)
    with transaction():
        recording.write(
            f"user:{current_user.id}", "account.exported", f"user:{current_user.id}",
            after={"orders": len(content["orders"])},
        )  # fmt: skip
    return _as_file(json.dumps(content, ensure_ascii=False, indent=2))


def _as_file(body: str) -> Response:
    name = f"my-data-{local(utcnow()):%Y-%m-%d}.json"
    response = make_response(body)
    response.mimetype = "application/json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@bp.route("/delete", methods=["GET", "POST"])
@login_required
def delete() -> ResponseReturnValue:
    """End the account, against the password."""
    form = PasswordForm()
    if request.method == "GET":
        return page("account/delete.html", form=form)
    if (
        not form.validate()
        or who_fits(current_user.email, form.password.data or "") != current_user.id
    ):
        form.password.errors = form.password.errors or ["That is not your password."]
        return page("account/delete.html", 422, form=form)
    with transaction():
        account_data.erase(current_user.id)
    flash("Your account is deleted. Thank you for having been with us.")
    return forget(leave_for(url_for("accounts.sign_in")))
