"""The providers themselves in their test modes, as far as they go without a browser (tests/real_modes.py)."""

import time

from shop.payments.gateways.base import Opened
from shop.payments.gateways.swish_calls import object_at
from tests import real_modes
from tests.payments.sides.base import Bench, Side
from tests.payments.sides.flutterwave import FlutterwaveSide
from tests.payments.sides.paystack import PaystackSide
from tests.payments.sides.razorpay import RazorpaySide
from tests.payments.sides.stripe import StripeSide
from tests.payments.sides.swish import SwishSide


class Real(Side):
    """Put before a stand-in's side: what that promises, asked of the provider itself."""

    def __init__(self, name: str, bench: Bench) -> None:
        self.key = name.removeprefix("real ")
        super().__init__(self.key, bench)

    def start(self) -> None:
        self.bench.configure(**real_modes.settings_of(self.key))

    def stop(self) -> None:
        """What was opened there expires by itself."""


class RealStripe(Real, StripeSide):
    """By TEST_STRIPE_SECRET_KEY."""


class RealRazorpay(Real, RazorpaySide):
    """By TEST_RAZORPAY_KEY_ID and its secret; payment links."""


class RealPaystack(Real, PaystackSide):
    """By TEST_PAYSTACK_SECRET_KEY, of an account that takes naira."""


class RealFlutterwave(Real, FlutterwaveSide):
    """By TEST_FLUTTERWAVE_SECRET_KEY, of an account that takes naira."""


class RealSwish(Real, SwishSide):
    """The Merchant Swish Simulator, by the certificate of its test merchant.

    It pays every request by itself some seconds later, so that none can be ended (provider page, 5).
    """

    ends_pages = False
    #: It takes no port but 443. What it tells there is told to nobody.
    webhook_url = "https://shop.example/webhooks/swish"

    def __init__(self, name: str, bench: Bench) -> None:
        super().__init__(name, bench)
        usual = self.wish
        self.wish = lambda **changes: usual(**{"webhook_url": self.webhook_url, **changes})

    def pay(self, made: Opened) -> None:
        """Wait until it has paid."""
        path = f"/api/v1/paymentrequests/{made.gateway_id}"
        until = time.monotonic() + 30
        while (object_at("test", path, 10) or {}).get("status") == "CREATED":
            assert time.monotonic() < until, "the simulator has not paid"
            time.sleep(1)
