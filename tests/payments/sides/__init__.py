"""The other side of each gateway, for the contract: who pays, and what the shop is told.

A new provider is a file here and a row in the table. `sides.of(key)` finds it.
"""

from importlib import import_module

from tests.payments.sides.base import Bench, Side

SIDES = {
    "sandbox": "tests.payments.sides.sandbox:SandboxSide",
    "stripe": "tests.payments.sides.stripe:StripeSide",
    "real stripe": "tests.payments.sides.stripe:RealStripeSide",
    "razorpay": "tests.payments.sides.razorpay:RazorpaySide",
    "razorpay by script": "tests.payments.sides.razorpay:RazorpayScriptSide",
    "paystack": "tests.payments.sides.paystack:PaystackSide",
    "flutterwave": "tests.payments.sides.flutterwave:FlutterwaveSide",
    "swish": "tests.payments.sides.swish:SwishSide",
    "bank_transfer": "tests.payments.sides.base:OfflineSide",
    "cod": "tests.payments.sides.base:OfflineSide",
    "gift_card": "tests.payments.sides.base:OfflineSide",
}


def of(name: str) -> type[Side]:
    """The kind of counterpart of that way to pay."""
    module, _, kind = SIDES[name].partition(":")
    found: type[Side] = getattr(import_module(module), kind)
    return found


__all__ = ["SIDES", "Bench", "Side", "of"]
