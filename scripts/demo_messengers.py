"""The stand-ins for who carries SMS and WhatsApp, beside the demo's shop: messages arrive there, on a page each."""

import os

from shop.messaging.languages import LANGUAGES
from shop.messaging.whatsapp_templates import WHATSAPP
from tests.simulators import interakt, msg91, termii, twilio, wati, whatsapp_cloud
from tests.simulators.messengers import Messenger

#: What happens to each message by itself, and how soon: its receipts come as from a real handset.
GOES, GOES_AFTER = ("sent", "delivered"), 1.5
#: Who carries SMS for each currency, where SMS_CHANNEL does not say.
SMS = {"NGN": "termii"}


class Messengers:
    """The six of them; each of the shop's channels can be chosen."""

    count = 6

    def __init__(self, ports: list[int]) -> None:
        port = iter(ports)
        self.made: dict[str, Messenger] = {
            "twilio": twilio.Twilio(port=next(port)),
            "termii": termii.Termii(port=next(port)),
            "msg91": msg91.Msg91(port=next(port)),
            "wati": wati.Wati(port=next(port)),
            "interakt": interakt.Interakt(port=next(port)),
            "cloud": whatsapp_cloud.WhatsAppCloud(port=next(port)),
        }
        approved = {one.name: len(one.parameters) for one in WHATSAPP.values()}
        for one in self.made.values():
            one.templates = approved
            one.goes, one.goes_after = GOES, GOES_AFTER
        self.made["cloud"].languages = set(LANGUAGES)
        self.made["twilio"].contents = {f"HX-{name}": count for name, count in approved.items()}

    def tell(self, shop: str) -> None:
        """Post receipts to the shop at that address."""
        secrets = {"msg91": f"/{msg91.SECRET}", "wati": f"/{wati.SECRET}"}
        for key, one in self.made.items():
            one.webhook_url = f"{shop}/webhooks/messages/{key}{secrets.get(key, '')}"

    def settings(self, currency: str) -> dict[str, str]:
        """The environment by which a shop speaks to them. SMS_CHANNEL and WHATSAPP_CHANNEL choose."""
        names = [approved.name for approved in WHATSAPP.values()]
        return {
            "SMS_CHANNEL": os.environ.get("SMS_CHANNEL") or SMS.get(currency, "twilio"),
            "WHATSAPP_CHANNEL": os.environ.get("WHATSAPP_CHANNEL") or "cloud",
            "MESSAGES_DRY_RUN": "false",
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
            "TWILIO_AUTH_TOKEN": twilio.TOKEN,
            "TWILIO_SMS_FROM": twilio.SMS_FROM,
            "TWILIO_MESSAGING_SERVICE_SID": "",
            "TWILIO_WHATSAPP_FROM": twilio.WHATSAPP_FROM,
            "TWILIO_TEMPLATES": ",".join(f"{name}=HX-{name}" for name in names),
            "TWILIO_API_BASE": self.made["twilio"].api,
            "TERMII_API_KEY": termii.API_KEY,
            "TERMII_SECRET_KEY": termii.SECRET_KEY,
            "TERMII_SENDER_ID": termii.SENDER,
            "TERMII_API_BASE": self.made["termii"].api,
            "MSG91_AUTH_KEY": msg91.AUTH_KEY,
            "MSG91_WHATSAPP_NUMBER": msg91.NUMBER,
            "MSG91_WEBHOOK_SECRET": msg91.SECRET,
            "MSG91_API_BASE": self.made["msg91"].api,
            "WATI_URL": self.made["wati"].api,
            "WATI_TOKEN": wati.TOKEN,
            "WATI_WEBHOOK_SECRET": wati.SECRET,
            "INTERAKT_API_KEY": interakt.API_KEY,
            "INTERAKT_WEBHOOK_SECRET": interakt.SECRET,
            "INTERAKT_API_BASE": self.made["interakt"].api,
            "WHATSAPP_CLOUD_TOKEN": whatsapp_cloud.TOKEN,
            "WHATSAPP_CLOUD_PHONE_ID": whatsapp_cloud.PHONE_ID,
            "WHATSAPP_CLOUD_ACCOUNT_ID": whatsapp_cloud.ACCOUNT_ID,
            "WHATSAPP_CLOUD_APP_SECRET": whatsapp_cloud.APP_SECRET,
            "WHATSAPP_CLOUD_VERIFY_TOKEN": whatsapp_cloud.VERIFY_TOKEN,
            "WHATSAPP_CLOUD_API_BASE": self.made["cloud"].api,
        }

    def words(self, currency: str) -> list[str]:
        """Where to read what has arrived."""
        chosen = self.settings(currency)
        sms, whatsapp = chosen["SMS_CHANNEL"], chosen["WHATSAPP_CHANNEL"]
        return [
            f"SMS arrive at:               {self.made[sms].url}/received",
            f"WhatsApp messages arrive at: {self.made[whatsapp].url}/received",
            "(tick them at checkout; at night they wait for the morning, as Settings says)",
        ]
