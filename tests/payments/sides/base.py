"""What the contract needs of every gateway's counterpart."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shop.payments.gateways import gateway
from shop.payments.gateways.base import AttemptRef, Gateway, Opened, PaymentRequest
from tests.payments.wishes import AMOUNT, ref_to, wishes
from tests.simulators.receiver import Receiver


@dataclass(frozen=True)
class Bench:
    """What a counterpart may use: the shop's webhook address, settings, a browser, the jobs."""

    receiver: Receiver
    configure: Callable[..., None]
    client: Any
    run_jobs: Callable[..., int]


class Side:
    """One gateway and its counterpart."""

    #: The settings that hold the provider's address, as `configure` takes them.
    api_base = ""
    #: The module whose PAGE_ROWS says how many rows of a list are asked for at once.
    pages_in = ""
    #: Settings by which the provider does not know the shop. Empty: it asks for none.
    wrong: Mapping[str, str] = {}
    #: What the contract pays: a currency, a country and an amount that this provider takes.
    currency = "INR"
    country = "IN"
    amount = AMOUNT
    #: The signature's header. Empty: webhooks are not signed and serve as hints only.
    header = ""
    #: True where the signature carries a time.
    is_dated = False
    #: True where one header may carry several signatures.
    has_several = False
    #: True where the provider gives our refund key back and finds a refund by it.
    keeps_refund_key = True
    #: What follows an opening: "redirect" (the provider's page) or "page" (ours).
    next_kind = "redirect"
    #: True where the provider remembers the opening's key and refuses it for another amount.
    remembers_keys = True
    #: False where a repeated opening brings the payment without its page's address, or with another.
    repeats_address = True
    #: True where a page can be ended by a call; else it only expires, or never.
    ends_pages = True
    #: True where asking tells that a page was ended; else only the ending itself does.
    tells_of_ended_pages = True
    #: True where the signature covers the body; else webhooks are hints that carry a secret.
    signs_body = True
    #: True where webhooks tell of refunds and disputes; else asking does.
    tells_of_gone_money = True
    has_disputes = True
    has_lists = True

    def __init__(self, key: str, bench: Bench) -> None:
        self.bench = bench
        self.receiver = bench.receiver
        self.start()
        self.gateway: Gateway = gateway(key)
        usual = wishes(key, self.receiver.url)
        paid_in = {"currency": self.currency, "country": self.country, "amount_minor": self.amount}
        self.wish: Callable[..., PaymentRequest] = lambda **changes: usual(**{**paid_in, **changes})

    def start(self) -> None:
        """Start the provider's stand-in and point the shop's settings at it."""

    def stop(self) -> None:
        """End the stand-in."""

    def opened(self, **changes: Any) -> tuple[Opened, AttemptRef]:
        """An open payment and how to ask about it."""
        request = self.wish(**changes)
        made = self.gateway.open(request)
        return made, ref_to(request, made)

    def paid(self, **changes: Any) -> AttemptRef:
        """A payment that was paid, with the ids that the shop has learnt of it."""
        made, attempt = self.opened(**changes)
        self.pay(made)
        refs = {**attempt.refs, **self.gateway.fetch(attempt)[0].refs}
        return replace(attempt, refs=refs)

    def pay(self, made: Opened) -> None:
        """The shopper pays on the gateway's page."""
        raise NotImplementedError

    def dispute(self, attempt: AttemptRef) -> None:
        """The payer's bank asks for the money back."""
        raise NotImplementedError

    def lose_dispute(self, attempt: AttemptRef) -> None:
        """The bank decides against the shop."""
        raise NotImplementedError

    def told(self) -> list[tuple[bytes, dict[str, str]]]:
        """What arrived at the webhook address."""
        return self.receiver.taken

    def secrets(self) -> tuple[str, ...]:
        """The signing secrets in force."""
        raise NotImplementedError

    def body(self) -> bytes:
        """A webhook of a kind that nobody knows, with the id evt_1."""
        return BODY

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        """Headers for this body, signed so many seconds ago."""
        key = self.secrets()[0] if secret is None else secret
        made = hmac.new(key.encode(), body, hashlib.sha256)
        return {self.header: made.hexdigest()}


class DatedSide(Side):
    """One whose header reads t=…,v1=…"""

    is_dated = True
    has_several = True

    def signed(self, body: bytes, *, age: float = 0, secret: str | None = None) -> dict[str, str]:
        """Headers for this body, signed so many seconds ago."""
        moment = str(int(time.time() - age))
        key = self.secrets()[0] if secret is None else secret
        made = hmac.new(key.encode(), moment.encode() + b"." + body, hashlib.sha256)
        return {self.header: f"t={moment},v1={made.hexdigest()}"}


class OfflineSide(Side):
    """A way to pay behind which no provider stands."""

    next_kind = "instructions"


BODY = b'{"id": "evt_1", "type": "of no interest", "object": "event", "data": {"object": {}}}'
