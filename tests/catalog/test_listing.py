"""The listing: filters with counts, sorting, pages and words, for a reader without JavaScript."""

import re
from typing import Any

import pytest

from shop.catalog import search
from shop.catalog.models import Category, Product
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.stock import ledger
from shop.stock.models import MovementReason
from tests.factories import make_product


def names(answer: Any) -> list[str]:
    """The products shown, in their order."""
    assert answer.status_code == 200, answer.text
    return re.findall(r'product__name"><a href="[^"]+">([^<]+)<', answer.text)


def counts(answer: Any) -> dict[str, int]:
    """What stands behind each box of the filter form, by the box's id."""
    found = re.findall(
        r'id="([a-z0-9-]+)" name="\w+" value="[^"]*"[^>]*>[^<]*<span class="check__count">(\d+)',
        answer.text,
    )
    return {name: int(number) for name, number in found}


def stand_on(child: str, parent: str) -> None:
    """Put a category on another."""
    with transaction() as session:
        rows = {row.slug: row for row in session.scalars(db.select(Category))}
        rows[child].parent_id = rows[parent].id


@pytest.fixture
def shelf(shop: Any) -> dict[str, Any]:
    """Five products on three shelves of two brands."""
    kept = shop.scene("listed", put_on_shelves)
    return {word: db.session.get_one(Product, key) for word, key in kept.items()}


def put_on_shelves() -> dict[str, int]:
    """Their ids, by a word for each."""
    found = {
        "wood": make_product(
            "Wood", price=5_000_00, category="Wooden", brand="Lind", popularity=50
        ),
        "carbon": make_product(
            "Carbon", price=9_000_00, category="Carbons", brand="Kaze", popularity=40
        ),
        "bat": make_product("Bat", price=1_000_00, category="Blades", brand="Kaze", popularity=30),
        "ball": make_product("Ball", price=100_00, category="Balls", brand="Lind", popularity=20),
        "gone": make_product(
            "Gone", price=200_00, category="Balls", brand="Lind", stock=0, popularity=10
        ),
    }
    stand_on("wooden", "blades")
    stand_on("carbons", "blades")
    return {word: product.id for word, product in found.items()}


def test_everything_is_shown_most_played_first(shelf: Any, client: Any) -> None:
    assert names(client.get("/products")) == ["Wood", "Carbon", "Bat", "Ball", "Gone"]
    assert names(client.get("/")) == ["Wood", "Carbon", "Bat", "Ball", "Gone"]


def test_a_category_shows_what_stands_on_its_shelves_below(shelf: Any, client: Any) -> None:
    assert names(client.get("/products?category=blades")) == ["Wood", "Carbon", "Bat"]
    assert names(client.get("/products?category=carbons")) == ["Carbon"]
    assert names(client.get("/products?category=carbons&category=balls&in_stock=1")) == [
        "Carbon",
        "Ball",
    ]


def test_filters_narrow_together(shelf: Any, client: Any) -> None:
    assert names(client.get("/products?brand=kaze")) == ["Carbon", "Bat"]
    assert names(client.get("/products?brand=kaze&category=carbons")) == ["Carbon"]
    assert names(client.get("/products?min=1000&max=5,000.00")) == ["Wood", "Bat"]
    assert names(client.get("/products?in_stock=1&category=balls")) == ["Ball"]


def test_each_count_is_what_its_box_would_show(shelf: Any, client: Any) -> None:
    assert counts(client.get("/products")) == {
        "category-blades": 3, "category-balls": 2, "brand-kaze": 2, "brand-lind": 3, "in-stock": 4,
    }  # fmt: skip
    chosen = counts(client.get("/products?brand=kaze"))
    assert (chosen["category-blades"], chosen["category-balls"]) == (2, 0)
    assert (chosen["brand-kaze"], chosen["brand-lind"]) == (2, 3)
    opened = counts(client.get("/products?category=blades"))
    assert (opened["category-wooden"], opened["category-carbons"], opened["category-balls"]) == (
        1,
        1,
        2,
    )
    assert counts(client.get("/products?max=1000&in_stock=1"))["brand-lind"] == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_box_with_nothing_behind_it_is_shown_but_cannot_be_ticked(
    shelf: Any, client: Any
) -> None:
    shown = client.get("/products?brand=kaze").text
    assert re.search(r'id="category-balls"[^>]* disabled', shown)
    assert not re.search(r'id="category-blades"[^>]* disabled', shown)


