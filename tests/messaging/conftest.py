"""Mail servers that behave badly, and the messages that the shop made."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs.queue import enqueue
from shop.messaging.models import Notification


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answers:
    """A mail server's behaviour: `mail`, `rcpt` and `data` hold the answers still to give, then it takes all."""

    def __init__(self) -> None:
        self.mail: list[str] = []
        self.rcpt: list[str] = []
        self.data: list[str] = []
        self.taken: list[Any] = []
        #: Answer to the message, then the connection is cut before the client reads it.
        self.cut_after_message = False

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.mail:
            return self.mail.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.rcpt:
            return self.rcpt.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        if self.data:
            return self.data.pop(0)
        self.taken.append(envelope)
        if self.cut_after_message:
            self.cut_after_message = False
            server.transport.abort()
            await asyncio.sleep(0.05)
        return f"250 2.0.0 Ok: queued as MAIL{len(self.taken)}"


@pytest.fixture
def start_server(configure: Callable[..., None]) -> Iterator[Callable[..., Answers]]:
    """`start_server(mode="smtp", **options)` starts an SMTP server and points the shop at it."""
    started: list[Controller] = []

    def start(
        mode: str = "smtp", *, login: str = "", host: str = "127.0.0.1", **options: Any
    ) -> Answers:
        answers = Answers()
        controller = Controller(
            answers, hostname="127.0.0.1", port=free_port(), ready_timeout=10, **options
        )
        with (
            contextlib.suppress(ssl.SSLError, OSError)
            if "ssl_context" in options
            else contextlib.nullcontext()
        ):
            controller.start()
        started.append(controller)
        configure(smtp_url=f"{mode}://{login}{host}:{controller.port}")
        answers.controller = controller  # type: ignore[attr-defined]
        return answers

    yield start
    for controller in started:
        with contextlib.suppress(AssertionError):
            controller.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utcnow() - timedelta(days=1))
        .not_valid_after(utcnow() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def server_context(certificate: Path) -> ssl.SSLContext:
    """What a mail server on localhost encrypts with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's machine trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def tell(app: Any) -> Callable[..., None]:
    """`tell(event, order_id, **context)` writes the job, as the place where it happens does."""

    def told(event: str, order_id: int, **context: Any) -> None:
        with transaction():
            enqueue("messaging.tell", {"event": event, "order_id": order_id, **context})

    return told


@pytest.fixture
def messages(app: Any) -> Callable[..., list[Notification]]:
    """`messages(template)`: what the table holds now."""

    def found(template: str | None = None) -> list[Notification]:
        db.session.rollback()
        query = db.select(Notification).order_by(Notification.id)
        return list(db.session.scalars(query.filter_by(template=template) if template else query))

    return found


@pytest.fixture
def silent_server(configure: Callable[..., None]) -> Iterator[socket.socket]:
    """Takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    configure(smtp_url=f"smtp://127.0.0.1:{listener.getsockname()[1]}")
    held: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    yield listener
    listener.close()
    for connection in held:
        connection.close()
