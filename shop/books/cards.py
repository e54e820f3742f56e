"""Proofs about gift cards."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

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


def balances(session: Session) -> Iterator[str]:
    """I7: a balance is the sum of its entries; what a card paid and got back stands in the payments."""
    entered = sums_beside(session, ENTERED)
    for card in stream(session, CARDS):
        due = entered(card.id)
        if due != card.balance_minor:
            yield f"gift_cards:{card.id} holds {card.balance_minor}, its entries {due}"
    yield from _spent(session)
    yield from _refilled(session)


def _spent(session: Session) -> Iterator[str]:
    """Each payment by card has its entry, over the same amount."""
    spent = dict(session.execute(SPENT).all())
    for reference, captured in stream(session, PAID):
        taken = spent.pop(f"pay-{reference}", 0)
        if taken != captured:
            yield f"payments:{reference} captured {captured}, its gift card gave {taken}"
    yield from (f"gift_card_entries:{name} was spent on nothing" for name in spent)


def _refilled(session: Session) -> Iterator[str]:
    """Each refund to a card has its entry, over the same amount."""
    refilled = dict(session.execute(REFILLED).all())
    for key, amount in stream(session, REFUNDS):
        given = refilled.pop(key, 0)
        if given != amount:
            yield f"refunds:{key} gave back {amount}, its gift card got {given}"
    yield from (f"gift_card_entries:{name} gave back nothing" for name in refilled)
