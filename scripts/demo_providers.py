"""What `make demo-providers` does: the shop with every way to pay, against the stand-ins of the tests.

The stand-ins remember nothing, so each start begins with a database of its own, and takes it away
at its end. Nothing here reaches the outside.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import run

sys.path.insert(0, str(run.ROOT))

from demo_messengers import Messengers

from tests.simulators import flutterwave, jira, paystack, razorpay, shiprocket
from tests.simulators.base import Simulator
from tests.simulators.flutterwave import Flutterwave
from tests.simulators.jira import Jira
from tests.simulators.paystack import Paystack
from tests.simulators.razorpay import Razorpay
from tests.simulators.shiprocket import Shiprocket
from tests.simulators.stripe import Stripe
from tests.simulators.swish import NUMBER, Swish

FIRST_PORT = "8101"
#: Seven for gateways and the courier, then those for messages, and the tracker.
PORTS = 8 + Messengers.count
STRIPE_SECRET = "whsec_demoProviders0001"
#: The way to pay that is chosen first, for each currency that the demo has prices in.
FIRST_METHOD = {"INR": "razorpay", "NGN": "paystack", "SEK": "swish", "USD": "stripe"}
#: Which of the stand-ins take that currency; the others stand at checkout and say why not.
TAKEN = {
    "INR": "Stripe, Razorpay",
    "NGN": "Stripe, Paystack, Flutterwave",
    "SEK": "Stripe, Swish",
    "USD": "Stripe, Paystack, Flutterwave",
}
GATEWAYS = "stripe,razorpay,paystack,flutterwave,swish,sandbox,bank_transfer,cod,gift_card"
#: Webhooks that the shop did not take are sent again by each provider's schedule, an hour in a minute.
PACE = 1 / 60
BEAT_SECONDS = 1.0


class Providers:
    """The stand-ins on ports one after another; from port 0 each takes a free one."""

    def __init__(self, first: int) -> None:
        ports = list(range(first, first + PORTS)) if first else [0] * PORTS
        port = iter(ports)
        self.stripe = Stripe(port=next(port))
        self.razorpay = Razorpay(port=next(port))
        self.paystack = Paystack(port=next(port))
        self.flutterwave = Flutterwave(port=next(port))
        self.swish = Swish(next(port), needs_https=False, phone_port=next(port))
        self.shiprocket = Shiprocket(port=next(port))
        self.messengers = Messengers(ports[7:-1])
        self.jira = Jira(port=ports[-1])
        self.ended = threading.Event()

    @property
    def all(self) -> list[Simulator]:
        """Each of them."""
        return [
            self.stripe, self.razorpay, self.paystack, self.flutterwave, self.swish, self.shiprocket,
            *self.messengers.made.values(), self.jira,
        ]  # fmt: skip

    def tell(self, shop: str) -> None:
        """Send webhooks to the shop at that address, as its dashboards would be told to."""
        self.stripe.endpoints.append((f"{shop}/webhooks/stripe", [STRIPE_SECRET]))
        self.razorpay.endpoints.append((f"{shop}/webhooks/razorpay", razorpay.WEBHOOK_SECRET))
        self.paystack.webhook_url = f"{shop}/webhooks/paystack"
        self.flutterwave.endpoints.append((f"{shop}/webhooks/flutterwave", flutterwave.SECRET_HASH))
        self.shiprocket.webhook_url = f"{shop}/webhooks/delivery/parcel"
        self.messengers.tell(shop)
        for provider in self.all:
            provider.pace = PACE
        threading.Thread(target=self._send_again, daemon=True).start()

    def _send_again(self) -> None:
        while not self.ended.wait(BEAT_SECONDS):
            for provider in self.all:
                if provider.delivers:
                    provider.deliver_due()

    def settings(self) -> dict[str, str]:
        """The environment by which a shop speaks to them."""
        return {
            "STRIPE_SECRET_KEY": self.stripe.key,
            "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
            "STRIPE_API_BASE": self.stripe.url,
            "RAZORPAY_KEY_ID": razorpay.KEY_ID,
            "RAZORPAY_KEY_SECRET": razorpay.KEY_SECRET,
            "RAZORPAY_WEBHOOK_SECRET": razorpay.WEBHOOK_SECRET,
            "RAZORPAY_API_BASE": self.razorpay.url,
            "PAYSTACK_SECRET_KEY": paystack.SECRET_KEY,
            "PAYSTACK_API_BASE": self.paystack.url,
            "FLUTTERWAVE_SECRET_KEY": flutterwave.SECRET_KEY,
            "FLUTTERWAVE_WEBHOOK_HASH": flutterwave.SECRET_HASH,
            "FLUTTERWAVE_API_BASE": self.flutterwave.base,
            "SWISH_ENVIRONMENT": "test",
            "SWISH_PAYEE_ALIAS": NUMBER,
            "SWISH_CERT_FILE": str(self.swish.merchant.cert),
            "SWISH_KEY_FILE": str(self.swish.merchant.key),
            "SWISH_CA_FILE": str(self.swish.server_authority.file),
            "SWISH_API_BASE": self.swish.api,
            "SHIPROCKET_EMAIL": shiprocket.EMAIL,
            "SHIPROCKET_PASSWORD": shiprocket.PASSWORD,
            "SHIPROCKET_WEBHOOK_TOKEN": self.shiprocket.webhook_token,
            "SHIPROCKET_DRY_RUN": "false",
            "SHIPROCKET_API_BASE": self.shiprocket.base,
            "TICKET_TRACKER": "jira",
            "JIRA_URL": self.jira.url,
            "JIRA_EMAIL": jira.EMAIL,
            "JIRA_API_TOKEN": jira.TOKEN,
            "JIRA_PROJECT": jira.PROJECT,
        }

    def words(self, currency: str) -> list[str]:
        """Where to click, beyond the shop's own pages."""
        lines = [
            "",
            f"The stand-ins stand by for a shop in {currency}: {TAKEN[currency]}.",
            "At checkout choose one; its page lets you pay, be declined, or leave. Then refund",
            "in the admin, on the order's page. Other currencies: make demo-providers CURRENCY=SEK",
            f"({', '.join(FIRST_METHOD)}).",
        ]
        if currency == "SEK":
            lines.append(f"The Swish app of the payer:  {self.swish.phone_url}")
        if currency == "INR":
            lines.append(f"Shiprocket's panel (scans):  {self.shiprocket.url}/panel")
        lines.append(f"Jira, which gets incidents:   {self.jira.url}")
        return lines + self.messengers.words(currency)

    def stop(self) -> None:
        """End all of them."""
        self.ended.set()
        for provider in self.all:
            provider.stop()


