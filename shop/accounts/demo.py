"""The people of the demo. Never in production: there are no default accounts (security.md, S41)."""

from sqlalchemy import select

from shop.accounts import passwords, people
from shop.accounts.address_book import add
from shop.accounts.models import Role, User
from shop.clock import utcnow
from shop.config import settings
from shop.errors import Refused
from shop.extensions import db

OWNER = ("owner@halflong.example", "paddle-chalk-window-9")
CUSTOMER = ("meera@halflong.example", "spin-serve-return-9")
HOME = {
    "recipient": "Meera Joshi", "phone": "+91 98220 12345", "line1": "14 Prabhat Road, flat 3",
    "landmark": "Opposite the table-tennis hall", "city": "Pune", "state": "Maharashtra",
    "postal_code": "411004", "country": "IN",
}  # fmt: skip


class NoDemoHere(Refused):
    """The demo's people are not made in production: everybody knows their passwords."""


def seed_people() -> list[tuple[str, str, str]]:
    """Make the owner and the customer unless they are there: (what, email, password) of each.

    Inside a transaction. Raises NoDemoHere in production.
    """
    if settings().is_production:
        raise NoDemoHere
    _seed(OWNER, "Anil Deshpande", Role.OWNER)
    customer, is_new = _seed(CUSTOMER, "Meera Joshi", Role.CUSTOMER)
    if is_new:
        add(customer.id, dict(HOME))
    return [("owner of the shop (admin)", *OWNER), ("customer", *CUSTOMER)]


def _seed(account: tuple[str, str], name: str, role: Role) -> tuple[User, bool]:
    email, password = account
    known = db.session.scalar(select(User).where(User.email == email))
    if known is not None:
        return known, False
    made = User(
        email=email, email_confirmed_at=utcnow(), name=name, role=role,
        password_hash=passwords.hashed(password),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()
    if made.is_staff:
        people.tell_of_new(made)
    return made, True
