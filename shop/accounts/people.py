"""What happens to people: they register, change password and role, and leave. Never commits."""

from collections.abc import Callable

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import aliased

from shop.accounts import emails, passwords, signing_in
from shop.accounts.models import Address, MailedLink, RecoveryCode, Role, SignIn, User
from shop.audit import recording
from shop.clock import utcnow
from shop.database import insert_ignore, rows_changed
from shop.errors import Conflict, Refused
from shop.extensions import db

on_confirmed: list[Callable[[int, str], None]] = []
"""Called with a person's id and address inside the transaction that confirms it (orders are joined)."""


class LastOwner(Refused):
    """The shop needs at least one owner. Make somebody else an owner first."""


class OwnRole(Refused):
    """Nobody changes their own role. Ask another owner."""


class EmailTaken(Conflict):
    """This email address has an account already."""


def register(email: str, name: str, password_hash: str) -> int | None:
    """A new customer's id; None when the address has an account, which the visitor is not told."""
    made: int | None = insert_ignore(
        User, {"email": email, "name": name, "password_hash": password_hash, "role": Role.CUSTOMER}
    )
    return made


def create_owner(email: str, password: str) -> User:
    """A new owner of the shop, made from the command line. Raises Refused in words, and EmailTaken."""
    found = emails.normalized(email.strip())
    if found is None:
        raise Refused("Enter an email address such as name@example.com.")
    account = found.casefold()
    wrong = passwords.fault(password, account, is_staff=True)
    if wrong:
        raise Refused(wrong)
    if db.session.scalar(select(User.id).where(User.email == account)) is not None:
        raise EmailTaken
    person = User(email=account, password_hash=passwords.hashed(password), role=Role.OWNER)
    db.session.add(person)
    db.session.flush()
    tell_of_new(person)
    return person


def tell_of_new(person: User) -> None:
    """Staff whom nobody gave their role, in the audit: made from the command line, or the demo's."""
    recording.write(
        "system", "account.created", f"user:{person.id}", after={"role": person.role.value}
    )


def change_password(user_id: int, password_hash: str) -> None:
    """Keep a new password; every sign-in of the person ends, this browser's too."""
    db.session.get_one(User, user_id).password_hash = password_hash
    signing_in.end_all(user_id)
    recording.write(f"user:{user_id}", "account.password_changed", f"user:{user_id}")


def reset_password(person: User, password_hash: str) -> None:
    """A new password by a mailed link, which proves the address too; every sign-in ends."""
    person.password_hash = password_hash
    signing_in.end_all(person.id)
    recording.write(f"user:{person.id}", "account.password_reset", f"user:{person.id}")
    confirm_email(person)


def move_email(person: User, email: str) -> None:
    """Another address, proven by the link that was sent to it; every sign-in ends. Raises EmailTaken."""
    others = aliased(User)
    moved = db.session.execute(
        update(User)
        .where(User.id == person.id, ~select(others.id).where(others.email == email).exists())
        .values(email=email, email_confirmed_at=None)
    )
    if not rows_changed(moved):
        raise EmailTaken
    db.session.refresh(person)
    signing_in.end_all(person.id)
    recording.write(f"user:{person.id}", "account.email_changed", f"user:{person.id}")
    confirm_email(person)


def confirm_email(person: User) -> None:
    """The address is the person's: they followed a link that was sent to it."""
    if person.email_confirmed_at is not None:
        return
    person.email_confirmed_at = utcnow()
    recording.write(f"user:{person.id}", "account.email_confirmed", f"user:{person.id}")
    for react in on_confirmed:
        react(person.id, person.email)


def change_role(user_id: int, role: Role, by: User) -> None:
    """Give somebody another role and end their sign-ins. Raises OwnRole or LastOwner."""
    if user_id == by.id:
        raise OwnRole
    person = _locked(user_id)
    if person.role == Role.OWNER and role != Role.OWNER:
        _leave_an_owner(user_id)
    before, person.role = person.role, role
    signing_in.end_all(user_id)
    recording.write(
        f"user:{by.id}", "account.role_changed", f"user:{user_id}",
        {"role": before.value}, {"role": role.value},
    )  # fmt: skip


def deactivate(user_id: int, by: User) -> None:
    """Shut somebody out at once. Raises LastOwner."""
    person = _locked(user_id)
    if person.role == Role.OWNER:
        _leave_an_owner(user_id)
    person.active = False
    signing_in.end_all(user_id)
    recording.write(f"user:{by.id}", "account.deactivated", f"user:{user_id}")


def blank(user_id: int) -> None:
    """Take away what is known about a customer: profile, addresses, sign-ins. Orders stay."""
    person = db.session.get_one(User, user_id)
    person.email = f"deleted-{person.id}@invalid"
    person.email_confirmed_at = None
    person.password_hash = ""
    person.name, person.phone, person.totp_secret = "", None, None
    person.active = False
    db.session.execute(delete(Address).filter_by(user_id=user_id))
    db.session.execute(delete(SignIn).filter_by(user_id=user_id))
    db.session.execute(delete(RecoveryCode).filter_by(user_id=user_id))
    db.session.execute(delete(MailedLink).filter_by(user_id=user_id))
    recording.write(f"user:{user_id}", "account.deleted", f"user:{user_id}")


def _locked(user_id: int) -> User:
    """The person; owners are locked together, so that two cannot each remove the other."""
    owners = select(User.id).where(User.role == Role.OWNER).order_by(User.id).with_for_update()
    db.session.execute(owners).all()
    return db.session.get_one(User, user_id, populate_existing=True)


def _leave_an_owner(leaving_id: int) -> None:
    others = (
        select(func.count())
        .select_from(User)
        .where(User.role == Role.OWNER, User.active, User.id != leaving_id)
    )
    if not db.session.scalar(others):
        raise LastOwner
