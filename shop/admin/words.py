"""What staff read: names of states and events, and how moments stand in lists."""

from datetime import datetime, timedelta

from babel.dates import format_date

from shop.admin import bp
from shop.clock import local, utcnow
from shop.pages import clock

STATUS = {
    "pending_payment": "Awaiting payment",
    "payment_failed": "Payment failed",
    "paid": "Paid",
    "processing": "Processing",
    "ready_for_shipment": "Ready to ship",
    "shipped": "Shipped",
    "in_transit": "In transit",
    "out_for_delivery": "Out for delivery",
    "delivered": "Delivered",
    "cancelled": "Cancelled",
    "returned": "Returned",
    "partially_refunded": "Part refunded",
    "refunded": "Refunded",
    "disputed": "Disputed",
    "archived": "Archived",
}
PAYMENT = {
    "not_paid": "Not paid",
    "pending": "Waiting",
    "partially_paid": "Part paid",
    "paid": "Paid",
    "partially_refunded": "Part refunded",
    "refunded": "Refunded",
    "disputed": "Disputed",
}
FULFILMENT = {
    "unfulfilled": "Not shipped",
    "partly_shipped": "Part shipped",
    "shipped": "Shipped",
    "delivered": "Delivered",
    "returned": "Returned",
}
ATTEMPT = {
    "created": ("Being opened", ""),
    "open": ("Open", "warn"),
    "unknown": ("Being checked", "warn"),
    "authorized": ("Authorised", "info"),
    "captured": ("Captured", "ok"),
    "failed": ("Failed", "danger"),
    "expired": ("Expired", ""),
    "cancelled": ("Closed", ""),
    "superseded": ("Replaced", ""),
}
"""Of a payment attempt: words and the badge's tone."""

GATEWAY = {
    "sandbox": "Sandbox",
    "stripe": "Stripe",
    "bank_transfer": "Bank transfer",
    "cod": "Cash on delivery",
}
COURIER = {"sandbox": "Sandbox courier", "parcel": "Shiprocket", "manual": "By hand"}
SHIPMENT = {
    "pending": "Being booked",
    "pickup_scheduled": "Pickup booked",
    "picked_up": "Picked up",
    "in_transit": "In transit",
    "out_for_delivery": "Out for delivery",
    "delivered": "Delivered",
    "cancelled": "Cancelled",
    "lost": "Lost",
    "damaged": "Damaged",
    "rto_initiated": "Coming back",
    "rto_in_transit": "Coming back",
    "rto_delivered": "Came back",
}


@bp.app_template_filter("status_words")
def status_words(value: str) -> str:
    """An order's status as staff read it."""
    return STATUS.get(value, plain(value))


@bp.app_template_filter("payment_words")
def payment_words(value: str) -> str:
    """An order's payment status as staff read it."""
    return PAYMENT.get(value, plain(value))


@bp.app_template_filter("fulfilment_words")
def fulfilment_words(value: str) -> str:
    """An order's fulfilment status as staff read it."""
    return FULFILMENT.get(value, plain(value))


@bp.app_template_filter("gateway_words")
def gateway_words(value: str) -> str:
    """A way to pay as staff read it."""
    return GATEWAY.get(value, plain(value))


@bp.app_template_filter("courier_words")
def courier_words(value: str) -> str:
    """A courier as staff read it."""
    return COURIER.get(value, plain(value))


@bp.app_template_filter("shipment_words")
def shipment_words(value: str) -> str:
    """A parcel's status as staff read it."""
    return SHIPMENT.get(value, plain(value))


@bp.app_template_filter("attempt_words")
def attempt_words(value: str) -> tuple[str, str]:
    """A payment attempt's status as staff read it, and its badge's tone."""
    return ATTEMPT.get(value, (plain(value), ""))


@bp.app_template_filter("plain")
def plain(value: str) -> str:
    """write_off → Write off."""
    return str(value).replace("_", " ").capitalize()


@bp.app_template_filter("row_time")
def row_time(value: datetime) -> str:
    """In lists: the time today, "Yesterday", else the day."""
    shown, today = local(value).date(), local(utcnow()).date()
    if shown == today:
        return clock(value)
    if shown == today - timedelta(days=1):
        return "Yesterday"
    form = "EEE d MMM" if shown.year == today.year else "d MMM yyyy"
    return format_date(shown, form, locale="en_GB")


@bp.app_template_filter("ago")
def ago(value: datetime | None) -> str:
    """How long ago, roughly: 18 s, 4 min, 3 h, 2 d."""
    if value is None:
        return "never"
    seconds = max(0, int((utcnow() - value).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} d"
