"""Mail over SMTP. The mode is said by SMTP_URL's scheme, never guessed, and never falls back to plain.

The conversation is driven step by step, for two things that smtplib's `sendmail` throws away: the
id in the server's last answer, and whether the connection broke before or after the final dot.
"""

import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

from shop.clock import utcnow
from shop.config import settings
from shop.messaging.channels.base import ChannelBroken, Outgoing
from shop.providers import OutcomeUnknown, ProviderRefused, TryLater, line_out

CONVERSATION_SECONDS = 20
STEP_SECONDS = 8
GREYLIST_SECONDS = 900
THROTTLE_SECONDS = 300
#: Sign-in is wanted, too weak, wrong, or must be encrypted (RFC 4954, section 6): the same for all mail.
NOT_LET_IN = {530, 534, 535, 538}
PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@dataclass(frozen=True)
class Server:
    """Where mail is handed over."""

    mode: str
    host: str
    port: int
    user: str
    password: str


def server_of(url: str) -> Server:
    """Read SMTP_URL. Raises ChannelBroken when it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ChannelBroken("SMTP_URL must begin with smtp://, smtps:// or smtp+starttls://")
    return Server(
        parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme],
        unquote(parts.username or ""), unquote(parts.password or ""),
    )  # fmt: skip


class Smtp:
    """One message, one recipient, one connection."""

    key = "smtp"
    name = "SMTP"

    def send(self, message: Outgoing) -> str:
        """Hand the message to the server; returns the id in its answer.

        Raises ChannelBroken (a faulty setting, or not let in), ProviderRefused (another 5xx, a faulty address), TryLater (4xx, or broken off
        before the final dot) and OutcomeUnknown (broken off after it).
        """
        mail = compose(message)
        server = server_of(settings().smtp_url)
        with line_out("smtp"), _connected(server) as connection:
            code, words = _deliver(connection, mail, message.recipient)
        # Judged outside the line: one refused recipient says nothing about the server.
        return _judged(code, words)

    def try_out(self) -> str:
        """Greet the server and sign in; no mail is sent. Raises as `send` does."""
        with line_out("smtp"), _connected(server_of(settings().smtp_url)):
            return (
                "It answered, and signed us in." if "@" in settings().smtp_url else "It answered."
            )


def compose(message: Outgoing) -> EmailMessage:
    """The mail with its headers. Raises ProviderRefused where a line break would get into one."""
    mail = EmailMessage(policy=WIRE)
    try:
        mail["From"] = settings().from_email
        mail["To"] = Address(addr_spec=message.recipient)
        mail["Reply-To"] = settings().support_email
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(utcnow())
        mail["Message-ID"] = message.message_id
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        if message.unsubscribe_url:
            mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        if settings().ses_configuration_set:
            mail["X-SES-CONFIGURATION-SET"] = settings().ses_configuration_set
    except (ValueError, IndexError, MessageError) as error:
        raise ProviderRefused(f"a header or the address cannot be written: {error}") from error
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail


@contextmanager
def _connected(server: Server) -> Iterator[smtplib.SMTP]:
    """A connection that is greeted, encrypted and signed in, and cut after 20 s in all."""
    until = time.monotonic() + CONVERSATION_SECONDS
    try:
        connection = _opened(server)
    except ssl.SSLCertVerificationError as error:
        raise TryLater(f"the mail server's certificate: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise ChannelBroken(f"no TLS with the mail server: {error.reason}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise TryLater(f"the mail server cannot be reached: {error}") from error
    watchdog = threading.Timer(until - time.monotonic(), _cut, [connection])
    watchdog.daemon = True
    watchdog.start()
    try:
        _prepare(connection, server)
        yield connection
        _say_goodbye(connection)
    finally:
        watchdog.cancel()
        connection.close()


def _opened(server: Server) -> smtplib.SMTP:
    where = (server.host, server.port, _own_name())
    if server.mode == "smtps":
        return smtplib.SMTP_SSL(*where, timeout=STEP_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(*where, timeout=STEP_SECONDS)


def _own_name() -> str:
    """How the shop greets the server: by its public name, not by the machine's."""
    host = settings().public_host
    is_number = host.replace(".", "").isdigit() or ":" in host
    return f"[{host}]" if is_number else host


def _cut(connection: smtplib.SMTP) -> None:
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _prepare(connection: smtplib.SMTP, server: Server) -> None:
    """EHLO, TLS where the mode says so, sign-in. Nothing is sent in the clear that should not be."""
    try:
        connection.ehlo_or_helo_if_needed()
        if server.mode == "smtp+starttls":
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo()
        if server.user:
            connection.login(server.user, server.password)
    except smtplib.SMTPNotSupportedError as error:
        raise ChannelBroken(f"the mail server cannot do that: {error}") from error
    except smtplib.SMTPResponseException as error:
        _judged(error.smtp_code, error.smtp_error)
    except ssl.SSLCertVerificationError as error:
        raise TryLater(f"the mail server's certificate: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise ChannelBroken(f"no TLS with the mail server: {error.reason}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise TryLater(f"the connection broke before the message: {error}") from error


def _deliver(connection: smtplib.SMTP, mail: EmailMessage, recipient: str) -> tuple[int, Any]:
    """MAIL, RCPT, DATA and the message. Returns the answer that decides."""
    try:
        sender = parseaddr(settings().from_email)[1]
        for code, words in _envelope(connection, sender, recipient):
            if code not in {250, 251, 354}:
                return code, words
        connection.send(_as_lines(mail))
    except (OSError, smtplib.SMTPException) as error:
        raise TryLater(f"the connection broke before the end of the message: {error}") from error
    try:
        return connection.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise OutcomeUnknown("the connection broke after the message was sent") from error


def _envelope(connection: smtplib.SMTP, sender: str, recipient: str) -> Iterator[tuple[int, Any]]:
    """One command after another, as long as the answers are read."""
    is_foreign = not (sender + recipient).isascii()
    if is_foreign and not connection.has_extn("smtputf8"):
        yield 553, b"this server takes only plain letters in addresses"
        return
    yield connection.mail(sender, ["SMTPUTF8", "BODY=8BITMIME"] if is_foreign else [])
    yield connection.rcpt(recipient)
    yield connection.docmd("DATA")


def _as_lines(mail: EmailMessage) -> bytes:
    """The message as it goes over the wire: dots doubled, ended by a line with a single dot."""
    is_foreign = not str(mail["To"]).isascii()
    raw = mail.as_bytes(policy=WIRE.clone(utf8=True) if is_foreign else WIRE)
    lines = raw if raw.endswith(b"\r\n") else raw + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", lines) + b".\r\n"


def _judged(code: int, words: Any) -> str:
    """The id in a 250; else the error that the code stands for: 4xx later, 5xx never, or not let in."""
    said = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
    said = " ".join(said.split())[:200]
    if code == 250:
        return re.sub(r"(?i)^(\d\.\d\.\d+ )?ok\b:? ?(queued as )?", "", said)
    if code in NOT_LET_IN:
        raise ChannelBroken(f"{code} {said}", str(code))
    if code >= 500:
        raise ProviderRefused(f"{code} {said}", str(code))
    wait = {450: GREYLIST_SECONDS, 451: GREYLIST_SECONDS, 454: THROTTLE_SECONDS}.get(code)
    raise TryLater(f"{code} {said}", str(code), wait)


def _say_goodbye(connection: smtplib.SMTP) -> None:
    """The message is handed over or refused already: what happens now changes nothing."""
    try:
        connection.quit()
    except (OSError, smtplib.SMTPException):
        return
