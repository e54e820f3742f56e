"""Cash on delivery: the order ships unpaid; the courier's "delivered" brings the money's news."""

from shop.config import settings
from shop.money import format_minor
from shop.payments.gateways.bank_transfer import BankTransfer
from shop.payments.gateways.base import Opened, PaymentRequest


class CashOnDelivery(BankTransfer):
    """Like a bank transfer it has no provider; the sum is collected at the door."""

    key = "cod"
    label = "Cash on delivery"
    explanation = "Pay the courier in cash or by UPI."
    marks = ()

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Only where the courier collects: India, in rupees. The limit by amount is the shop's."""
        if country != "IN" or currency != "INR" or settings().default_currency != "INR":
            return "Only for deliveries in India."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Nothing to do before the parcel comes."""
        amount = format_minor(request.amount_minor, request.currency)
        return Opened(
            gateway_id=f"cod-{request.reference}",
            next_step={"kind": "instructions", "rows": [["To pay at the door", amount]]},
        )
