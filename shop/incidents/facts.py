"""The whole context of an incident, gathered from the parts that know it.

Incidents stand below orders, payments and parcels, so those parts register here what they can
tell about an id that an incident or a failed job names.
"""

from collections.abc import Callable
from typing import Any

Builder = Callable[[int], dict[str, Any]]

_builders: dict[str, list[Builder]] = {}


def tells_about(id_name: str) -> Callable[[Builder], Builder]:
    """Register what is known about an id ("payment_id").

    The function gets the id and returns facts for the context (orderId, customerEmail, …) and,
    where it leads to another thing, that thing's id ("order_id"). Ids never reach the context.
    """

    def register(builder: Builder) -> Builder:
        _builders.setdefault(id_name, []).append(builder)
        return builder

    return register


def gather(ids: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """The facts about these ids, and the order that they belong to, if there is one by that id.

    What lies nearer to the fault is asked first, since a parcel or a payment leads to its order
    and knows better how things stand; the order is asked last.
    """
    known = {name: value for name, value in ids.items() if isinstance(value, int)}
    facts: dict[str, Any] = {}
    asked: set[str] = set()
    while left := [name for name in known if name not in asked]:
        id_name = min(left, key=lambda name: name == "order_id")
        asked.add(id_name)
        for builder in _builders.get(id_name, []):
            for name, value in builder(known[id_name]).items():
                (known if name.endswith("_id") else facts).setdefault(name, value)
    return facts, known.get("order_id") if "orderId" in facts else None
