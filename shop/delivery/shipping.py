"""What goes into a parcel: reserving it, its weight and box, and giving units back.

A shipment's row is reserved by its unique key before anything is asked of a courier. Units are
counted on the order line by conditional update, so that nothing ships twice however many ask
(reliability.md, I28 and I29). Everything here runs in the caller's transaction, which holds the
order's row lock.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Exists, select, update

from shop.clock import utcnow
from shop.config import settings
from shop.database import rows_changed
from shop.delivery.couriers import courier
from shop.delivery.couriers.base import Parcel, ParcelLine, RateWish
from shop.delivery.couriers.manual import KEY as MANUAL
from shop.delivery.models import (
    GIVEN_BACK,
    NOT_HANDED_OVER,
    Shipment,
    ShipmentLine,
    ShipmentStatus,
    Step,
)  # fmt: skip
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.orders.lifecycle import SYSTEM
from shop.orders.models import (
    FulfilmentStatus,
    Order,
    OrderLine,
    OrderStatus,
    PaymentStatus,
)  # fmt: skip
from shop.payments import parts
from shop.stock import ledger
from shop.stock.models import MovementReason

CANCEL = "delivery.cancel_shipments"
"""The job that cancels an order's parcels at their couriers."""

SHIPPABLE = frozenset(
    {
        OrderStatus.PAID,
        OrderStatus.PROCESSING,
        OrderStatus.READY_FOR_SHIPMENT,
        # The rest of an order that ships in several parcels, or in place of a lost one.
        OrderStatus.SHIPPED,
        OrderStatus.IN_TRANSIT,
        OrderStatus.OUT_FOR_DELIVERY,
    }
)
"""In no other state does anything leave."""

MONEY_WENT_BACK = frozenset({PaymentStatus.REFUNDED, PaymentStatus.DISPUTED})
"""Nor does anything leave while its money is gone or questioned."""

MIN_GRAMS = 50
MIN_SIDES_MM = (100, 100, 20)
#: Couriers bill the greater of the weight and length × breadth × height / 5000 (cm, kg).
VOLUMETRIC_DIVISOR = 5000


class NothingToSend(Refused):
    """It cannot be sent again: the shelf is empty, or what is on it is held."""


def may_ship(order: Order) -> bool:
    """Judged under the order's lock: not while disputed, nor once cancelled or refunded."""
    return order.status in SHIPPABLE and order.payment_status not in MONEY_WENT_BACK


def maker_lives(but_for: int = 0) -> Exists:
    """True of a parcel in a statement while a job (another than that one) makes or cancels it."""
    alive = select(Job.id).where(
        Job.id == Shipment.booked_by_job,
        Job.id != but_for,
        Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]),
    )
    return alive.exists()


def is_being_cancelled(shipment: Shipment) -> bool:
    """True while a job of ours cancels it at the courier."""
    keys = (str(shipment.order_id), f"{shipment.order_id}:{shipment.id}")
    ours = select(Job.id).where(
        Job.kind == CANCEL, Job.key.in_(keys), Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING])
    )
    return db.session.scalar(ours.limit(1)) is not None


def of_order(order_id: int) -> list[Shipment]:
    """The order's parcels, first to last."""
    return list(
        db.session.scalars(
            select(Shipment).where(Shipment.order_id == order_id).order_by(Shipment.sequence)
        )
    )


