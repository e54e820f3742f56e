"""Writing the audit: called in the transaction of the change it tells of."""

from collections.abc import Iterable
from typing import Any

from flask import g, has_request_context, request
from sqlalchemy import func, select

from shop.audit.models import AuditEntry
from shop.extensions import db


def write(
    actor: str,
    action: str,
    subject: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Add an entry. `actor` as in `actor_name`; `subject` like "order:2611.042"."""
    in_request = has_request_context()
    user = actor.removeprefix("user:")
    db.session.add(
        AuditEntry(
            actor=actor,
            user_id=int(user) if actor.startswith("user:") and user.isdigit() else None,
            action=action,
            subject=subject,
            before=before,
            after=after,
            request_id=g.get("request_id") if in_request else None,
            address=request.remote_addr if in_request else None,
        )
    )


def latest(action: str, subjects: Iterable[str]) -> dict[str, AuditEntry]:
    """The last entry of that action for each of these subjects that has one."""
    last = (
        select(func.max(AuditEntry.id))
        .where(AuditEntry.action == action, AuditEntry.subject.in_(list(subjects)))
        .group_by(AuditEntry.subject)
    )
    found = db.session.scalars(select(AuditEntry).where(AuditEntry.id.in_(last)))
    return {entry.subject: entry for entry in found}


def actor_name(user: Any) -> str:
    """How a person is named in timelines and audit: "user:7", or "customer" for a guest."""
    return f"user:{user.id}" if getattr(user, "is_authenticated", False) else "customer"
