"""A gift card pays: at once, in the transaction that places the order, from the shop's own ledger."""

from shop.orders.models import Order
from shop.payments import attempts, recording
from shop.payments.gateways import gateway
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import PaymentPart
from shop.promotions.gift_cards import spend

KEY = "gift_card"


def pay(order: Order, part: PaymentPart, card_id: int) -> str:
    """Take the part's amount off the card, in the caller's transaction; its stock is held already.

    Returns what it changed; the order is paid when nothing else is due. Raises GiftCardRefused.
    """
    way = gateway(KEY)
    opening = attempts.begin(order, part, way, order.placed_at)
    attempts.keep_opened(opening.payment_id, way.open(opening.request))
    spend(card_id, part.amount_minor, opening.request.reference, order.id)
    event = GatewayEvent(
        EventKind.CAPTURED, amount_minor=part.amount_minor, currency=order.currency, method=KEY
    )
    return recording.record(event, KEY, "open", opening.payment_id)
