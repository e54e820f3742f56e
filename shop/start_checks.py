"""What the shop refuses to start with: one sentence for each fault, all of them at once.

`shop.config` calls this with what it read; a command that only looks (`flask shop settings-table`)
is not stopped by it.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from shop.config import Settings

#: Each provider's key: the setting, how a test key begins, how a live one.
KEYS = {
    "stripe": ("stripe_secret_key", ("sk_test_", "rk_test_"), ("sk_live_", "rk_live_")),
    "razorpay": ("razorpay_key_id", ("rzp_test_",), ("rzp_live_",)),
    "paystack": ("paystack_secret_key", ("sk_test_",), ("sk_live_",)),
    "flutterwave": ("flutterwave_secret_key", ("FLWSECK_TEST-",), ("FLWSECK-",)),
}
#: What such a key is, where one is neither.
KEY_OF = {
    "stripe": "a secret key of Stripe", "razorpay": "a key id of Razorpay",
    "paystack": "a secret key of Paystack", "flutterwave": "a secret key of Flutterwave",
}  # fmt: skip
#: What each way to pay cannot do without.
NEEDED = {
    "stripe": ("stripe_secret_key", "stripe_webhook_secret"),
    "razorpay": ("razorpay_key_id", "razorpay_key_secret", "razorpay_webhook_secret"),
    "paystack": ("paystack_secret_key",),
    "flutterwave": ("flutterwave_secret_key", "flutterwave_webhook_hash"),
}
SWISH_FILES = ("swish_payee_alias", "swish_cert_file", "swish_key_file")
#: The only hosts that may answer for a provider where money is real.
OWN_HOSTS = {
    "stripe_api_base": ("Stripe", "api.stripe.com"),
    "razorpay_api_base": ("Razorpay", "api.razorpay.com"),
    "paystack_api_base": ("Paystack", "api.paystack.co"),
    "flutterwave_api_base": ("Flutterwave", "api.flutterwave.com"),
    "shiprocket_api_base": ("Shiprocket", "apiv2.shiprocket.in"),
    "twilio_api_base": ("Twilio", "api.twilio.com"),
    "msg91_api_base": ("MSG91", ".msg91.com"),
    "interakt_api_base": ("Interakt", "api.interakt.ai"),
    "whatsapp_cloud_api_base": ("Meta", "graph.facebook.com"),
    "termii_api_base": ("Termii", ".termii.com"),
    "wati_url": ("Wati", ".wati.io"),
}
"""A host that begins with a dot stands for all below it; an empty address is nobody's."""

#: What each way to bring messages cannot do without, by kind and provider; "|": one of them will do.
MESSAGES_NEED = {
    ("sms", "twilio"): (
        "twilio_account_sid", "twilio_auth_token", "twilio_sms_from|twilio_messaging_service_sid",
    ),
    ("sms", "termii"): ("termii_api_base", "termii_api_key", "termii_sender_id", "termii_secret_key"),
    ("whatsapp", "twilio"): (
        "twilio_account_sid", "twilio_auth_token", "twilio_whatsapp_from", "twilio_templates",
    ),
    ("whatsapp", "msg91"): ("msg91_auth_key", "msg91_whatsapp_number", "msg91_webhook_secret"),
    ("whatsapp", "wati"): ("wati_url", "wati_token", "wati_webhook_secret"),
    ("whatsapp", "interakt"): ("interakt_api_key", "interakt_webhook_secret"),
    ("whatsapp", "cloud"): (
        "whatsapp_cloud_token", "whatsapp_cloud_phone_id", "whatsapp_cloud_app_secret",
        "whatsapp_cloud_verify_token",
    ),
}  # fmt: skip
#: Secrets that stand in an address, where the provider signs nothing.
IN_ADDRESSES = ("msg91_webhook_secret", "wati_webhook_secret", "ses_webhook_secret")