def main() -> int:
    """Start the stand-ins, then the shop beside them, until somebody ends it."""
    currency = os.environ.get("CURRENCY", "INR").upper()
    if currency not in FIRST_METHOD:
        print(f"CURRENCY must be one of {', '.join(FIRST_METHOD)}.", file=sys.stderr)
        return 1
    try:
        providers = Providers(int(os.environ.get("PROVIDERS_PORT", FIRST_PORT)))
    except (OSError, SystemExit) as error:
        print(f"The stand-ins have no ports ({error}). Choose others: make demo-providers PROVIDERS_PORT=8201", file=sys.stderr)  # fmt: skip
        return 1
    surroundings = run.surroundings()
    providers.tell(surroundings["PUBLIC_URL"])
    # Asked to end before the shop's processes are there: end, and leave nothing.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with own_database(surroundings["PORT"]) as database:
            ours = {
                "SHOP_ENV": "development",
                "DATABASE_URL": f"sqlite:///{database}",
                "MIGRATION_DATABASE_URL": "",
                "REDIS_URL": "",
                "SMTP_URL": "",
                "DEFAULT_CURRENCY": currency,
                "PAYMENT_GATEWAYS": GATEWAYS,
                "DEFAULT_PAYMENT_GATEWAY": FIRST_METHOD[currency],
                # Shiprocket carries parcels within India, paid in rupees.
                "COURIER": "parcel" if currency == "INR" else "sandbox",
                **providers.settings(),
                **providers.messengers.settings(currency),
            }
            return run.serve({**surroundings, **ours}, providers.words(currency))
    finally:
        providers.stop()


@contextmanager
def own_database(port: str) -> Iterator[Path]:
    """A file for this run's shop, which is taken away again."""
    path = run.ROOT / "instance" / f"providers-{port}.db"
    files: Sequence[Path] = [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]
    try:
        for file in files:
            file.unlink(missing_ok=True)
        yield path
    finally:
        for file in files:
            file.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
