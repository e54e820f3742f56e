"""A stand-in for Amazon SES: an SMTP server with its answers, and SNS's posts about bounces and complaints.

Written from Amazon's documents. Its own addresses decide what becomes of a mail: bounce@, complaint@
and success@simulator.amazonses.com.
"""

import email
import email.policy
import json
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.simulators.messengers import Messenger, Sent

TOPIC = "arn:aws:sns:ap-south-1:000000000000:mail"
SECRET = "ses-secret-0123456789abcdef"
SIMULATOR = "simulator.amazonses.com"


class Ses(Messenger):
    """One identity in one region."""

    name = "Amazon SES"
    #: What Amazon SNS does for an address unless told otherwise: three more tries, 20 s apart.
    RETRIES = (20,) * 3

    def __init__(self, port: int = 0, verified: str = "halflong.example") -> None:
        super().__init__(port)
        self.verified = verified
        #: Answers still to give to messages: "454 Throttling failure: …"; then all are taken.
        self.answers_to_data: list[str] = []
        self.mails: dict[str, EmailMessage] = {}
        #: Whether deliveries are told of, too.
        self.tells_deliveries = True
        self.smtp_port = _free_port()
        self._smtp = Controller(_Door(self), hostname="127.0.0.1", port=self.smtp_port)
        self._smtp.start()

    @property
    def smtp_url(self) -> str:
        """For the shop's settings. The real one wants TLS, which the tests of SMTP prove."""
        return f"smtp://127.0.0.1:{self.smtp_port}"

    def stop(self) -> None:
        """End both servers."""
        self._smtp.stop()
        super().stop()

    def taken(self, recipient: str, raw: bytes) -> str:
        """Judge a mail at the end of DATA; Message-ID and Date become SES's own."""
        if self.answers_to_data:
            return self.answers_to_data.pop(0)
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        if not str(mail["From"]).rstrip(">").endswith(f"@{self.verified}"):
            return (
                "554 Message rejected: Email address is not verified. The following identities "
                f"failed the check in region AP-SOUTH-1: {mail['From']}"
            )
        made = f"0100018c-{self.next_number():012x}-000000"
        del mail["Message-ID"]
        mail["Message-ID"] = f"<{made}@ap-south-1.amazonses.com>"
        self.mails[made] = mail  # type: ignore[assignment]
        told_of = mail["X-SES-CONFIGURATION-SET"]
        self.take(Sent(id=made, to=recipient, text=str(mail["Subject"]), more={"set": told_of}))
        return f"250 Ok {made}"

    # --- the other side ---------------------------------------------------------------------

    def settle(self) -> None:
        """Tell of every mail what its address asks for."""
        for sent in list(self.messages.values()):
            if sent.status != "accepted":
                continue
            name, _, host = sent.to.partition("@")
            what = name if host == SIMULATOR and name in {"bounce", "complaint"} else "delivered"
            self.report(sent.id, what)

    def report(self, message_id: str, status: str, code: int = 0) -> None:
        """ "bounce", "soft" (a bounce that may pass), "complaint", "delivered"."""
        sent = self.messages[message_id]
        sent.status = status
        if status == "delivered" and not self.tells_deliveries:
            return
        self.notify(notice(sent.id, sent.to, status))

    def notify(
        self, told: Any, topic: str = TOPIC, kind: str = "Notification", **more: str
    ) -> None:
        """SNS's envelope. It says that it is plain text."""
        text = told if isinstance(told, str) else json.dumps(told)
        body = {
            "Type": kind, "MessageId": f"22b80b92-{self.next_number():012x}", "TopicArn": topic,
            "Message": text, "Timestamp": "2026-11-20T12:20:06.000Z", "SignatureVersion": "1",
            "Signature": "invented", "SigningCertURL": "https://sns.ap-south-1.amazonaws.com/x.pem",
            **more,
        }  # fmt: skip
        self.post(body, lambda _body: {"Content-Type": "text/plain; charset=UTF-8"})

    def ask_to_confirm(self, address: str) -> None:
        """What comes when the address is subscribed."""
        self.notify("You have chosen to subscribe", kind="SubscriptionConfirmation", SubscribeURL=address)  # fmt: skip


def notice(message_id: str, recipient: str, status: str) -> dict[str, Any]:
    """SES's own words inside the envelope."""
    at = "2026-11-20T12:20:05.000Z"
    mail = {
        "timestamp": "2026-11-20T12:20:01.000Z", "messageId": message_id,
        "source": "orders@halflong.example", "destination": [recipient],
    }  # fmt: skip
    row = {"emailAddress": recipient}
    if status == "complaint":
        part: dict[str, Any] = {"complainedRecipients": [row], "complaintFeedbackType": "abuse"}
        return {"notificationType": "Complaint", "complaint": {**part, "timestamp": at, "feedbackId": message_id}, "mail": mail}  # fmt: skip
    if status == "delivered":
        part = {"recipients": [recipient], "smtpResponse": "250 2.6.0 Message received"}
        return {"notificationType": "Delivery", "delivery": {**part, "timestamp": at}, "mail": mail}
    is_final = status == "bounce"
    row |= {"action": "failed", "status": "5.1.1" if is_final else "4.2.2", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}  # fmt: skip
    part = {
        "bounceType": "Permanent" if is_final else "Transient", "bounceSubType": "General",
        "bouncedRecipients": [row], "timestamp": at, "feedbackId": message_id,
    }  # fmt: skip
    return {"notificationType": "Bounce", "bounce": part, "mail": mail}


class _Door:
    """The SMTP side."""

    def __init__(self, ses: Ses) -> None:
        self.ses = ses

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        return self.ses.taken(envelope.rcpt_tos[0], envelope.original_content or b"")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
