"""The second factor's pages: the code at sign-in, enrolling, switching it off."""

import hashlib
from datetime import timedelta

from flask import Blueprint, Response, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from shop.accounts import second_factor, sign_in_limits, signing_in
from shop.accounts.forms import CodeForm
from shop.accounts.models import User
from shop.accounts.signing_in import Proven, remember, stepped_up_within
from shop.clock import utcnow
from shop.config import settings
from shop.database import end_reading, transaction
from shop.errors import Refused
from shop.extensions import db
from shop.pages import leave_for, page, safe_next
from shop.secret_box import Unreadable, seal, unseal

bp = Blueprint("account_factor", __name__, url_prefix="/account")

HALF = "half_signed_in"
"""Session key, signed: who gave their password just now and owes the code."""

HALF_LASTS = timedelta(minutes=10)
NOT_RIGHT = "That code is not right. Codes change every 30 seconds, and each works once."


def owes_code(proven: Proven, target: str) -> Response | None:
    """The way to the code, for a person with a second factor; None for anybody else."""
    row = _factor_of(proven.user_id)
    if row is None:
        return None
    session[HALF] = [proven.user_id, row, int(utcnow().timestamp())]
    return leave_for(url_for("account_factor.code", next=target or None))


def _factor_of(user_id: int) -> str | None:
    """Names the password and the factor that are in force: what was half done before a change is void."""
    row = db.session.execute(
        select(User.password_hash, User.totp_secret).where(User.id == user_id, User.active)
    ).first()
    if row is None or row.totp_secret is None:
        return None
    return hashlib.sha256(f"{row.password_hash}:{row.totp_secret}".encode()).hexdigest()


def _half_signed_in() -> int | None:
    user_id, factor, at = session.get(HALF) or (0, "", 0)
    is_fresh = utcnow().timestamp() - at <= HALF_LASTS.total_seconds()
    return user_id if is_fresh and factor and _factor_of(user_id) == factor else None


@bp.route("/sign-in/code", methods=["GET", "POST"])
def code() -> ResponseReturnValue:
    """The second step of a sign-in: a code of the app, or a recovery code."""
    user_id = _half_signed_in()
    end_reading()
    if user_id is None:
        return leave_for(url_for("accounts.sign_in"))
    form = CodeForm()
    if request.method == "GET":
        form.next.data = request.args.get("next", "")
        return page("account/code.html", form=form)
    if not form.validate():
        return page("account/code.html", 422, form=form)
    counted_as = f"code:{user_id}"
    sign_in_limits.count_try(counted_as)
    if not _accepted(user_id, form.code.data or ""):
        return page("account/code.html", 422, form=form, refused=NOT_RIGHT)
    sign_in_limits.forget(counted_as)
    with transaction():
        begun = signing_in.begin(Proven(user_id, None))
    session.pop(HALF, None)
    session.pop("csrf_token", None)
    home = "/admin/" if begun.is_staff else "/account/orders"
    return remember(leave_for(safe_next(form.next.data) if form.next.data else home), begun.token)


def _accepted(user_id: int, typed: str) -> bool:
    with transaction():
        if second_factor.take_code(user_id, typed):
            return True
    code_id = second_factor.recovery_code_of(user_id, typed)
    if code_id is None:
        return False
    with transaction():
        return second_factor.take_recovery_code(code_id)


@bp.get("/second-factor")
@login_required
def enrol() -> ResponseReturnValue:
    """Show the secret of a new factor, or how the present one stands."""
    if current_user.totp_secret:
        left = second_factor.codes_left(current_user.id)
        return page("account/factor_on.html", left=left, may_switch_off=_may_switch_off())
    if not stepped_up_within():
        return _to_step_up()
    return _enrol_page(CodeForm(formdata=None), second_factor.new_secret())


def _enrol_page(form: CodeForm, secret: str, status: int = 200) -> Response:
    return page(
        "account/factor_enrol.html",
        status,
        form=form,
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        picture=second_factor.picture(secret, current_user.email),
        # Kept in the page alone until the app has proven that it knows it.
        sealed=seal(f"{current_user.id}:{secret}"),
        is_required=settings().staff_need_second_factor,
    )


@bp.post("/second-factor")
@login_required
def switch_on() -> ResponseReturnValue:
    """The first code proves the app; then the recovery codes are shown, this once."""
    if current_user.totp_secret:
        raise Refused("You have a second factor already.")
    if not stepped_up_within():
        return _to_step_up()
    form = CodeForm()
    secret = _sent_secret()
    if secret is None:
        return leave_for(url_for("account_factor.enrol"))
    sign_in_limits.count_try(f"code:{current_user.id}")
    step = second_factor.step_of(secret, form.code.data or "")
    if step is None:
        form.code.errors = [NOT_RIGHT]
        return _enrol_page(form, secret, 422)
    codes = second_factor.new_recovery_codes()
    hashes = second_factor.hashed_codes(codes)
    sign_in_limits.forget(f"code:{current_user.id}")
    with transaction():
        second_factor.switch_on(current_user.id, secret, step, hashes)
        token = signing_in.start_row(current_user)
    return remember(page("account/factor_codes.html", codes=codes), token)


def _sent_secret() -> str | None:
    """The secret of the page that was sent back, if it was shown to this person."""
    try:
        user_id, _, secret = unseal(request.form.get("sealed", "")).partition(":")
    except Unreadable:
        return None
    return secret if user_id == str(current_user.id) else None


@bp.post("/second-factor/off")
@login_required
def switch_off() -> ResponseReturnValue:
    """Without it again, where the shop allows that to its staff."""
    if not _may_switch_off():
        raise Refused("This shop asks its staff for a second factor.")
    if not stepped_up_within():
        return _to_step_up()
    with transaction():
        second_factor.switch_off(current_user.id, f"user:{current_user.id}")
        token = signing_in.start_row(current_user)
    flash("Your second factor is switched off. All other sign-ins have ended.")
    return remember(leave_for(url_for("accounts.security")), token)


def _may_switch_off() -> bool:
    return not current_user.is_staff or not settings().staff_need_second_factor


def _to_step_up() -> ResponseReturnValue:
    target = url_for("accounts.step_up", next=url_for("account_factor.enrol"))
    return redirect(target, 303)
