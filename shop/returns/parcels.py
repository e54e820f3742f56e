"""The way back: what the courier is told of it, and what it tells of it.

News may be repeated, late or out of order: the newest scan is kept, and the return moves forward
only. On a return "delivered" means that it is back at the shop.
"""

from datetime import datetime

import structlog
from sqlalchemy import or_, select, update

from shop.clock import in_future, utcnow
from shop.database import rows_changed
from shop.delivery.couriers import COURIERS
from shop.delivery.couriers.base import Booking, ParcelLine, ReturnParcel, Scan, Tracking
from shop.delivery.models import ShipmentStatus
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.orders.models import Order
from shop.returns import claims
from shop.returns.models import GIVEN_UP, OVER, ReturnRequest, ReturnShipment, ReturnState
from shop.returns.steps import locked, may, move, note

log = structlog.get_logger()

S = ShipmentStatus
AWAY = frozenset({S.PICKED_UP, S.IN_TRANSIT, S.OUT_FOR_DELIVERY})
GONE_WRONG = frozenset({S.LOST, S.DAMAGED, S.CANCELLED, S.RTO_INITIATED, S.RTO_DELIVERED})
MIN_GRAMS, MIN_SIDES_MM = 50, (100, 100, 20)


def wish_of(request: ReturnRequest, order: Order) -> ReturnParcel:
    """The parcel as a courier is told of it: the units that go back, in one box."""
    held = [(line.order_line, line.quantity) for line in request.lines]
    sides = [sorted((sold.length_mm, sold.width_mm, sold.height_mm)) for sold, _ in held]
    stacked = sum(side[0] * units for side, (_, units) in zip(sides, held, strict=True))
    lines = [
        ParcelLine(
            name=sold.name, sku=sold.sku, quantity=units, unit_minor=sold.unit_price_minor,
            discount_minor=sold.discount_minor * units // sold.quantity,
            tax_rate_bp=sold.tax_rate_bp, hsn_code=sold.hsn_code,
        )
        for sold, units in held
    ]  # fmt: skip
    return ReturnParcel(
        reference=request.reference,
        order_number=order.number,
        asked_at=request.created_at,
        email=order.email,
        phone=order.phone or order.shipping_address.get("phone", ""),
        collect_from=order.shipping_address,
        lines=lines,
        currency=order.currency,
        goods_minor=sum(line.unit_minor * line.quantity - line.discount_minor for line in lines),
        weight_grams=max(MIN_GRAMS, sum(sold.weight_grams * units for sold, units in held)),
        length_mm=max(MIN_SIDES_MM[0], *(side[2] for side in sides)),
        width_mm=max(MIN_SIDES_MM[1], *(side[1] for side in sides)),
        height_mm=max(MIN_SIDES_MM[2], stacked),
    )


def booking_of(parcel: ReturnShipment, wish: ReturnParcel) -> Booking:
    """What the courier has told of the way back so far."""
    return Booking(
        order_id=parcel.courier_order_id or "",
        shipment_id=parcel.courier_shipment_id or "",
        reference=wish.reference,
        awb=parcel.awb or "",
        courier_name=parcel.courier_name,
        pickup_at=parcel.pickup_at,
        tracking_url=parcel.tracking_url,
        is_return=True,
        postal_code=wish.collect_from.get("postal_code", ""),
        goods_minor=wish.goods_minor,
    )


def keep(parcel: ReturnShipment, answer: Booking) -> None:
    """Store what the courier told; what it leaves out stays as it was."""
    parcel.courier_order_id = answer.order_id or parcel.courier_order_id
    parcel.courier_shipment_id = answer.shipment_id or parcel.courier_shipment_id
    parcel.awb = answer.awb or parcel.awb
    parcel.courier_name = answer.courier_name or parcel.courier_name
    parcel.tracking_url = answer.tracking_url or parcel.tracking_url
    parcel.pickup_at = answer.pickup_at or parcel.pickup_at
    db.session.flush()


def let_go(request: ReturnRequest) -> None:
    """Refused, withdrawn or dropped: its units are the customer's, and the courier need not come."""
    claims.give_back(request.lines, {line.id: line.quantity for line in request.lines})
    call_off(request)


def call_off(request: ReturnRequest) -> None:
    """Tell the courier not to come, where it might."""
    if need_not_come(request):
        enqueue("returns.cancel_way", {"return_id": request.id}, key=str(request.id))


def need_not_come(request: ReturnRequest) -> bool:
    """A courier may have been ordered that has fetched nothing yet, and is not needed any more."""
    parcel = request.parcel
    if parcel is None or parcel.courier not in COURIERS or parcel.is_dry_run:
        return False
    if parcel.moved_at is not None or parcel.delivered_at is not None:
        return False
    is_here = request.state in {ReturnState.RECEIVED, ReturnState.CLOSED}
    return is_here or request.state in GIVEN_UP or parcel.left_to_customer


def take_in(news: Tracking, courier_key: str, *, is_authoritative: bool) -> bool:
    """A courier's message about a return, in the caller's transaction. False when it is not ours.

    One that is a hint only makes a job that asks.
    """
    return_id = find(news, courier_key)
    if return_id is None:
        return False
    if is_authoritative:
        apply(return_id, news, courier_key)
    else:
        enqueue("returns.track", {"return_id": return_id}, key=str(return_id))
    return True


