"""What the shop refuses to start with: one sentence for each fault, all of them at once.

`shop.config` calls this with what it read; a command that only looks (`flask shop settings-table`)
is not stopped by it.
"""

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
}


def faults(found: "Settings") -> list[str]:
    """Every reason not to start, as a sentence each."""
    rules = [_gateways, _keys, _swish, _couriers]
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
        parts = urlsplit(getattr(found, setting))
        if (parts.scheme, parts.hostname) != ("https", host):
            yield f"{setting.upper()} must be {provider}'s own address."


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
    """Live keys outside production, test keys in it, and both kinds side by side."""
    modes: dict[str, list[str]] = {"test": [], "live": []}
    for key, (setting, _test, _live) in KEYS.items():
        kind = mode(key, found)
        if not kind:
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
