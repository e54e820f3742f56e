"""Which steps staff may take with an order, in their words. lifecycle.RULES stays the only judge."""

from dataclasses import dataclass

from shop.accounts.rights import Right
from shop.admin.rendering import can
from shop.errors import Refused
from shop.orders.lifecycle import Who, allowed_events
from shop.orders.models import FulfilmentStatus, Order, OrderStatus

S = OrderStatus


@dataclass(frozen=True)
class Step:
    """A button: its event, its words, and what pressing it does."""

    event: str
    label: str
    does: str
    #: Opens a page that says what will happen before it does.
    asks_first: bool = False


STEPS = (
    Step("accepted", "Start processing", "Puts it on the picking list."),
    Step("packed", "Mark packed", "Says that it waits for pickup."),
    Step(
        "shipped",
        "Mark shipped",
        "Says that the courier has it, and mails the customer.",
        asks_first=True,
    ),
    Step("in_transit", "Mark in transit", "Moves it on by hand, without a scan."),
    Step(
        "out_for_delivery", "Mark out for delivery", "Moves it on by hand and mails the customer."
    ),
    Step("delivered", "Mark delivered", "Closes the delivery and mails the customer."),
    Step("delivery_attempt_failed", "Delivery failed", "Says that the courier could not deliver."),
    Step(
        "returned", "Mark returned", "Says that the parcel came back; asks about stock and money."
    ),
    Step(
        "sent_again", "Send again", "Puts it on the picking list once more; book its parcel then."
    ),
    Step("archived", "Archive", "Takes it out of the lists. It can be taken back."),
    Step("unarchived", "Take out of the archive", "Puts it back where it was."),
    Step("cancelled", "Cancel order", "Ends the order.", asks_first=True),
    Step("corrected", "Correct state", "Changes the state alone.", asks_first=True),
)
BY_EVENT = {step.event: step for step in STEPS}

PARCEL_STEPS = {
    "shipped",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "delivery_attempt_failed",
    "returned",
}
"""Where the order is over (cancelled, refunded), only a parcel under way is moved by these."""

FIRST = {
    S.PAID: "accepted",
    S.PROCESSING: "packed",
    S.READY_FOR_SHIPMENT: "shipped",
    S.SHIPPED: "delivered",
    S.IN_TRANSIT: "delivered",
    S.OUT_FOR_DELIVERY: "delivered",
    S.DELIVERED: "archived",
    S.CANCELLED: "archived",
    S.REFUNDED: "archived",
    S.RETURNED: "archived",
    S.ARCHIVED: "unarchived",
}
"""The likely next step, drawn as the main button."""

REASONS = {
    S.PENDING_PAYMENT: "It waits for the customer's payment.",
    S.PAYMENT_FAILED: "The payment did not go through. The customer has a link to try again.",
    S.PAID: "It is paid. Somebody should pack it.",
    S.PROCESSING: "It is being packed.",
    S.READY_FOR_SHIPMENT: "It is packed and waits for the courier.",
    S.SHIPPED: "The courier has it.",
    S.IN_TRANSIT: "It is on its way.",
    S.OUT_FOR_DELIVERY: "It should arrive today.",
    S.DELIVERED: "It has arrived.",
    S.CANCELLED: "It was cancelled.",
    S.RETURNED: "It came back. Decide about the goods and the money.",
    S.PARTIALLY_REFUNDED: "Part of the money went back.",
    S.REFUNDED: "All the money went back.",
    S.DISPUTED: "The customer's bank asks for the money back. Answer at the gateway.",
    S.ARCHIVED: "It is archived.",
}


def offered(order: Order) -> list[Step]:
    """The steps that the table and the person's role allow now, the likely one first."""
    allowed = set(allowed_events(order.status, Who.ADMIN))
    if not can(Right.MOVE_ORDERS):
        return []
    if can(Right.CHANGE_SETTINGS):
        allowed |= {"corrected"}
    if order.status in {S.CANCELLED, S.REFUNDED, S.PARTIALLY_REFUNDED}:
        under_way = order.fulfilment_status in {
            FulfilmentStatus.SHIPPED,
            FulfilmentStatus.PARTLY_SHIPPED,
        }
        allowed -= PARCEL_STEPS if not under_way else set()
    first = FIRST.get(order.status)
    steps = [step for step in STEPS if step.event in allowed]
    return sorted(steps, key=lambda step: step.event != first)


def closed(order: Order) -> list[str]:
    """What cannot be done now, and why: the questions that people ask most."""
    said = []
    allowed = allowed_events(order.status, Who.ADMIN)
    if "cancelled" not in allowed and order.status not in {S.CANCELLED, S.ARCHIVED}:
        said.append(
            "Cancel is closed: the parcel has left or the money is being settled. Refund instead."
        )
    if order.is_unpaid:
        said.append("Nothing can be packed or refunded before it is paid.")
    if order.status == S.DISPUTED:
        said.append("Shipping holds while the payment is disputed.")
    return said


def step_for(event: str) -> Step:
    """The step that a form names. Raises Refused for events that money makes, not people."""
    if event not in BY_EVENT:
        raise Refused(
            f"“{event[:40]}” is not a step that staff take. Record money on its payment instead."
        )
    return BY_EVENT[event]


def consequences(order: Order, event: str) -> list[str]:
    """What will happen, for the page that asks first."""
    if event == "shipped":
        return ["The order moves to Shipped.", "The customer is mailed."]
    if event == "corrected":
        return [
            "Only the state changes: no money, no stock and no message moves.",
            "The reason stays in the audit log.",
        ]
    said = []
    if order.is_unpaid:
        said += [
            "The held stock is released.",
            "The customer's cart is given back.",
            "Open payment pages are closed.",
        ]
    else:
        said += [
            "Parcels that were not handed over are cancelled.",
            "The units go back to the shelf.",
            "All that was paid is refunded.",
        ]
    return [*said, "The customer is mailed."]
