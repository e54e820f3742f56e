"""Jobs: what waits, runs, failed; trying again and taking out by hand."""

from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import String, cast, func, or_, select

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.health import Health, health
from shop.admin.redaction import shown_error, shown_payload
from shop.admin.rendering import beside, done, kept, newest, screen, shown_again
from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.handlers import HANDLERS, why_no_retry
from shop.jobs.models import Job, JobStatus, ScheduleSlot
from shop.jobs.queue import cancel
from shop.jobs.runner import retry
from shop.jobs.schedule import SCHEDULE
from shop.pages import clock, not_modified, tagged, with_etag

TONES = {
    "succeeded": "ok",
    "failed": "danger",
    "running": "info",
    "queued": "warn",
    "cancelled": "",
}


def inspector(tab: str) -> dict[str, Any]:
    """What the head and the tabs of jobs and webhooks need."""
    figures: Health = health()
    return {"health": figures, "tab": tab, "refreshed_at": utcnow(), "section": "admin.jobs"}


@bp.get("/jobs/health")
@needs(Right.SEE_JOBS)
def jobs_health() -> ResponseReturnValue:
    """The figures alone, for the poll. Its tag tells a poll from a person's use of the shop."""
    shown = inspector("")
    tag, is_held = with_etag(f"{shown['health']}:{clock(shown['refreshed_at'])}")
    if is_held:
        return not_modified(tag)
    return tagged(screen("admin/jobs_health.html", **shown), tag)


@bp.get("/jobs")
@needs(Right.SEE_JOBS)
def jobs() -> ResponseReturnValue:
    """Jobs, newest first; `status=failed` is the tab of the dead."""
    return _list(None)


@bp.get("/jobs/<int:job_id>")
@needs(Right.SEE_JOBS)
def job(job_id: int) -> ResponseReturnValue:
    """One job beside the list; on a narrow screen, and without JavaScript, after it."""
    return _list(job_id)


def _list(
    job_id: int | None = None, *, problem: str = "", status: int = 200, **_others: Any
) -> Response:
    wanted = request.args.get("status", "")
    kind, query = request.args.get("kind", ""), request.args.get("q", "").strip()[:80]
    found = select(Job)
    if wanted in list(JobStatus):
        found = found.where(Job.status == JobStatus(wanted))
    if kind:
        found = found.where(Job.kind == kind)
    if query:
        found = found.where(_matches(query))
    listed = newest(found, Job)
    gone = "There is no such job; what succeeded is kept for two weeks."
    chosen: Job | None = beside(listed, Job, job_id, gone)
    same = kept({"status": wanted, "kind": kind, "q": query})
    return screen(
        "admin/jobs.html",
        status,
        problem=problem,
        rows=listed.rows,
        job=chosen,
        payload=shown_payload(chosen.payload) if chosen else "",
        error=shown_error(chosen.error) if chosen else "",
        incident=_incident_of(chosen),
        tones=TONES,
        kinds=sorted(HANDLERS),
        kind=kind,
        status_wanted=wanted,
        query=query,
        same=same,
        older=listed.older("admin.jobs", same),
        **inspector("dead" if wanted == "failed" else "jobs"),
    )


def _matches(query: str) -> Any:
    """A job's id, key or worker; words also by what is in its payload."""
    if query.isascii() and query.isdigit() and len(query) < 16:
        return or_(Job.id == int(query), Job.key == query)
    return or_(
        Job.key.icontains(query, autoescape=True),
        cast(Job.payload, String).icontains(query, autoescape=True),
        Job.worker == query,
    )


def _incident_of(chosen: Job | None) -> Incident | None:
    if chosen is None or chosen.status != JobStatus.FAILED:
        return None
    return db.session.scalars(
        select(Incident).where(Incident.job_id == chosen.id).order_by(Incident.id.desc()).limit(1)
    ).one_or_none()


@bp.get("/jobs/schedule")
@needs(Right.SEE_JOBS)
def jobs_schedule() -> ResponseReturnValue:
    """Periodic work: how often, and when its last turn was taken."""
    last = dict(
        db.session.execute(
            select(ScheduleSlot.task, func.max(ScheduleSlot.slot_at)).group_by(ScheduleSlot.task)
        ).all()
    )
    return screen("admin/jobs_schedule.html", tasks=SCHEDULE, last=last, **inspector("schedule"))


@bp.post("/jobs/<int:job_id>/retry")
@needs(Right.RUN_JOBS)
@shown_again(_list)
def job_retry(job_id: int) -> ResponseReturnValue:
    """Queue a failed or cancelled job once more. Its handler knows what was done before."""
    with transaction():
        if not retry(job_id):
            reason = "Only a job that failed or was cancelled can be tried again."
            raise Refused(_why_no_retry(job_id) or reason)
        audit.write(staff_actor(), "job.retried", f"job:{job_id}")
    return done(_after(job_id), f"Job {job_id} is queued again.")


def _why_no_retry(job_id: int) -> str:
    found = db.session.get(Job, job_id)
    return why_no_retry(found.kind, found.payload) if found else ""


@bp.post("/jobs/<int:job_id>/cancel")
@needs(Right.RUN_JOBS)
@shown_again(_list)
def job_cancel(job_id: int) -> ResponseReturnValue:
    """Take a queued job out."""
    with transaction():
        if not cancel(job_id):
            raise Refused("Only a job that still waits can be cancelled.")
        audit.write(staff_actor(), "job.cancelled", f"job:{job_id}")
    return done(_after(job_id), f"Job {job_id} will not run.")


@bp.post("/jobs/retry-dead")
@needs(Right.RUN_JOBS)
def jobs_retry_dead() -> ResponseReturnValue:
    """Queue all failed jobs once more, a hundred at a time."""
    with transaction() as session:
        dead = session.scalars(
            select(Job.id).where(Job.status == JobStatus.FAILED).order_by(Job.id).limit(100)
        ).all()
        queued = [job_id for job_id in dead if retry(job_id)]
        audit.write(staff_actor(), "job.retried_all", "jobs", None, {"jobs": queued})
    return done(url_for("admin.jobs"), f"{len(queued)} jobs are queued again.")


def _after(job_id: int) -> str:
    """Back to the incident that the button stood on, or to the job."""
    incident_id = request.form.get("incident", "")
    if incident_id.isascii() and incident_id.isdigit() and len(incident_id) < 16:
        return url_for("admin.incident", incident_id=int(incident_id))
    return url_for("admin.job", job_id=job_id)
