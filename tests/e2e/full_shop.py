"""A shop in which every page has something to show, with words longer than anybody expects."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import current_app

from shop.accounts import address_book, links, second_factor, signing_in
from shop.accounts.models import LinkPurpose, User
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping
from shop.extensions import db
from shop.incidents.models import Category, Incident, Severity
from shop.incidents.opening import About, open_incident
from shop.jobs.models import Job, JobStatus
from shop.jobs.queue import enqueue
from shop.messaging import consents, stop_links
from shop.messaging.models import (
    CartReminder,
    Notification,
    NotificationStatus,
    Purpose,
    SuppressionReason,
)
from shop.orders.locking import lock_order
from shop.orders.models import Order
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.statements import storing
from shop.payments.statements.reading import read_statement
from shop.preferences import change
from shop.promotions import gift_cards
from shop.returns import asking
from shop.sandbox import gateway as sandbox
from shop.shipping_prices import editing
from shop.webhooks.models import WebhookEvent, WebhookStatus
from tests.factories import ADDRESS, make_cart, make_order, make_product, make_user
from tests.payments.transfers import csv_of
from tests.returns.conftest import arrive

LONG = "Carbon offensive blade with a name that does not want to end"
FAR = {
    "recipient": "Maximiliane von Hohenstaufen-Oberschwaben",
    "line1": "Donaudampfschifffahrtsgesellschaftskapitänsstraße 123456",
    "landmark": "Behind the water tower",
}
GONE = "nobody.has.this.address.any.more.since.years@mail.shopper.example"


def fill(configure: Callable[..., None], run_jobs: Callable[..., int]) -> dict[str, Any]:
    """Write it all. Returns what stands in the addresses, and the tokens of sign-ins, by name."""
    with transaction():
        change("auto_ship", "false")
        gift_cards.issue(50_000, "INR", "user:1", note="For the club's best of the year")
        consents.suppress("email", GONE, SuppressionReason.BOUNCED, "550 5.1.1 no such user here")
    named = {
        **_people(),
        **_returned(),
        **_unpaid(configure),
        **_parcels(),
        **_links_of_mails(),
        **_machinery(),
    }
    with transaction():
        editing.start_from_preferences("INR", "user:1")
    run_jobs()
    mail = sa.select(sa.func.min(Notification.id)).where(Notification.body_html.is_not(None))
    return {**named, "message_id": db.session.scalar(mail)}


def _people() -> dict[str, Any]:
    customer = make_user(name="Meera Joshi", phone="+919812345678")
    owner = make_user("owner")
    customer_id, owner_id, email = customer.id, owner.id, owner.email
    make_order("paid", lines={make_product(LONG, price=1_299_900): 1}, user=customer)
    make_cart(user=customer)
    codes = second_factor.hashed_codes(second_factor.new_recovery_codes())
    with transaction():
        second_factor.switch_on(owner_id, second_factor.new_secret(), 1, codes)
        entry = address_book.add(customer_id, {**ADDRESS, **FAR}).id
        person = db.session.get_one(User, customer_id)
        opened = {
            f"{one}_link": links.make(person, one, "new@shopper.example") for one in LinkPurpose
        }
    return {
        **opened, "address_id": entry, "owner_email": email,
        "customer": _signed_in(customer_id), "owner": _signed_in(owner_id),
    }  # fmt: skip


def _signed_in(user_id: int) -> str:
    """The value of the cookie of a browser in which this person has just signed in."""
    with current_app.test_request_context(), transaction():
        return signing_in.start_row(db.session.get_one(User, user_id))


def _returned() -> dict[str, Any]:
    """Three units arrived, of which one is to go back; its buyer's bank asks for the money too."""
    product = make_product(LONG, price=129_900, stock=12, variants=2)
    slug, variant_id = product.slug, product.variants[0].id
    order = arrive(make_order("paid", lines={product: 3}, address=FAR))
    order_id = order.id
    chosen = {
        f"qty-{order.lines[0].id}": "1",
        "reason": "damaged",
        "resolution": "refund",
        "words": "Worn " * 40,
    }
    form = asking.read_form(order, chosen, [])
    with transaction():
        return_id = asking.request_return(order_id, form, [], "customer").id
    disputed = make_order("paid", lines=1)
    event = GatewayEvent(
        EventKind.DISPUTE_OPENED, reference=attempts.latest(disputed.id).reference,
        dispute_gateway_id="dp_1", amount_minor=49_900, dispute_reason="product_not_received",
        evidence_due_at=utcnow() + timedelta(days=2),
    )  # fmt: skip
    with transaction():
        recording.record(event, "sandbox", "webhook")
    order = db.session.get_one(Order, order_id)
    return {
        "slug": slug, "variant_id": variant_id, "arrived": order.token, "arrived_number": order.number,
        "awb": f"AWB{order_id}", "return_id": return_id,
    }  # fmt: skip


