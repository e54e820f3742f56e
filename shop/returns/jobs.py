"""Work around returns: ordering the way back at the courier, asking where it is, and what waits too long."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select

from shop.clock import in_future, utcnow
from shop.config import settings
from shop.delivery.couriers import COURIERS, courier
from shop.delivery.couriers.base import Booking, ReturnParcel, Tracking, WalletEmpty
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.orders.models import Order
from shop.providers import ProviderRefused
from shop.returns import deciding, parcels
from shop.returns.models import ReturnRequest, ReturnShipment, ReturnState
from shop.returns.steps import locked, note, tell

PAGE = 200
SILENT_HOURS = 12
LOST_TRACK_HOURS = 48
WAITING_DAYS = 3
ON_ITS_WAY_DAYS = 14
UNDER_WAY = frozenset({ReturnState.APPROVED, ReturnState.ON_ITS_WAY})


# --- ordering the way back -------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One step of ordering the way back, to be asked of its courier."""

    return_id: int
    courier_key: str
    wish: ReturnParcel
    booking: Booking


@handles_outward(
    "returns.book",
    Policy(limit=45, attempts=8, base=30, cap=3600, incident=("delivery", "medium")),
)
class Book:
    """Order, then waybill, then pickup: each a round, each kept before the next: {"return_id"}.

    Where the courier carries no returns, the customer sends it, and is told so.
    """

    def prepare(self, work: Work) -> Way | None:
        """The next step; None when the return moved on, or it is all there."""
        request, order = locked(work.payload["return_id"])
        if request.state != ReturnState.APPROVED:
            return None
        parcel = request.parcel
        if parcel is None:
            parcel = ReturnShipment(return_id=request.id, courier=_courier_for_returns())
            db.session.add(parcel)
            request.parcel = parcel
            db.session.flush()
        if parcel.by_customer:
            _by_customer(request, order, "")
            return None
        if parcel.awb and parcel.pickup_at:
            return None
        wish = parcels.wish_of(request, order)
        return Way(request.id, str(parcel.courier), wish, parcels.booking_of(parcel, wish))

    def call(self, request: Way) -> Booking | str:
        """The booking as it is after the step; or the courier's words for "not by us"."""
        way = courier(request.courier_key)
        try:
            if not request.booking.order_id:
                found = way.find(request.wish.reference)
                return found if found else way.create_return(request.wish)
            if not request.booking.awb:
                return way.assign_awb(request.booking)
        except WalletEmpty:
            raise
        except ProviderRefused as refused:
            return refused.words or "it carries no returns"
        return _with_pickup(request)

    def record(self, work: Work, request: Way, answer: Booking | str) -> bool:
        """Keep what was reached; at the end the customer is told how it comes back."""
        found, order = locked(request.return_id)
        parcel = found.parcel
        if parcel is None or parcel.by_customer:
            return False
        if isinstance(answer, str) or answer.is_cancelled:
            words = answer if isinstance(answer, str) else "it was cancelled there"
            _by_customer(found, order, words)
            return False
        parcels.keep(parcel, answer)
        parcel.is_dry_run = courier(request.courier_key).is_dry_run
        if found.state != ReturnState.APPROVED:
            parcels.call_off(found)
            return False
        is_last = bool(request.booking.awb)
        if is_last:
            _tell_way(
                found, order, f"{parcel.courier_name or 'The courier'} will fetch {found.reference}"
            )
        return not is_last

    def gave_up(self, work: Work, words: str) -> None:
        """Nobody knows what the courier will do: the customer sends it, a person looks (incident)."""
        request, order = locked(work.payload["return_id"])
        if request.state == ReturnState.APPROVED:
            order.attention = f"The way back of {request.reference} could not be ordered: {words}"[
                :300
            ]
            _by_customer(request, order, words, is_known=False)


def _courier_for_returns() -> str | None:
    """The shop's courier, unless it only rehearses in production."""
    key = settings().courier
    rehearses = settings().is_production and courier(key).is_dry_run
    return None if rehearses else key


def _with_pickup(request: Way) -> Booking:
    """Ask for pickup. A courier that plans it by itself says no, and comes all the same."""
    try:
        return courier(request.courier_key).schedule_pickup(request.booking)
    except ProviderRefused:
        return request.booking