def faults(found: "Settings") -> list[str]:
    """Every reason not to start, as a sentence each."""
    rules = [_gateways, _keys, _swish, _couriers, _messages, _tracker, _alert_webhook]
    if found.is_production:
        rules.insert(0, _production)
    return [sentence for rule in rules for sentence in rule(found)]


def _production(found: "Settings") -> Iterator[str]:
    """Secrets, addresses and sandboxes that have no place where money is real."""
    sandboxes = [key for key in (*found.payment_gateways, found.courier) if key == "sandbox"]
    if len(found.secret_key) < 32:
        yield "SECRET_KEY is missing or shorter than 32 characters."
    if not found.is_tls:
        yield "PUBLIC_URL must begin with https://."
    if sandboxes:
        yield (
            "The sandbox gateway or courier is switched on: take it out of PAYMENT_GATEWAYS, "
            "DEFAULT_PAYMENT_GATEWAY and COURIER."
        )
    if not found.smtp_url:
        yield "SMTP_URL is missing: nobody would get a mail."
    if found.smtp_url.startswith("smtp://") and "@" in found.smtp_url:
        yield "SMTP_URL sends its password in the clear: use smtps:// or smtp+starttls://."
    if not found.encryption_keys:
        yield "ENCRYPTION_KEYS is missing."
    for setting, (provider, host) in OWN_HOSTS.items():
        address = getattr(found, setting)
        if address and not _is_own(address, host):
            yield f"{setting.upper()} must be {provider}'s own address."


def _is_own(address: str, host: str) -> bool:
    parts = urlsplit(address)
    called = parts.hostname or ""
    return parts.scheme == "https" and (
        called == host or (host[0] == "." and called.endswith(host))
    )


def missing(key: str, found: "Settings") -> list[str]:
    """The settings, as the environment names them, that a way to pay cannot do without and has not.

    Swish speaks with a certificate, but not while its money is pretended.
    """
    needed = NEEDED.get(key, ())
    if key == "swish" and found.swish_environment != "mock":
        needed = SWISH_FILES
    return [setting.upper() for setting in needed if not getattr(found, setting)]


def mode(key: str, found: "Settings") -> str:
    """Whether a way to pay moves real money: live, test, pretend, or empty where that says nothing."""
    if key == "swish":
        return {"production": "live", "mock": "pretend"}.get(found.swish_environment, "test")
    if key == "sandbox":
        return "pretend"
    if key not in KEYS:
        return ""
    setting, test, live = KEYS[key]
    value = getattr(found, setting)
    return "test" if value.startswith(test) else "live" if value.startswith(live) else ""


def _gateways(found: "Settings") -> Iterator[str]:
    """A way to pay that is switched on without what it needs."""
    for key in found.payment_gateways:
        for setting in missing(key, found):
            yield f"{setting} is missing, and {key} is in PAYMENT_GATEWAYS."
    if found.default_payment_gateway not in found.payment_gateways:
        yield "DEFAULT_PAYMENT_GATEWAY is not in PAYMENT_GATEWAYS."


def _keys(found: "Settings") -> Iterator[str]:
    """What is no key at all, live keys outside production, test keys in it, and both side by side."""
    modes: dict[str, list[str]] = {"test": [], "live": []}
    for key, (setting, test, live) in KEYS.items():
        kind = mode(key, found)
        if not kind:
            if getattr(found, setting):
                begins = " or ".join((*test, *live))
                yield f"{setting.upper()} is not {KEY_OF[key]}: those begin with {begins}."
            continue
        modes[kind].append(setting.upper())
        if kind == "live" and not found.is_production:
            yield f"{setting.upper()} is a live key outside production."
        if kind == "test" and found.is_production:
            yield f"{setting.upper()} is a test key."
    if modes["test"] and modes["live"]:
        yield (
            f"Test and live keys stand side by side: {', '.join(modes['test'])} "
            f"and {', '.join(modes['live'])}."
        )


