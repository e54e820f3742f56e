"""The WhatsApp templates that the owner submits for approval: names, and parameters in their order.

The texts to submit are in docs/whatsapp-templates.md, with one place for each parameter. Here stands
what fills them: a placeholder of shop/messaging/placeholders.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Approved:
    """A template as the provider knows it."""

    name: str
    #: (the parameter's name, the placeholder that fills it)
    parameters: tuple[tuple[str, str], ...]
    #: utility for news of an order; what invites to buy is marketing, and is billed as such.
    category: str = "utility"


ORDER = ("orderNumber", "number")

WHATSAPP = {
    "order_confirmed": Approved(
        "order_confirmation",
        (
            ORDER, ("orderAmount", "total"), ("estimatedDelivery", "estimated_delivery"),
            ("trackingUrl", "order_url"),
        ),
    ),
    "payment_instructions": Approved(
        "payment_instructions",
        (ORDER, ("amount", "to_send"), ("dueDate", "due_day"), ("orderUrl", "order_url")),
    ),
    "payment_failed": Approved("payment_failed", (ORDER, ("retryUrl", "pay_url"))),
    "instalment_due": Approved(
        "instalment_due",
        (ORDER, ("amount", "instalment"), ("dueDate", "instalment_day"), ("payUrl", "pay_url")),
    ),
    "order_cancelled": Approved("order_cancelled", (ORDER, ("orderUrl", "order_url"))),
    "order_shipped": Approved(
        "shipment_created",
        (ORDER, ("awb", "awb"), ("courierName", "courier"), ("trackingLink", "track_url")),
    ),
    "out_for_delivery": Approved(
        "out_for_delivery",
        (ORDER, ("courierName", "courier"), ("trackingLink", "track_url")),
    ),
    "delivery_problem": Approved(
        "delivery_problem", (ORDER, ("courierName", "courier"), ("orderUrl", "order_url"))
    ),
    "order_delivered": Approved("delivered", (ORDER, ("orderUrl", "order_url"))),
    "refund_started": Approved(
        "refund_started", (ORDER, ("refundAmount", "refund"), ("orderUrl", "order_url"))
    ),
    "refund_sent": Approved(
        "refund_sent", (ORDER, ("refundAmount", "refund"), ("orderUrl", "order_url"))
    ),
    "return_approved": Approved("return_approved", (ORDER, ("orderUrl", "return_url"))),
    "return_refused": Approved("return_refused", (ORDER, ("orderUrl", "return_url"))),
    "return_received": Approved("return_received", (ORDER, ("orderUrl", "return_url"))),
    "exchange_sent": Approved(
        "exchange_sent", (ORDER, ("courierName", "courier"), ("trackingLink", "track_url"))
    ),
    "back_in_stock": Approved(
        "back_in_stock", (("productName", "thing"), ("productUrl", "product_url")), "marketing"
    ),
    "abandoned_cart": Approved(
        "abandoned_cart", (("itemCount", "count"), ("cartUrl", "cart_url")), "marketing"
    ),
}  # fmt: skip
"""Template → what WhatsApp calls it. A message that is not here goes by no WhatsApp."""
