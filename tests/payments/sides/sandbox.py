"""The pretend gateway's side of the contract."""

from shop.payments.gateways.base import AttemptRef, Opened
from shop.payments.gateways.sandbox import shared_secret
from tests.payments.sides.base import DatedSide


class SandboxSide(DatedSide):
    """The pretend gateway, by its own page and desk."""

    header = "X-Sandbox-Signature"
    api_base = "sandbox_api_base"
    pages_in = "shop.sandbox.gateway"

    def pay(self, made: Opened) -> None:
        self.bench.client.send(f"/sandbox/pay/{made.gateway_id}", {"outcome": "ok"})

    def dispute(self, attempt: AttemptRef) -> None:
        self._act(attempt, "dispute")

    def lose_dispute(self, attempt: AttemptRef) -> None:
        self._act(attempt, "lose")

    def told(self) -> list[tuple[bytes, dict[str, str]]]:
        self.bench.run_jobs()
        return self.receiver.taken

    def secrets(self) -> tuple[str, ...]:
        return (shared_secret(),)

    def _act(self, attempt: AttemptRef, action: str) -> None:
        self.bench.client.send(f"/sandbox/payments/{attempt.gateway_id}/{action}")
