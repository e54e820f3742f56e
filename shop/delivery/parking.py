"""Parcels whose making stands still until a person acts: nothing tries them again by itself.

An empty wallet or an address that nobody serves is not mended by waiting. The parcel keeps its
place: what the courier knows of it is gone on with when somebody says "try again now".
"""

from sqlalchemy import select

from shop.clock import utcnow
from shop.delivery.couriers.base import NotServed, WalletEmpty
from shop.delivery.models import Parked, Shipment
from shop.errors import Conflict
from shop.extensions import db
from shop.incidents.jobs import when_given_up_tell
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About
from shop.jobs import runner
from shop.jobs.handlers import Work
from shop.jobs.queue import enqueue
from shop.orders.models import Order

CREATE = "delivery.create_shipment"
NOT_PARKED = {"parked": None, "parked_at": None, "parked_job": None}

WHAT_TO_DO = {
    Parked.WALLET: "Top up the wallet at the courier, then try again.",
    Parked.NOT_SERVED: (
        "Choose another carrier, correct the address, send it by hand, or refund the order."
    ),
}

ISSUE = {
    Parked.WALLET: "The courier's wallet is empty: the parcel of order {} is parked",
    Parked.NOT_SERVED: "No carrier takes the parcel of order {} to its address: it is parked",
}


def why(error: Exception) -> Parked | None:
    """The reason to park, where the error is one that only a person can mend."""
    if isinstance(error, WalletEmpty):
        return Parked.WALLET
    return Parked.NOT_SERVED if isinstance(error, NotServed) else None


def park(shipment: Shipment, reason: Parked, job_id: int) -> None:
    """Let the parcel stand until a person acts; the job is the one to try again."""
    shipment.parked, shipment.parked_at, shipment.parked_job = reason, utcnow(), job_id


def try_again(shipment: Shipment) -> None:
    """By hand: the same job with all its tries, or a new one where that is gone.

    Raises Conflict when the parcel is not parked (any more). In the caller's transaction, which
    holds the order's lock.
    """
    if shipment.parked is None:
        raise Conflict("This parcel is not parked any more.")
    job_id = shipment.parked_job
    shipment.parked = shipment.parked_at = shipment.parked_job = None
    if job_id is None or not runner.retry(job_id):
        wish = {"order_id": shipment.order_id, "shipment_id": shipment.id}
        enqueue(CREATE, wish, key=f"{shipment.order_id}:{shipment.id}")


@when_given_up_tell(CREATE)
def about_parcel(work: Work) -> About:
    """What happened to the parcel, and what to do; the same words on the incident's page."""
    order = db.session.get(Order, work.payload["order_id"])
    number = order.number if order else "?"
    parked = db.session.scalars(select(Shipment).where(Shipment.parked_job == work.job_id)).first()
    context = {"jobId": work.job_id, "jobKind": work.kind}
    issue = f"The parcel of order {number} could not be booked"
    if parked is not None and parked.parked is not None:
        issue = ISSUE[parked.parked].format(number)
        context |= {
            "deliveryStage": parked.step.value, "parked": parked.parked.value,
            "whatToDo": WHAT_TO_DO[parked.parked],
        }  # fmt: skip
    return About(
        issue=issue,
        category=Category.DELIVERY,
        severity=Severity.HIGH,
        order_id=order.id if order else None,
        job_id=work.job_id,
        context=context,
    )
