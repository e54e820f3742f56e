"""Everybody who posts to the inbox: how each is set up, what it sends, and how it proves itself."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop.config import settings
from shop.messaging import channels
from shop.payments.gateways.sandbox import shared_secret
from shop.payments.gateways.swish import identifiers
from shop.webhooks import inbox, messages
from tests.simulators.paystack_objects import sign as paystack_signature
from tests.simulators.stripe_objects import sign as stripe_signature

TESTS = Path(__file__).resolve().parent.parent
TOPIC, PHONE_ID = "arn:aws:sns:x:y", "106540352242922"
KEYS: dict[str, Any] = {
    "payment_gateways": ("sandbox", "stripe", "razorpay", "paystack", "flutterwave", "swish"),
    "stripe_secret_key": "sk_test_x", "stripe_webhook_secret": ("whsec_x",),
    "razorpay_webhook_secret": ("razorpay-secret",), "paystack_secret_key": "sk_test_x",
    "flutterwave_webhook_hash": ("flutterwave-hash",), "shiprocket_webhook_token": ("t" * 24,),
    "twilio_auth_token": "t", "termii_secret_key": ("s",), "msg91_webhook_secret": ("m" * 20,),
    "wati_webhook_secret": ("w" * 20,), "interakt_webhook_secret": ("i",),
    "whatsapp_cloud_app_secret": ("c",), "whatsapp_cloud_phone_id": PHONE_ID,
    "ses_webhook_secret": ("e" * 20,), "ses_topic_arn": TOPIC,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One sender, as far as the inbox knows it."""

    name: str
    #: Real bodies of the provider's page.
    samples: list[Any]
    #: What proves a body; called with the shop's settings at hand.
    proof: Callable[[bytes], dict[str, str]]
    #: A message of a kind that the shop does not know.
    unknown: Any
    #: What stands behind the name in the address.
    more: Callable[[bytes], str] = lambda _body: ""
    #: False where what cannot be read cannot be proven either.
    proves_anything: bool = True

    def path(self, body: bytes) -> str:
        """Where the body is posted to."""
        return f"/webhooks/{self.name}{self.more(body)}"

    def read(self, body: bytes) -> Any:
        """What its reader makes of a body: the reader that the inbox and its job call."""
        if self.name.startswith(messages.PREFIX):
            key = self.name.removeprefix(messages.PREFIX)
            return channels.source(key).parse(body, "application/json")
        return inbox.source_of(self.name).parse(body)

    def post(self, client: Any, body: bytes) -> int:
        """Post it as the provider does; the answer's status."""
        headers = {"Content-Type": "application/json", **self.proof(body)}
        return int(client.post(self.path(body), data=body, headers=headers).status_code)


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def _samples(folder: str, *names: str) -> list[Any]:
    found = [json.loads((TESTS / folder / f"{name}.json").read_bytes()) for name in names]
    assert found
    return found


def _mac(header: str, secret: str, digest: str = "sha256", prefix: str = "") -> Any:
    def proof(body: bytes) -> dict[str, str]:
        return {header: prefix + hmac.new(secret.encode(), body, digest).hexdigest()}

    return proof


def _sandbox(body: bytes) -> dict[str, str]:
    return {"X-Sandbox-Signature": stripe_signature(body, shared_secret())}


