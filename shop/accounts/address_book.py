"""A customer's addresses. Every function takes the owner's id: another's address is not there."""

from typing import Any

from sqlalchemy import select, update

from shop.accounts.models import Address
from shop.errors import NotFound, Refused
from shop.extensions import db

MOST = 20


class BookFull(Refused):
    """Twenty addresses are the most that are kept. Delete one first."""


def addresses_of(user_id: int) -> list[Address]:
    """The book, the default address first."""
    rows = select(Address).where(Address.user_id == user_id)
    return list(
        db.session.scalars(rows.order_by(Address.is_default.desc(), Address.id).limit(MOST))
    )


def address_of(user_id: int, address_id: int) -> Address:
    """One entry. Raises NotFound for another's as for none."""
    found = db.session.scalar(select(Address).filter_by(id=address_id, user_id=user_id))
    if found is None:
        raise NotFound
    return found


def add(user_id: int, values: dict[str, Any]) -> Address:
    """A new entry; the first is the default. Raises BookFull."""
    known = addresses_of(user_id)
    if len(known) >= MOST:
        raise BookFull
    made = Address(user_id=user_id, **values)
    made.is_default = not known
    db.session.add(made)
    db.session.flush()
    if values.get("is_default"):
        make_default(user_id, made.id)
    return made


def change(user_id: int, address_id: int, values: dict[str, Any]) -> None:
    """New values for an entry. Unticking the default leaves it the default: one there must be."""
    found = address_of(user_id, address_id)
    wants_default = values.pop("is_default", False)
    for name, value in values.items():
        setattr(found, name, value)
    db.session.flush()
    if wants_default:
        make_default(user_id, address_id)


def make_default(user_id: int, address_id: int) -> None:
    """Put this entry first."""
    address_of(user_id, address_id)
    db.session.execute(
        update(Address)
        .where(Address.user_id == user_id)
        .values(is_default=Address.id == address_id)
    )


def remove(user_id: int, address_id: int) -> None:
    """Take an entry away. If it was the default, the oldest of the rest becomes it."""
    found = address_of(user_id, address_id)
    was_default = found.is_default
    db.session.delete(found)
    db.session.flush()
    rest = addresses_of(user_id)
    if was_default and rest:
        make_default(user_id, rest[0].id)
