"""Forgotten passwords and confirmed addresses: asking for a mail, and the pages its link opens.

Nothing tells whether an address has an account: the same is done and said for each, and a job
finds out to whom there is something to send (security.md, S33).
"""

from flask import Blueprint, Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from shop.accounts import links, passwords, people, sign_in_limits
from shop.accounts.forms import EmailForm, NewPasswordForm
from shop.accounts.models import LinkPurpose
from shop.accounts.signing_in import forget
from shop.database import end_reading, transaction
from shop.jobs.queue import enqueue
from shop.limits import count_try
from shop.pages import leave_for, page

bp = Blueprint("account_links", __name__, url_prefix="/account")

ASKED = "If this address has an account, a mail with a link is on its way. The link works for 30 minutes."
GONE = 410


@bp.route("/reset", methods=["GET", "POST"])
def ask_reset() -> ResponseReturnValue:
    """Ask for a link to a new password."""
    form = EmailForm()
    if request.method == "GET":
        return page("account/reset_ask.html", form=form)
    if not form.validate():
        return page("account/reset_ask.html", 422, form=form)
    email = form.email.data or ""
    count_try("reset", f"address:{request.remote_addr}", f"account:{email}")
    with transaction():
        enqueue("messaging.account_mail", {"mail": "password_reset", "email": email})
    flash(ASKED)
    return leave_for(url_for("accounts.sign_in"))


@bp.get("/reset/<token>")
def reset(token: str) -> ResponseReturnValue:
    """The page of the link: a field for the new password. Looking at it uses nothing up."""
    if links.owner(token, LinkPurpose.RESET) is None:
        return _over(LinkPurpose.RESET)
    return _unreferred(page("account/reset.html", form=NewPasswordForm(), link=token))


@bp.post("/reset/<token>")
def set_password(token: str) -> ResponseReturnValue:
    """Set it: all sign-ins end, and nobody is signed in by it, so that no second factor is skipped."""
    owner = links.owner(token, LinkPurpose.RESET)
    if owner is None:
        return _over(LinkPurpose.RESET)
    form, email = NewPasswordForm(), owner.email
    new = form.password.data or ""
    if form.validate():
        fault = passwords.fault(new, email, is_staff=owner.is_staff)
        form.password.errors = [fault] if fault else []
    if form.password.errors:
        return _unreferred(page("account/reset.html", 422, form=form, link=token))
    end_reading()
    password_hash = passwords.hashed(new)
    with transaction():
        person = links.use(token, LinkPurpose.RESET)
        if person is not None:
            people.reset_password(person, password_hash)
            enqueue("messaging.account_mail", {"mail": "password_changed", "email": email})
    if person is None:
        return _over(LinkPurpose.RESET)
    sign_in_limits.forget(email)
    flash("Your new password is set, and all sign-ins have ended. Sign in with it.")
    return forget(leave_for(url_for("accounts.sign_in")))


@bp.get("/confirm/<token>")
def confirm(token: str) -> ResponseReturnValue:
    """The page of the link: a button. Mail programs look at links; that must confirm nothing."""
    if links.owner(token, LinkPurpose.CONFIRM) is None:
        return _over(LinkPurpose.CONFIRM)
    return _unreferred(page("account/confirm.html", link=token))


@bp.post("/confirm/<token>")
def confirm_now(token: str) -> ResponseReturnValue:
    """The address is the person's."""
    with transaction():
        person = links.use(token, LinkPurpose.CONFIRM)
        if person is not None:
            people.confirm_email(person)
    if person is None:
        return _over(LinkPurpose.CONFIRM)
    flash("Your email address is confirmed.")
    return leave_for(url_for("accounts.sign_in"))


@bp.get("/move/<token>")
def move(token: str) -> ResponseReturnValue:
    """The page of the link to another address: a button."""
    new = links.new_address(token)
    if new is None:
        return _over(LinkPurpose.MOVE)
    return _unreferred(page("account/move.html", link=token, email=new))


@bp.post("/move/<token>")
def move_now(token: str) -> ResponseReturnValue:
    """The account has the new address from here on, and the old one is told. Nobody is signed in by it."""
    with transaction():
        new, person = links.new_address(token), links.use(token, LinkPurpose.MOVE)
        if new and person is not None:
            old = person.email
            people.move_email(person, new)
            enqueue("messaging.account_mail", {"mail": "email_moved", "email": new, "to": old})
    if not new or person is None:
        return _over(LinkPurpose.MOVE)
    flash(f"Your email address is {new} now, and all sign-ins have ended. Sign in with it.")
    return forget(leave_for(url_for("accounts.sign_in")))


def _over(purpose: LinkPurpose) -> Response:
    return page("account/link_over.html", GONE, is_reset=purpose == LinkPurpose.RESET)


def _unreferred(response: Response) -> Response:
    """What the page loads is not told its address, which opens something."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