def _swish(body: bytes) -> dict[str, str]:
    try:
        number = str(json.loads(body)["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        number = ""
    return {"callbackIdentifier": identifiers(number)[0]}


def _hashed(body: bytes) -> str:
    return f"?bodySHA256={hashlib.sha256(body).hexdigest()}"


def _twilio(body: bytes) -> dict[str, str]:
    """The address is signed, and holds the body's hash."""
    url = f"{settings().public_url}/webhooks/messages/twilio{_hashed(body)}"
    made = hmac.new(b"t", url.encode(), "sha1").digest()
    return {"X-Twilio-Signature": base64.b64encode(made).decode()}


def _behind(secret: str) -> Callable[[bytes], str]:
    return lambda _body: f"/{secret}"


SANDBOX_PAID = {
    "id": "evt_1", "type": "payment.captured",
    "data": {
        "id": "sbx_1", "reference": "A" * 26, "amount_minor": 1900, "currency": "USD",
        "status": "paid", "failure_code": "insufficient_funds", "paid_at": "2026-11-16T10:00:00+00:00",
    },
}  # fmt: skip
SANDBOX_PARCEL = {
    "id": "trk_1", "type": "parcel.scan",
    "data": {
        "awb": "SBX1", "reference": "2611.001", "estimated_at": "2026-11-18T10:00:00+00:00",
        "is_return": False,
        "scans": [
            {
                "code": "delivered", "words": "Delivered", "status": "delivered", "place": "Kochi",
                "at": "2026-11-17T10:00:00+00:00",
            }
        ],
    },
}  # fmt: skip
PAYMENTS, PARCELS, POSTS = "payments/samples/", "delivery/samples", "messaging/samples/"


def _amazon(notice: Any) -> dict[str, str]:
    return {"Type": "Notification", "TopicArn": TOPIC, "MessageId": "m-1", "Message": json.dumps(notice)}  # fmt: skip


SOURCES = (
    Source("sandbox", [SANDBOX_PAID], _sandbox, {"id": "evt_9", "type": "moon.rose", "data": {}}),
    Source(
        "stripe",
        _samples(
            PAYMENTS + "stripe", "checkout.session.completed-paid", "refund.failed", "charge.dispute.created",
        ),
        lambda body: {"Stripe-Signature": stripe_signature(body, "whsec_x")},
        {"id": "evt_9", "object": "event", "type": "moon.rose", "data": {"object": {}}},
    ),
    Source(
        "razorpay",
        _samples(PAYMENTS + "razorpay", "order.paid", "refund.processed", "payment.dispute.created"),
        _mac("X-Razorpay-Signature", "razorpay-secret"),
        {"entity": "event", "event": "moon.rose", "payload": {}},
    ),
    Source(
        "paystack",
        _samples(PAYMENTS + "paystack", "charge.success", "refund.processed", "charge.dispute.create"),
        lambda body: {"X-Paystack-Signature": paystack_signature(body, "sk_test_x")},
        {"event": "moon.rose", "data": {}},
    ),
    Source(
        "flutterwave",
        _samples(PAYMENTS + "flutterwave", "charge.completed-successful", "charge.completed-failed"),
        lambda _body: {"verif-hash": "flutterwave-hash"}, {"event": "moon.rose", "data": {}},
    ),
    Source(
        "swish", _samples(PAYMENTS + "swish", "payment-paid", "refund-error-RF07"), _swish,
        {"id": "A" * 32, "status": "ROSE"}, proves_anything=False,
    ),
    Source("delivery/sandbox", [SANDBOX_PARCEL], _sandbox, {**SANDBOX_PARCEL, "id": "trk_9", "type": "moon.rose"}),
    Source(
        "delivery/parcel",
        _samples(PARCELS, "webhook_delivered", "webhook_return_picked_up"),
        lambda _body: {"x-api-key": "t" * 24},
        {"awb": "7", "shipment_status": "ROSE", "shipment_status_id": 999},
    ),
    Source(
        "messages/twilio", _samples(POSTS + "twilio", "status_callback_sms_undelivered"), _twilio,
        {"MessageSid": "SM1", "MessageStatus": "rose"}, _hashed,
    ),
    Source(
        "messages/termii", _samples(POSTS + "termii", "webhook_delivered"),
        _mac("X-Termii-Signature", "s", "sha512"), {"type": "rose", "message_id": "1", "status": "Rose"},
    ),
    Source(
        "messages/msg91",
        _samples(POSTS + "msg91", "whatsapp_webhook_report_failed", "sms_webhook_v3_json"),
        lambda _body: {}, {"eventName": "rose", "requestId": "1"}, _behind("m" * 20),
    ),
    Source(
        "messages/wati", _samples(POSTS + "wati", "webhook_failed"), lambda _body: {},
        {"eventType": "rose", "localMessageId": "1"}, _behind("w" * 20),
    ),
    Source(
        "messages/interakt", _samples(POSTS + "interakt", "webhook_failed"),
        _mac("Interakt-Signature", "i", prefix="sha256="), {"type": "rose"},
    ),
    Source(
        "messages/cloud", _samples(POSTS + "whatsapp-cloud", "webhook_failed_131026", "webhook_batch_mixed"),
        _mac("X-Hub-Signature-256", "c", prefix="sha256="), {"object": "rose"},
    ),
    Source(
        "messages/ses", [_amazon(_samples(POSTS + "email", "ses_bounce_notification")[0])],
        lambda _body: {}, _amazon({"notificationType": "Rose"}), _behind("e" * 20),
    ),
)  # fmt: skip
BY_NAME = {source.name: source for source in SOURCES}

#: One of each kind is tried at each place, in turn.
ODD: tuple[tuple[Any, ...], ...] = (
    (None,), (0, -7, 1.5, True, 10**18), ("\x00\ud83d", "x", "", "9" * 400, "0001-01-01T00:00:00+05:00"),
    ([None], []), ({"id": None}, {}),
)  # fmt: skip


def with_odd_values(sample: Any) -> Iterator[Any]:
    """The sample with one place after the other left out, or holding odd values. Changed in place."""
    for turn, (holder, place) in enumerate(list(_places(sample))):
        kept = holder[place]
        for kind in ODD:
            holder[place] = kind[turn % len(kind)]
            yield sample
        if isinstance(holder, dict):
            del holder[place]
            yield sample
        holder[place] = kept


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return
    for place, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, place
        yield from _places(inner)
