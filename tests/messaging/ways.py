"""Every way to bring an SMS or a WhatsApp message, beside its stand-in, for tests that hold all to one contract."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask import Flask

from shop.config import Settings
from shop.messaging.channels import channel_by, source
from shop.messaging.channels.base import Channel, Outgoing, Receipt
from tests.simulators import interakt, msg91, termii, twilio, wati, whatsapp_cloud
from tests.simulators.messengers import Messenger

SAMPLES = Path(__file__).parent / "samples"
SHOP = "https://shop.example.com"
TEMPLATE, CONTENT = "shipment_created", "HX00000000000000000000000000000001"
OUTGOING = Outgoing(
    recipient="+919876543210", message_id="17-3f2a9c41d0be",
    text="Halflong: order HL-1042 has shipped. https://shop.example.com/t/8f2c", template=TEMPLATE,
    parameters=(("orderNumber", "HL-1042"), ("awb", "AWB 77"), ("courierName", "Delhivery"), ("trackingLink", f"{SHOP}/t/8f2c")),
)  # fmt: skip
DIGITS = "919876543210"


@dataclass(frozen=True)
class Way:
    """One channel: how it is set up against a stand-in, and where it sends to."""

    kind: str
    key: str
    stand_in: Callable[[], Messenger]
    settings: Callable[[Messenger], dict[str, Any]]
    #: The beginning of the address that messages are sent to.
    path: str
    #: What is said of a number that is not there at once; None where only a receipt tells.
    refuses_unknown: bool = True
    #: True where our message id goes along and comes back.
    carries_reference: bool = True
    receipts_path: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.key}"

    @property
    def hook(self) -> str:
        """The path that its receipts are posted to."""
        return f"/webhooks/messages/{self.key}{self.receipts_path}"


def _twilio(made: Messenger) -> dict[str, Any]:
    return {
        "twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.TOKEN,
        "twilio_sms_from": twilio.SMS_FROM, "twilio_whatsapp_from": twilio.WHATSAPP_FROM,
        "twilio_templates": (f"{TEMPLATE}={CONTENT}",), "twilio_api_base": made.api,
    }  # fmt: skip


def _twilio_made() -> Messenger:
    made = twilio.Twilio()
    made.contents[CONTENT] = 4
    return made


def _with_template(make: Callable[[], Messenger]) -> Callable[[], Messenger]:
    def made() -> Messenger:
        one = make()
        one.templates[TEMPLATE] = 4
        return one

    return made


WAYS = (
    Way("sms", "twilio", _twilio_made, _twilio, "/2010-04-01/"),
    Way(
        "sms", "termii", termii.Termii,
        lambda made: {
            "termii_api_base": made.api, "termii_api_key": termii.API_KEY,
            "termii_secret_key": (termii.SECRET_KEY,), "termii_sender_id": termii.SENDER,
        },
        "/api/sms/send", carries_reference=False,
    ),
    Way("whatsapp", "twilio", _twilio_made, _twilio, "/2010-04-01/"),
    Way(
        "whatsapp", "msg91", _with_template(msg91.Msg91),
        lambda made: {
            "msg91_api_base": made.api, "msg91_auth_key": msg91.AUTH_KEY,
            "msg91_whatsapp_number": msg91.NUMBER, "msg91_webhook_secret": (msg91.SECRET,),
        },
        "/api/v5/whatsapp/", refuses_unknown=False, carries_reference=False, receipts_path=f"/{msg91.SECRET}",
    ),
    Way(
        "whatsapp", "wati", _with_template(wati.Wati),
        lambda made: {
            "wati_url": made.api, "wati_token": wati.TOKEN, "wati_webhook_secret": (wati.SECRET,),
        },
        f"/{wati.TENANT}/api/v2/", carries_reference=False, receipts_path=f"/{wati.SECRET}",
    ),
    Way(
        "whatsapp", "interakt", _with_template(interakt.Interakt),
        lambda made: {
            "interakt_api_base": made.api, "interakt_api_key": interakt.API_KEY,
            "interakt_webhook_secret": (interakt.SECRET,),
        },
        "/v1/public/", refuses_unknown=False,
    ),
    Way(
        "whatsapp", "cloud", _with_template(whatsapp_cloud.WhatsAppCloud),
        lambda made: {
            "whatsapp_cloud_api_base": made.api, "whatsapp_cloud_token": whatsapp_cloud.TOKEN,
            "whatsapp_cloud_phone_id": whatsapp_cloud.PHONE_ID,
            "whatsapp_cloud_account_id": whatsapp_cloud.ACCOUNT_ID,
            "whatsapp_cloud_app_secret": (whatsapp_cloud.APP_SECRET,),
            "whatsapp_cloud_verify_token": whatsapp_cloud.VERIFY_TOKEN,
        },
        f"/{whatsapp_cloud.VERSION}/", refuses_unknown=False,
    ),
)  # fmt: skip
BY_ID = {way.id: way for way in WAYS}


@dataclass
class Scene:
    """A channel in front of its stand-in; settings can be changed on the way."""

    way: Way
    stand_in: Messenger
    app: Flask
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def channel(self) -> Channel:
        return channel_by(self.way.kind, self.way.key)

    def set(self, **changes: Any) -> None:
        held = self.app.extensions["settings"]
        self.app.extensions["settings"] = replace(held, **changes)

    def send(self, **changes: Any) -> str:
        return self.channel.send(replace(OUTGOING, **changes))


APP = Flask("channels")


@contextmanager
def settings_of(**values: Any) -> Iterator[Flask]:
    """An application that holds settings and nothing else: channels know no more."""
    held = APP.extensions.get("settings")
    APP.extensions["settings"] = Settings(public_url=SHOP, **values)
    with APP.app_context():
        yield APP
    APP.extensions["settings"] = held


def receipts(key: str, body: bytes, content_type: str = "application/json") -> list[Receipt]:
    return list(source(key).parse(body, content_type))


def sample(name: str) -> Any:
    """A provider page's sample, as JSON."""
    return json.loads((SAMPLES / name).read_text(encoding="utf-8"))
