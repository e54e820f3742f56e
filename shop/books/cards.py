"""Proofs about gift cards."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from shop.books.reading import stream, sums, sums_beside
from shop.payments.models import Payment, Refund, RefundStatus
from shop.promotions.models import EntryKind, GiftCard, GiftCardEntry

ENTERED = sums(GiftCardEntry.gift_card_id, GiftCardEntry.amount_minor)
CARDS = select(GiftCard.id, GiftCard.balance_minor).order_by(GiftCard.id)
SPENT = select(GiftCardEntry.reference, -GiftCardEntry.amount_minor).where(
    GiftCardEntry.kind == EntryKind.SPEND
)
PAID = select(Payment.reference, Payment.captured_minor).where(Payment.gateway == "gift_card")
REFILLED = select(GiftCardEntry.reference, GiftCardEntry.amount_minor).where(
    GiftCardEntry.kind == EntryKind.REFUND
)
REFUNDS = (
    select(Refund.idempotency_key, Refund.amount_minor)
    .join(Payment, Refund.payment_id == Payment.id)
    .where(Payment.gateway == "gift_card", Refund.status == RefundStatus.SUCCEEDED)
)


def balances(connection: Connection) -> Iterator[str]:
    """I7: a balance is the sum of its entries; what a card paid and got back stands in the payments."""
    entered = sums_beside(connection, ENTERED)
    for card in stream(connection, CARDS):
        due = entered(card.id)
        if due != card.balance_minor:
            yield f"gift_cards:{card.id} holds {card.balance_minor}, its entries {due}"
    yield from _spent(connection)
    yield from _refilled(connection)


def _spent(connection: Connection) -> Iterator[str]:
    """Each payment by card has its entry, over the same amount."""
    spent = dict(connection.execute(SPENT).all())
    for reference, captured in stream(connection, PAID):
        taken = spent.pop(f"pay-{reference}", 0)
        if taken != captured:
            yield f"payments:{reference} captured {captured}, its gift card gave {taken}"
    yield from (f"gift_card_entries:{name} was spent on nothing" for name in spent)


def _refilled(connection: Connection) -> Iterator[str]:
    """Each refund to a card has its entry, over the same amount."""
    refilled = dict(connection.execute(REFILLED).all())
    for key, amount in stream(connection, REFUNDS):
        given = refilled.pop(key, 0)
        if given != amount:
            yield f"refunds:{key} gave back {amount}, its gift card got {given}"
    yield from (f"gift_card_entries:{name} gave back nothing" for name in refilled)
