"""Gift cards as a way to pay: no provider stands behind them, the ledger is the shop's own.

Checkout takes the amount off the card while it places the order, and a refund puts it back at
once; nothing here is ever called over a network. Named in PAYMENT_GATEWAYS, it switches on the
field for a code at checkout; it is no choice in the list of methods.
"""

from shop.payments.gateways.offline import Offline


class GiftCardPayment(Offline):
    """Money that was paid when the card was bought."""

    key = "gift_card"
    label = "Gift card"
    explanation = "Enter the code at checkout; it pays all or a part."
    marks: tuple[str, ...] = ("Gift card",)