def test_sorting(shelf: Any, client: Any) -> None:
    for sort, first, last in (
        ("price", "Ball", "Carbon"),
        ("price-desc", "Carbon", "Ball"),
        ("newest", "Gone", "Wood"),
        ("nonsense", "Wood", "Gone"),
    ):
        shown = names(client.get(f"/products?sort={sort}"))
        assert (shown[0], shown[-1]) == (first, last), sort


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_applied_filters_are_chips_that_lead_to_the_page_without_them(
    shelf: Any, client: Any
) -> None:
    shown = client.get("/products?category=blades&brand=kaze&sort=price").text
    assert 'class="chip" href="/products?brand=kaze&amp;sort=price"' in shown
    assert 'class="chip" href="/products?category=blades&amp;sort=price"' in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nothing_found_says_so_and_offers_what_to_take_away(shelf: Any, client: Any) -> None:
    shown = client.get("/products?q=unicorn&brand=kaze").text
    assert "Nothing matches these filters" in shown
    assert "Without “unicorn”" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_24_a_page_with_links_on_and_back(app: Any, client: Any) -> None:
    for number in range(30):
        make_product(f"Ball {number:02}", popularity=100 - number)
    first = client.get("/products")
    assert len(names(first)) == 24
    assert "Showing 1 to 24 of 30" in first.text
    assert 'href="/products?page=2" rel="next"' in first.text
    second = client.get("/products?page=2")
    assert names(second) == [f"Ball {number}" for number in range(24, 30)]
    assert 'href="/products" rel="prev"' in second.text
    assert "There is no page 9" in client.get("/products?page=9").text


def test_nonsense_in_the_address_is_never_a_fault(shelf: Any, client: Any) -> None:
    for query in (
        "page=0", "page=-1", "page=x", "page=\uff11", "page=99999999999999999999", "min=abc", "max=1e9", "min=-1",
        "q=%00", "sort=;drop", "in_stock=maybe", "min=9" + "9" * 40,
    ):  # fmt: skip
        assert client.get(f"/products?{query}").status_code == 200, query


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_price_that_cannot_be_read_is_kept_and_explained(shelf: Any, client: Any) -> None:
    shown = client.get("/products?min=12x").text
    assert 'value="12x"' in shown
    assert "Enter an amount like 1299.00" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_unknown_category_or_brand_is_not_found(shelf: Any, client: Any) -> None:
    assert client.get("/products?category=unicorns").status_code == 404
    assert client.get("/products?brand=unicorns").status_code == 404


