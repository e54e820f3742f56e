"""Issuing, spending and refilling gift cards, in the caller's transaction.

A card pays as a payment of its own (a part of the order, gateway `gift_card`), so that refunds,
books and payment status treat it like any other money.
"""

import hashlib
import re
import secrets
from datetime import datetime

from sqlalchemy import select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore, rows_changed
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.money import MAX_MINOR
from shop.promotions.models import EntryKind, GiftCard, GiftCardEntry

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without 0, O, 1 and I, which people mistake for each other."""

GROUPS, GROUP_LETTERS = 4, 4
UNKNOWN = "We know no gift card with this code. Look at it again."


class GiftCardRefused(Refused):
    """The card cannot pay, for the reason given."""


def issue(
    amount_minor: int, currency: str, actor: str, expires_at: datetime | None = None, note: str = ""
) -> tuple[GiftCard, str]:
    """Make a card. Returns it and its code, which is shown once and kept nowhere. Raises Refused."""
    if not 0 < amount_minor <= MAX_MINOR:
        raise Refused("Enter an amount above zero.", field="amount")
    if expires_at is not None and expires_at <= utcnow():
        raise Refused("Choose a day in the future.", field="expires")
    code = "-".join(
        "".join(secrets.choice(LETTERS) for _ in range(GROUP_LETTERS)) for _ in range(GROUPS)
    )
    card = GiftCard(
        code_hash=hash_of(code), hint=code[-GROUP_LETTERS:], currency=currency,
        balance_minor=amount_minor, expires_at=expires_at, note=note[:200],
    )  # fmt: skip
    db.session.add(card)
    db.session.flush()
    _enter(card.id, EntryKind.ISSUE, amount_minor, f"issue-{card.id}", actor, None)
    audit.write(
        actor, "gift_card.issued", f"gift_card:{card.id}", None,
        {"amount_minor": amount_minor, "currency": currency, "hint": card.hint},
    )  # fmt: skip
    return card, code


def block(card_id: int, actor: str) -> None:
    """The card pays no more; what it paid stays. Raises NotFound."""
    card = db.session.get(GiftCard, card_id, with_for_update=True)
    if card is None:
        raise NotFound
    if card.blocked_at is None:
        card.blocked_at = utcnow()
        audit.write(actor, "gift_card.blocked", f"gift_card:{card.id}")


def written(code: str) -> str:
    """A typed code in the one way that is hashed: capitals, no blanks or dashes."""
    return re.sub(r"[\s-]", "", code).upper()


def hash_of(code: str) -> str:
    """How the code is kept."""
    return hashlib.sha256(written(code).encode()).hexdigest()


def usable(code: str, currency: str) -> GiftCard:
    """The card that this code opens. Raises GiftCardRefused in the shopper's words."""
    if len(written(code)) != GROUPS * GROUP_LETTERS:
        raise GiftCardRefused("A gift card's code has 16 letters and digits.")
    card = db.session.scalars(
        select(GiftCard).where(GiftCard.code_hash == hash_of(code))
    ).one_or_none()
    if card is None or card.blocked_at is not None:
        raise GiftCardRefused(UNKNOWN)
    if card.expires_at is not None and card.expires_at <= utcnow():
        raise GiftCardRefused("This gift card has expired.")
    if card.currency != currency:
        raise GiftCardRefused(f"This gift card is in {card.currency}, your order is in {currency}.")
    if card.balance_minor == 0:
        raise GiftCardRefused("There is nothing left on this gift card.")
    return card


def spend(card_id: int, amount_minor: int, reference: str, order_id: int) -> None:
    """Take the amount off the card: one conditional update. Raises GiftCardRefused when it is gone."""
    now = utcnow()
    result = db.session.execute(
        update(GiftCard)
        .where(
            GiftCard.id == card_id, GiftCard.balance_minor >= amount_minor,
            GiftCard.blocked_at.is_(None),
            (GiftCard.expires_at.is_(None)) | (GiftCard.expires_at > now),
        )
        .values(balance_minor=GiftCard.balance_minor - amount_minor, updated_at=now)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    if not rows_changed(result):
        raise GiftCardRefused("There is not enough left on this gift card any more.")
    _enter(card_id, EntryKind.SPEND, -amount_minor, f"pay-{reference}", "customer", order_id)


def give_back(payment_reference: str, amount_minor: int, refund_key: str, actor: str) -> None:
    """Put money back on the card that paid, once for a refund. Raises NotFound without such a card.

    A card that has expired or was blocked gets it too: what may still be done with it is the
    owner's decision.
    """
    paid = db.session.execute(
        select(GiftCardEntry.gift_card_id, GiftCardEntry.order_id).where(
            GiftCardEntry.reference == f"pay-{payment_reference}"
        )
    ).one_or_none()
    if paid is None:
        raise NotFound
    if not _enter(
        paid.gift_card_id, EntryKind.REFUND, amount_minor, refund_key, actor, paid.order_id
    ):
        return
    db.session.execute(
        update(GiftCard)
        .where(GiftCard.id == paid.gift_card_id)
        .values(balance_minor=GiftCard.balance_minor + amount_minor, updated_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def _enter(
    card_id: int,
    kind: EntryKind,
    amount_minor: int,
    reference: str,
    actor: str,
    order_id: int | None,
) -> bool:
    """Write a line of the ledger. False when this one was written before."""
    values = {
        "gift_card_id": card_id, "kind": kind, "amount_minor": amount_minor, "order_id": order_id,
        "reference": reference, "actor": actor,
    }  # fmt: skip
    return insert_ignore(GiftCardEntry, values) is not None
