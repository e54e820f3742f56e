"""Signing in and out, registering, the address book, and what keeps an account safe."""

from flask import Blueprint, Response, flash, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required

from shop.accounts import address_book, passwords, people, signing_in
from shop.accounts.factor_views import owes_code
from shop.accounts.forms import (
    AddressForm,
    ChangeEmailForm,
    ChangePasswordForm,
    PasswordForm,
    RegisterForm,
    SignInForm,
    country_choices,
)
from shop.accounts.signing_in import current_sign_in, forget, remember
from shop.database import transaction
from shop.errors import NotFound
from shop.jobs.queue import enqueue
from shop.limits import count_try
from shop.pages import leave_for, page, safe_next

bp = Blueprint("accounts", __name__, url_prefix="/account")

MAIL = "messaging.account_mail"
NOT_RIGHT = "Email or password is not right."
PASSWORD_NOT_RIGHT = "That is not your password."  # noqa: S105  (a sentence)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """Sign in and go on to where the visitor wanted to go."""
    form = SignInForm()
    if request.method == "GET":
        form.next.data = request.args.get("next", "")
        if current_user.is_authenticated:
            return leave_for(_onward(form.next.data, current_user.is_staff))
        return page("account/sign_in.html", form=form)
    if not form.validate():
        return page("account/sign_in.html", 422, form=form)
    proven = signing_in.prove(form.email.data or "", form.password.data or "")
    if proven is None:
        return page("account/sign_in.html", 422, form=form, refused=NOT_RIGHT)
    to_code = owes_code(proven, form.next.data or "")
    if to_code is not None:
        return to_code
    with transaction():
        begun = signing_in.begin(proven)
    return _with_token(leave_for(_onward(form.next.data, begun.is_staff)), begun.token)


def _onward(target: str | None, is_staff: bool) -> str:
    if target:
        return safe_next(target)
    return "/admin/" if is_staff else "/account/orders"


def _with_token(response: Response, token: str) -> Response:
    """The new cookie; forms that were open before the sign-in are outdated from now on."""
    session.pop("csrf_token", None)
    return remember(response, token)


@bp.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    """Make an account. Whether the address had one already is not told (security.md, S33)."""
    form = RegisterForm()
    if request.method == "GET":
        return page("account/register.html", form=form)
    if not form.validate():
        return page("account/register.html", 422, form=form)
    fault = passwords.fault(form.password.data or "", form.email.data or "")
    if fault:
        form.password.errors = [fault]
        return page("account/register.html", 422, form=form)
    count_try("register", request.remote_addr or "")
    password_hash = passwords.hashed(form.password.data or "")
    email = form.email.data or ""
    with transaction():
        made = people.register(email, form.name.data or "", password_hash)
        mail = "account_exists" if made is None else "email_confirm"
        enqueue(MAIL, {"mail": mail, "email": email})
    flash(
        "Thank you. If this email address had no account yet, it has one now: sign in to go on. "
        "We have sent you a mail about it."
    )
    return leave_for(url_for("accounts.sign_in"))


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End this browser's sign-in."""
    with transaction():
        signing_in.end_this()
    session.pop("csrf_token", None)
    return forget(leave_for(url_for("catalog.home")))


@bp.route("/step-up", methods=["GET", "POST"])
@login_required
def step_up() -> ResponseReturnValue:
    """The password once more, before something that matters; then on to it."""
    form = PasswordForm()
    if request.method == "GET":
        form.next.data = request.args.get("next", "")
        return page("account/step_up.html", form=form)
    held = current_sign_in()
    if not form.validate() or not _knows_password(form.password.data) or held is None:
        form.password.errors = form.password.errors or [PASSWORD_NOT_RIGHT]
        return page("account/step_up.html", 422, form=form)
    with transaction():
        token = signing_in.step_up(held)
    return _with_token(leave_for(_onward(form.next.data, current_user.is_staff)), token)


def _knows_password(password: str | None) -> bool:
    return bool(signing_in.who_fits(current_user.email, password or "") == current_user.id)


@bp.get("/addresses")
@login_required
def addresses() -> ResponseReturnValue:
    """The address book, with an empty form under it."""
    return _address_page(AddressForm(formdata=None))


def _address_page(form: AddressForm, edited_id: int | None = None, status: int = 200) -> Response:
    return page(
        "account/addresses.html",
        status,
        book=address_book.addresses_of(current_user.id),
        countries=dict(country_choices()),
        form=form,
        edited_id=edited_id,
    )


