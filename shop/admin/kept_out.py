"""Kept out: addresses and numbers that get nothing more, why, and letting one in again."""

import re
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, kept, newest, screen, shown_again
from shop.audit import recording as audit
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.logs import masked_email, masked_phone
from shop.messaging import consents
from shop.messaging.models import Suppression, SuppressionReason

KINDS = {"email": "Mail", "sms": "SMS", "whatsapp": "WhatsApp"}
REASONS = {
    SuppressionReason.BOUNCED: ("Not there", "danger"),
    SuppressionReason.COMPLAINED: ("Called it spam", "danger"),
    SuppressionReason.OPTED_OUT: ("Wrote STOP", "warn"),
    SuppressionReason.BY_HAND: ("By hand", ""),
}
STAYS = {
    SuppressionReason.COMPLAINED: "Who called our mail spam is not written to again.",
    SuppressionReason.OPTED_OUT: "Who asked for no more messages is let in again by writing START.",
}
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@bp.get("/kept-out")
@needs(Right.SEE_CONTACT)
def kept_out() -> ResponseReturnValue:
    """Newest first; `q` finds an address or number."""
    return show_kept_out()


def show_kept_out(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The list and the form; `problem` is what was refused just now."""
    query = request.args.get("q", "").strip()[:254]
    found = select(Suppression)
    if query:
        found = found.where(Suppression.recipient.contains(query.casefold(), autoescape=True))
    listed = newest(found, Suppression)
    older = url_for("admin.kept_out", **kept({"q": query}), before=listed.before)
    return screen(
        "admin/kept_out.html",
        status,
        section="admin.messages",
        problem=problem,
        rows=listed.rows,
        query=query,
        kinds=KINDS,
        reasons=REASONS,
        forgiven=consents.FORGIVEN,
        older=older if listed.before else None,
    )


@bp.post("/kept-out")
@needs(Right.SEE_CONTACT)
@shown_again(show_kept_out)
def keep_out() -> ResponseReturnValue:
    """Send nothing more there: for who asked by telephone, say."""
    kind = request.form.get("kind", "")
    recipient = consents.known_as(kind, request.form.get("recipient", "").replace(" ", ""))
    wanted = ADDRESS if kind == "email" else NUMBER
    if kind not in KINDS or not wanted.fullmatch(recipient) or len(recipient) > 254:
        words = "Enter an address, or a number with its country code, like +919876543210."
        raise Refused(words, field="recipient")
    details = request.form.get("details", "").strip()
    with transaction():
        consents.suppress(kind, recipient, SuppressionReason.BY_HAND, details)
        _note("recipient.kept_out", kind, recipient)
    return done(url_for("admin.kept_out"), f"Nothing more goes to {recipient} by {KINDS[kind]}.")


@bp.post("/kept-out/<int:row_id>/let-in")
@needs(Right.SEE_CONTACT)
@shown_again(show_kept_out)
def let_in(row_id: int) -> ResponseReturnValue:
    """Messages may go there again. What its owner refused they take back, and nobody for them."""
    with transaction():
        found = db.session.get(Suppression, row_id)
        if found is None:
            raise NotFound("It is not on the list any more.")
        if found.reason not in consents.FORGIVEN:
            raise Refused(STAYS[found.reason])
        kind, recipient = found.channel, found.recipient
        consents.lift(kind, recipient)
        _note("recipient.let_in", kind, recipient)
    return done(url_for("admin.kept_out"), f"Messages go to {recipient} again.")


def _note(action: str, kind: str, recipient: str) -> None:
    mask = masked_email if kind == "email" else masked_phone
    audit.write(staff_actor(), action, f"recipient:{kind}", after={"recipient": mask(recipient)})
