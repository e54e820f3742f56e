"""The placeholders that words may hold: which each message has, what they mean, and what is refused.

Words typed by staff are data. A placeholder is a name between braces and nothing else: no
attribute, index, conversion or format may stand there, so nothing of the program can be reached.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from shop.messaging.wordings import PLACEHOLDER

SHOP = {"shop_name": "The shop's name."}
ORDER = {
    "number": "The order's number.",
    "total": "What the order costs.",
    "count": "How many items, such as “3 items”.",
    "recipient": "Who gets the parcel, with the whole name.",
    "first_name": "The first word of that name.",
    "city": "The town of the address.",
    "placed_at": "When it was ordered.",
    "how_paid": "A sentence: how it was paid. Can be empty.",
    "estimated_delivery": "The expected day, or what the shop says of every parcel.",
    "next": "A sentence: when the parcel comes, or that we write again.",
    "order_url": "The address of the order's page.",
    "short_url": "The same, shorter, for SMS.",
}
PAYING = {
    "to_send": "What is still to be paid.",
    "due_day": "The last day to pay.",
    "due_at": "That day with its time.",
    "hold": "A sentence: until when the items are held.",
    "pay_url": "The address where it is paid.",
    "short_pay_url": "The same, shorter, for SMS.",
}
PARCEL = {
    "courier": "Who brings the parcel.",
    "awb": "The tracking number. Can be empty.",
    "arrival": "A sentence: the expected day. Can be empty.",
    "at_the_door": "A sentence: what to pay to the courier. Can be empty.",
    "track_url": "The address where the parcel is followed.",
    "short_track_url": "The same, shorter, for SMS.",
}
REFUND = {
    "refund": "What goes back.",
    "refund_for": "A sentence: all or part, and of which order.",
}
RETURN = {
    "return_note": "What there is to say of its step: why, why not, by when it must leave, what was refunded. Can be empty.",
    "return_url": "The address of the return.",
}
CANCELLED = {
    "cancelled_why": "A sentence: why it was cancelled.",
    "cancelled_money": "A sentence: what becomes of the money.",
}
INSTALMENT = {
    "instalment": "The part that is due.",
    "instalment_day": "“on Tue 24 Nov”, or “today”.",
    "instalment_state": "A sentence: what was paid so far.",
}
STAFF = {
    "admin_url": "The address of the order in the admin.",
    "paid_line": "A sentence: what was paid, and how.",
}
GOODS = {
    "product": "The product with its brand.",
    "thing": "The same, with the size or colour.",
    "product_url": "The product's address.",
    "price": "Its price.",
}
STOP = {"stop_url": "Where the reader stops such messages."}
CART = {
    "count": "How many items, such as “3 items”.",
    "thing": "The first of them.",
    "cart_total": "What they cost.",
    "cart_url": "The address of the cart.",
}
SHELF = {
    "sku": "The article number.",
    "free": "How many can be sold.",
    "threshold": "From where on that is low.",
    "stock_url": "The address of the stock in the admin.",
}

_OF_ORDER = {
    "admin_new_order": STAFF,
    "admin_return_requested": STAFF | RETURN,
    "payment_instructions": PAYING,
    "payment_failed": PAYING
    | {"failure": "A sentence: what the bank or gateway said, in English; else that it failed."},
    "instalment_due": INSTALMENT | PAYING,
    "order_cancelled": CANCELLED,
    "late_money": {"late_default": "A sentence: what happens if no items are found."},
    "refund_started": REFUND,
    "refund_sent": REFUND,
    **dict.fromkeys(
        ("order_shipped", "out_for_delivery", "delivery_problem", "coming_back", "order_delivered",
         "exchange_sent"), PARCEL,
    ),
    **dict.fromkeys(
        ("return_requested", "return_approved", "return_refused", "return_received", "return_closed"),
        RETURN,
    ),
}  # fmt: skip
_OF_OTHERS = {
    "back_in_stock": SHOP | GOODS | STOP,
    "abandoned_cart": SHOP | CART | STOP,
    "admin_low_stock": SHOP | GOODS | SHELF,
}
BESIDE_ORDERS = frozenset().union(*_OF_OTHERS.values())
"""The placeholders of messages that are about a variant or a cart."""


def placeholders_of(template: str) -> dict[str, str]:
    """What the words of this message may hold: name → meaning, the message's own first."""
    if template in _OF_OTHERS:
        return _OF_OTHERS[template]
    return _OF_ORDER.get(template, {}) | ORDER | SHOP


LONGEST = {
    "subject": 150, "preheader": 200, "headline": 120, "sentence": 1000, "button": 40, "caption": 60,
    "text": 480, "name": 100,
}  # fmt: skip
"""Characters of each part."""
BRACES = re.compile(r"\{[^{}]*\}|[{}]")
CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_]+")


def fault_in(part: str, words: str, known: Mapping[str, str]) -> str:
    """What is wrong with the words of one part, for the owner to read; empty when nothing is."""
    if not words:
        return "This cannot be empty."
    if len(words) > LONGEST[part]:
        return f"At most {LONGEST[part]} characters; this has {len(words)}."
    if CONTROL.search(words):
        return "There is a sign in it that cannot be shown. Type the words anew."
    if part == "name":
        is_name = TEMPLATE_NAME.fullmatch(words)
        return (
            ""
            if is_name
            else "Only letters a to z, digits and underscores, as the provider shows it."
        )
    faults = (_fault_of(found[0], known) for found in BRACES.finditer(words))
    return next(filter(None, faults), "")


def _fault_of(found: str, known: Mapping[str, str]) -> str:
    if found == "{":
        return "A { has no } after it."
    if found == "}":
        return "A } has no { before it."
    name = found[1:-1].strip()
    if not name:
        return "There is no name between { and }."
    if not PLACEHOLDER.fullmatch(found):
        plain = re.split(r"[^a-z_]", name, maxsplit=1)[0]
        hint = f" Write {{{plain}}}." if plain in known else ""
        return f"{found} is not allowed: only a name may stand between the braces.{hint}"
    if name in known:
        return ""
    close = get_close_matches(name, known, n=1)
    hint = f" Did you mean {{{close[0]}}}?" if close else " The list shows what there is."
    return f"{found} is no placeholder of this message.{hint}"
