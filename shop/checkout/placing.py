"""Placing an order: the one use case that joins cart, stock, orders and payments.

Number first (a transaction of its own), then one transaction that turns the cart into the order,
holds all lines or none and adds the payment attempt; then, with no transaction open, the gateway.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from shop.audit import recording as audit
from shop.cart.models import Cart, CartLine
from shop.checkout.at_the_door import Customer
from shop.checkout.quoting import Quote, QuoteLine, quote
from shop.clock import in_future, utcnow
from shop.database import is_passing, rows_changed, table_of, transaction
from shop.errors import Conflict, Refused
from shop.extensions import db
from shop.messaging import consents
from shop.messaging.models import Purpose
from shop.money import format_minor
from shop.orders.effects import WORDS
from shop.orders.models import Order, OrderEvent, OrderLine, PaymentStatus
from shop.orders.numbers import draw_number, new_token
from shop.payments import attempts, gift_cards, parts
from shop.payments.attempts import Next, Opening
from shop.payments.gateways import gateway
from shop.stock import reservations
from shop.stock.models import StockLevel


@dataclass(frozen=True)
class Wish:
    """What the shopper asks for. Prices are not in it, but for the total that was shown."""

    cart_id: int
    user_id: int | None
    email: str
    phone: str
    shipping_address: dict[str, str]
    billing_address: dict[str, str]
    rate: str
    method: str
    idempotency_key: str
    quoted_total_minor: int
    locale: str = "en_IN"
    gift_code: str = ""
    by_deposit: bool = False
    #: What the button said would be charged now; None when the form did not say.
    quoted_now_minor: int | None = None
    #: The courier's answer from which the page's prices came; empty without one.
    live_token: str = ""
    #: By which of these the shopper wants to hear of the delivery: "sms", "whatsapp".
    news_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placed:
    """The order, and where the browser goes now."""

    order_id: int
    token: str
    url: str
    is_external: bool


class FiguresMoved(Conflict):
    """The figures changed since you last saw them. Nothing was charged."""

    def __init__(self, changes: list[str], new: Quote) -> None:
        super().__init__()
        self.changes = changes
        self.quote = new


class StockGone(FiguresMoved):
    """Something sold out. Nothing was charged, and your cart holds what is left."""


class NotDelivered(Refused):
    """We cannot deliver there yet. Try another address."""


class CartGone(Refused):
    """This checkout has ended. Your cart is still here."""

    status = 409


def place(wish: Wish) -> Placed:
    """Place the order once, however often it is asked. Opens its own transactions.

    Raises FiguresMoved or StockGone (nothing was placed), NotDelivered, CartGone, or Refused with a reason.
    """
    placed = _before_queueing(wish)
    if placed:
        return placed
    number = draw_number()
    try:
        with transaction():
            step = _write(wish, number)
    except reservations.OutOfStock:
        raise _adjusted(wish) from None
    except IntegrityError as error:
        # The same form was sent twice at once, and the other one was quicker.
        if is_passing(error):
            raise
        placed = already_placed(wish.idempotency_key)
        if placed is None:
            raise
        return placed
    return _go_on(step)


_OF_KEY = select(Order.id).where(Order.idempotency_key == bindparam("key"))


def already_placed(idempotency_key: str) -> Placed | None:
    """The order that this form has made, with the same way on as the first time."""
    order_id = db.session.scalar(_OF_KEY, {"key": idempotency_key})
    return _as_before(db.session.get_one(Order, order_id)) if order_id else None


def _as_before(order: Order) -> Placed:
    payment = attempts.latest(order.id)
    if payment is None or not attempts.has_open_page(payment):
        return Placed(order.id, order.token, attempts.own_page(order.token).url, False)
    step = attempts.next_of(payment.next_step, order.token, payment.gateway, payment.reference)
    return Placed(order.id, order.token, step.url, step.is_external)


_SHORT = (
    select(CartLine.id)
    .outerjoin(StockLevel, StockLevel.variant_id == CartLine.variant_id)
    .where(
        CartLine.cart_id == bindparam("cart_id"),
        CartLine.quantity > db.func.coalesce(StockLevel.on_hand - StockLevel.reserved, 0),
    )
    .limit(1)
)


_EARLY = select(_OF_KEY.scalar_subquery(), _SHORT.exists())


def _before_queueing(wish: Wish) -> Placed | None:
    """The order that this form has made already. Who comes when it has sold out is told, too, without
    queueing for the writers' lock. One statement."""
    asked = {"key": wish.idempotency_key, "cart_id": wish.cart_id}
    order_id, is_short = db.session.execute(_EARLY, asked).one()
    if order_id:
        return _as_before(db.session.get_one(Order, order_id))
    if is_short:
        raise _adjusted(wish)
    return None


