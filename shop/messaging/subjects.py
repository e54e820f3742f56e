"""What a message can be about: an order, or one of the few things beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shop.catalog.models import Variant
from shop.extensions import db
from shop.messaging.models import CartReminder, Notification, StockAlert
from shop.orders.models import Order


@dataclass(frozen=True)
class Subject:
    """A row that a message is about: its kind, a key of KINDS, and its id."""

    kind: str
    id: int


KINDS: dict[str, Any] = {
    "order": Order,
    "stock_alert": StockAlert,
    "cart_reminder": CartReminder,
    "variant": Variant,
}
"""Kind → its table. A job names the row as "<kind>_id"."""


def subject_in(payload: Mapping[str, Any]) -> Subject:
    """The subject that a job's payload names. Raises KeyError when it names none."""
    for kind in KINDS:
        if f"{kind}_id" in payload:
            return Subject(kind, int(payload[f"{kind}_id"]))
    raise KeyError(f"nothing to tell of in {sorted(payload)}")


def subject_of(message: Notification) -> Subject:
    """What a message is about."""
    if message.order_id is not None:
        return Subject("order", message.order_id)
    if message.subject_id is None:
        raise LookupError(f"message {message.id} is about nothing")
    return Subject(message.subject_kind, message.subject_id)


def row_of(subject: Subject) -> Any:
    """Its row; None when it is gone."""
    return db.session.get(KINDS[subject.kind], subject.id)
