"""The demo catalogue is a good one, and making it twice makes it once."""

from typing import Any

import pytest

from shop.catalog.demo import RUPEES_OF, seed_catalogue, seed_many
from shop.catalog.models import Picture, Product, Variant, VariantPrice
from shop.config import ROOT
from shop.database import transaction
from shop.extensions import db
from shop.stock.models import StockLevel, StockMovement


def count(model: Any) -> int:
    """Rows."""
    return int(db.session.scalar(db.select(db.func.count()).select_from(model)) or 0)


def seeded() -> int:
    """How many products the demo catalogue has brought."""
    with transaction():
        return seed_catalogue()


@pytest.fixture
def demo(shop: Any) -> int:
    """The demo catalogue; the number of its products."""
    return int(shop.scene("demo-catalogue", seeded))


@pytest.fixture
def many(shop: Any) -> int:
    """The demo catalogue, whose products are counted, and a hundred products for measuring."""

    def with_many() -> int:
        made = seeded()
        with transaction():
            seed_many(100)
        return made

    return int(shop.scene("demo-and-many", with_many))


def test_the_demo_catalogue_can_be_made_again_without_change(many: int) -> None:
    assert many >= 30
    before = [count(model) for model in (Product, Variant, VariantPrice, Picture, StockMovement)]
    assert seeded() == 0
    assert [
        count(model) for model in (Product, Variant, VariantPrice, Picture, StockMovement)
    ] == before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_picture_exists_and_every_variant_has_its_prices_and_size(demo: int) -> None:
    for key in db.session.scalars(db.select(Picture.storage_key)):
        assert (ROOT / "static/img" / key).is_file(), key
    in_each = count(VariantPrice) / len({"INR", *RUPEES_OF})
    assert in_each == count(Variant) == count(StockLevel)
    assert not db.session.scalar(db.select(Variant.id).where(Variant.weight_grams == 0))


def test_on_hand_is_the_sum_of_the_movements(many: int) -> None:
    moved = dict(
        db.session.execute(
            db.select(StockMovement.variant_id, db.func.sum(StockMovement.delta)).group_by(
                StockMovement.variant_id
            )
        ).all()
    )
    for variant_id, on_hand in db.session.execute(
        db.select(StockLevel.variant_id, StockLevel.on_hand)
    ):
        assert moved.get(variant_id, 0) == on_hand


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_demo_has_something_sold_out_something_scarce_and_something_cheaper(
    demo: int, client: Any
) -> None:
    shown = client.get("/").text
    for words in ("Sold out", "Only 2 left", "Save 15%"):
        assert words in shown
    assert "Showing 1 to 24" in shown


def test_thousands_for_measuring_are_ordinary_products(many: int, client: Any) -> None:
    assert client.get("/products/bench-100").status_code == 200
    assert "100 products" in client.get("/products?q=bench").text
