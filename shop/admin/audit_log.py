"""The audit: who did what, read only."""

import json
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.redaction import redacted
from shop.admin.rendering import PAGE_ROWS, can, kept, names_of, newest, screen
from shop.audit.models import AuditEntry

ROWS = PAGE_ROWS * 2


@bp.get("/audit")
@needs(Right.SEE_AUDIT)
def audit() -> ResponseReturnValue:
    """Entries, newest first. Who may not see everything sees what they did themselves."""
    subject, actor = (
        request.args.get("subject", "").strip()[:120],
        request.args.get("actor", "").strip()[:80],
    )
    found = select(AuditEntry)
    if not can(Right.SEE_EVERYTHING):
        found = found.where(AuditEntry.actor == staff_actor())
    if subject:
        found = found.where(AuditEntry.subject.contains(subject, autoescape=True))
    if actor:
        found = found.where(AuditEntry.actor.contains(actor, autoescape=True))
    listed = newest(found, AuditEntry, ROWS)
    same = kept({"subject": subject, "actor": actor})
    return screen(
        "admin/audit.html",
        section="admin.audit",
        rows=[(row, _change(row)) for row in listed.rows],
        names=names_of(row.actor for row in listed.rows),
        subject=subject,
        actor=actor,
        older=listed.older("admin.audit", same),
    )


def _change(row: AuditEntry) -> str:
    """before → after, in one line, without contact data."""
    return " → ".join(_short(part) for part in (row.before, row.after) if part)


def _short(value: dict[str, Any]) -> str:
    shown = redacted(value)
    return ", ".join(
        f"{key}: {inner if isinstance(inner, str | int) else json.dumps(inner, ensure_ascii=False, default=str)}"
        for key, inner in shown.items()
        if inner not in (None, "")
    )[:300]
