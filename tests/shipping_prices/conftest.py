"""Zones, and a courier whose prices the test decides."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shop.database import transaction
from shop.shipping_prices import editing
from shop.shipping_prices.live_quotes import LiveOffer, LiveWish
from shop.shipping_prices.models import Basis, ShippingZone


def price(label: str = "Standard", minor: int = 9900, **more: Any) -> dict[str, Any]:
    """A row of a zone."""
    values = {
        "method": label.lower(), "label": label, "basis": Basis.WEIGHT, "up_to": None,
        "currency": "INR", "price_minor": minor, "free_from_minor": None, "days_from": 3,
        "days_to": 5, "is_live": False,
    }  # fmt: skip
    return {**values, **more}


@pytest.fixture
def zone(app: Any) -> Callable[..., ShippingZone]:
    """`zone("Metro", "IN", "56*", [price(…)])` stands after those made before it."""

    def make(
        name: str, countries: str = "IN", codes: str = "", rates: Any = None, **more: Any
    ) -> ShippingZone:
        values = {"name": name, "countries": countries, "postal_codes": codes, "is_active": True}
        with transaction() as session:
            row = editing.add_zone({**values, **more}, "system")
            for one in [price()] if rates is None else rates:
                editing.add_rate(row.id, one, "system")
                session.expire(row, ["rates"])
        return row

    return make


class Carriers:
    """Answers for the courier: what it was asked, and what it says or raises."""

    def __init__(self) -> None:
        self.asked: list[LiveWish] = []
        self.answer: Any = [LiveOffer(7_700, None)]

    def __call__(self, wish: LiveWish) -> Any:
        """What the courier would answer."""
        self.asked.append(wish)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def carriers(app: Any) -> Iterator[Carriers]:
    """The shop asks these in place of its courier."""
    before, held = app.extensions["live_rates"], Carriers()
    app.extensions["live_rates"] = held
    yield held
    app.extensions["live_rates"] = before