def _swish(found: "Settings") -> Iterator[str]:
    """Where its money is real and where not. In production `mock` only withdraws it (no fault)."""
    if "swish" not in found.payment_gateways or found.swish_environment == "mock":
        return
    if found.swish_environment == "production" and not found.is_production:
        yield "SWISH_ENVIRONMENT is production outside production."
    if found.swish_environment == "test" and found.is_production:
        yield "SWISH_ENVIRONMENT is test in production."
    if found.is_production and found.swish_api_base:
        yield "SWISH_API_BASE must be empty in production."


def _couriers(found: "Settings") -> Iterator[str]:
    if found.courier != "parcel" or found.shiprocket_dry_run:
        return
    if not (found.shiprocket_email and found.shiprocket_password):
        yield "SHIPROCKET_EMAIL or SHIPROCKET_PASSWORD is missing, and SHIPROCKET_DRY_RUN is false."
    if not found.shiprocket_webhook_token:
        yield "SHIPROCKET_WEBHOOK_TOKEN is missing: anyone could post tracking news."


def missing_for_messages(kind: str, provider: str, found: "Settings") -> list[str]:
    """The settings that a way to bring messages cannot do without and has not."""
    return [
        " or ".join(name.upper() for name in names.split("|"))
        for names in MESSAGES_NEED.get((kind, provider), ())
        if not any(getattr(found, name) for name in names.split("|"))
    ]


def _messages(found: "Settings") -> Iterator[str]:
    """What is chosen to leave and could not, and secrets in addresses that could be guessed."""
    for setting in IN_ADDRESSES:
        if not all(re.fullmatch(r"[A-Za-z0-9_-]{20,}", one) for one in getattr(found, setting)):
            yield f"{setting.upper()} must have 20 or more letters and digits: it stands in an address."
    if bool(found.ses_webhook_secret) != bool(found.ses_topic_arn):
        yield "SES_WEBHOOK_SECRET and SES_TOPIC_ARN are of use together only."
    if found.messages_dry_run:
        return
    for kind, provider in (("sms", found.sms_channel), ("whatsapp", found.whatsapp_channel)):
        for name in missing_for_messages(kind, provider, found):
            yield f"{name} is missing, and {kind.upper()}_CHANNEL is {provider}."


def warnings(found: "Settings") -> Iterator[str]:
    """What the shop starts with all the same, and its owner should know: a sentence each."""
    chosen = [name for name in (found.sms_channel, found.whatsapp_channel) if name]
    if found.is_production and found.messages_dry_run and chosen:
        yield (
            f"MESSAGES_DRY_RUN is true: no SMS and no WhatsApp message leaves by {' or '.join(chosen)}."
        )


def _tracker(found: "Settings") -> Iterator[str]:
    """A tracker that is chosen without what it needs."""
    if found.ticket_tracker != "jira":
        return
    for name in ("jira_url", "jira_email", "jira_api_token", "jira_project"):
        if not getattr(found, name):
            yield f"{name.upper()} is missing, and TICKET_TRACKER is jira."
    if found.jira_project and not re.fullmatch(r"[A-Z][A-Z0-9_]{1,9}", found.jira_project):
        yield "JIRA_PROJECT must be a project's key, such as OPS."
    for name in ("jira_url", "jira_api_base"):
        value = getattr(found, name)
        if found.is_production and value and not value.startswith("https://"):
            yield f"{name.upper()} must begin with https://."


def _alert_webhook(found: "Settings") -> Iterator[str]:
    """Outside development alerts go to the outside, encrypted. The address is a secret: not named here."""
    if not found.alert_webhook_url or found.shop_env == "development":
        return
    parts = urlsplit(found.alert_webhook_url)
    if parts.scheme != "https":
        yield "ALERT_WEBHOOK_URL must begin with https://."
    if parts.username or is_inner_host(parts.hostname or ""):
        yield "ALERT_WEBHOOK_URL must name a public host, with no user or password."


def is_inner_host(host: str) -> bool:
    """Whether a name or address leads into this machine or its own network (by how it is written)."""
    if host == "localhost" or ("." not in host.strip(".") and ":" not in host):
        return True
    if host.endswith((".local", ".internal", ".localhost")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
