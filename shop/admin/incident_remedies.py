"""The one button of an incident: what tries its thing again, a parcel, a message or a job."""

from dataclasses import dataclass

from sqlalchemy import select

from shop.accounts.rights import Right
from shop.audit import recording as audit
from shop.delivery import parking
from shop.delivery.models import Shipment
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs.handlers import why_no_retry
from shop.jobs.models import Job, JobStatus
from shop.jobs.runner import retry
from shop.messaging.models import Notification, NotificationStatus
from shop.messaging.resending import may_be_resent, resend
from shop.orders.locking import lock_order
from shop.webhooks import inbox
from shop.webhooks.models import WebhookEvent, WebhookStatus

ENDED = (JobStatus.FAILED, JobStatus.CANCELLED)
LEFT = (NotificationStatus.FAILED, NotificationStatus.UNCERTAIN)


@dataclass(frozen=True)
class Remedy:
    """What the button says, does and needs."""

    what: str
    thing_id: int
    words: str
    right: Right
    #: Said after it was pressed.
    done: str


def remedy_of(incident: Incident) -> Remedy | None:
    """What can be tried again, nearest to the fault; None where a person must do something else."""
    job = db.session.get(Job, incident.job_id) if incident.job_id else None
    return _parcel(incident) or _message(job) or _unsent(job) or _job(job)


def apply(incident: Incident, actor: str) -> Remedy:
    """Try it again, in the caller's transaction. Raises Refused when there is nothing (any more) to try."""
    remedy = remedy_of(incident)
    if remedy is None:
        raise Refused("There is nothing to try again here any more.")
    acts = {"parcel": _book_again, "message": _replay, "unsent": resend, "job": _retry}
    acts[remedy.what](remedy.thing_id, actor)
    return remedy


def _parcel(incident: Incident) -> Remedy | None:
    """A parcel that is parked: by the job that gave up on it, else by the order."""
    parked = select(Shipment.id).where(Shipment.parked.is_not(None))
    of_job = parked.where(Shipment.parked_job == incident.job_id) if incident.job_id else None
    of_order = parked.where(Shipment.order_id == incident.order_id)
    found = db.session.scalar(of_job.limit(1)) if of_job is not None else None
    if found is None and incident.order_id and incident.category == "delivery":
        found = db.session.scalar(of_order.order_by(Shipment.id).limit(1))
    if found is None:
        return None
    return Remedy(
        "parcel", found, "Book the parcel again", Right.MOVE_ORDERS, "The parcel is being booked again."
    )  # fmt: skip


def _message(job: Job | None) -> Remedy | None:
    """A webhook that could not be processed."""
    if job is None or job.kind != "webhooks.process":
        return None
    event = db.session.get(WebhookEvent, job.payload.get("event_id"))
    if event is None or event.status != WebhookStatus.FAILED or event.kind == "unreadable":
        return None
    return Remedy(
        "message", event.id, "Replay the message", Right.RUN_JOBS, "The message is being replayed."
    )


def _unsent(job: Job | None) -> Remedy | None:
    """A message that failed or is uncertain: its job is over, and a new message is what helps."""
    if job is None or job.kind not in {"messaging.send", "messaging.unresolved"}:
        return None
    found = db.session.get(Notification, job.payload.get("notification_id"))
    if found is None or found.status not in LEFT or not may_be_resent(found):
        return None
    return Remedy(
        "unsent", found.id, "Send the message again", Right.ANNOTATE, "It is sent once more."
    )  # fmt: skip


def _job(job: Job | None) -> Remedy | None:
    if job is None or job.status not in ENDED or job.kind == "webhooks.process":
        return None
    if why_no_retry(job.kind, job.payload):
        return None
    return Remedy("job", job.id, "Retry the job", Right.RUN_JOBS, f"Job {job.id} is queued again.")


def _book_again(shipment_id: int, actor: str) -> None:
    parcel = db.session.get(Shipment, shipment_id)
    if parcel is None:
        raise NotFound("There is no such parcel.")
    order = lock_order(parcel.order_id)
    db.session.refresh(parcel)
    parking.try_again(parcel)
    audit.write(actor, "shipment.again", f"order:{order.number}")


def _replay(event_id: int, actor: str) -> None:
    inbox.replay(event_id, actor)


def _retry(job_id: int, actor: str) -> None:
    if not retry(job_id):
        raise Refused("Only a job that failed or was cancelled can be tried again.")
    audit.write(actor, "job.retried", f"job:{job_id}")
