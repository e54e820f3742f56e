"""What is to be delivered, as far as its price depends on it."""

from collections.abc import Iterable
from dataclasses import dataclass

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Goods:
    """Worth in minor units of the currency, weight in grams, the box in millimetres."""

    value_minor: int
    currency: str
    weight_grams: int = 0
    size_mm: Size = (0, 0, 0)
    #: To be paid at the door, which not every carrier does, nor for the same price.
    collect: bool = False


def packed(
    items: Iterable[tuple[int, int, Size]], value_minor: int, currency: str, collect: bool = False
) -> Goods:
    """Goods of (quantity, grams, sides) in one box: the largest length and breadth, the heights stacked."""
    held = [(quantity, grams, sorted(size)) for quantity, grams, size in items]
    return Goods(
        value_minor,
        currency,
        sum(quantity * grams for quantity, grams, _ in held),
        (
            max((sides[2] for _, _, sides in held), default=0),
            max((sides[1] for _, _, sides in held), default=0),
            sum(quantity * sides[0] for quantity, _, sides in held),
        ),
        collect,
    )