def unfinished(order_id: int, shipment_id: int | None = None) -> Shipment | None:
    """The parcel (that one, or the first) whose making has begun and has not come to its end; locked.

    One that staff send by hand is none of them: no job makes it.
    """
    query = select(Shipment).where(
        Shipment.order_id == order_id,
        Shipment.courier != MANUAL,
        Shipment.step != Step.LABELLED,
        Shipment.status.in_(NOT_HANDED_OVER),
    )
    if shipment_id is not None:
        query = query.where(Shipment.id == shipment_id)
    return db.session.scalars(
        query.order_by(Shipment.sequence)
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()


def unshipped(order: Order) -> dict[int, int]:
    """Units of each line that were bought, are not refunded and are in no parcel."""
    left = {
        line.id: line.quantity - line.refunded_quantity - line.shipped_quantity
        for line in order.lines
    }
    return {line_id: quantity for line_id, quantity in left.items() if quantity > 0}


def never_left(order: Order) -> dict[int, int]:
    """Of what is unshipped, the units that were in no parcel which a courier lost or brought back."""
    tried: dict[int, int] = {}
    for parcel in of_order(order.id):
        if parcel.status in GIVEN_BACK - {ShipmentStatus.CANCELLED}:
            for held in parcel.lines:
                tried[held.order_line_id] = tried.get(held.order_line_id, 0) + held.quantity
    left = {key: units - tried.get(key, 0) for key, units in unshipped(order).items()}
    return {key: units for key, units in left.items() if units > 0}


def reserve(
    order: Order, quantities: Mapping[int, int] | None = None, courier_key: str = ""
) -> Shipment | None:
    """Reserve the order's next parcel: units by order line's id; by default all that is left.

    Returns None when nothing is left to ship. Raises Refused when the order may not ship, when a
    line gives no units, when the shelf has none to send again, or (as Conflict) when fewer units are
    left than wanted.
    """
    if not may_ship(order):
        raise Refused("Nothing ships from this order as it stands.", status=order.status.value)
    quantities = dict(quantities) if quantities is not None else unshipped(order)
    if not quantities:
        return None
    _take_from_shelf(order, quantities)
    _take(order, quantities)
    key = courier_key or settings().courier
    earlier = of_order(order.id)
    shipment = Shipment(
        order_id=order.id,
        sequence=1 + max((one.sequence for one in earlier), default=0),
        courier=key,
        reference=next_reference(order, earlier),
        is_dry_run=courier(key).is_dry_run,
    )
    _measure(shipment, [(line, quantities.get(line.id, 0)) for line in order.lines])
    shipment.collect_minor = _to_collect(order, quantities, earlier)
    shipment.lines = [
        ShipmentLine(order_line_id=line_id, quantity=quantity)
        for line_id, quantity in sorted(quantities.items())
    ]
    db.session.add(shipment)
    db.session.flush()
    return shipment


def _take_from_shelf(order: Order, quantities: Mapping[int, int]) -> None:
    """What is sent again in place of lost or restocked units comes off the shelf: so its count.

    What came back and was not put there, or never left, is still packed and goes first.
    """
    lines = sorted(_lines_afresh(order), key=lambda one: one.variant_id)
    back = ledger.units_back([line.id for line in lines])
    for line in lines:
        missing = line.lost_quantity + back.get(line.id, 0)
        if not missing:
            continue
        away = max(0, line.shipped_quantity - line.returned_quantity)
        here = max(0, ledger.units_out(line.id) - line.lost_quantity - away)
        needed = min(missing, quantities.get(line.id, 0) - here)
        if needed > 0:
            _write_off(line, needed, f"{order.number}: sent again")
    db.session.flush()


def _write_off(line: OrderLine, units: int, why: str) -> None:
    try:
        ledger.move(line.variant_id, -units, MovementReason.WRITE_OFF, SYSTEM.name, why)
    except ledger.NotOnShelf as error:
        raise NothingToSend(f"The shelf has no {line.name} left to send again.") from error
    line.lost_quantity -= min(units, line.lost_quantity)


def _take(order: Order, quantities: Mapping[int, int]) -> None:
    """Count the units as shipped, line by line, or raise: the transaction then undoes them all."""
    for line_id, quantity in sorted(quantities.items()):
        if quantity <= 0:
            raise Refused("A parcel holds at least one unit of each line.")
        result = db.session.execute(
            update(OrderLine)
            .where(
                OrderLine.id == line_id,
                OrderLine.order_id == order.id,
                OrderLine.shipped_quantity + quantity
                <= OrderLine.quantity - OrderLine.refunded_quantity,
            )
            .values(shipped_quantity=OrderLine.shipped_quantity + quantity, updated_at=utcnow())
            .execution_options(synchronize_session=False)
        )
        if not rows_changed(result):
            raise Conflict("More units than are left to ship.")
    _lines_afresh(order)


def _lines_afresh(order: Order) -> Sequence[OrderLine]:
    """The order's lines as they stand in the table now."""
    return db.session.scalars(
        select(OrderLine)
        .where(OrderLine.order_id == order.id)
        .execution_options(populate_existing=True)
    ).all()


def next_reference(order: Order, earlier: Iterable[Shipment]) -> str:
    """The order's number, then -R1, -R2 …: a courier never takes a reference twice."""
    used = [one.reference for one in earlier]
    if not used:
        return order.number
    ends = [re.search(r"-R(\d+)$", reference) for reference in used]
    return f"{order.number}-R{1 + max(int(end[1]) if end else 0 for end in ends)}"


def _measure(shipment: Shipment, contents: Sequence[tuple[OrderLine, int]]) -> None:
    """Grams, and a box: the largest length and breadth, the heights stacked."""
    held = [(line, quantity) for line, quantity in contents if quantity > 0]
    sides = [sorted((line.length_mm, line.width_mm, line.height_mm)) for line, _ in held]
    grams = sum(line.weight_grams * quantity for line, quantity in held)
    stacked = sum(side[0] * quantity for side, (_, quantity) in zip(sides, held, strict=True))
    shipment.weight_grams = max(grams, MIN_GRAMS)
    shipment.length_mm = max(MIN_SIDES_MM[0], *(side[2] for side in sides))
    shipment.width_mm = max(MIN_SIDES_MM[1], *(side[1] for side in sides))
    shipment.height_mm = max(MIN_SIDES_MM[2], stacked)


def volumetric_grams(shipment: Shipment) -> int:
    """What the box counts as, in grams; rounded up."""
    volume = shipment.length_mm * shipment.width_mm * shipment.height_mm
    return -(-volume // VOLUMETRIC_DIVISOR)


def billed_grams(shipment: Shipment) -> int:
    """What couriers bill: the greater of weight and volumetric weight."""
    return max(shipment.weight_grams, volumetric_grams(shipment))


def _to_collect(order: Order, quantities: Mapping[int, int], earlier: Iterable[Shipment]) -> int:
    """What is paid at the door for this parcel, in minor units: 0 unless the order is unpaid COD.

    Several parcels share what is due: each collects its lines' worth, the last one what is left.
    """
    if order.payment_method != "cod" or order.paid_at is not None:
        return 0
    elsewhere = sum(one.collect_minor for one in earlier if one.status not in GIVEN_BACK)
    left = max(0, parts.due_minor(order.id) - elsewhere)
    if not unshipped(order):
        return left
    worth = sum(
        line.total_minor * quantities.get(line.id, 0) // line.quantity for line in order.lines
    )
    return min(left, worth)


def give_back(shipment: Shipment) -> None:
    """The parcel ended without reaching anyone: its units may ship again. Once for each line.

    Those of one that is lost or damaged do not come back.
    """
    is_gone = shipment.status in {ShipmentStatus.LOST, ShipmentStatus.DAMAGED}
    for held in sorted(shipment.lines, key=lambda line: line.order_line_id):
        freed = db.session.execute(
            update(ShipmentLine)
            .where(ShipmentLine.id == held.id, ShipmentLine.given_back.is_(False))
            .values(given_back=True, updated_at=utcnow())
            .execution_options(synchronize_session="fetch")
        )
        if rows_changed(freed):
            db.session.execute(
                update(OrderLine)
                .where(OrderLine.id == held.order_line_id)
                .values(
                    shipped_quantity=OrderLine.shipped_quantity - held.quantity,
                    lost_quantity=OrderLine.lost_quantity + (held.quantity if is_gone else 0),
                    updated_at=utcnow(),
                )
                .execution_options(synchronize_session="fetch")
            )


def mark_cancelled(shipment: Shipment, order: Order) -> None:
    """It will not leave: its units may ship again. Nothing, once it was handed over."""
    shipment.booked_by_job = shipment.trying = None
    shipment.parked = shipment.parked_at = shipment.parked_job = None
    if shipment.status not in NOT_HANDED_OVER:
        return
    shipment.status = ShipmentStatus.CANCELLED
    shipment.status_at = utcnow()
    db.session.flush()
    give_back(shipment)
    recount_fulfilment(order)


def parcel_of(shipment: Shipment, order: Order) -> Parcel:
    """The parcel as a courier is told of it. Amounts are those of the units inside."""
    lines = [_parcel_line(held) for held in shipment.lines]
    goods = sum(line.unit_minor * line.quantity for line in lines)
    discount = sum(line.discount_minor for line in lines)
    is_first = shipment.sequence == 1
    extra = (
        shipment.collect_minor - (goods - discount)
        if shipment.collect_minor
        else (order.shipping_minor + order.fee_minor if is_first else 0)
    )
    return Parcel(
        reference=shipment.reference,
        order_number=order.number,
        placed_at=order.placed_at,
        email=order.email,
        phone=order.phone or order.shipping_address.get("phone", ""),
        to=order.shipping_address,
        lines=lines,
        currency=order.currency,
        goods_minor=goods,
        shipping_minor=max(0, extra),
        discount_minor=discount + max(0, -extra),
        collect_minor=shipment.collect_minor,
        weight_grams=shipment.weight_grams,
        length_mm=shipment.length_mm,
        width_mm=shipment.width_mm,
        height_mm=shipment.height_mm,
    )


def rate_wish(parcel: Parcel) -> RateWish:
    """The question what that parcel would cost."""
    return RateWish(
        postal_code=parcel.to.get("postal_code", ""),
        country=parcel.to.get("country", ""),
        weight_grams=parcel.weight_grams,
        length_mm=parcel.length_mm,
        width_mm=parcel.width_mm,
        height_mm=parcel.height_mm,
        goods_minor=max(0, parcel.goods_minor - parcel.discount_minor),
        currency=parcel.currency,
        collect=parcel.collect_minor > 0,
    )


def _parcel_line(held: ShipmentLine) -> ParcelLine:
    line = held.order_line
    return ParcelLine(
        name=line.name,
        sku=line.sku,
        quantity=held.quantity,
        unit_minor=line.unit_price_minor,
        discount_minor=line.discount_minor * held.quantity // line.quantity,
        tax_rate_bp=line.tax_rate_bp,
        hsn_code=line.hsn_code,
    )


def recount_fulfilment(order: Order) -> None:
    """Work the order's fulfilment status out from its parcels."""
    db.session.flush()
    order.fulfilment_status = _fulfilment(order)


def _fulfilment(order: Order) -> FulfilmentStatus:
    parcels = of_order(order.id)
    away = [
        one for one in parcels if one.status not in NOT_HANDED_OVER and one.status not in GIVEN_BACK
    ]
    came = [one for one in away if one.status == ShipmentStatus.DELIVERED]
    if not away:
        is_back = any(one.status == ShipmentStatus.RTO_DELIVERED for one in parcels)
        waiting = any(one.status in NOT_HANDED_OVER for one in parcels)
        return (
            FulfilmentStatus.RETURNED if is_back and not waiting else FulfilmentStatus.UNFULFILLED
        )
    if came and _covers(came, order):
        return FulfilmentStatus.DELIVERED
    return FulfilmentStatus.SHIPPED if _covers(away, order) else FulfilmentStatus.PARTLY_SHIPPED


def _covers(parcels: Iterable[Shipment], order: Order) -> bool:
    """True when these parcels hold every unit that was bought and not refunded."""
    inside: dict[int, int] = {}
    for parcel in parcels:
        for held in parcel.lines:
            inside[held.order_line_id] = inside.get(held.order_line_id, 0) + held.quantity
    return all(
        inside.get(line.id, 0) >= line.quantity - line.refunded_quantity for line in order.lines
    )
