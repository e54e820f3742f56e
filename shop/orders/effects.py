"""What follows a step in an order's life: in the same transaction, or as a job written in it."""

from collections.abc import Callable

from sqlalchemy import select, update

from shop.cart.models import Cart, CartLine
from shop.catalog.models import Seller
from shop.clock import utcnow
from shop.errors import Refused
from shop.extensions import db
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.queue import enqueue
from shop.orders import lines
from shop.orders.models import REPLACEMENT, FulfilmentStatus, Order
from shop.preferences import preference
from shop.stock import ledger, reservations
from shop.stock.models import ReservationState

WORDS = {
    "placed": "Order placed",
    "pay_on_delivery_accepted": "Order accepted, to be paid at the door",
    "nothing_to_pay": "Nothing left to pay",
    "replacement_made": "Goods that replace a return are being packed",
    "payment_succeeded": "Payment received",
    "payment_failed": "The payment did not go through",
    "payment_retried": "Trying to pay again",
    "expired": "Cancelled: it was not paid in time",
    "cancelled_by_customer": "Cancelled by the customer",
    "cancelled": "Cancelled",
    "accepted": "Being packed",
    "packed": "Packed and waiting for pickup",
    "shipped": "Picked up by the courier",
    "in_transit": "In transit",
    "out_for_delivery": "Out for delivery",
    "delivery_attempt_failed": "The courier could not deliver",
    "delivered": "Delivered",
    "returned": "Came back to us",
    "sent_again": "Being packed once more",
    "partly_refunded": "Part of the money was refunded",
    "refunded": "Refunded",
    "dispute_opened": "The payment is disputed",
    "dispute_won": "The dispute was won",
    "dispute_lost": "The dispute was lost",
    "archived": "Archived",
    "unarchived": "Taken out of the archive",
    "corrected": "State corrected by hand",
}
"""What a person reads in the timeline for each event."""

Effect = Callable[[Order, str], None]


def tell(message: str) -> Effect:
    """A message job: the table in messaging says who hears of it, by which channel."""

    def follow(order: Order, actor: str) -> None:
        tell_of(order, message, order.news_of_shipment)

    follow.__name__ = f"tell_{message}"
    return follow


def tell_of(order: Order, message: str, shipment_id: int | None) -> None:
    """The same, about one parcel of the order where it is known which."""
    if message == "order_shipped" and order.payment_method == REPLACEMENT:
        message = "exchange_sent"
    payload = {"event": message, "order_id": order.id, "version": order.version}
    key = f"{message}:{order.id}"
    if shipment_id is not None:
        payload["shipment_id"] = shipment_id
        key = f"{key}:{shipment_id}"
    enqueue("messaging.tell", payload, key=key)


def confirm_stock(order: Order, actor: str) -> None:
    """The held units are sold."""
    reservations.confirm(order.id, lines.line_ids(order.id), actor)


def release_stock(order: Order, actor: str) -> None:
    """The held units are free again."""
    reservations.release(order.id, ReservationState.CANCELLED)


def restock(order: Order, actor: str) -> None:
    """Sold units that never left go back to the shelf; what a refund put back is not put back again.

    Nor is what was lost on its way.
    """
    is_partly_gone = order.fulfilment_status != FulfilmentStatus.UNFULFILLED
    for line in sorted(order.lines, key=lambda one: one.variant_id):
        here = min(
            line.quantity - line.refunded_quantity,
            ledger.units_out(line.id) - line.lost_quantity,
        )
        if is_partly_gone:
            here -= line.shipped_quantity
        ledger.restock_line(line.variant_id, line.id, here, 0, actor)
    if is_partly_gone or any(line.lost_quantity for line in order.lines):
        _ask_to_count(order)


def _ask_to_count(order: Order) -> None:
    open_incident(
        About(
            issue=f"Order {order.number} was cancelled after a part of it left: count what is still here",
            category=Category.STOCK,
            severity=Severity.MEDIUM,
            order_id=order.id,
            context={"orderId": order.number, "deliveryStage": order.fulfilment_status.value},
        ),
        f"count_after_cancel:{order.id}",
    )


