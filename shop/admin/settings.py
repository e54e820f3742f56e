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
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.preferences import PREFERENCES, Setting, change, preference, preferences


@bp.get("/settings")
@needs(Right.CHANGE_SETTINGS)
def settings() -> ResponseReturnValue:
    """All preferences with their values."""
    return show_settings()


def show_settings(
    key: str = "", *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    """The page; `problem` belongs to the preference `key`, whose typed value is kept."""
    changed = db.session.scalars(select(Setting)).all()
    return screen(
        "admin/settings.html",
        status,
        section="admin.settings",
        table=PREFERENCES,
        values=preferences(*PREFERENCES),
        changed={row.key: row for row in changed},
        names=names_of(f"user:{row.changed_by}" for row in changed),
        key=key,
        problem=problem,
        typed=request.form.get("value", ""),
    )


@bp.post("/settings/<key>")
@needs(Right.CHANGE_SETTINGS)
@shown_again(show_settings)
def setting_change(key: str) -> ResponseReturnValue:
    """Change one preference, audited."""
    if key not in PREFERENCES:
        raise NotFound
    value = request.form.get("value", "").strip()
    with transaction():
        before = preference(key)
        try:
            change(key, value, current_user.id)
        except ValueError as error:
            raise Refused(f"The value {error}.") from error
        audit.write(
            staff_actor(),
            "setting.changed",
            f"setting:{key}",
            {"value": before},
            {"value": preference(key)},
        )
    return done(url_for("admin.settings"), f"{label_of(key)} is saved.")


@bp.app_template_filter("setting_label")
def label_of(key: str) -> str:
    """hold_minutes → Hold minutes."""
    words = key.removesuffix("_minor").replace("_", " ")
    return words[:1].upper() + words[1:]