@bp.post("/addresses")
@login_required
def add_address() -> ResponseReturnValue:
    """A new entry."""
    form = AddressForm()
    if not form.validate():
        return _address_page(form, status=422)
    with transaction():
        address_book.add(current_user.id, form.values)
    return leave_for(url_for("accounts.addresses"))


@bp.route("/addresses/<int:address_id>", methods=["GET", "POST"])
@login_required
def edit_address(address_id: int) -> ResponseReturnValue:
    """Change an entry in its place."""
    if request.method == "GET":
        held = address_book.address_of(current_user.id, address_id)
        return _address_page(AddressForm(formdata=None, obj=held), address_id)
    form = AddressForm()
    if not form.validate():
        address_book.address_of(current_user.id, address_id)
        return _address_page(form, address_id, 422)
    with transaction():
        address_book.change(current_user.id, address_id, form.values)
    return leave_for(url_for("accounts.addresses"))


@bp.post("/addresses/<int:address_id>/default")
@login_required
def default_address(address_id: int) -> ResponseReturnValue:
    """Put an entry first."""
    with transaction():
        address_book.make_default(current_user.id, address_id)
    return leave_for(url_for("accounts.addresses"))


@bp.post("/addresses/<int:address_id>/delete")
@login_required
def delete_address(address_id: int) -> ResponseReturnValue:
    """Take an entry away."""
    with transaction():
        address_book.remove(current_user.id, address_id)
    return leave_for(url_for("accounts.addresses"))


@bp.get("/security")
@login_required
def security() -> ResponseReturnValue:
    """The password and the open sign-ins."""
    return _security_page()


def _security_page(
    password_form: ChangePasswordForm | None = None,
    email_form: ChangeEmailForm | None = None,
    status: int = 200,
) -> Response:
    return page(
        "account/security.html",
        status,
        form=password_form or ChangePasswordForm(formdata=None),
        email_form=email_form or ChangeEmailForm(formdata=None),
        sign_ins=signing_in.open_sign_ins(current_user.id),
        this=current_sign_in(),
    )


@bp.post("/security/password")
@login_required
def change_password() -> ResponseReturnValue:
    """A new password, against the present one. All sign-ins end; this browser gets a new one."""
    form = ChangePasswordForm()
    if not form.validate():
        return _security_page(form, status=422)
    if not _knows_password(form.present.data):
        form.present.errors = [PASSWORD_NOT_RIGHT]
        return _security_page(form, status=422)
    new = form.password.data or ""
    fault = passwords.fault(new, current_user.email, is_staff=current_user.is_staff)
    if fault:
        form.password.errors = [fault]
        return _security_page(form, status=422)
    password_hash = passwords.hashed(new)
    with transaction():
        people.change_password(current_user.id, password_hash)
        token = signing_in.start_row(current_user)
        enqueue(MAIL, {"mail": "password_changed", "email": current_user.email})
    flash("Your password is changed. All other sign-ins have ended.")
    return _with_token(leave_for(url_for("accounts.security")), token)


@bp.post("/security/email")
@login_required
def change_email() -> ResponseReturnValue:
    """Another address, against the password. It counts once the link sent to it is followed.

    Whether somebody has that address already is not told here: the job finds out.
    """
    form = ChangeEmailForm()
    if not form.validate():
        return _security_page(email_form=form, status=422)
    if not _knows_password(form.proof.data):
        form.proof.errors = [PASSWORD_NOT_RIGHT]
        return _security_page(email_form=form, status=422)
    new = form.email.data or ""
    count_try("reset", f"address:{request.remote_addr}", f"account:{current_user.email}")
    with transaction():
        enqueue(MAIL, {"mail": "email_move", "email": current_user.email, "new_email": new})
    flash(f"A mail with a link is on its way to {new}. Your address changes when you follow it.")
    return leave_for(url_for("accounts.security"))


@bp.post("/security/sign-ins/<int:sign_in_id>/end")
@login_required
def end_sign_in(sign_in_id: int) -> ResponseReturnValue:
    """End one of one's own sign-ins."""
    with transaction():
        if not signing_in.end(current_user.id, sign_in_id):
            raise NotFound
    return leave_for(url_for("accounts.security"))


@bp.post("/security/sign-ins/end-others")
@login_required
def end_other_sign_ins() -> ResponseReturnValue:
    """End all one's sign-ins but this."""
    held = current_sign_in()
    with transaction():
        signing_in.end_all(current_user.id, held.id if held else 0)
    flash("You are signed in on this device only.")
    return leave_for(url_for("accounts.security"))
