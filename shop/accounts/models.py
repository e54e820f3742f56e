"""People: customers and staff, their sign-ins and addresses."""

from datetime import datetime
from enum import StrEnum

from flask_login import UserMixin
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import BigId, Row, UtcDateTime, stored


class Role(StrEnum):
    """What a person may do. Everyone but the customer is staff."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    FULFILMENT = "fulfilment"
    MANAGER = "manager"
    OWNER = "owner"


class User(UserMixin, Row):
    """A person with a password."""

    __tablename__ = "users"

    #: Case-folded.
    email: Mapped[str] = mapped_column(String(254), unique=True)
    email_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    password_hash: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(120), default="")
    phone: Mapped[str | None] = mapped_column(String(20))
    role: Mapped[Role] = mapped_column(stored(Role), default=Role.CUSTOMER)
    #: Sealed (shop.secret_box).
    totp_secret: Mapped[str | None] = mapped_column(String(200))
    totp_step_used: Mapped[int | None] = mapped_column(BigId)
    locale: Mapped[str] = mapped_column(String(12), default="en_IN")
    active: Mapped[bool] = mapped_column(default=True)

    @property
    def is_staff(self) -> bool:
        """True for everyone who works here."""
        return self.role != Role.CUSTOMER

    @property
    def is_active(self) -> bool:
        """Flask-Login asks; a switched-off person is nobody."""
        return self.active


class SignIn(Row):
    """One browser's sign-in. The cookie carries a random token, this row its SHA-256."""

    __tablename__ = "sign_ins"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stepped_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(300), default="")
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignInFailures(Row):
    """How often in a row a sign-in to an account has failed."""

    __tablename__ = "sign_in_failures"

    #: SHA-256 of the account, with the network address where its owner has signed in before.
    who: Mapped[str] = mapped_column(String(64), unique=True)
    count: Mapped[int] = mapped_column(default=0)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RecoveryCode(Row):
    """One of the ten codes that stand in for a lost authenticator app, kept like a password."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(200))
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LinkPurpose(StrEnum):
    """What a mailed link is good for."""

    RESET = "reset"
    CONFIRM = "confirm"
    MOVE = "move"


class MailedLink(Row):
    """A link that was mailed to a person. The mail carries a random token, this row its SHA-256."""

    __tablename__ = "mailed_links"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    purpose: Mapped[LinkPurpose] = mapped_column(stored(LinkPurpose))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    #: The person's address: void once they have another.
    email: Mapped[str] = mapped_column(String(254))
    #: The address to move to, where the link was sent.
    new_email: Mapped[str | None] = mapped_column(String(254))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: Used, or replaced by a newer one.
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AddressKind(StrEnum):
    """Where the address is."""

    HOME = "home"
    OFFICE = "office"
    OTHER = "other"


class Address(Row):
    """An address in a customer's book. Orders copy it; they never point here."""

    __tablename__ = "addresses"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    recipient: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str] = mapped_column(String(20), default="")
    line1: Mapped[str] = mapped_column(String(200))
    line2: Mapped[str] = mapped_column(String(200), default="")
    landmark: Mapped[str] = mapped_column(String(120), default="")
    city: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(80), default="")
    postal_code: Mapped[str] = mapped_column(String(16))
    country: Mapped[str] = mapped_column(String(2))
    kind: Mapped[AddressKind] = mapped_column(stored(AddressKind), default=AddressKind.HOME)
    is_default: Mapped[bool] = mapped_column(default=False)
