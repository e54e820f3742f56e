"""The catalogue and the cart in a real browser: with script and without, and readable by everybody."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from shop.catalog.demo import seed_catalogue
from shop.database import transaction
from tests.browsing import IS_THOROUGH, axe_faults, looks, runs_off

#: Each page there is is looked at in tests/e2e/test_every_page.py: here the main ones in both colours,
#: and what else they show.
PAGES = ("/products?category=blades&in_stock=1", "/products?q=unicorn", "/products#filters",
         "/products/tidal-05", "/products/feeder-one", "/nowhere", "/cart")  # fmt: skip
IN_THE_DARK = PAGES if IS_THOROUGH else ("/products?category=blades&in_stock=1", "/products/tidal-05", "/cart")  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.allows_console("422|404"),
]


@pytest.fixture
def goods(shop: Any) -> None:
    """The demo catalogue."""

    def seed() -> None:
        with transaction():
            seed_catalogue()

    shop.scene("goods", seed)


def words(place: Any) -> str:
    """What is read there, on one line."""
    return " ".join(place.inner_text().split())


def test_filters_change_the_results_the_address_and_the_title_and_keep_the_focus(
    goods: None, live: str, page: Any
) -> None:
    page.goto(f"{live}/products")
    page.check("#category-blades")
    page.locator("#res-h", has_text="Blades 9 products").wait_for()
    expect(page).to_have_url(f"{live}/products?category=blades")
    expect(page).to_have_title(re.compile("^Blades ·"))
    expect(page.locator("#category-blades")).to_be_focused()
    page.select_option("#sort", "price")
    page.wait_for_url(f"{live}/products?category=blades&sort=price")
    page.go_back()
    page.wait_for_url(f"{live}/products?category=blades")
    # The address changes a moment before the page of it stands.
    expect(page.locator("#sort")).to_have_value("popular")


def test_a_variant_is_chosen_added_changed_removed_and_brought_back(
    goods: None, live: str, page: Any
) -> None:
    page.goto(f"{live}/products/tidal-05")
    page.get_by_label("Red, 2.0 mm").check()
    page.get_by_text("In stock, 2 left in Red, 2.0 mm").wait_for()
    expect(page).to_have_url(re.compile(r"\?variant=KZ-TID05-R20$"))
    page.get_by_label("One more").click()
    page.get_by_label("One more").click()
    page.get_by_role("button", name="Add to cart").click()
    toast = page.locator(".toast")
    toast.get_by_text("Added 2. That is all we have in Red, 2.0 mm.").wait_for()
    expect(page.locator("#cart-link")).to_have_text("Cart 2 items", use_inner_text=True)

    page.goto(f"{live}/products?category=nets")
    page.get_by_role("button", name="Add Sferis Clip net to cart").click()
    toast.get_by_text("Added Sferis Clip net. Cart total ₹9,679.00").wait_for()
    toast.get_by_text("View cart").click()
    page.wait_for_url(f"{live}/cart")

    page.get_by_label("One fewer Kazemori Tidal 05").click()
    page.get_by_text("Items (2)").wait_for()
    expect(page.get_by_label("One fewer Kazemori Tidal 05")).to_be_focused()
    field = page.get_by_role("textbox", name="Quantity of Sferis Clip net")
    field.fill("two")
    field.press("Tab")
    page.get_by_text("Use a whole number").wait_for()
    expect(field).to_have_value("1")

    page.get_by_label("Remove Kazemori Tidal 05").click()
    toast.get_by_text("Removed Kazemori Tidal 05.").wait_for()
    expect(field).to_be_focused()
    expect(page.locator("#cart-link")).to_have_text("Cart 1 items", use_inner_text=True)
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("is back in your cart").wait_for()
    expect(page.locator(".line h2")).to_have_text(["Kazemori Tidal 05", "Sferis Clip net"])


def test_the_same_without_script(goods: None, live: str, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live}/products")
    page.check("#brand-sferis")
    page.get_by_role("button", name="Apply filters").click()
    page.get_by_role("button", name="Add Sferis Match 40+ to cart").click()
    expect(page).to_have_url(f"{live}/cart")
    assert words(page.locator(".notice")) == "Added Sferis Match 40+."
    page.get_by_label("One more Sferis Match 40+").click()
    expect(page.locator(".qty input")).to_have_value("2")
    page.locator(".qty input").fill("7")
    page.locator(".qty input").press("Enter")
    page.get_by_text("Items (7)").wait_for()
    expect(page.locator(".qty input")).to_have_value("7")
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".qty input")).to_have_value("7")
    page.goto(f"{live}/products/alvar-5w")
    page.get_by_label("Straight").check()
    page.fill("#quantity", "1.5")
    page.get_by_role("button", name="Add to cart").click()
    expect(page).to_have_title(re.compile("^Error: "))
    assert words(page.locator(".field__error")) == "Use a whole number"
    assert page.locator("#quantity").input_value() == "1.5"
    context.close()


def test_axe_finds_no_fault_and_nothing_runs_off_the_page(
    goods: None, live: str, browser: Any, watch_page: Any
) -> None:
    context = browser.new_context()
    page = watch_page(context.new_page())

    page.goto(f"{live}/products/match-40")
    page.get_by_role("button", name="Add to cart").click()
    page.locator(".toast").wait_for()
    for path in PAGES:
        page.goto(live + path)
        narrow = ("dark" if path in IN_THE_DARK else "", 360)
        for scheme, width in looks(page, ("light", 1280), narrow):
            found = axe_faults(page) if scheme else []
            told = [(v["id"], [n["html"] for n in v["nodes"]]) for v in found]
            assert not found, (path, scheme, told)
            assert not runs_off(page), (path, width)
    context.close()
