"""The disputes desk: what to answer and until when, the evidence as one file, and marking it as sent."""

from datetime import datetime
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, literal, select
from sqlalchemy.orm import joinedload

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp, evidence
from shop.admin.desk_pages import FAR, Part, moment_at, place, turned
from shop.admin.rendering import done, names_of, needs_answer, newest, screen, shown_again
from shop.audit import recording as audit
from shop.clock import local, utcnow
from shop.database import UtcDateTime, end_reading, transaction
from shop.extensions import db
from shop.payments import disputes as rules
from shop.payments.desk_jobs import EVIDENCE_HOURS
from shop.payments.models import Dispute, DisputeStatus, Payment

SHOWS = {"open": "To answer", "sent": "Answered", "closed": "Closed"}
OUTCOMES = {DisputeStatus.WON: ("Won", "ok"), DisputeStatus.LOST: ("Lost", "danger")}


@bp.get("/disputes")
@needs(Right.SEE_MONEY)
def disputes() -> ResponseReturnValue:
    """Those to answer, the nearest evidence date first; answered and closed ones behind a filter."""
    return show_disputes()


def show_disputes(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """One of the lists; `problem` is what was refused just now."""
    show = _show()
    listed = _listed(show)
    return screen(
        "admin/disputes.html",
        status,
        section="admin.disputes",
        problem=problem,
        shows=SHOWS,
        show=show,
        counts=_counts(),
        names=names_of(row.evidence_sent_by or "" for row in listed["rows"]),
        outcomes=OUTCOMES,
        left=time_left,
        hours=EVIDENCE_HOURS,
        **listed,
    )


def _show() -> str:
    wanted = request.values.get("show", "")
    return wanted if wanted in SHOWS else "open"


def _listed(show: str) -> dict[str, Any]:
    """The disputes of a list with their payments and orders: one statement. And the pages beside."""
    endpoint, same = "admin.disputes", {"show": show}
    found = select(Dispute).options(joinedload(Dispute.payment).joinedload(Payment.order))
    if show == "closed":
        page = newest(found.where(Dispute.status != DisputeStatus.OPEN), Dispute)
        return {"rows": page.rows, "older": page.older(endpoint, same), "newer": None, "here": {}}
    is_sent = (Dispute.status == DisputeStatus.OPEN) & Dispute.evidence_sent_at.is_not(None)
    part = Part(
        show,
        found.where(is_sent if show == "sent" else needs_answer()),
        # Without a date nobody knows how urgent it is: these stand at the end.
        by=(func.coalesce(Dispute.evidence_due_at, literal(FAR, UtcDateTime())), Dispute.id),
        of=lambda row: (row.evidence_due_at or FAR, row.id),
        read=(moment_at, int),
    )
    drawn = turned([part])
    return {
        "rows": drawn.rows(show), "here": drawn.here,
        "older": drawn.older(endpoint, same), "newer": drawn.newer(endpoint, same),
    }  # fmt: skip


def _counts() -> dict[str, int]:
    """How many wait for an answer, and how many for the bank: one statement."""
    to_answer = Dispute.evidence_sent_at.is_(None)
    row = db.session.execute(
        select(
            func.count(Dispute.id).filter(to_answer).label("open"),
            func.count(Dispute.id).filter(~to_answer).label("sent"),
        ).where(Dispute.status == DisputeStatus.OPEN)
    ).one()
    return dict(row._mapping)


def time_left(due: datetime | None) -> tuple[str, str]:
    """How long until the evidence date, in words, and its tone: danger when it is over or near."""
    if due is None:
        return "no date was told", ""
    days = (local(due).date() - local(utcnow()).date()).days
    if due < utcnow():
        return f"overdue by {_days(-days)}" if days else "overdue since today", "danger"
    if days == 0:
        return "due today", "danger"
    return f"{_days(days)} left", "danger" if days <= EVIDENCE_HOURS // 24 else ""


def _days(count: int) -> str:
    return f"{count} day{'s' if count != 1 else ''}"


@bp.post("/disputes/<int:dispute_id>/evidence.pdf")
@needs(Right.EXPORT)
def dispute_evidence(dispute_id: int) -> ResponseReturnValue:
    """All that the gateway's people need to see, as one PDF. Who took it stands in the audit."""
    # Its library is large: a process that never draws one never loads it.
    from shop.admin.evidence_pdf import draw

    bundle = evidence.gather(dispute_id)
    end_reading()
    drawn = draw(bundle)
    with transaction():
        audit.write(
            staff_actor(), "dispute.evidence_taken", rules.subject_of(dispute_id),
            after={"order": bundle.number},
        )  # fmt: skip
    answer = Response(drawn, mimetype="application/pdf")
    answer.headers["Content-Disposition"] = f"attachment; filename=evidence-{bundle.number}.pdf"
    return answer


@bp.post("/disputes/<int:dispute_id>/sent")
@needs(Right.RECORD_MONEY)
@shown_again(show_disputes)
def dispute_sent(dispute_id: int) -> ResponseReturnValue:
    """A person has answered at the gateway."""
    with transaction():
        rules.mark_sent(dispute_id, staff_actor(), request.form.get("note", ""))
    return done(_back(), "Marked as sent. It now waits for the bank.")


@bp.post("/disputes/<int:dispute_id>/not-sent")
@needs(Right.RECORD_MONEY)
@shown_again(show_disputes)
def dispute_not_sent(dispute_id: int) -> ResponseReturnValue:
    """The mark was a mistake."""
    with transaction():
        rules.take_mark_off(dispute_id, staff_actor())
    return done(_back(), "It waits for an answer again.")


def _back() -> str:
    """The page of the list on which the button was pressed."""
    return url_for("admin.disputes", show=_show(), **place())