@dataclass(frozen=True)
class _Step:
    """What the transaction leaves for after it."""

    order_id: int
    token: str
    opening: Opening | None
    next: Next | None


def _write(wish: Wish, number: str) -> _Step:
    if not _claim_cart(wish.cart_id):
        return _ordered_before(wish)
    now = quote(
        wish.cart_id, country=wish.shipping_address["country"],
        postal_code=wish.shipping_address["postal_code"], rate=wish.rate, method=wish.method,
        gift_code=wish.gift_code, by_deposit=wish.by_deposit, live_token=wish.live_token,
        customer=Customer(wish.user_id, wish.email, wish.phone) if wish.method == "cod" else None,
    )  # fmt: skip
    _check(wish, now)
    order = _order(wish, number, now)
    db.session.add(order)
    db.session.flush()
    db.session.execute(
        insert(table_of(OrderLine)), [_order_line(order.id, line) for line in now.lines]
    )
    _tell(order)
    for kind in wish.news_by:
        consents.grant(kind, wish.phone, Purpose.TRANSACTIONAL, "checkout", wish.user_id)
    planned = parts.add(order.id, now.shares)
    asked = planned[1:] if now.gift_minor else planned
    until = attempts.hold_until(now.method, now.chosen)
    opening = attempts.begin(order, asked[0], gateway(now.method), until) if asked else None
    # Last, so that the hot row of a popular variant is locked for the shortest time.
    reservations.hold(order.id, {line.variant_id: line.quantity for line in now.lines}, until)
    if now.gift_minor:
        gift_cards.pay(order, planned[0], now.gift.card_id)
    if opening is None:
        return _Step(order.id, order.token, None, attempts.own_page(order.token))
    if now.method == "cod":
        return _Step(order.id, order.token, None, attempts.accept_at_door(order, opening))
    return _Step(order.id, order.token, opening, None)


_CARTS = table_of(Cart).c
_CLAIM = (
    update(table_of(Cart))
    .where(_CARTS.id == bindparam("cart"), _CARTS.ordered_at.is_(None))
    .values(ordered_at=bindparam("now"))
)


def _claim_cart(cart_id: int) -> bool:
    """The cart becomes the order: of two forms for one cart only one gets through."""
    result = db.session.execute(_CLAIM, {"cart": cart_id, "now": utcnow()})
    return rows_changed(result) > 0


def _ordered_before(wish: Wish) -> _Step:
    """Another tab was quicker with this cart: its order is the answer."""
    order = db.session.scalars(
        select(Order).where(Order.cart_id == wish.cart_id).order_by(Order.id.desc()).limit(1)
    ).first()
    if order is None or not order.is_unpaid:
        raise CartGone
    before = _as_before(order)
    return _Step(order.id, order.token, None, Next(before.url, before.is_external))


def _check(wish: Wish, now: Quote) -> None:
    if not now.lines:
        raise CartGone
    if now.gift.error:
        raise Refused(now.gift.error)
    if now.shortages:
        raise reservations.OutOfStock({line.variant_id: line.free for line in now.shortages})
    if any(line.quantity > now.chosen["line_limit"] for line in now.lines):
        raise Refused(f"Not more than {now.chosen['line_limit']} of one thing in an order.")
    if not now.rates:
        raise NotDelivered(now.offer.refusal)
    _check_method(wish, now)
    if now.total_minor <= 0:
        raise Refused("This order would cost nothing. Please write to us.")
    is_as_said = wish.quoted_now_minor in {None, now.now_minor}
    # While the courier's price is not known, the table's must not be had by not asking for it.
    is_unpriced = now.offer.wish is not None
    if (
        is_unpriced
        or now.total_minor != wish.quoted_total_minor
        or now.rate != wish.rate
        or not is_as_said
    ):
        total = format_minor(now.total_minor, now.currency)
        raise FiguresMoved([*now.price_changes, f"Your new total is {total}."], now)


