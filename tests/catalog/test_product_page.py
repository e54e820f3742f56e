"""A product's page: its variants, price, stock and what is shown about it."""

import re
from typing import Any

import pytest

from shop.stock import reservations
from tests.factories import make_order, make_product


def chosen(text: str) -> list[str]:
    """The skus of the tiles that are ticked, by their addresses."""
    return re.findall(r'checked[^>]*hx-replace-url="[^"]*variant=([^"]+)"', text)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_shows_price_tax_stock_and_facts(app: Any, client: Any) -> None:
    facts = {"play": {"Speed": 78, "Spin": 84, "Control": 88}, "spec": [["Plies", "5, all wood"]]}
    product = make_product("Alvar", price=5_499_00, compare_at=5_999_00, stock=7, facts=facts)
    shown = client.get(f"/products/{product.slug}").text
    for words in (
        "₹5,499.00",
        "₹5,999.00",
        "incl. 18% GST",
        "In stock, 7 left",
        "5, all wood",
        'value="84"',
    ):
        assert words in shown
    assert "Standard delivery is free over ₹5,000.00" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_variant_is_named_by_the_address_and_the_first_in_stock_is_chosen_else(
    app: Any, client: Any
) -> None:
    product = make_product("Alvar", variants=3, stock=5)
    skus = [variant.sku for variant in product.variants]
    assert chosen(client.get(f"/products/{product.slug}").text) == [skus[0]]
    shown = client.get(f"/products/{product.slug}?variant={skus[2]}").text
    assert chosen(shown) == [skus[2]]
    assert "In stock, 5 left in 3" in shown
    assert chosen(client.get(f"/products/{product.slug}?variant=other").text) == [skus[0]]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_sold_out_variant_stays_disabled_with_words(app: Any, client: Any) -> None:
    product = make_product("Alvar", variants=2, stock=0)
    shown = client.get(f"/products/{product.slug}").text
    assert shown.count("sold out</small>") == 2
    assert "Add to cart" not in shown
    assert "Sold out in 1" in shown


def test_held_units_are_not_offered(app: Any, client: Any) -> None:
    product = make_product("Alvar", stock=3)
    assert "In stock, 3 left" in client.get(f"/products/{product.slug}").text
    make_order(lines={product: 2})
    assert reservations.free_units([product.variants[0].id]) == {product.variants[0].id: 1}
    assert "In stock, 1 left" in client.get(f"/products/{product.slug}").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_choosing_a_variant_by_htmx_swaps_only_the_buying_part(app: Any, client: Any) -> None:
    product = make_product("Alvar", variants=2)
    sku = product.variants[1].sku
    answer = client.get(f"/products/{product.slug}?variant={sku}", headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith('<div class="stack u-gap-20" id="buy">')
    assert chosen(answer.text) == [sku]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_product_is_not_found(app: Any, client: Any) -> None:
    answer = client.get("/products/unicorn")
    assert answer.status_code == 404
    assert "not sold here" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_takes_at_most_4_statements_however_many_variants(
    app: Any, client: Any, sql_count: Any
) -> None:
    def told(slug: str) -> int:
        app.extensions.pop("catalogue", None)
        with sql_count() as statements:
            assert client.get(f"/products/{slug}").status_code == 200
        return len(statements)

    small, large = make_product("Small"), make_product("Large", variants=12)
    for number in range(8):
        make_product(f"Other {number}", category="Bats")
    assert told(small.slug) == told(large.slug) <= 4


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_page_works_without_pictures_facts_or_price(app: Any, client: Any) -> None:
    product = make_product("Bare", currency="SEK", facts={})
    shown = client.get(f"/products/{product.slug}").text
    assert "Not sold at the moment" in shown
    assert "Add to cart" not in shown
    assert client.get("/products").status_code == 200
