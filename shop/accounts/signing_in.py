"""Sign-ins are rows: the cookie carries a random token, the database its SHA-256.

So a sign-in can be listed and ended, and a stolen database opens no account. A visitor without
the cookie costs no statement; one with it costs one, which brings the person too.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask, Request, Response, g, request
from flask_login import current_user
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from shop.accounts import passwords, sign_in_limits
from shop.accounts.models import SignIn, User
from shop.clock import utcnow
from shop.config import settings
from shop.database import end_reading, is_passing, transaction
from shop.extensions import db, login_manager
from shop.limits import count_try
from shop.pages import wants_fragment

IDLE = {False: timedelta(days=14), True: timedelta(minutes=30)}
"""How long a sign-in lives unused, by whether the person is staff (security.md, S4)."""

AT_MOST = {False: timedelta(days=30), True: timedelta(hours=12)}
"""How long it lives in all."""

SEEN_EVERY = timedelta(minutes=5)

BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip
"""What user agents hold, most telling first."""

on_sign_in: list[Callable[[int], None]] = []
"""Called with the person's id inside the transaction that signs them in (the cart merges)."""


def init_app(app: Flask) -> None:
    """Let Flask-Login read the person from the row, and note presence after each request."""
    login_manager.request_loader(load_person)
    login_manager.session_protection = None  # it guards Flask's session, in which nobody signs in
    app.after_request(_note_presence)
    app.jinja_env.filters["device"] = device


def cookie_name() -> str:
    """The sign-in cookie. Browsers take `__Host-` only over TLS, for one host and all its paths."""
    return "__Host-shop" if settings().is_tls else "shop"


def load_person(incoming: Request) -> User | None:
    """The person whose live sign-in the cookie names: one statement, and none without a cookie.

    The row and the person are handed out detached: what a request learns about who is asking
    stays as it was, and costs no statement again after a commit.
    """
    token = incoming.cookies.get(cookie_name())
    if not token:
        return None
    found = db.session.execute(
        select(SignIn, User)
        .join(User, User.id == SignIn.user_id)
        .where(SignIn.token_hash == hashed(token), SignIn.revoked_at.is_(None), User.active)
    ).first()
    if found is None:
        return None
    held, person = found
    if not is_alive(held, person, utcnow()):
        return None
    db.session.expunge(held)
    db.session.expunge(person)
    g.sign_in = held
    return person


def is_alive(held: SignIn, person: User, now: datetime) -> bool:
    """Whether the sign-in is neither too old nor too long unused for this person's present role."""
    since_start, since_seen = now - held.created_at, now - held.last_seen_at
    return (
        now <= held.expires_at
        and since_start <= AT_MOST[person.is_staff]
        and since_seen <= IDLE[person.is_staff]
    )


def current_sign_in() -> SignIn | None:
    """This request's sign-in, detached."""
    return g.get("sign_in") if current_user.is_authenticated else None


def hashed(token: str) -> str:
    """What the database keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True)
class Proven:
    """Somebody who knew their password. `better_hash` is set when the kept one is outdated."""

    user_id: int
    better_hash: str | None


def who_fits(email: str, password: str) -> int | None:
    """The id of the person whose address and password these are; like `prove`, for a step-up."""
    proven = prove(email, password)
    return proven.user_id if proven else None


def prove(email: str, password: str) -> Proven | None:
    """Whose address and password these are. Counts the try; raises limits.TooMany.

    An unknown address, a wrong password and an inactive person take the same work and the same way.
    Opens its own transactions; none is open while a hash is computed.
    """
    account = email.strip().casefold()
    counted_as = _counted_as(account, request.remote_addr or "")
    count_try("sign_in_address", request.remote_addr or "")
    sign_in_limits.count_try(counted_as)
    found = db.session.execute(
        select(User.id, User.password_hash, User.active).where(User.email == account)
    ).first()
    end_reading()
    known_hash = found.password_hash if found else None
    if not passwords.fits(password, known_hash) or not found or not found.active:
        return None
    sign_in_limits.forget(counted_as)
    better = passwords.hashed(password) if passwords.is_outdated(found.password_hash) else None
    return Proven(found.id, better)


def _counted_as(account: str, address: str) -> str:
    """Where the person has signed in before, tries are counted apart from those of the rest of the world.

    So a stranger who uses up an account's tries locks its owner out of nothing (security.md, S34).
    """
    was_here = (
        select(SignIn.id)
        .join(User, User.id == SignIn.user_id)
        .where(User.email == account, SignIn.address == address)
        .limit(1)
    )
    return f"{account} at {address}" if db.session.scalar(was_here) else account


@dataclass(frozen=True)
class Begun:
    """A new sign-in: the token for the browser, and whether the person works here."""

    token: str
    is_staff: bool


def begin(proven: Proven) -> Begun:
    """Sign the person in: end the browser's earlier sign-in, merge the cart. Inside a transaction."""
    person = db.session.get_one(User, proven.user_id)
    if proven.better_hash:
        person.password_hash = proven.better_hash
    end_this()
    for react in on_sign_in:
        react(person.id)
    return Begun(start_row(person), person.is_staff)


