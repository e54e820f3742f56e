"""What the messages say, with named placeholders: plain data, never a template.

Placeholders are named in shop/messaging/placeholders.py and worked out in filling.py. Both twins of
a mail, HTML and text, are made from the same wording, so they cannot disagree. Other languages are
in shop/messaging/languages, and what the owner changed in the database (overrides.py).
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
BLANKS = re.compile(r"[^\S\u00a0\u202f]+")
"""Blanks and line breaks, but for those that hold an amount together."""
LEFT_ALONE = re.compile(r"[ ,]* ([,.।])(?= |$)")
"""A mark with nothing before it that it could end."""


@dataclass(frozen=True)
class Words:
    """The sentences of a mail, without what it is made of."""

    subject: str
    #: The line that mail programs show beside the subject.
    preheader: str
    headline: str
    sentence: str
    button: str
    #: Above the lines, where there are such.
    caption: str = ""


@dataclass(frozen=True)
class Wording:
    """One template. `sections` name the parts under the panel (templates/messages/sections)."""

    subject: str
    #: The line that mail programs show beside the subject.
    preheader: str
    headline: str
    sentence: str
    button: str
    #: Where the button leads: a fact that holds an address.
    link: str
    sections: tuple[str, ...]
    #: Above the lines, where there are such.
    caption: str = "What you ordered"
    #: A phrase that says why the reader gets it.
    reason: str = "why_customer"

    def with_words(self, words: Words | Mapping[str, str]) -> "Wording":
        """The same message in other words; what they leave empty or out stays."""
        given = asdict(words) if isinstance(words, Words) else words
        said: dict[str, Any] = {part: words for part, words in given.items() if words}
        return replace(self, **said)


PARTS = ("subject", "preheader", "headline", "sentence", "button", "caption")
"""What of a wording is words."""


def filled_in(words: str, values: Mapping[str, str]) -> str:
    """Put the values in, and nothing else: no template, no formatting, no second round.

    Blanks and line breaks in them become one blank: a name cannot break a line. Where a value is
    empty, no comma or full stop is left standing alone. Raises KeyError for a placeholder that
    there is no value for.
    """
    said = BLANKS.sub(" ", PLACEHOLDER.sub(lambda found: values[found[1]], words)).strip()
    return LEFT_ALONE.sub(r"\1", said)


WORDINGS = {
    "order_confirmed": Wording(
        subject="We have your order {number}",
        preheader="{how_paid} {next}",
        headline="Thank you, {first_name}",
        sentence="{how_paid} {next}",
        button="Track your order",
        link="order_url",
        sections=("lines", "totals", "address", "changed_mind"),
    ),
    "admin_new_order": Wording(
        subject="New order {number}, {total}",
        preheader="{count} for {recipient} in {city}",
        headline="{count}, {total}",
        sentence="{recipient} ordered on {placed_at}. {paid_line}",
        button="Open the order",
        link="admin_url",
        sections=("lines", "totals", "address", "contact"),
        caption="What was ordered",
        reason="why_owner",
    ),
    "payment_instructions": Wording(
        subject="Send {to_send} by {due_day} for order {number}",
        preheader="Your items are held until {due_at}.",
        headline="One step left: send {to_send}",
        sentence="Your items are held until {due_at}. We ship when the transfer arrives, usually the next working day.",
        button="See bank details",
        link="order_url",
        sections=("instructions", "lines", "totals", "address", "questions"),
    ),
    "instalment_due": Wording(
        subject="{instalment} for order {number} is due {instalment_day}",
        preheader="{instalment_state}",
        headline="{instalment} is due {instalment_day}",
        sentence="{instalment_state} You can pay by any way that we offer.",
        button="Pay {instalment}",
        link="pay_url",
        sections=("lines", "totals", "questions"),
    ),
    "payment_failed": Wording(
        subject="Your payment for {number} did not go through",
        preheader="Nothing was charged. You can try again.",
        headline="Your payment did not go through",
        sentence="{failure} Nothing was charged. {hold}",
        button="Try again",
        link="pay_url",
        sections=("lines", "totals", "questions"),
    ),
    "order_cancelled": Wording(
        subject="Order {number} is cancelled",
        preheader="{cancelled_money}",
        headline="Your order is cancelled",
        sentence="{cancelled_why} {cancelled_money}",
        button="See what happens now",
        link="order_url",
        sections=("lines", "totals", "questions"),
        caption="What was cancelled",
    ),
    "late_money": Wording(
        subject="Your payment for {number} came after the items sold out",
        preheader="We have your {total}. It is safe.",
        headline="We have your payment, but not the items",
        sentence="Your {total} arrived after the items sold out. We are looking for a way to send them. {late_default}",
        button="See your order",
        link="order_url",
        sections=("lines", "totals", "questions"),
    ),
    "order_shipped": Wording(
        subject="Order {number} is on its way",
        preheader="{courier}, {awb}. {arrival}",
        headline="On its way",
        sentence="{courier} has your parcel. {arrival}",
        button="Track your parcel",
        link="track_url",
        sections=("parcel", "parcel_lines", "address", "questions"),
        caption="In this parcel",
    ),
    "out_for_delivery": Wording(
        subject="Order {number} is arriving today",
        preheader="{courier}, {awb}.",
        headline="Arriving today",
        sentence="{courier} is bringing your parcel today. {at_the_door}",
        button="Track your parcel",
        link="track_url",
        sections=("parcel", "address", "questions"),
    ),
    "delivery_problem": Wording(
        subject="We could not deliver {number}",
        preheader="{courier} came and could not hand it over.",
        headline="We could not deliver your parcel",
        sentence="{courier} came and could not hand it over. Most couriers try again on the next working day. Check the address below.",
        button="See what to do",
        link="order_url",
        sections=("parcel", "address", "questions"),
    ),
    "order_delivered": Wording(
        subject="Order {number} is delivered",
        preheader="Handed over by {courier}.",
        headline="Delivered",
        sentence="{courier} handed over your parcel.",
        button="See your order",
        link="order_url",
        sections=("parcel_lines", "address", "questions"),
        caption="In this parcel",
    ),
    "refund_sent": Wording(
        subject="{refund} is on its way back",
        preheader="{refund_for} It can take your bank a few days.",
        headline="{refund} is on its way back",
        sentence="{refund_for} It goes back the way it was paid and can take your bank a few days.",
        button="See the refund",
        link="order_url",
        sections=("refund", "questions"),
    ),
    "order_link": Wording(
        subject="The link to your order {number}",
        preheader="You asked for it on our site.",
        headline="Here is your order",
        sentence="Somebody, most likely you, asked for the link to this order on our site. Who has the link can see the order.",
        button="Open your order",
        link="order_url",
        sections=("questions",),
    ),
    "coming_back": Wording(
        subject="Order {number} is coming back to us",
        preheader="{courier} could not hand it over.",
        headline="Your parcel is coming back to us",
        sentence="{courier} could not hand it over and brings it back. When it is here we write, and send it again or give your money back.",
        button="See your order",
        link="order_url",
        sections=("parcel", "address", "questions"),
    ),
    "refund_started": Wording(
        subject="We are sending back {refund}",
        preheader="{refund_for}",
        headline="We are sending back {refund}",
        sentence="{refund_for} We write again when it has left.",
        button="See the refund",
        link="order_url",
        sections=("refund", "questions"),
    ),
    "return_requested": Wording(
        subject="We have your return of order {number}",
        preheader="We look at it and answer soon.",
        headline="We have your return",
        sentence="We look at it and answer soon. Please keep the items until then.",
        button="See your return",
        link="return_url",
        sections=("return_lines", "questions"),
    ),
    "return_approved": Wording(
        subject="Your return of order {number} is approved",
        preheader="Here is how the items get to us.",
        headline="Your return is approved",
        sentence="{return_note} Pack the items well. How they get to us stands on the page of your order.",
        button="See what to do",
        link="return_url",
        sections=("return_lines", "questions"),
    ),
    "return_refused": Wording(
        subject="We cannot take back your return of order {number}",
        preheader="{return_note}",
        headline="We cannot take this return",
        sentence="{return_note} Reply to this email if you see it otherwise.",
        button="See your return",
        link="return_url",
        sections=("return_lines", "questions"),
    ),
    "return_received": Wording(
        subject="Your return of order {number} has reached us",
        preheader="We look at the items now.",
        headline="Your return has reached us",
        sentence="We look at the items, and then refund or exchange them.",
        button="See your return",
        link="return_url",
        sections=("return_lines", "questions"),
    ),
    "return_closed": Wording(
        subject="Your return of order {number} is settled",
        preheader="{return_note}",
        headline="Your return is settled",
        sentence="{return_note} There is nothing more to do for you.",
        button="See your return",
        link="return_url",
        sections=("return_lines", "questions"),
    ),
    "exchange_sent": Wording(
        subject="The exchange for order {number} is on its way",
        preheader="{courier}, {awb}. {arrival}",
        headline="Your exchange is on its way",
        sentence="{courier} has your parcel. {arrival}",
        button="Track your parcel",
        link="track_url",
        sections=("parcel", "parcel_lines", "address", "questions"),
        caption="In this parcel",
    ),
    "admin_return_requested": Wording(
        subject="Return asked for: order {number}",
        preheader="{recipient} wants to send items back.",
        headline="A return is asked for",
        sentence="{recipient} wants to send back items of order {number}. {return_note}",
        button="Open the order",
        link="admin_url",
        sections=("return_lines", "contact"),
        reason="why_staff",
    ),
    "back_in_stock": Wording(
        subject="{product} is back",
        preheader="You asked us to tell you.",
        headline="{product} is back",
        sentence="You asked us to tell you: {thing} can be bought again. None is held for you.",
        button="See it",
        link="product_url",
        sections=("goods",),
        caption="Back on the shelf",
        reason="why_asked",
    ),
    "abandoned_cart": Wording(
        subject="Your cart is still here",
        preheader="{count}, {cart_total}.",
        headline="Your cart is still here",
        sentence="You left {count} in it. Prices and stock may change; nothing is held.",
        button="Back to the cart",
        link="cart_url",
        sections=("goods",),
        caption="In your cart",
        reason="why_asked",
    ),
    "admin_low_stock": Wording(
        subject="Low stock: {product}",
        preheader="{free} free of {sku}.",
        headline="{free} left",
        sentence="{thing} ({sku}) has {free} free units; its threshold is {threshold}.",
        button="Open the stock",
        link="stock_url",
        sections=(),
        reason="why_staff",
    ),
}
"""Template → its words in English."""
