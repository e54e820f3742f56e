"""Carts that were left: whoever agreed is reminded once, unless they ordered meanwhile."""

from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select, update

from shop.accounts.models import User
from shop.cart.carts import put
from shop.cart.models import Cart, CartLine
from shop.catalog.models import Product, ProductStatus, Variant
from shop.clock import in_future, utcnow
from shop.database import insert_ignore
from shop.extensions import db
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.jobs.sweeping import next_page
from shop.messaging import consents
from shop.messaging.models import CartReminder, Consent, ConsentState, Notification, Purpose
from shop.orders.models import Order
from shop.preferences import preference

SWEEP = Policy(limit=30, attempts=5, base=5, cap=600, priority=30, incident=("api", "low"))
OLDEST_HOURS = 72
"""A cart that was left longer ago than this, and the hours of the preference, is let be."""
AT_ONCE = 200


def agree(cart_id: int, email: str, source: str, user_id: int | None, locale: str) -> None:
    """Whoever's cart this is wants to be reminded of it there. The newest address counts."""
    known = consents.known_as("email", email)
    consents.grant("email", known, Purpose.REMINDERS, source, user_id)
    values = {"email": known, "user_id": user_id, "locale": locale}
    if insert_ignore(CartReminder, {"cart_id": cart_id, **values}) is None:
        db.session.execute(
            update(CartReminder)
            .where(CartReminder.cart_id == cart_id, CartReminder.told_at.is_(None))
            .values(**values, updated_at=utcnow())
        )


def disagree(cart_id: int) -> None:
    """The box was unticked again: no reminder of this cart, and the consent is taken back."""
    found = of_cart(cart_id)
    if found is not None and found.told_at is None:
        consents.withdraw("email", found.email, Purpose.REMINDERS, "cart", found.user_id)
        db.session.delete(found)


def of_cart(cart_id: int) -> CartReminder | None:
    """The reminder that was agreed to for this cart."""
    return db.session.scalar(select(CartReminder).where(CartReminder.cart_id == cart_id))


def of_message(message: Notification) -> CartReminder | None:
    """The reminder that a mail was about; None when its cart is gone or was ordered."""
    if message.subject_kind != "cart_reminder" or message.subject_id is None:
        return None
    found = db.session.get(CartReminder, message.subject_id)
    cart = db.session.get(Cart, found.cart_id) if found else None
    return found if cart is not None and cart.ordered_at is None else None


def needs_sign_in(reminder: CartReminder, user_id: int | None) -> bool:
    """A customer's own cart is shown to them alone, however the link was come by."""
    owner_id = db.session.scalar(select(Cart.user_id).where(Cart.id == reminder.cart_id))
    return owner_id is not None and owner_id != user_id


def bring_back(reminder: CartReminder, into: Cart) -> None:
    """Put the reminder's lines into the cart of who asks; of a variant in both, the higher number counts."""
    if into.id == reminder.cart_id:
        return
    limit = preference("line_limit")
    held = dict(
        db.session.execute(
            select(CartLine.variant_id, CartLine.quantity).where(CartLine.cart_id == into.id)
        ).all()
    )
    lines = select(CartLine).where(CartLine.cart_id == reminder.cart_id).order_by(CartLine.id)
    for line in db.session.scalars(lines).all():
        missing = min(line.quantity, limit) - held.get(line.variant_id, 0)
        if missing > 0:
            put(into.id, line.variant_id, missing, line.price_seen_minor, limit)


@handles("messaging.left_carts", SWEEP)
def sweep(work: Work) -> None:
    """Find the carts that were left long enough, and have each told of once."""
    left_before = in_future(hours=-preference("cart_reminder_hours"))
    _agreed_by_account(work, left_before)
    due = (
        select(CartReminder.id)
        .join(Cart, Cart.id == CartReminder.cart_id)
        .where(CartReminder.told_at.is_(None), *_was_left(left_before))
    )
    for (reminder_id,) in next_page(work, due, AT_ONCE, "due"):
        db.session.execute(
            update(CartReminder).where(CartReminder.id == reminder_id).values(told_at=utcnow())
        )
        wish = {"event": "abandoned_cart", "cart_reminder_id": reminder_id}
        enqueue("messaging.tell", wish, key=f"abandoned_cart:{reminder_id}")


def _agreed_by_account(work: Work, left_before: datetime) -> None:
    """Carts of people who switched reminders on in their account need no box of their own."""
    said = (
        select(Consent.state)
        .where(
            Consent.channel == "email",
            Consent.recipient == func.lower(User.email),
            Consent.purpose == Purpose.REMINDERS,
        )
        .order_by(Consent.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    has_one = exists().where(CartReminder.cart_id == Cart.id)
    agreed = (
        select(Cart.id, User.id, User.email, User.locale)
        .join(User, User.id == Cart.user_id)
        .where(
            User.active,
            User.email_confirmed_at.is_not(None),
            said == ConsentState.GRANTED,
            ~has_one,
            *_was_left(left_before),
        )
    )
    for cart_id, user_id, email, locale in next_page(work, agreed, AT_ONCE, "agreed"):
        values = {"cart_id": cart_id, "user_id": user_id, "locale": locale}
        insert_ignore(CartReminder, {**values, "email": consents.known_as("email", email)})


def _was_left(left_before: datetime) -> tuple[Any, ...]:
    """Not ordered, with something in it, and nothing done to it since; not for ever either."""
    lines = select(CartLine.id).where(CartLine.cart_id == Cart.id)
    newest = select(func.max(CartLine.updated_at)).where(CartLine.cart_id == Cart.id)
    touched = newest.scalar_subquery()
    oldest = in_future(hours=-OLDEST_HOURS - preference("cart_reminder_hours"))
    return (
        Cart.ordered_at.is_(None), lines.exists(), touched < left_before, touched > oldest,
    )  # fmt: skip


def is_still_left(reminder: CartReminder, context: dict[str, Any]) -> bool:
    """The cart holds something that is sold, and its owner has ordered nothing since they agreed."""
    holds = (
        select(CartLine.id)
        .join(Cart, Cart.id == CartLine.cart_id)
        .join(Variant, Variant.id == CartLine.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .where(
            Cart.id == reminder.cart_id,
            Cart.ordered_at.is_(None),
            Product.status == ProductStatus.ACTIVE,
        )
        .limit(1)
    )
    ordered = (
        select(Order.id)
        .where(func.lower(Order.email) == reminder.email, Order.placed_at >= reminder.created_at)
        .limit(1)
    )
    return db.session.scalar(holds) is not None and db.session.scalar(ordered) is None
