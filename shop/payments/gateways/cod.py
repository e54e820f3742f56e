"""Cash on delivery: the order ships unpaid; the courier's "delivered" brings the money's news."""

from shop.config import settings
from shop.money import format_minor
from shop.payments.gateways.base import PaymentRequest
from shop.payments.gateways.offline import Offline


class CashOnDelivery(Offline):
    """The sum is collected at the door."""

    key = "cod"
    label = "Cash on delivery"
    explanation = "Pay the courier in cash or by UPI."

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """In the shop's own currency. Where, for how much and for whom is checkout's (at_the_door.py)."""
        if currency != settings().default_currency:
            return f"Only for orders in {settings().default_currency}."
        return None

    def rows(self, request: PaymentRequest) -> list[list[str]]:
        """Nothing to do before the parcel comes."""
        return [["To pay at the door", format_minor(request.amount_minor, request.currency)]]