def _by_customer(request: ReturnRequest, order: Order, why: str, *, is_known: bool = True) -> None:
    """The customer sends it. A courier that has the order, or may have, is told not to come.

    Its name is kept, so that its news is still found. `is_known` says that it has told all.
    """
    parcel = request.parcel
    if parcel is not None and not parcel.by_customer:
        parcel.left_to_customer = bool(parcel.courier_order_id) or not is_known
        if parcel.left_to_customer:
            parcels.call_off(request)
        else:
            parcel.courier = None
    if why:
        text = f"No courier fetches return {request.reference}: {why}"
        note(request, order, "system", text, for_customer=False)
    _tell_way(request, order, f"Please send {request.reference} to us")


def _tell_way(request: ReturnRequest, order: Order, text: str) -> None:
    if request.state == ReturnState.APPROVED:
        note(request, order, "system", text)
        tell(request, "return_approved")


@handles_outward(
    "returns.cancel_way",
    Policy(limit=30, attempts=6, base=30, cap=3600, incident=("delivery", "low")),
)
class CancelWay:
    """Tell the courier not to come: {"return_id"}."""

    def prepare(self, work: Work) -> Way | None:
        """Nothing to cancel where the courier never heard of it."""
        request, order = locked(work.payload["return_id"])
        parcel = request.parcel
        if parcel is None or not parcels.need_not_come(request):
            return None
        if not parcel.courier_order_id and not parcel.left_to_customer:
            return None
        wish = parcels.wish_of(request, order)
        return Way(request.id, str(parcel.courier), wish, parcels.booking_of(parcel, wish))

    def call(self, request: Way) -> None:
        """Ask first: cancelling twice is refused."""
        way = courier(request.courier_key)
        found = way.find(request.wish.reference)
        if found is not None and not found.is_cancelled:
            way.cancel(request.booking if request.booking.order_id else found)

    def record(self, work: Work, request: Way, answer: None) -> None:
        """In the timeline, for staff."""
        found, order = locked(request.return_id)
        note(
            found,
            order,
            "system",
            f"The courier will not come for {found.reference}",
            for_customer=False,
        )


# --- asking ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Ask this courier about this way back."""

    return_id: int
    courier_key: str
    awb: str


@handles_outward(
    "returns.track",
    Policy(limit=20, attempts=5, base=300, cap=21_600, incident=("delivery", "low")),
)
class Track:
    """Ask the courier where a return is: {"return_id"}."""

    def prepare(self, work: Work) -> Question | None:
        """Nothing to ask of what the customer sends, or once it is here."""
        parcel = db.session.scalar(
            select(ReturnShipment).where(ReturnShipment.return_id == work.payload["return_id"])
        )
        if parcel is None or not parcel.awb or parcel.is_dry_run or parcel.delivered_at:
            return None
        if parcel.courier not in COURIERS or parcel.left_to_customer:
            return None
        parcel.asked_at = utcnow()
        return Question(parcel.return_id, str(parcel.courier), parcel.awb)

    def call(self, request: Question) -> Tracking | None:
        """All its scans."""
        return courier(request.courier_key).track(request.awb)

    def record(self, work: Work, request: Question, answer: Tracking | None) -> None:
        """What is new moves the return; long silence is reported."""
        if answer is not None:
            parcels.apply(request.return_id, answer, request.courier_key)
        _report_silence(db.session.get_one(ReturnRequest, request.return_id))


def _report_silence(request: ReturnRequest) -> None:
    parcel = request.parcel
    if parcel is None or request.state not in UNDER_WAY:
        return
    # A pickup that is planned for later is no silence.
    last = max(parcel.last_news_at or parcel.created_at, parcel.pickup_at or parcel.created_at)
    if last < in_future(hours=-LOST_TRACK_HOURS):
        words = f"No news of return {request.reference} ({parcel.awb}) for {LOST_TRACK_HOURS} hours"
        _report_return(request, words, f"return_overdue:{request.id}:silent")


