"""A mail server that takes its time: every answer comes late by the same span."""

import asyncio
import socket
import time
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class _Handler:
    """Answers each command of a conversation after a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.taken: list[tuple[float, str, bytes]] = []

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, host: str, replies: list[str]
    ) -> list[str]:
        await asyncio.sleep(self.seconds)
        session.host_name = host
        return replies

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, sender: str, options: Any
    ) -> str:
        await asyncio.sleep(self.seconds)
        envelope.mail_from, envelope.mail_options = sender, options
        return "250 go on"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, recipient: str, _options: Any
    ) -> str:
        await asyncio.sleep(self.seconds)
        envelope.rcpt_tos.append(recipient)
        return "250 go on"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.seconds)
        content = envelope.original_content or b""
        self.taken.append((time.monotonic(), envelope.rcpt_tos[0], content))
        return "250 taken"

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:
        await asyncio.sleep(self.seconds)
        return "221 bye"


class SlowSmtp:
    """One server on loopback. `taken` holds when each mail was taken, for whom, and the mail."""

    def __init__(self, seconds: float) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._handler = _Handler(seconds)
        self._controller = Controller(
            self._handler, hostname="127.0.0.1", port=port, ready_timeout=10
        )
        self._controller.start()
        self.url = f"smtp://127.0.0.1:{port}"

    @property
    def taken(self) -> list[tuple[float, str, bytes]]:
        """By the monotonic clock, which all processes of a machine share."""
        return self._handler.taken

    def stop(self) -> None:
        """End the server."""
        self._controller.stop()
