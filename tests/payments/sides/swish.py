"""Swish's side of the contract."""

import hashlib
import hmac
import json
from dataclasses import replace

from shop.payments.gateways.base import AttemptRef, Opened
from shop.secret_box import derived_secrets
from tests.payments.sides.base import Bench, Side
from tests.simulators.swish import NUMBER, Swish


class SwishSide(Side):
    """The stand-in for Swish. A callback repeats what the shop gave its request, by id."""

    header = "callbackIdentifier"
    api_base = "swish_api_base"
    #: A number that is not the certificate's: who has no certificate has no answer to be refused by.
    wrong = {"swish_payee_alias": "1230000000"}
    currency = "SEK"
    country = "SE"
    next_kind = "page"
    has_disputes = False
    has_lists = False
    repeats_address = False

    def __init__(self, key: str, bench: Bench) -> None:
        super().__init__(key, bench)
        usual = self.wish
        safe = self.receiver.url.replace("http:", "https:")
        self.wish = lambda **changes: usual(**{"webhook_url": safe, **changes})

    def start(self) -> None:
        self.server = Swish()
        self.bench.configure(**settings_for(self.server))

    def stop(self) -> None:
        self.server.stop()

    def pay(self, made: Opened) -> None:
        self.server.pay(made.gateway_id)

    def paid(self, **changes: object) -> AttemptRef:
        """The shop names its refunds when it asks, since Swish lists none."""
        attempt = super().paid(**changes)
        return replace(attempt, refund_keys=("refund-1", "refund-2", "refund-3"))

    def secrets(self) -> tuple[str, ...]:
        return tuple(derived_secrets("swish callback"))

    def body(self) -> bytes:
        return b'{"id": "evt_1", "status": "OF NO INTEREST"}'

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        key = self.secrets()[0] if secret is None else secret
        named = json.loads(body)["id"].encode()
        return {self.header: hmac.new(key.encode(), named, hashlib.sha256).hexdigest()[:36]}


def settings_for(server: Swish) -> dict[str, object]:
    """What the shop must know to speak to this stand-in."""
    return {
        "swish_environment": "test",
        "swish_api_base": server.api,
        "swish_payee_alias": NUMBER,
        "swish_cert_file": str(server.merchant.cert),
        "swish_key_file": str(server.merchant.key),
        "swish_ca_file": str(server.server_authority.file),
    }
