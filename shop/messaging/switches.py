"""Which rows of the table of messages are on: all of them, until the owner switches one off."""

from dataclasses import dataclass

from sqlalchemy import select, update

from shop.audit import recording as audit
from shop.clock import utcnow
from shop.database import insert_ignore
from shop.errors import NotFound, Refused
from shop.extensions import db
from shop.messaging.channels import is_switched_on
from shop.messaging.events import EVENTS, Telling
from shop.messaging.models import MessageSwitch

ALWAYS = frozenset({("order_confirmed", "email"), ("order_link", "email")})
"""Nobody may switch these off: who paid must have it in writing, and who asked is answered."""


@dataclass(frozen=True)
class Line:
    """A row of the table as the admin shows it."""

    event: str
    telling: Telling
    is_on: bool
    #: False for the rows that must stay on.
    may_change: bool
    #: Somebody carries this kind of message.
    is_carried: bool


def tellings(event: str) -> list[Telling]:
    """The event's messages that are switched on, by channels that somebody carries."""
    return [line.telling for line in _lines(event) if line.is_on and line.is_carried]


def lines() -> list[Line]:
    """The whole table, with what the owner changed. One statement."""
    changed = _changed()
    return [line for event in EVENTS for line in _lines(event, changed)]


def _changed(event: str | None = None) -> dict[tuple[str, str], bool]:
    query = select(MessageSwitch.event, MessageSwitch.channel, MessageSwitch.is_on)
    rows = db.session.execute(query.filter_by(event=event) if event else query)
    return {(row.event, row.channel): row.is_on for row in rows}


def _lines(event: str, changed: dict[tuple[str, str], bool] | None = None) -> list[Line]:
    known = _changed(event) if changed is None else changed
    return [
        Line(
            event, telling, known.get((event, telling.channel), True),
            (event, telling.channel) not in ALWAYS, is_switched_on(telling.channel),
        )
        for telling in EVENTS[event]
    ]  # fmt: skip


def switch(event: str, channel: str, is_on: bool, user_id: int | None, actor: str) -> None:
    """Switch an event's messages by this channel on or off. Raises NotFound, or Refused for some."""
    if channel not in {telling.channel for telling in EVENTS.get(event, ())}:
        raise NotFound("There is no such message.")
    if (event, channel) in ALWAYS and not is_on:
        raise Refused("This message is always sent.")
    values = {"is_on": is_on, "changed_by": user_id}
    key = {"event": event, "channel": channel}
    if insert_ignore(MessageSwitch, {**key, **values}) is None:
        db.session.execute(
            update(MessageSwitch).filter_by(**key).values(**values, updated_at=utcnow())
        )
    audit.write(
        actor, "message.switched", f"message:{event}", after={"channel": channel, "is_on": is_on}
    )