def give_cart_back(order: Order, actor: str) -> None:
    """The cart that became this order is a cart again, unless its owner has begun another."""
    if order.cart_id is None:
        return
    newer = select(Cart.id).where(
        Cart.user_id == order.user_id, Cart.ordered_at.is_(None), Cart.user_id.is_not(None)
    )
    db.session.execute(
        update(Cart)
        .where(Cart.id == order.cart_id, ~newer.exists())
        .values(ordered_at=None, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def take_cart_again(order: Order) -> None:
    """Late money revives the order: its cart, if nobody changed it, is the order again."""
    in_cart = db.session.execute(
        select(CartLine.variant_id, CartLine.quantity).where(CartLine.cart_id == order.cart_id)
    ).all()
    if order.cart_id is not None and dict(in_cart) == lines.quantities(order.id):
        db.session.execute(
            update(Cart)
            .where(Cart.id == order.cart_id, Cart.ordered_at.is_(None))
            .values(ordered_at=utcnow())
            .execution_options(synchronize_session=False)
        )


def count_sales(order: Order, actor: str) -> None:
    """Add the lines to their sellers' sales, once an order."""
    if order.sales_counted_at is not None:
        return
    order.sales_counted_at = utcnow()
    change_sales([(line.seller_id, line.quantity, line.total_minor) for line in order.lines])


def change_sales(changes: list[tuple[int, int, int]]) -> None:
    """Add (seller, units, minor units) to the sellers' counters; in order of seller."""
    summed: dict[int, tuple[int, int]] = {}
    for seller_id, units, minor in changes:
        before = summed.get(seller_id, (0, 0))
        summed[seller_id] = (before[0] + units, before[1] + minor)
    for seller_id, (units, minor) in sorted(summed.items()):
        db.session.execute(
            update(Seller)
            .where(Seller.id == seller_id)
            .values(sales_count=Seller.sales_count + units, sales_minor=Seller.sales_minor + minor)
            .execution_options(synchronize_session=False)
        )


def book_parcel(order: Order, actor: str) -> None:
    """Book the parcel at the courier, unless the owner books by hand."""
    if preference("auto_ship"):
        enqueue("delivery.create_shipment", {"order_id": order.id}, key=str(order.id))


def cancel_parcels(order: Order, actor: str) -> None:
    """Parcels that were not handed over are cancelled at the courier."""
    enqueue("delivery.cancel_shipments", {"order_id": order.id}, key=str(order.id))


def hold_parcels(order: Order, actor: str) -> None:
    """Parcels that wait for their pickup are shown to a person."""
    enqueue("delivery.follow_money", {"order_id": order.id}, key=str(order.id))


def close_attempts(order: Order, actor: str) -> None:
    """Open payment pages are ended at their gateways."""
    enqueue("payments.close_attempts", {"order_id": order.id}, key=str(order.id))


def refund_in_full(order: Order, actor: str) -> None:
    """All that was paid goes back."""
    enqueue(
        "payments.refund_in_full",
        {"order_id": order.id, "actor": actor, "reason": "order cancelled"},
        key=str(order.id),
    )


def report_return(order: Order, actor: str) -> None:
    """Somebody must decide about the goods and the money."""
    open_incident(
        About(
            issue=f"Order {order.number} came back: restock and refund?",
            category=Category.DELIVERY,
            severity=Severity.HIGH,
            order_id=order.id,
            context={"orderId": order.number, "deliveryStage": "returned"},
        ),
        f"returned:{order.id}",
    )


def tell_of_replacement(order: Order, actor: str) -> None:
    """The order that this one replaces hears that it does not arrive."""
    replacement_ended(order, "was cancelled")


def replacement_ended(order: Order, how: str) -> None:
    """Where the order replaces a return's goods, its first order gets a person; `how` are words."""
    if order.payment_method == REPLACEMENT:
        wish = {"order_id": order.id, "how": how}
        enqueue("returns.replacement_ended", wish, key=f"{order.id}:{how}")


def refuse_after_handover(order: Order, actor: str) -> None:
    """A shopper cannot cancel once a parcel has left."""
    if order.fulfilment_status != FulfilmentStatus.UNFULFILLED:
        raise Refused("A parcel of this order has left already. You can return it instead.")


def refuse_unpaid(order: Order, actor: str) -> None:
    """Only what was paid can be disputed."""
    if order.paid_at is None:
        raise Refused("This order was never paid.")
