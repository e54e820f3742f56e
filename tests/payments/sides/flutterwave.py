"""Flutterwave's side of the contract: the stand-in."""

from shop.payments.gateways.base import AttemptRef, Opened
from tests.payments.sides.base import Side
from tests.simulators.flutterwave import SECRET_HASH, SECRET_KEY, Flutterwave

FLUTTERWAVE_HASHES = (SECRET_HASH, "shop-flw-secret-hash-0002")


class FlutterwaveSide(Side):
    """The stand-in for Flutterwave."""

    header = "verif-hash"
    api_base = "flutterwave_api_base"
    pages_in = "tests.simulators.flutterwave"
    wrong = {"flutterwave_secret_key": "FLWSECK_TEST-wrong-X"}
    currency = "NGN"
    country = "NG"
    signs_body = False
    remembers_keys = False
    repeats_address = False
    tells_of_ended_pages = False
    tells_of_gone_money = False

    def start(self) -> None:
        self.server = Flutterwave()
        self.server.endpoints.append((self.receiver.url, SECRET_HASH))
        self.bench.configure(
            flutterwave_api_base=self.server.base,
            flutterwave_secret_key=SECRET_KEY,
            flutterwave_webhook_hash=FLUTTERWAVE_HASHES,
        )

    def stop(self) -> None:
        self.server.stop()

    def pay(self, made: Opened) -> None:
        self.server.pay(self.server.token(made.gateway_id))

    def dispute(self, attempt: AttemptRef) -> None:
        self.server.charge_back(int(attempt.refs["transaction"]))

    def lose_dispute(self, attempt: AttemptRef) -> None:
        (chargeback,) = self.server.chargebacks
        self.server.set_chargeback(chargeback, "lost", "No merchant response")

    def secrets(self) -> tuple[str, ...]:
        return FLUTTERWAVE_HASHES

    def body(self) -> bytes:
        """Webhooks have no id: one of a kind that nobody knows is told by its object's."""
        return b'{"event": "of no interest", "data": {"id": "evt_1"}}'

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        """The secret itself, whatever the body."""
        return {self.header: self.secrets()[0] if secret is None else secret}
