"""Proving oneself again before money moves: the password, within the last ten minutes (security.md, S40)."""

from flask import Response, g, request
from flask_login import current_user

from shop.accounts.signing_in import (
    current_sign_in,
    remember,
    step_up,
    stepped_up_within,
    who_fits,
)  # fmt: skip
from shop.admin import bp
from shop.database import transaction
from shop.errors import Refused

MINUTES = 10


def asks_password() -> bool:
    """True when the form must ask for the password."""
    return not stepped_up_within(MINUTES)


def confirm() -> None:
    """Check the form's password if it is asked for. Opens its own transactions.

    Raises Refused when it does not fit, TooMany after several tries.
    """
    if not asks_password():
        return
    held = current_sign_in()
    fits = who_fits(current_user.email, request.form.get("password", ""))
    if held is None or fits != current_user.id:
        raise Refused("Enter your password to confirm.", field="password")
    with transaction():
        g.fresh_token = step_up(held)


@bp.after_request
def _remember_token(response: Response) -> Response:
    """The sign-in has a new token, whatever became of the rest of the request."""
    token = g.pop("fresh_token", None)
    return remember(response, token) if token else response
