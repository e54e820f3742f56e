"""What the messages say, with named placeholders: plain data, never a template.

Placeholders are the fields that shop/messaging/facts.py works out. Both twins of a mail, HTML and
text, are made from the same wording, so they cannot disagree.
"""

from dataclasses import dataclass


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
        preheader="{courier}, tracking number {awb}. {arrival}",
        headline="On its way",
        sentence="{courier} has your parcel. {arrival}",
        button="Track your parcel",
        link="track_url",
        sections=("parcel", "parcel_lines", "address", "questions"),
        caption="In this parcel",
    ),
    "out_for_delivery": Wording(
        subject="Order {number} is arriving today",
        preheader="{courier}, tracking number {awb}.",
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
}
"""Template → its words."""
