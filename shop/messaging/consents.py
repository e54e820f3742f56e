"""Who may be told what, and by which way: what people agreed to, and what must not be used any more.

Two tables. `consents` says what somebody agreed to or withdrew, one row for each time they said so.
`suppressions` names addresses and numbers that get nothing more, whatever was agreed: they bounced,
complained, answered STOP, or a person took them out.
"""

from collections.abc import Iterable

from sqlalchemy import delete, select, update

from shop.clock import utcnow
from shop.database import insert_ignore, rows_changed
from shop.extensions import db
from shop.messaging.models import (
    Consent,
    ConsentState,
    Purpose,
    Suppression,
    SuppressionReason,
)  # fmt: skip

GIVEN_BY_ORDERING = frozenset({("email", Purpose.TRANSACTIONAL)})
"""Needs no consent: whoever orders or asks by an e-mail address is answered there, and cannot be otherwise."""

WHY_NOT = {
    SuppressionReason.BOUNCED: "this address bounced",
    SuppressionReason.COMPLAINED: "its reader marked our mail as spam",
    SuppressionReason.OPTED_OUT: "its owner asked for no more messages",
    SuppressionReason.BY_HAND: "it was taken out by hand",
}
"""A suppression, as a reason."""

FORGIVEN = frozenset({SuppressionReason.BOUNCED, SuppressionReason.BY_HAND})
"""Reasons that a person may set aside; what the reader asked for is not among them."""


def known_as(channel: str, recipient: str) -> str:
    """The spelling under which a recipient is kept: addresses in small letters, numbers as they are."""
    return recipient.strip().casefold() if channel == "email" else recipient.strip()


def grant(
    channel: str, recipient: str, purpose: Purpose | str, source: str, user_id: int | None = None
) -> None:
    """Keep that somebody agreed. It lifts no suppression: a STOP is taken back where it was said."""
    _say(ConsentState.GRANTED, channel, recipient, purpose, source, user_id)


def withdraw(
    channel: str, recipient: str, purpose: Purpose | str, source: str, user_id: int | None = None
) -> None:
    """Keep that somebody wants no more of this, from now on."""
    _say(ConsentState.WITHDRAWN, channel, recipient, purpose, source, user_id)


def _say(
    state: ConsentState,
    channel: str,
    recipient: str,
    purpose: Purpose | str,
    source: str,
    user_id: int | None,
) -> None:
    """Add a row, unless the newest one says the same."""
    if _newest(channel, recipient, Purpose(purpose)) == state:
        return
    db.session.add(
        Consent(
            user_id=user_id, recipient=known_as(channel, recipient), channel=channel,
            purpose=Purpose(purpose), state=state, source=source, at=utcnow(),
        )
    )  # fmt: skip
    db.session.flush()


def agreed(channel: str, recipient: str, purpose: Purpose | str) -> bool:
    """Whether this kind of message was agreed to, or needs no agreement."""
    if (channel, Purpose(purpose)) in GIVEN_BY_ORDERING:
        return True
    return _newest(channel, recipient, Purpose(purpose)) == ConsentState.GRANTED


def _newest(channel: str, recipient: str, purpose: Purpose) -> ConsentState | None:
    return db.session.scalar(
        select(Consent.state)
        .where(
            Consent.channel == channel,
            Consent.recipient == known_as(channel, recipient),
            Consent.purpose == purpose,
        )
        .order_by(Consent.id.desc())
        .limit(1)
    )


def suppress(
    channel: str, recipient: str, reason: SuppressionReason | str, details: str = ""
) -> None:
    """Nothing more goes there, whatever was agreed, until it is lifted.

    The first reason stays, but what the reader asked for replaces what a person may set aside.
    """
    known, why = known_as(channel, recipient), SuppressionReason(reason)
    values = {"reason": why, "details": details[:300], "at": utcnow()}
    is_new = insert_ignore(Suppression, {"channel": channel, "recipient": known, **values})
    if is_new is not None or why in FORGIVEN:
        return
    db.session.execute(
        update(Suppression)
        .where(
            Suppression.channel == channel,
            Suppression.recipient == known,
            Suppression.reason.in_(FORGIVEN),
        )
        .values(**values, updated_at=utcnow())
    )


def lift(channel: str, recipient: str) -> bool:
    """Let messages go there again. False when nothing stood in the way."""
    result = db.session.execute(
        delete(Suppression).where(
            Suppression.channel == channel, Suppression.recipient == known_as(channel, recipient)
        )
    )
    return rows_changed(result) > 0


def is_suppressed(channel: str, recipient: str) -> str:
    """The reason's name ("bounced"), empty when messages may go there."""
    found = db.session.scalar(
        select(Suppression.reason).where(
            Suppression.channel == channel, Suppression.recipient == known_as(channel, recipient)
        )
    )
    return found.value if found else ""


def suppressions_of(recipients: Iterable[str]) -> list[Suppression]:
    """What stands against these addresses and numbers, by any channel, in one read."""
    spelt = {known for one in recipients if one for known in (one, one.strip().casefold())}
    query = select(Suppression).where(Suppression.recipient.in_(spelt)).order_by(Suppression.id)
    return list(db.session.scalars(query)) if spelt else []


def may_send(channel: str, recipient: str, purpose: Purpose | str, *, by_hand: bool = False) -> str:
    """Empty when a message may go; else why not, in words. `by_hand`: a person asked for it."""
    reason = is_suppressed(channel, recipient)
    if reason and not (by_hand and reason in FORGIVEN):
        return WHY_NOT[SuppressionReason(reason)]
    if not agreed(channel, recipient, purpose):
        return f"nobody there agreed to {Purpose(purpose).value} messages by {channel}"
    return ""
