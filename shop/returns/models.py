"""Returns: what a customer wants to send back, what came, and what was done about it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.catalog.models import Variant
from shop.clock import utcnow
from shop.database import BigId, Row, UtcDateTime, stored
from shop.orders.models import Order, OrderLine


class ReturnState(StrEnum):
    """Where a return stands. returns/steps.py says how it gets from one to the next."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"
    ON_ITS_WAY = "on_its_way"
    RECEIVED = "received"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


GIVEN_UP = frozenset({ReturnState.REFUSED, ReturnState.WITHDRAWN})
"""Its units are the customer's as before, and may be asked about again."""

OVER = GIVEN_UP | {ReturnState.CLOSED}
"""Nothing more is to be done."""


class Resolution(StrEnum):
    """How a return is made good: as the customer wishes first, as it was done in the end."""

    REFUND = "refund"
    EXCHANGE = "exchange"


class Disposition(StrEnum):
    """Where units that came back go."""

    RESTOCK = "restock"
    WRITE_OFF = "write_off"


class ReturnRequest(Row):
    """A customer's wish to send something back, and its whole story."""

    __tablename__ = "return_requests"
    __table_args__ = (
        CheckConstraint("refund_minor >= 0", name="refund"),
        Index("ix_return_requests_state_id", "state", "id"),
    )

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    #: "2611.042-RET1": how customer, staff and courier call it.
    reference: Mapped[str] = mapped_column(String(50), unique=True)
    state: Mapped[ReturnState] = mapped_column(stored(ReturnState), default=ReturnState.REQUESTED)
    #: When it came to this state.
    state_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    resolution: Mapped[Resolution] = mapped_column(stored(Resolution), default=Resolution.REFUND)
    #: A key of asking.REASONS.
    reason: Mapped[str] = mapped_column(String(40))
    #: The customer's own.
    words: Mapped[str] = mapped_column(Text, default="")
    #: For staff only.
    staff_note: Mapped[str] = mapped_column(Text, default="")
    #: What the customer reads when it is refused.
    refusal: Mapped[str] = mapped_column(String(500), default="")
    #: Approved: until when it must be on its way, else it lapses.
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When staff looked at what came and put it away.
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: What was refunded for it, in minor units of the order's currency.
    refund_minor: Mapped[int] = mapped_column(BigId, default=0)
    #: The order that replaces what came back.
    replacement_order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"), unique=True)

    order: Mapped[Order] = relationship(foreign_keys=order_id)
    replacement: Mapped[Order | None] = relationship(foreign_keys=replacement_order_id)
    lines: Mapped[list["ReturnLine"]] = relationship(
        order_by="ReturnLine.id", back_populates="request"
    )
    pictures: Mapped[list["ReturnPicture"]] = relationship(order_by="ReturnPicture.id")
    parcel: Mapped["ReturnShipment | None"] = relationship(back_populates="request")


class ReturnLine(Row):
    """How many of an order line go back, and what became of them."""

    __tablename__ = "return_lines"
    __table_args__ = (
        UniqueConstraint("return_id", "order_line_id"),
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint(
            "arrived_quantity IS NULL OR (arrived_quantity >= 0 AND arrived_quantity <= quantity)",
            name="arrived",
        ),
    )

    return_id: Mapped[int] = mapped_column(ForeignKey("return_requests.id"))
    order_line_id: Mapped[int] = mapped_column(ForeignKey("order_lines.id"), index=True)
    quantity: Mapped[int]
    #: None until staff have counted.
    arrived_quantity: Mapped[int | None]
    condition: Mapped[str] = mapped_column(String(200), default="")
    disposition: Mapped[Disposition | None] = mapped_column(stored(Disposition))
    #: For an exchange: what the customer would like instead; None for the same again.
    wanted_variant_id: Mapped[int | None] = mapped_column(ForeignKey("variants.id"))

    request: Mapped[ReturnRequest] = relationship(back_populates="lines")
    order_line: Mapped[OrderLine] = relationship()
    wanted_variant: Mapped[Variant | None] = relationship()

    @property
    def units(self) -> int:
        """What counts: what came, or before that what is to come."""
        return self.quantity if self.arrived_quantity is None else self.arrived_quantity


class ReturnPicture(Row):
    """A picture that the customer sent along. The file is kept privately, below STORAGE_URL."""

    __tablename__ = "return_pictures"

    return_id: Mapped[int] = mapped_column(ForeignKey("return_requests.id"), index=True)
    storage_key: Mapped[str] = mapped_column(String(120), unique=True)


class ReturnShipment(Row):
    """How it comes back: a courier's parcel, or one that the customer sends.

    `courier` is None where no courier was ever asked for it. One for a return; its reference is the
    return's.
    """

    __tablename__ = "return_shipments"
    __table_args__ = (
        UniqueConstraint("courier", "awb"),
        Index("ix_return_shipments_news", "delivered_at", "last_news_at"),
    )

    return_id: Mapped[int] = mapped_column(ForeignKey("return_requests.id"), unique=True)
    courier: Mapped[str | None] = mapped_column(String(30))
    courier_order_id: Mapped[str | None] = mapped_column(String(60))
    courier_shipment_id: Mapped[str | None] = mapped_column(String(60))
    awb: Mapped[str | None] = mapped_column(String(60), index=True)
    courier_name: Mapped[str] = mapped_column(String(80), default="")
    tracking_url: Mapped[str] = mapped_column(String(500), default="")
    pickup_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: True when the dry run made it: nobody comes.
    is_dry_run: Mapped[bool] = mapped_column(default=False)
    #: The newest scan, as the courier told it.
    last_words: Mapped[str] = mapped_column(String(300), default="")
    last_place: Mapped[str] = mapped_column(String(160), default="")
    scanned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_news_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The scan that moved the return last, or told of trouble: its time and its status.
    moved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    moved_status: Mapped[str] = mapped_column(String(32), default="")
    #: When the courier was last asked about it.
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The courier may know of it and is told not to come: the customer was asked to send it.
    left_to_customer: Mapped[bool] = mapped_column(default=False)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    request: Mapped[ReturnRequest] = relationship(back_populates="parcel")

    @property
    def by_customer(self) -> bool:
        """The customer sends it."""
        return self.courier is None or self.left_to_customer
