"""Contact data in incidents: taken out when they are long over, or when the customer goes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import String, cast, or_, select, update

from shop.clock import in_future
from shop.extensions import db
from shop.incidents.contact import CONTACT
from shop.incidents.models import Incident

DAYS = 180
"""Days after an incident was resolved, as long as a dispute about its payment may still come."""

AT_ONCE = 1000


def forget_old() -> int:
    """Take addresses and numbers out of what was resolved long ago. Returns how many incidents."""
    return _blank(Incident.resolved_at < in_future(hours=-24 * DAYS))


def erase(order_ids: Sequence[int]) -> None:
    """The customer of these orders goes: so do address, number, and providers' words of them.

    Also where it is still open: what is to be done stands in the issue and the facts.
    """
    db.session.execute(
        update(Incident)
        .where(Incident.order_id.in_(order_ids))
        .values(error_message="", error_stack="")
        .execution_options(synchronize_session=False)
    )
    while _blank(Incident.order_id.in_(order_ids)) == AT_ONCE:
        continue


def _blank(condition: Any) -> int:
    text = cast(Incident.context, String)
    names_somebody = or_(*(text.contains(f'"{name}"') for name in CONTACT))
    found = db.session.scalars(
        select(Incident).where(condition, names_somebody).order_by(Incident.id).limit(AT_ONCE)
    ).all()
    for incident in found:
        incident.context = {
            key: value for key, value in incident.context.items() if key not in CONTACT
        }
    db.session.flush()
    return len(found)