def start_row(person: User) -> str:
    """A fresh sign-in of this person in this browser. Returns its token. Inside a transaction."""
    token, now = secrets.token_urlsafe(32), utcnow()
    db.session.add(
        SignIn(
            user_id=person.id,
            token_hash=hashed(token),
            last_seen_at=now,
            expires_at=now + AT_MOST[person.is_staff],
            stepped_up_at=now,
            address=request.remote_addr,
            user_agent=request.user_agent.string[:300],
        )
    )
    return token


def end_this() -> None:
    """End the sign-in of this browser, if it has one."""
    token = request.cookies.get(cookie_name())
    if token:
        db.session.execute(
            update(SignIn)
            .where(SignIn.token_hash == hashed(token), SignIn.revoked_at.is_(None))
            .values(revoked_at=utcnow())
        )


def step_up(held: SignIn) -> str:
    """Note that the person has just proved themselves. Returns a new token; the old one is dead."""
    token = secrets.token_urlsafe(32)
    db.session.execute(
        update(SignIn)
        .where(SignIn.id == held.id, SignIn.revoked_at.is_(None))
        .values(token_hash=hashed(token), stepped_up_at=utcnow(), last_seen_at=utcnow())
    )
    return token


def stepped_up_within(minutes: int = 10) -> bool:
    """Whether the person gave their password in this sign-in so lately."""
    held = current_sign_in()
    if held is None or held.stepped_up_at is None:
        return False
    return utcnow() - held.stepped_up_at <= timedelta(minutes=minutes)


def open_sign_ins(user_id: int) -> list[SignIn]:
    """The person's live sign-ins, latest first, at most 50."""
    person = db.session.get_one(User, user_id)
    rows = db.session.scalars(
        select(SignIn)
        .where(SignIn.user_id == user_id, SignIn.revoked_at.is_(None))
        .order_by(SignIn.last_seen_at.desc())
        .limit(50)
    )
    return [row for row in rows if is_alive(row, person, utcnow())]


def end(user_id: int, sign_in_id: int) -> bool:
    """End one of the person's sign-ins. False when they have none by that id."""
    ended = db.session.execute(
        update(SignIn)
        .where(SignIn.id == sign_in_id, SignIn.user_id == user_id, SignIn.revoked_at.is_(None))
        .values(revoked_at=utcnow())
        .returning(SignIn.id)
    )
    return ended.first() is not None


def end_all(user_id: int, except_id: int = 0) -> None:
    """End all the person's sign-ins but one."""
    db.session.execute(
        update(SignIn)
        .where(SignIn.user_id == user_id, SignIn.revoked_at.is_(None), SignIn.id != except_id)
        .values(revoked_at=utcnow())
    )


def forget_old(days: int = 90) -> None:
    """Retention: take away sign-ins that have been dead for so long."""
    before = utcnow() - timedelta(days=days)
    db.session.execute(
        delete(SignIn).where(func.coalesce(SignIn.revoked_at, SignIn.expires_at) < before)
    )


def device(user_agent: str) -> str:
    """A browser in words that its owner recognises: "Firefox on Windows"."""
    browser = next((name for sign, name in BROWSERS if sign in user_agent), "A browser")
    system = next((name for sign, name in SYSTEMS if sign in user_agent), "")
    return f"{browser} on {system}" if system else browser


def remember(response: Response, token: str) -> Response:
    """Give the browser its token."""
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(AT_MOST[False].total_seconds()),
        secure=settings().is_tls,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return response


def forget(response: Response) -> Response:
    """Take the browser's token away."""
    response.delete_cookie(
        cookie_name(), path="/", secure=settings().is_tls, httponly=True, samesite="Lax"
    )
    return response


def _note_presence(response: Response) -> Response:
    """Write `last_seen_at` at most every five minutes, in its own transaction, after the answer is made.

    A poll of an open page, known by the tag it sends, is no use of the shop.
    """
    held: SignIn | None = g.get("sign_in")
    is_poll = wants_fragment() and bool(request.if_none_match)
    if held is None or is_poll or utcnow() - held.last_seen_at < SEEN_EVERY:
        return response
    if response.status_code >= 500:
        return response
    try:
        with transaction():
            db.session.execute(
                update(SignIn)
                .where(SignIn.id == held.id, SignIn.revoked_at.is_(None))
                .values(last_seen_at=utcnow())
            )
    except DBAPIError as error:
        if not is_passing(error):
            raise
    return response