def _check_method(wish: Wish, now: Quote) -> None:
    """The chosen way must be offered for what the gift card leaves."""
    if now.due_minor == 0:
        return
    way = next((one for one in now.methods if one.key == wish.method), None)
    if way is None:
        raise Refused("Choose how you want to pay.")
    if way.unavailable:
        raise Refused(way.unavailable)


def _order(wish: Wish, number: str, now: Quote) -> Order:
    return Order(
        number=number, token=new_token(), user_id=wish.user_id, cart_id=wish.cart_id, email=wish.email,
        phone=wish.phone, currency=now.currency, subtotal_minor=now.subtotal_minor,
        discount_minor=now.discount_minor, shipping_minor=now.shipping_minor, fee_minor=now.fee_minor,
        tax_minor=now.tax_minor, tax_included_minor=now.tax_included_minor, total_minor=now.total_minor,
        shipping_address=wish.shipping_address, billing_address=wish.billing_address,
        shipping_method=now.rate, shipping_label=now.shipping_label, payment_method=now.method,
        expected_by=now.delivery.by if now.delivery else None,
        locale=wish.locale, idempotency_key=wish.idempotency_key, placed_at=utcnow(),
        expires_at=in_future(hours=_cancel_hours(wish, now)),
        payment_status=PaymentStatus.NOT_PAID if wish.method == "cod" else PaymentStatus.PENDING,
    )  # fmt: skip


def _cancel_hours(wish: Wish, now: Quote) -> int:
    hours: int = now.chosen["unpaid_cancel_hours"]
    held: int = now.chosen["bank_hold_hours"]
    return max(hours, held) if wish.method == "bank_transfer" else hours


def _order_line(order_id: int, line: QuoteLine) -> dict[str, object]:
    length, width, height = line.size_mm
    return {
        "order_id": order_id, "variant_id": line.variant_id, "seller_id": line.seller_id, "name": line.name,
        "sku": line.sku, "options": line.options, "picture": line.picture,
        "unit_price_minor": line.unit_price_minor, "tax_rate_bp": line.tax_rate_bp,
        "weight_grams": line.weight_grams, "length_mm": length, "width_mm": width, "height_mm": height,
        "hsn_code": line.hsn_code, "quantity": line.quantity, "tax_minor": line.tax_minor,
        "total_minor": line.total_minor,
    }  # fmt: skip


def _tell(order: Order) -> None:
    db.session.add(
        OrderEvent(
            order_id=order.id, kind="placed", actor="customer", to_status=order.status.value,
            text=WORDS["placed"], for_customer=True, occurred_at=utcnow(),
        )
    )  # fmt: skip
    audit.write(
        "customer" if order.user_id is None else f"user:{order.user_id}",
        "order.placed", f"order:{order.number}", None, {"total_minor": order.total_minor},
    )  # fmt: skip


def _go_on(step: _Step) -> Placed:
    if step.opening is None:
        assert step.next is not None
        return Placed(step.order_id, step.token, step.next.url, step.next.is_external)
    opened = attempts.open_at_gateway(step.opening)
    return Placed(step.order_id, step.token, opened.url, opened.is_external)


def _adjusted(wish: Wish) -> StockGone:
    """Take what is gone out of the cart and say so; the shopper sees the new figures and presses again."""
    with transaction():
        before = quote(wish.cart_id, rate=wish.rate, method=wish.method)
        changes = [_reduce(wish.cart_id, line) for line in before.shortages]
        after = quote(
            wish.cart_id, country=wish.shipping_address["country"],
            postal_code=wish.shipping_address["postal_code"], rate=wish.rate, method=wish.method,
            gift_code=wish.gift_code, by_deposit=wish.by_deposit, live_token=wish.live_token,
        )  # fmt: skip
    if after.lines:
        changes.append(f"Your new total is {format_minor(after.total_minor, after.currency)}.")
    return StockGone(changes, after)


def _reduce(cart_id: int, line: QuoteLine) -> str:
    of_line = (CartLine.cart_id == cart_id, CartLine.variant_id == line.variant_id)
    shown = f"{line.name}, {line.options}" if line.options else line.name
    if line.free == 0:
        db.session.execute(delete(CartLine).where(*of_line))
        return f"Someone bought the last {shown}. We took it out of your cart."
    db.session.execute(update(CartLine).where(*of_line).values(quantity=line.free))
    return f"Only {line.free} of {shown} left. We took {line.quantity - line.free} off your order."
