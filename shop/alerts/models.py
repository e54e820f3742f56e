"""How each alert stands, and how many unforeseen errors each minute had."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shop.database import Row, UtcDateTime, stored


class AlertState(StrEnum):
    """Whether somebody must act."""

    QUIET = "quiet"
    FIRING = "firing"


class Alert(Row):
    """One row for each rule of shop/alerts/rules.py, as it was measured last."""

    __tablename__ = "alerts"

    #: The rule's name: "payment_success".
    key: Mapped[str] = mapped_column(String(40), unique=True)
    state: Mapped[AlertState] = mapped_column(stored(AlertState), default=AlertState.QUIET)
    #: Since when it has been in this state.
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    #: In the rule's unit (percent, or a count); empty where nothing happened.
    value: Mapped[float | None]
    #: Of how many things the value is a share.
    sample: Mapped[int] = mapped_column(default=0)
    #: In force when the value was measured.
    threshold: Mapped[float]
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: While firing: since when the figure has been good again.
    better_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When people were last told, and which value.
    last_told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told_value: Mapped[float | None]


class ErrorCount(Row):
    """How many unforeseen errors a minute had, in all processes together."""

    __tablename__ = "error_counts"
    __table_args__ = (UniqueConstraint("minute_at", "source"),)

    minute_at: Mapped[datetime] = mapped_column(UtcDateTime)
    #: "web" for answers with status 500, "job" for jobs.
    source: Mapped[str] = mapped_column(String(10))
    count: Mapped[int] = mapped_column(default=0)
