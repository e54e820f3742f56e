"""The other side of each gateway, for the contract: who pays, and what the shop is told.

A new provider is a file here and a row in the table. `sides.of(key)` finds it. The "real" ones are
the providers themselves, where the environment holds test keys for them.
"""

from importlib import import_module

from tests import real_modes
from tests.payments.sides.base import Bench, Side

SIDES = {
    "sandbox": "tests.payments.sides.sandbox:SandboxSide",
    "stripe": "tests.payments.sides.stripe:StripeSide",
    "razorpay": "tests.payments.sides.razorpay:RazorpaySide",
    "razorpay by script": "tests.payments.sides.razorpay:RazorpayScriptSide",
    "paystack": "tests.payments.sides.paystack:PaystackSide",
    "flutterwave": "tests.payments.sides.flutterwave:FlutterwaveSide",
    "swish": "tests.payments.sides.swish:SwishSide",
    "bank_transfer": "tests.payments.sides.base:OfflineSide",
    "cod": "tests.payments.sides.base:OfflineSide",
    "gift_card": "tests.payments.sides.base:OfflineSide",
    "real stripe": "tests.payments.sides.real:RealStripe",
    "real razorpay": "tests.payments.sides.real:RealRazorpay",
    "real paystack": "tests.payments.sides.real:RealPaystack",
    "real flutterwave": "tests.payments.sides.real:RealFlutterwave",
    "real swish": "tests.payments.sides.real:RealSwish",
}


def of(name: str) -> type[Side]:
    """The kind of counterpart of that way to pay."""
    module, _, kind = SIDES[name].partition(":")
    found: type[Side] = getattr(import_module(module), kind)
    return found


def to_ask() -> list[str]:
    """The providers to ask themselves."""
    return [f"real {key}" for key in real_modes.given() if f"real {key}" in SIDES]


__all__ = ["SIDES", "Bench", "Side", "of", "to_ask"]