def _unpaid(configure: Callable[..., None]) -> dict[str, Any]:
    """An order that waits for its money in each way that has a page for it."""
    unpaid, transfer = make_order(address=FAR), make_order(method="bank_transfer", lines=1)
    public_id = sandbox.find(attempts.latest(unpaid.id).reference).public_id
    tokens = {"unpaid": unpaid.token, "transfer": transfer.token, "public_id": public_id}
    razorpay = attempts.latest(make_order(method="razorpay", lines=1).id).reference
    configure(default_currency="SEK")
    swish = attempts.latest(make_order(method="swish", lines=1).id).reference
    configure(default_currency="INR")
    data = (
        csv_of((5_000, "a transfer of which nobody knows whose it may be", "A2"))
        + b"x;1.00;INR;;\n"
    )
    with transaction():
        kept = storing.keep_statement(read_statement(data, "INR"), "bank.csv", data, "user:1").id
    return {**tokens, "razorpay": razorpay, "swish": swish, "statement_id": kept}


def _parcels() -> dict[str, Any]:
    """An order with a parcel by hand, one whose carrier is to be chosen, and something left; one booked."""
    order_id = make_order("paid", lines=3, address=FAR).id
    booked = make_order("paid", lines=1)
    booked_token = booked.token
    with transaction():
        order = lock_order(order_id)
        first, second, _ = (line.id for line in order.lines)
        by_hand = shipping.reserve(order, {first: 1}, "manual").id
        to_choose = shipping.reserve(order, {second: 1}).id
        enqueue("delivery.create_shipment", {"order_id": booked.id}, key=str(booked.id))
    number = db.session.get_one(Order, order_id).number
    return {
        "parcels_number": number, "by_hand_id": by_hand, "parcel_id": to_choose, "booked": booked_token,
    }  # fmt: skip


def _links_of_mails() -> dict[str, Any]:
    cart_id = make_cart().id
    with transaction() as session:
        reminder = CartReminder(cart_id=cart_id, email="asha@shopper.example")
        session.add(reminder)
        session.flush()
        mail = Notification(
            template="abandoned_cart", channel="email", recipient=reminder.email, dedupe_key="cart:1",
            purpose=Purpose.REMINDERS, status=NotificationStatus.SENT, subject="You left something",
            subject_kind="cart_reminder", subject_id=reminder.id,
        )  # fmt: skip
        session.add(mail)
        session.flush()
        return {f"{use}_link": stop_links.token_of(mail.id, use) for use in ("cart", "stop")}


def _machinery() -> dict[str, Any]:
    """What failed: a job, of which an incident tells, and a message of a gateway."""
    with transaction() as session:
        job = Job(
            kind="messaging.tell", key="7", payload={"notification_id": 7}, run_at=utcnow(),
            status=JobStatus.FAILED, attempts=8, max_attempts=8, error="TryLater: HTTP 503\nTraceback",
        )  # fmt: skip
        event = WebhookEvent(
            source="sandbox", event_id="evt_1", kind="payment.captured", received_at=utcnow(),
            raw_body=b'{"event": "payment.captured", "payment": {"id": "pay_1", "amount": 100}}',
            headers={"Content-Type": "application/json"}, status=WebhookStatus.FAILED,
            error="Unknown payment", processed_at=utcnow(),
        )  # fmt: skip
        session.add_all([job, event])
        session.flush()
        about = About("A job failed for good", Category.API, Severity.HIGH, job_id=job.id)
        open_incident(about, f"job:{job.id}", "TryLater: HTTP 503", "Traceback\n  a line of it")
        incident = session.scalars(sa.select(Incident.id).filter_by(job_id=job.id)).one()
        return {"job_id": job.id, "event_id": event.id, "incident_id": incident}