@handles("returns.poll", Policy(limit=30, attempts=3, base=5, cap=60, incident=("delivery", "low")))
def poll(work: Work) -> None:
    """Returns under way, neither heard of nor asked about for 12 hours: webhooks are not repeated."""
    before = in_future(hours=-SILENT_HOURS)
    silent = (
        select(ReturnShipment.return_id)
        .join(ReturnRequest, ReturnRequest.id == ReturnShipment.return_id)
        .where(
            ReturnRequest.state.in_(UNDER_WAY),
            ReturnShipment.awb.is_not(None),
            ReturnShipment.courier.is_not(None),
            ReturnShipment.is_dry_run.is_(False),
            ReturnShipment.left_to_customer.is_(False),
            func.coalesce(ReturnShipment.last_news_at, ReturnShipment.created_at) < before,
            func.coalesce(ReturnShipment.asked_at, ReturnShipment.created_at) < before,
        )
    )
    for (return_id,) in next_page(work, silent, PAGE):
        enqueue("returns.track", {"return_id": return_id}, key=str(return_id))


# --- what waits too long ---------------------------------------------------------------------


@handles(
    "returns.sweep", Policy(limit=60, attempts=3, base=30, cap=600, incident=("delivery", "low"))
)
def sweep(work: Work) -> None:
    """What was approved and never sent lapses, each by a job; what waits too long is an incident."""
    late = (ReturnRequest.state == ReturnState.APPROVED, ReturnRequest.deadline_at < in_future())
    for request in _found(work, "late", *late):
        enqueue("returns.lapse", {"return_id": request.id}, key=str(request.id))
    waiting = (
        ReturnRequest.state.in_([ReturnState.REQUESTED, ReturnState.RECEIVED]),
        ReturnRequest.state_at < in_future(hours=-24 * WAITING_DAYS),
    )
    for request in _found(work, "waiting", *waiting):
        waits = "an answer" if request.state == ReturnState.REQUESTED else "money or goods"
        words = f"Return {request.reference} waits for {waits} for {WAITING_DAYS} days"
        _report_return(request, words, f"return_waits:{request.id}:{request.state.value}")
    overdue = (
        ReturnRequest.state == ReturnState.ON_ITS_WAY,
        ReturnRequest.state_at < in_future(hours=-24 * ON_ITS_WAY_DAYS),
    )
    for request in _found(work, "overdue", *overdue):
        words = f"Return {request.reference} is on its way for {ON_ITS_WAY_DAYS} days"
        _report_return(request, words, f"return_overdue:{request.id}:late")


def _found(work: Work, part: str, *conditions: ColumnElement[bool]) -> list[ReturnRequest]:
    found = select(ReturnRequest.id, ReturnRequest).where(*conditions)
    return [request for _, request in next_page(work, found, PAGE, part)]


@handles(
    "returns.lapse", Policy(limit=30, attempts=5, base=30, cap=600, incident=("delivery", "low"))
)
def lapse(work: Work) -> None:
    """One return that was approved and never sent: {"return_id"}. Nothing, if it moved meanwhile."""
    request, _order = locked(work.payload["return_id"])
    is_late = request.deadline_at is not None and request.deadline_at < utcnow()
    if request.state == ReturnState.APPROVED and is_late:
        deciding.drop(request.id, "system")


def _report_return(request: ReturnRequest, words: str, fault: str) -> None:
    open_incident(
        About(
            issue=words,
            category=Category.DELIVERY,
            severity=Severity.MEDIUM,
            order_id=request.order_id,
            context={"return": request.reference, "deliveryStage": request.state.value},
        ),
        fault,
    )


# --- what replaces it ------------------------------------------------------------------------


@handles(
    "returns.replacement_ended",
    Policy(limit=30, attempts=5, base=30, cap=600, incident=("delivery", "medium")),
)
def replacement_ended(work: Work) -> None:
    """What was sent instead does not arrive: {"order_id", "how"}. The first order gets a person."""
    return_id = db.session.scalar(
        select(ReturnRequest.id).where(
            ReturnRequest.replacement_order_id == work.payload["order_id"]
        )
    )
    if return_id is None:
        return
    request, order = locked(return_id)
    if request.replacement is None:
        return
    words = (
        f"Order {request.replacement.number}, which replaces return {request.reference},"
        f" {work.payload['how']}: refund or send again?"
    )
    order.attention = words
    note(request, order, "system", words, for_customer=False)
    _report_return(request, words, f"replacement_ended:{request.id}")
