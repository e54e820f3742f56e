"""What the order's page shows: gathered in a fixed number of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from shop.accounts.models import User
from shop.delivery import shipping
from shop.delivery.models import Shipment, ShipmentLine
from shop.delivery.story import is_coming_back
from shop.errors import NotFound
from shop.extensions import db
from shop.incidents.models import Incident, IncidentStatus
from shop.messaging.consents import suppressions_of
from shop.messaging.models import Notification, Suppression
from shop.orders.lifecycle import MOVING
from shop.orders.models import Order, PaymentStatus
from shop.payments.models import Dispute, DisputeStatus, Payment, Refund
from shop.returns.models import ReturnRequest
from shop.stock.models import Reservation, ReservationState


@dataclass(frozen=True)
class Customer:
    """Who ordered: the account, if any, and what the same address of mail bought before."""

    user: User | None
    orders: int
    #: Minor units paid, refunds not taken off, in this order's currency.
    paid_minor: int


@dataclass(frozen=True)
class OrderFacts:
    """An order and all that stands around it."""

    order: Order
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    shipments: Sequence[Shipment]
    messages: Sequence[Notification]
    #: What stands against writing to the order's address and number.
    suppressions: Sequence[Suppression]
    incidents: Sequence[Incident]
    returns: Sequence[ReturnRequest]
    #: The return whose goods this order replaces.
    replaces: ReturnRequest | None
    customer: Customer
    held_until: datetime | None
    older: str | None
    newer: str | None

    @property
    def is_coming_back(self) -> bool:
        """What is under way is on its way back to us."""
        return self.order.status in MOVING and is_coming_back(self.shipments)

    @property
    def captured_minor(self) -> int:
        """What came in."""
        return sum(payment.captured_minor for payment in self.payments)

    @property
    def refunded_minor(self) -> int:
        """What went back, all the way."""
        return sum(payment.refunded_minor for payment in self.payments)

    @property
    def refundable_minor(self) -> int:
        """What can still go back."""
        return sum(payment.refundable_minor for payment in self.payments)

    @property
    def disputed_payments(self) -> set[int]:
        """Keys of the payments whose dispute is open: nothing of them goes back until it is decided."""
        return {one.payment_id for one in self.disputes if one.status == DisputeStatus.OPEN}

    @property
    def units(self) -> int:
        """Units bought."""
        return sum(line.quantity for line in self.order.lines)

    @property
    def unshipped_units(self) -> int:
        """Units that are in no parcel and not refunded, of an order that may ship; else 0."""
        left = shipping.unshipped(self.order) if shipping.may_ship(self.order) else {}
        return sum(left.values())

    @property
    def shipped_units(self) -> int:
        """Units in parcels."""
        return sum(line.shipped_quantity for line in self.order.lines)


def order_of(number: str) -> Order:
    """The order of that number, with its lines. Raises NotFound."""
    found = db.session.scalar(
        select(Order).where(Order.number == number).options(selectinload(Order.lines))
    )
    if found is None:
        raise NotFound("There is no order of that number.")
    return found


def locked_order(number: str) -> Order:
    """The same, locked and read afresh, in the caller's transaction."""
    found = db.session.scalars(
        select(Order)
        .where(Order.number == number)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no order of that number.")
    return found


def gather(number: str) -> OrderFacts:
    """All that the page shows."""
    order = order_of(number)
    payments = _of(Payment, order).order_by(Payment.id.desc())
    shipments = (
        _of(Shipment, order)
        .order_by(Shipment.sequence.desc())
        .options(selectinload(Shipment.lines).selectinload(ShipmentLine.order_line))
    )
    disputes = (
        select(Dispute)
        .join(Payment, Payment.id == Dispute.payment_id)
        .where(Payment.order_id == order.id)
        .order_by(Dispute.id.desc())
    )
    incidents = _of(Incident, order).where(Incident.status != IncidentStatus.RESOLVED)
    returns = db.session.scalars(
        select(ReturnRequest)
        .where(
            (ReturnRequest.order_id == order.id) | (ReturnRequest.replacement_order_id == order.id)
        )
        .order_by(ReturnRequest.id)
    ).all()
    older, newer = _neighbours(order)
    return OrderFacts(
        order=order,
        payments=db.session.scalars(payments).all(),
        refunds=db.session.scalars(_of(Refund, order).order_by(Refund.id.desc())).all(),
        disputes=db.session.scalars(disputes).all(),
        shipments=db.session.scalars(shipments).all(),
        messages=db.session.scalars(
            _of(Notification, order).order_by(Notification.id.desc())
        ).all(),
        suppressions=suppressions_of([order.email, order.phone]),
        incidents=db.session.scalars(incidents.order_by(Incident.id.desc())).all(),
        returns=[one for one in returns if one.order_id == order.id],
        replaces=next((one for one in returns if one.order_id != order.id), None),
        customer=_customer(order),
        held_until=_held_until(order),
        older=older,
        newer=newer,
    )


def _of(model: Any, order: Order) -> Any:
    return select(model).where(model.order_id == order.id)


def _customer(order: Order) -> Customer:
    orders, paid = db.session.execute(
        select(
            func.count(Order.id),
            func.coalesce(
                func.sum(Order.total_minor).filter(
                    Order.payment_status != PaymentStatus.NOT_PAID, Order.currency == order.currency
                ),
                0,
            ),
        ).where(Order.email == order.email)
    ).one()
    user = db.session.get(User, order.user_id) if order.user_id else None
    return Customer(user, int(orders), int(paid))


def _held_until(order: Order) -> datetime | None:
    return db.session.scalar(
        select(func.min(Reservation.expires_at)).where(
            Reservation.order_id == order.id, Reservation.state == ReservationState.ACTIVE
        )
    )


def _neighbours(order: Order) -> tuple[str | None, str | None]:
    """The numbers of the order before and after this one."""
    older = select(func.max(Order.id)).where(Order.id < order.id).scalar_subquery()
    newer = select(func.min(Order.id)).where(Order.id > order.id).scalar_subquery()
    rows = db.session.execute(select(Order.id, Order.number).where(Order.id.in_([older, newer])))
    found = {row_id < order.id: number for row_id, number in rows}
    return found.get(True), found.get(False)
