"""What of a return is not kept for ever: pictures, and the words of a customer who closed the account."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from shop.clock import in_future
from shop.extensions import db
from shop.returns import pictures
from shop.returns.models import OVER, ReturnPicture, ReturnRequest

PICTURE_DAYS = 180
"""As long as a dispute about the payment may still be opened."""
PAGE = 500


def forget_pictures() -> int:
    """Delete the pictures of returns that are over for so long. Returns how many."""
    old = (
        select(ReturnPicture)
        .join(ReturnRequest, ReturnRequest.id == ReturnPicture.return_id)
        .where(
            ReturnRequest.state.in_(OVER),
            ReturnRequest.state_at < in_future(hours=-24 * PICTURE_DAYS),
        )
        .order_by(ReturnPicture.id)
        .limit(PAGE)
    )
    return _delete(db.session.scalars(old).all())


def _delete(found: Sequence[ReturnPicture]) -> int:
    """The files first: one that stays without its row would never be found again."""
    pictures.drop(one.storage_key for one in found)
    db.session.execute(delete(ReturnPicture).where(ReturnPicture.id.in_([one.id for one in found])))
    return len(found)


def erase_returns(order_ids: Sequence[int]) -> None:
    """Blank a customer's words about returns of these orders, and delete the pictures."""
    for request in db.session.scalars(
        select(ReturnRequest).where(ReturnRequest.order_id.in_(order_ids))
    ):
        request.words = ""
        _delete(request.pictures)


def returns_of(order_ids: Sequence[int]) -> list[dict[str, Any]]:
    """What is kept of the returns of these orders, as the customer may take it away."""
    found = select(ReturnRequest).where(ReturnRequest.order_id.in_(order_ids))
    return [
        {
            "reference": request.reference,
            "state": request.state.value,
            "resolution": request.resolution.value,
            "reason": request.reason,
            "words": request.words,
            "answer": request.refusal,
            "refund_minor": request.refund_minor,
            "asked_at": request.created_at.isoformat(),
            "lines": [
                {
                    "name": line.order_line.name,
                    "quantity": line.quantity,
                    "arrived": line.arrived_quantity,
                }
                for line in request.lines
            ],
            "pictures": len(request.pictures),
        }
        for request in db.session.scalars(found.order_by(ReturnRequest.id))
    ]
