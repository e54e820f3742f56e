"""Bank transfer: no provider. The shopper gets instructions; a person confirms what came in."""

from dataclasses import replace

from babel.dates import format_date

from shop.clock import local
from shop.config import settings
from shop.money import format_minor
from shop.payments.gateways.base import Opened, PaymentRequest
from shop.payments.gateways.offline import Offline
from shop.payments.gateways.transfer_reference import shown, transfer_reference


class BankTransfer(Offline):
    """The instructions are frozen on the attempt: later changes of the account do not alter them."""

    key = "bank_transfer"
    label = "Bank transfer"
    explanation = "You get our account details and a reference to quote. We ship when the transfer arrives, usually the next working day."  # fmt: skip
    marks: tuple[str, ...] = ("Bank",)

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Any currency of the shop's own account."""
        if currency != settings().default_currency:
            return f"Only for orders in {settings().default_currency}."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """The instructions, and the reference by which a statement's line finds this attempt."""
        opened = super().open(request)
        return replace(opened, refs={"transfer": transfer_reference(request.reference)})

    def rows(self, request: PaymentRequest) -> list[list[str]]:
        """What the shopper copies into the banking app, and until when it should arrive."""
        due = format_date(local(request.expires_at), "EEEE d MMMM y", locale="en_GB")
        return [
            ["Pay to", settings().bank_account_name],
            ["Account", settings().bank_account_details],
            ["Amount", format_minor(request.amount_minor, request.currency)],
            ["Reference", shown(transfer_reference(request.reference))],
            ["Pay by", due],
        ]
