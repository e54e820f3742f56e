"""The second factor: codes of an authenticator app (TOTP), and recovery codes (security.md, S37–S39).

Nothing here commits.
"""

import base64
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from shop.accounts import passwords, signing_in
from shop.accounts.models import RecoveryCode, User
from shop.audit import recording
from shop.clock import utcnow
from shop.config import settings
from shop.database import end_reading
from shop.extensions import db
from shop.secret_box import seal, unseal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_SECONDS, DIGITS = 30, 6
"""What every authenticator app takes without being told (RFC 6238, with SHA-1)."""

SECRET_BYTES = 20
RECOVERY_CODES, RECOVERY_BYTES = 10, 10


def new_secret() -> str:
    """A fresh secret of 160 bits, as people and apps read it: base32."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _totp(secret: str) -> "TOTP":
    # Only the staff's sign-in needs these, and they are large: as in secret_box.
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    return TOTP(base64.b32decode(secret), DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303  (HMAC, as RFC 6238 has it)


def app_address(secret: str, email: str) -> str:
    """The otpauth:// address that an app reads from the picture."""
    return _totp(secret).get_provisioning_uri(email, settings().shop_name)


def picture(secret: str, email: str) -> str:
    """The same as a QR code: a data address of an SVG, dark on white whatever the page's colours."""
    import segno  # Only these pages draw codes.

    code = segno.make(app_address(secret, email), error="m", micro=False)
    return str(code.svg_data_uri(scale=5, border=4, light="#fff", dark="#000"))


def step_of(secret: str, code: str) -> int | None:
    """The 30-second step that the code belongs to: the present one or the one before."""
    typed = "".join(code.split())
    now = int(utcnow().timestamp()) // STEP_SECONDS
    for step in (now, now - 1):
        made = _totp(secret).generate(step * STEP_SECONDS).decode()
        if secrets.compare_digest(made.encode(), typed.encode()):
            return step
    return None


def take_code(user_id: int, code: str) -> bool:
    """Take a code of the person's app, once: its step and all before it are used up."""
    sealed = db.session.scalar(select(User.totp_secret).where(User.id == user_id))
    step = step_of(unseal(sealed), code) if sealed else None
    if step is None:
        return False
    taken = db.session.execute(
        update(User)
        .where(User.id == user_id, func.coalesce(User.totp_step_used, 0) < step)
        .values(totp_step_used=step)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    return taken.first() is not None


def recovery_code_of(user_id: int, typed: str) -> int | None:
    """The id of the person's unused recovery code that was typed. Hashes; call it with no transaction."""
    rows = db.session.execute(
        select(RecoveryCode.id, RecoveryCode.code_hash).where(
            RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
        )
    ).all()
    end_reading()
    code = _plain(typed)
    return next((row.id for row in rows if passwords.fits(code, row.code_hash)), None)


def take_recovery_code(code_id: int) -> bool:
    """Use a recovery code up. False when somebody was quicker."""
    taken = db.session.execute(
        update(RecoveryCode)
        .where(RecoveryCode.id == code_id, RecoveryCode.used_at.is_(None))
        .values(used_at=utcnow())
        .returning(RecoveryCode.id, RecoveryCode.user_id)
        .execution_options(synchronize_session=False)
    ).first()
    if taken is None:
        return False
    who = f"user:{taken.user_id}"
    recording.write(who, "account.recovery_code_used", who)
    return True


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 bits, in fours for the eye: "ABCD-EFGH-IJKL-MNOP"."""
    plain = [
        base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
        for _ in range(RECOVERY_CODES)
    ]
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in plain]


def hashed_codes(codes: list[str]) -> list[str]:
    """What is kept of them. Takes a while; call it with no transaction open."""
    return [passwords.hashed(_plain(code)) for code in codes]


def _plain(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter.isalnum())


def switch_on(user_id: int, secret: str, step: int, code_hashes: list[str]) -> None:
    """From now on a sign-in asks for a code. All sign-ins end; `step` was used to prove the app."""
    person = db.session.get_one(User, user_id)
    person.totp_secret, person.totp_step_used = seal(secret), step
    _end(user_id, "account.second_factor_on")
    db.session.add_all(RecoveryCode(user_id=user_id, code_hash=kept) for kept in code_hashes)


def switch_off(user_id: int, actor: str) -> None:
    """A sign-in asks for the password alone again. All sign-ins end."""
    person = db.session.get_one(User, user_id)
    person.totp_secret, person.totp_step_used = None, None
    _end(user_id, "account.second_factor_off", actor)


def _end(user_id: int, action: str, actor: str = "") -> None:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    signing_in.end_all(user_id)
    recording.write(actor or f"user:{user_id}", action, f"user:{user_id}")


def codes_left(user_id: int) -> int:
    """How many recovery codes are unused."""
    unused = select(func.count()).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    )
    return db.session.scalar(unused) or 0
