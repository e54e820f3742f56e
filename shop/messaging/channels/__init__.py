"""The ways to a person: who carries each kind of message, one file each.

A notification names a kind; settings say which provider carries it, so that a change of provider
changes no message.
"""

from importlib import import_module
from typing import Any

from shop.config import settings
from shop.errors import NotFound
from shop.messaging.channels.base import Channel, Source

#: By kind and provider. Mail has SMTP alone, and without SMTP_URL the demo's mailbox.
CHANNELS = {
    "email": {
        "smtp": "shop.messaging.channels.smtp:Smtp",
        "mailbox": "shop.messaging.channels.mailbox:DemoMailbox",
    },
    "sms": {
        "twilio": "shop.messaging.channels.twilio:TwilioSms",
        "termii": "shop.messaging.channels.termii:Termii",
    },
    "whatsapp": {
        "twilio": "shop.messaging.channels.twilio:TwilioWhatsApp",
        "msg91": "shop.messaging.channels.msg91:Msg91",
        "wati": "shop.messaging.channels.wati:Wati",
        "interakt": "shop.messaging.channels.interakt:Interakt",
        "cloud": "shop.messaging.channels.whatsapp_cloud:WhatsAppCloud",
    },
}
#: Who posts receipts, by the name in the address, and the setting without which it proves nothing.
SOURCES = {
    "twilio": ("shop.messaging.channels.twilio:TwilioReceipts", "twilio_auth_token"),
    "termii": ("shop.messaging.channels.termii:Termii", "termii_secret_key"),
    "msg91": ("shop.messaging.channels.msg91:Msg91", "msg91_webhook_secret"),
    "wati": ("shop.messaging.channels.wati:Wati", "wati_webhook_secret"),
    "interakt": ("shop.messaging.channels.interakt:Interakt", "interakt_webhook_secret"),
    "cloud": ("shop.messaging.channels.whatsapp_cloud:WhatsAppCloud", "whatsapp_cloud_app_secret"),
    "ses": ("shop.messaging.channels.ses:SesNotices", "ses_webhook_secret"),
}


def provider_of(kind: str) -> str:
    """The provider that carries this kind of message; empty where it is switched off."""
    chosen = {
        "email": "smtp" if settings().smtp_url else "mailbox",
        "sms": settings().sms_channel,
        "whatsapp": settings().whatsapp_channel,
    }
    return chosen.get(kind, "")


def is_switched_on(kind: str) -> bool:
    """True when messages of this kind are made; in a dry run, too."""
    return bool(provider_of(kind))


def channel(kind: str) -> Channel:
    """Who carries this kind of message. Raises NotFound where it is switched off."""
    return channel_by(kind, provider_of(kind))


def channel_by(kind: str, provider: str) -> Channel:
    """That provider's channel, whether or not it is chosen. Raises NotFound."""
    place = CHANNELS.get(kind, {}).get(provider)
    if place is None:
        raise NotFound("There is no such channel, or it is switched off.")
    made: Channel = _made(place)
    return made


def source(key: str) -> Source:
    """Who posts to /webhooks/messages/<key>. One that is not set up to prove itself raises NotFound.

    A provider that is no longer chosen is still heard: its receipts come late.
    """
    place, setting = SOURCES.get(key, ("", ""))
    if not place or not getattr(settings(), setting):
        raise NotFound
    made: Source = _made(place)
    return made


def _made(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)()
