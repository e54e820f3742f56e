"""Mailed links: a new password, a confirmed address, another address (security.md, S35, S36).

256 random bits, kept hashed, for a short time, once, and void when a newer one was made. Nothing
here commits.
"""

import secrets
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import aliased

from shop.accounts.models import LinkPurpose, MailedLink, User
from shop.accounts.signing_in import hashed
from shop.clock import utcnow
from shop.extensions import db

LIVES = {
    LinkPurpose.RESET: timedelta(minutes=30),
    LinkPurpose.CONFIRM: timedelta(days=3),
    LinkPurpose.MOVE: timedelta(hours=2),
}


def make(
    person: User,
    purpose: LinkPurpose,
    new_email: str | None = None,
    *,
    is_repeat: bool = False,
) -> str:
    """A new link's token; earlier ones for the same purpose end. `new_email`: to move to.

    `is_repeat`: the same mail once more, of which nobody knows whether it came. Its first link
    stays good: a mail program may show one mail of the two.
    """
    if not is_repeat:
        end_all(person.id, purpose)
    token, now = secrets.token_urlsafe(32), utcnow()
    db.session.add(
        MailedLink(
            user_id=person.id,
            purpose=purpose,
            token_hash=hashed(token),
            email=person.email,
            new_email=new_email,
            expires_at=now + LIVES[purpose],
        )
    )
    return token


def owner(token: str, purpose: LinkPurpose) -> User | None:
    """Whose link this is; None when it is over. Uses nothing up."""
    whose = select(User).join(MailedLink, MailedLink.user_id == User.id)
    return db.session.scalar(whose.where(*_live(token, purpose)))


def use(token: str, purpose: LinkPurpose) -> User | None:
    """Take the link's one use; whose it is. None when it is over, or somebody was quicker."""
    user_id = db.session.scalar(
        update(MailedLink)
        .where(*_live(token, purpose))
        .values(ended_at=utcnow())
        .returning(MailedLink.user_id)
        .execution_options(synchronize_session=False)
    )
    return None if user_id is None else db.session.get_one(User, user_id)


def new_address(token: str) -> str | None:
    """The address that a live link moves to. Uses nothing up."""
    found = select(MailedLink.new_email).where(*_live(token, LinkPurpose.MOVE))
    return db.session.scalar(found)


def _live(token: str, purpose: LinkPurpose) -> list[ColumnElement[bool]]:
    """Of an active person who still has the address that they had when it was sent."""
    person = aliased(User)
    same = select(person.id).where(
        person.id == MailedLink.user_id, person.active, person.email == MailedLink.email
    )
    return [
        MailedLink.token_hash == hashed(token),
        MailedLink.purpose == purpose,
        MailedLink.ended_at.is_(None),
        MailedLink.expires_at > utcnow(),
        same.exists(),
    ]


def end_all(user_id: int, purpose: LinkPurpose) -> None:
    """End the person's links for this purpose."""
    db.session.execute(
        update(MailedLink)
        .where(
            MailedLink.user_id == user_id,
            MailedLink.purpose == purpose,
            MailedLink.ended_at.is_(None),
        )
        .values(ended_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def forget_old(days: int = 30) -> None:
    """Retention: links that have been over for so long."""
    before = utcnow() - timedelta(days=days)
    db.session.execute(delete(MailedLink).where(MailedLink.expires_at < before))
