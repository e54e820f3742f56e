"""The ways to pay: one table, one file each. Adding one is adding a file and a row."""

from importlib import import_module

from shop.config import settings
from shop.errors import NotFound
from shop.payments.gateways.base import Gateway

GATEWAYS = {
    "sandbox": "shop.payments.gateways.sandbox:Sandbox",
    "stripe": "shop.payments.gateways.stripe:StripeCheckout",
    "razorpay": "shop.payments.gateways.razorpay:Razorpay",
    "paystack": "shop.payments.gateways.paystack:Paystack",
    "flutterwave": "shop.payments.gateways.flutterwave:Flutterwave",
    "swish": "shop.payments.gateways.swish:Swish",
    "bank_transfer": "shop.payments.gateways.bank_transfer:BankTransfer",
    "cod": "shop.payments.gateways.cod:CashOnDelivery",
    "gift_card": "shop.payments.gateways.gift_card:GiftCardPayment",
}


def gateway(key: str) -> Gateway:
    """The gateway of that key, whether or not it is switched on. Raises NotFound."""
    if key not in GATEWAYS:
        raise NotFound("There is no such way to pay.")
    module, _, name = GATEWAYS[key].partition(":")
    made: Gateway = getattr(import_module(module), name)()
    return made


def switched_on() -> list[Gateway]:
    """The ways to pay that a shopper chooses from, the default first. A gift card is a field instead."""
    first = settings().default_payment_gateway
    offered = [key for key in settings().payment_gateways if key != "gift_card"]
    keys = sorted(offered, key=lambda key: key != first)
    return [gateway(key) for key in keys]
