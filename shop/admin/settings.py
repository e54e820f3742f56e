"""What the owner changes while the shop runs: the preferences, each typed and explained."""

from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy import select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, names_of, screen, shown_again
from shop.audit import recording as audit
from shop.config import settings as shop_settings
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.money import MoneyError, parse_minor, to_decimal
from shop.preferences import PREFERENCES, Setting, change, preference, preferences

TOO_MUCH = "That amount is too large for this setting."


@bp.get("/settings")
@needs(Right.CHANGE_SETTINGS)
def settings() -> ResponseReturnValue:
    """All preferences with their values."""
    return show_settings()


def show_settings(*, status: int = 200, **_others: Any) -> Response:
    """All of them; a value that was refused stands in its field, beside what is wrong with it."""
    changed = db.session.scalars(select(Setting)).all()
    return screen(
        "admin/settings.html",
        status,
        section="admin.settings",
        table=PREFERENCES,
        values=preferences(*PREFERENCES),
        changed={row.key: row for row in changed},
        names=names_of(f"user:{row.changed_by}" for row in changed),
    )


@bp.post("/settings/<key>")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_settings)
def setting_change(key: str) -> ResponseReturnValue:
    """Change one preference, audited."""
    if key not in PREFERENCES:
        raise NotFound
    value = _read(key, request.form.get("value", "").strip())
    with transaction():
        before = preference(key)
        change(key, value, current_user.id)
        audit.write(
            staff_actor(),
            "setting.changed",
            f"setting:{key}",
            {"value": before},
            {"value": preference(key)},
        )
    return done(url_for("admin.settings"), f"{label_of(key)} is saved.")


def _read(key: str, typed: str) -> str:
    """The value to store: of money in minor units. Raises Refused with what is wrong."""
    row = PREFERENCES[key]
    currency = shop_settings().default_currency
    try:
        value = str(parse_minor(typed, currency)) if row.is_money else typed
    except MoneyError as error:
        raise Refused(f"{error}.", field="value") from error
    try:
        row.read(value)
    except ValueError as error:
        raise Refused(TOO_MUCH if row.is_money else f"The value {error}.", field="value") from error
    return value


@bp.app_template_filter("setting_value")
def shown_value(key: str, value: Any) -> Any:
    """The value as it stands in its field: money in major units, "49.00"."""
    if not PREFERENCES[key].is_money:
        return value
    return to_decimal(value, shop_settings().default_currency)


@bp.app_template_filter("setting_label")
def label_of(key: str) -> str:
    """hold_minutes → Hold minutes."""
    words = key.removesuffix("_minor").replace("_", " ")
    return words[:1].upper() + words[1:]