def test_drafts_and_archived_products_are_not_shown(app: Any, client: Any) -> None:
    draft = make_product("Draft", status="draft")
    make_product("Old", status="archived")
    assert names(client.get("/products")) == []
    assert client.get(f"/products/{draft.slug}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_product_in_several_variants_is_chosen_and_one_of_a_kind_is_added(
    app: Any, client: Any
) -> None:
    many = make_product("Many", variants=3)
    single = make_product("Single")
    shown = client.get("/products").text
    assert f'href="/products/{many.slug}" aria-label="Choose Halflong Many"' in shown
    assert f'name="variant_id" value="{single.variants[0].id}"' in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_stock_and_savings_are_flagged(app: Any, client: Any) -> None:
    make_product("Gone", stock=0)
    make_product("Few", stock=2)
    make_product("Sale", price=85_00, compare_at=100_00)
    shown = client.get("/products").text
    assert "Sold out" in shown
    assert "Only 2 left" in shown
    assert "Save 15%" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_filter_by_htmx_answers_the_results_and_the_boxes(shelf: Any, client: Any) -> None:
    answer = client.get("/products?brand=kaze&min=&max=", headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith('<section id="results"')
    assert '<div hx-swap-oob="innerHTML:#filter-choices">' in answer.text
    assert answer.headers["HX-Push-Url"] == "/products?brand=kaze"
    assert "HX-Request" in answer.headers["Vary"]
    restored = client.get(
        "/products", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
    )
    assert "<!doctype html>" in restored.text


def test_every_word_must_be_the_start_of_a_word_of_the_product(app: Any, client: Any) -> None:
    text = search.text_for("Lindqvarn", "Älvar 5W", "Blades", "100% wood")
    make_product("Älvar 5W", brand="Lindqvarn", search_text=text)
    for query in ("alvar", "ÄLVAR", "älv", "lindqvarn alv", "alv lind", "5w", "100%", "  "):
        assert names(client.get("/products", query_string={"q": query})) == ["Älvar 5W"], query
    for query in ("lvar", "alvar carbon", "%", "_lvar", "10_", "\\", "o'neil"):
        assert names(client.get("/products", query_string={"q": query})) == [], query


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_was_searched_is_shown_escaped(app: Any, client: Any) -> None:
    shown = client.get("/products", query_string={"q": '<b x="'}).text
    assert "<b x=" not in shown
    assert "Results for “&lt;b x=&#34;”" in shown


def test_folding_takes_accents_case_and_punctuation_away() -> None:
    assert search.fold("Fjärd-Def, (Ørsted) STRASSE ﬁne") == "fjard def orsted strasse fine"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_listing_takes_at_most_5_statements_however_many_rows(
    app: Any, client: Any, sql_count: Any, turn_clock: Any
) -> None:
    def told(address: str) -> int:
        app.extensions.pop("catalogue", None)
        with sql_count() as statements:
            assert client.get(address).status_code == 200
        return len(statements)

    address = "/products?category=balls&q=ball&min=1&in_stock=1&sort=price"
    make_product("Ball 0", variants=2)
    few = told(address)
    for number in range(1, 26):
        make_product(f"Ball {number}", variants=1 + number % 3)
    assert told(address) == few <= 5
    assert told("/products") <= 5
    turn_clock(minutes=5)
    client.get("/products")
    with sql_count() as again:
        client.get("/products")
    assert len(again) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_anonymous_reader_gets_no_cookie_and_no_copy_in_shared_caches(
    shelf: Any, client: Any
) -> None:
    for address in ("/", "/products", "/products?q=bat", f"/products/{shelf['bat'].slug}"):
        answer = client.get(address)
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_an_unchanged_page_is_answered_with_304_from_one_statement(
    shelf: Any, client: Any, sql_count: Any, turn_clock: Any
) -> None:
    turn_clock(minutes=5)
    for address in ("/", "/products?brand=kaze", f"/products/{shelf['bat'].slug}"):
        tag = client.get(address).headers["ETag"]
        with sql_count() as told:
            again = client.get(address, headers={"If-None-Match": tag})
        assert (again.status_code, again.data, len(told)) == (304, b"", 1)
        part = client.get(address, headers={"If-None-Match": tag, "HX-Request": "true"})
        assert part.status_code == 200


def test_a_change_of_stock_price_name_or_shelf_is_seen_at_once(shelf: Any, client: Any) -> None:
    bat = shelf["bat"]
    variant = bat.variants[0]
    addresses = ("/products", f"/products/{bat.slug}")
    price = (
        "UPDATE variant_prices SET amount_minor = 77700, updated_at = :now WHERE variant_id = :id"
    )
    name = "UPDATE products SET name = 'Paddle', updated_at = :now WHERE id = :id"

    def changed(work: Any, shown: str) -> None:
        tags = {address: client.get(address).headers["ETag"] for address in addresses}
        with transaction():
            work()
        for address in addresses:
            answer = client.get(address, headers={"If-None-Match": tags[address]})
            assert answer.status_code == 200
            assert shown in answer.text

    changed(lambda: ledger.move(variant.id, -8, MovementReason.ADJUST, "system"), "2 left")
    changed(lambda: _told(price, variant.id), "₹777.00")
    changed(lambda: _told(name, bat.id), "Paddle")


def _told(statement: str, row_id: int) -> None:
    from shop.database import UtcDateTime

    clause = db.text(statement).bindparams(db.bindparam("now", type_=UtcDateTime()))
    db.session.execute(clause, {"now": utcnow(), "id": row_id})


def test_the_tag_stands_again_once_the_last_change_is_older_than_any_transaction(
    shelf: Any, client: Any, turn_clock: Any
) -> None:
    turn_clock(minutes=5)
    tag = client.get("/products").headers["ETag"]
    turn_clock(minutes=10)
    assert client.get("/products", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_signed_in_or_shopping_reader_gets_a_page_of_their_own(shelf: Any, client: Any) -> None:
    client.post(
        "/cart/items",
        data={"variant_id": shelf["bat"].variants[0].id},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    answer = client.get("/products")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers
    assert '<span class="count">1</span>' in answer.text
