"""The admin in a real browser: htmx only makes quicker what works without it, and nobody is shut out."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from shop.database import transaction
from shop.extensions import db
from shop.orders.lifecycle import Actor, Who, advance
from shop.orders.models import Order
from tests.browsing import axe_faults
from tests.factories import make_order, make_product

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
]


@pytest.fixture
def enter(staff, live):
    """`enter(page)`: the owner has signed in there (by the form: tests/accounts and tests/e2e)."""

    def signed_in(page):
        browser = staff("owner", name="Asha Rao")
        held = browser.get_cookie("shop", domain=urlsplit(live).hostname)
        page.context.add_cookies([{"name": held.key, "value": held.value, "url": live}])

    return signed_in


def test_search_keeps_the_focus_and_the_address(enter, live, page):
    ball = make_product(stock=9)
    make_order("paid", lines={ball: 1}, address={"recipient": "Rekha Iyer"})
    make_order("paid", lines={ball: 1}, address={"recipient": "Elsa Lund"})
    enter(page)
    page.goto(f"{live}/admin/orders")
    page.locator("#oq").press_sequentially("rekha")
    page.wait_for_url("**/admin/orders?q=rekha**")
    # The address changes a moment before the rows do.
    expect(page.locator("#rows tr")).to_have_count(1)
    expect(page.locator("#oq")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#oq")).to_have_value("rekhaj")


def test_a_step_is_taken_without_loading_the_page(enter, live, page, order_in):
    order = order_in("paid")
    enter(page)
    page.goto(f"{live}/admin/orders/{order.number}")
    page.evaluate("window.stayed = true")
    page.click("button[value=accepted]")
    page.wait_for_selector(f"#st-{order.id} .badge[data-state=processing]")
    page.wait_for_selector(".toast")
    assert page.evaluate("window.stayed") is True
    page.fill("#note", "<b>fragile</b>")
    page.click("button:text-is('Add')")
    page.wait_for_selector("#feed li[data-k=note]")
    assert "<b>fragile</b>" in page.inner_text("#feed")


@pytest.mark.allows_console("409")
def test_the_slower_click_is_told_so_in_place(enter, live, page, order_in):
    order = order_in("paid")
    enter(page)
    page.goto(f"{live}/admin/orders/{order.number}")
    with transaction():
        advance(db.session.get(Order, order.id), "accepted", Actor(Who.ADMIN, "user:1"))
    page.click("button[value=accepted]")
    page.wait_for_selector("#problem")
    assert "already moved this to Processing" in page.inner_text("#problem")
    expect(page.locator("#problem")).to_be_focused()


def test_the_refund_dialog_counts_opens_and_closes(enter, live, page):
    order = make_order("delivered", lines={make_product(price=100_000, stock=5): 2})
    enter(page)
    page.goto(f"{live}/admin/orders/{order.number}")
    opener = page.locator("#next-step >> text=Refund items")
    opener.click()
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    page.wait_for_function("document.activeElement.textContent.trim() === 'Refund items'")
    opener.click()
    page.wait_for_selector("dialog[open]")
    page.click("[aria-label='One more']")
    page.wait_for_selector("text=Refund ₹1,000.00")
    # All else that the admin shows is looked at in tests/e2e/test_every_page.py.
    assert [one["id"] for one in axe_faults(page, best_practice=False)] == []
    page.locator("[data-most]").press("Enter")
    assert page.locator("dialog[open]").count() == 1
    page.click("text=Refund ₹1,000.00")
    page.wait_for_selector("text=Refund of ₹1,000.00 sent to Sandbox")
    section = page.locator("#p >> xpath=ancestor::section")
    expect(section).to_contain_text("requested", ignore_case=True)


def test_rows_are_selected_and_moved_together(enter, live, page):
    ball = make_product(stock=9)
    orders = [make_order("paid", lines={ball: 1}) for _ in range(2)]
    enter(page)
    page.goto(f"{live}/admin/orders")
    assert not page.is_visible("#bulk")
    page.locator("#rows .ord").first.focus()
    page.keyboard.press("x")
    page.check("[data-all]")
    expect(page.locator("[data-count]")).to_have_text("2 selected")
    page.click("#bulk >> text=Start processing")
    page.wait_for_selector("text=2 started")
    db.session.rollback()
    assert all(
        db.session.get(Order, order.id, populate_existing=True).status == "processing"
        for order in orders
    )


def test_new_orders_are_announced_and_shown_when_asked(enter, live, page):
    ball = make_product(stock=9)
    first = make_order("paid", lines={ball: 1})
    enter(page)
    page.goto(f"{live}/admin/orders")
    page.check(f"#o-{first.id} input")
    make_order("paid", lines={ball: 1})
    with transaction():
        advance(db.session.get(Order, first.id), "accepted", Actor(Who.ADMIN, "user:1"))
    page.evaluate(
        "htmx.ajax('GET', document.getElementById('fresh').getAttribute('hx-get'), {source: '#fresh', target: '#fresh', swap: 'outerHTML'})"
    )
    page.wait_for_selector("text=1 new order since")
    assert page.is_checked(f"#o-{first.id} input")
    page.wait_for_selector(f"#st-{first.id} .badge[data-state=processing]")
    assert page.locator("#rows tr").count() == 1
    page.click("text=1 new order since")
    page.wait_for_selector("#rows tr >> nth=1")


def test_the_menu_is_a_dialog_on_a_narrow_screen(enter, live, page):
    enter(page)
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{live}/admin/orders")
    page.click("[data-opens=menu]")
    page.click("#menu >> text=Stock")
    page.wait_for_url("**/admin/stock")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_everything_works_with_javascript_switched_off(enter, live, browser):
    make_order("paid", lines={make_product(price=100_000, stock=5): 2})
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(10_000)
    enter(page)
    page.goto(f"{live}/admin/orders")
    page.click("#rows .ord")
    page.click("button[value=accepted]")
    page.wait_for_selector(".badge[data-state=processing]")
    page.fill("#note", "seen")
    page.click("button:text-is('Add')")
    page.wait_for_selector("text=Note added")
    page.click("#next-step >> text=Refund items")
    page.fill("[data-most]", "1")
    page.click(".btn--danger")
    page.wait_for_selector("text=This comes to ₹1,000.00")
    page.click("text=Refund ₹1,000.00")
    page.wait_for_selector("text=Refund of ₹1,000.00 sent to Sandbox")
    page.click("text=Cancel order")
    page.wait_for_selector("text=The units go back to the shelf")
    context.close()