def find(news: Tracking, courier_key: str) -> int | None:
    """The return that the news names: by its waybill number, else by our reference exactly.

    That of a courier who was told not to come is found, too: it may come all the same.
    """
    ours = select(ReturnShipment.return_id).where(ReturnShipment.courier == courier_key)
    found = db.session.scalar(ours.where(ReturnShipment.awb == news.awb)) if news.awb else None
    if found is None and news.reference:
        named = ours.join(ReturnRequest, ReturnRequest.id == ReturnShipment.return_id)
        found = db.session.scalar(named.where(ReturnRequest.reference == news.reference))
    return found


def apply(return_id: int, news: Tracking, courier_key: str) -> None:
    """Take in the scans, oldest first: each moves the return forward or nothing."""
    request, order = locked(return_id)
    parcel = request.parcel
    if parcel is None:
        return
    db.session.refresh(parcel)
    actor = f"courier:{courier_key}"
    for scan in sorted(news.scans, key=lambda one: one.occurred_at):
        if scan.occurred_at > in_future(hours=24):
            continue
        is_newest = _show(parcel, scan)
        if scan.is_failed_pickup:
            if is_newest:
                _not_picked_up(request, order, scan, actor)
        elif scan.status and not scan.is_failed_attempt and _is_later(parcel, scan):
            _follow(request, order, scan, actor)
    log.info("return.tracked", return_id=return_id, state=request.state.value)


def _is_later(parcel: ReturnShipment, scan: Scan) -> bool:
    """Than the scan that moved the return last; a neutral one in between hides nothing."""
    if parcel.moved_at is None or scan.occurred_at > parcel.moved_at:
        return True
    return scan.occurred_at == parcel.moved_at and scan.status != parcel.moved_status


def _show(parcel: ReturnShipment, scan: Scan) -> bool:
    """Keep the scan's words for the page unless one as new is known: by one conditional update."""
    db.session.flush()
    words = scan.words[:300]
    result = db.session.execute(
        update(ReturnShipment)
        .where(
            ReturnShipment.id == parcel.id,
            or_(
                ReturnShipment.scanned_at.is_(None),
                ReturnShipment.scanned_at < scan.occurred_at,
                (ReturnShipment.scanned_at == scan.occurred_at)
                & (ReturnShipment.last_words != words),
            ),
        )
        .values(
            last_words=words, last_place=scan.place[:160], scanned_at=scan.occurred_at,
            last_news_at=utcnow(), updated_at=utcnow(),
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    db.session.refresh(parcel)
    return rows_changed(result) > 0


def _follow(request: ReturnRequest, order: Order, scan: Scan, actor: str) -> None:
    """What the scan changes, and that it did."""
    parcel = request.parcel
    if parcel is None or scan.status is None:
        return
    if _moved(request, order, parcel, scan.occurred_at, S(scan.status), actor):
        parcel.moved_at, parcel.moved_status = scan.occurred_at, scan.status
        parcel.last_news_at = utcnow()


def _moved(
    request: ReturnRequest, order: Order, parcel: ReturnShipment, at: datetime, status: S, actor: str
) -> bool:  # fmt: skip
    if status in GONE_WRONG:
        return _went_wrong(request, order, status, actor)
    if request.state in OVER:
        return _came_all_the_same(request, order, status, actor)
    if status in AWAY and may(request, "send"):
        move(request, order, "send", actor, deadline_at=None)
        return True
    if status == S.DELIVERED:
        parcel.delivered_at = at
        if may(request, "receive"):
            move(request, order, "receive", actor, deadline_at=None)
        return True
    return False


def _came_all_the_same(
    request: ReturnRequest, order: Order, status: ShipmentStatus, actor: str
) -> bool:
    """Turned down or withdrawn, and the goods are here: a person must look."""
    if status != S.DELIVERED or request.state == ReturnState.CLOSED:
        return False
    order.attention = f"Return {request.reference} came though it is {request.state.value}"
    text = f"Return {request.reference} arrived all the same"
    note(request, order, actor, text, for_customer=False)
    return True


def _went_wrong(request: ReturnRequest, order: Order, status: ShipmentStatus, actor: str) -> bool:
    if request.state in OVER or request.state == ReturnState.RECEIVED:
        return False
    if status == S.CANCELLED and request.parcel is not None and request.parcel.left_to_customer:
        return False
    words = f"The courier says of return {request.reference}: {status.value.replace('_', ' ')}"
    _trouble(request, order, words, status.value, actor)
    return True


def _not_picked_up(request: ReturnRequest, order: Order, scan: Scan, actor: str) -> None:
    """The courier came for nothing, or did not come."""
    if request.state == ReturnState.APPROVED:
        words = f"Return {request.reference} could not be picked up: {scan.words[:150]}"
        _trouble(request, order, words, "pickup", actor)


def _trouble(request: ReturnRequest, order: Order, words: str, stage: str, actor: str) -> None:
    note(request, order, actor, words, for_customer=False)
    order.attention = words
    open_incident(
        About(
            issue=words,
            category=Category.DELIVERY,
            severity=Severity.MEDIUM,
            order_id=order.id,
            context={"return": request.reference, "deliveryStage": stage},
        ),
        f"return_parcel:{request.id}",
    )
