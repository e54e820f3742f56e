"""What the script adds to the checkout and the order's page, in a real browser."""

import re

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from shop.extensions import db
from shop.orders.models import Order, OrderStatus
from tests.checkout.shopping import ADDRESS
from tests.factories import bring, make_order, make_product

pytestmark = [
    pytest.mark.browser,
    # Answers that say what is to be corrected, and checks of a field that sending the form cuts short.
    pytest.mark.allows_console("422|htmx:(sendAbort|afterRequest)"),
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
]


def fill(page, **more):
    for name, value in {**ADDRESS, **more}.items():
        if name in {"country", "state"}:
            page.select_option(f"#{name}", value)
        elif name == "landmark" or name.startswith("billing") or name == "address_line2":
            continue
        else:
            page.fill(f"#{name}", value)
    page.locator("#email").focus()


def to_checkout(page, live, product):
    page.goto(f"{live}/products/{product.slug}")
    page.get_by_role("button", name="Add to cart").click()
    page.locator("#toasts .toast").first.wait_for()
    page.goto(f"{live}/checkout")


def test_a_field_is_looked_at_when_it_is_left_and_clears_as_soon_as_it_is_right(page, live):
    to_checkout(page, live, make_product())
    page.fill("#postal_code", "5600")
    page.locator("#city").focus()
    page.locator("#postal_code-error").wait_for()
    assert "Enter all 6 digits, like 560034" in page.inner_text("#postal_code-error")
    page.locator("#postal_code").focus()
    page.keyboard.press("End")
    page.keyboard.type("34", delay=20)
    page.locator("#postal_code-error").wait_for(state="detached")
    expect(page.locator("#postal_code")).to_have_value("560034")
    expect(page.locator("#postal_code")).to_be_focused()
    page.fill("#email", "meera@gmial.com")
    page.locator("#city").focus()
    page.get_by_role("button", name="meera@gmail.com").click()
    page.locator("#field-email[data-valid]").wait_for()
    expect(page.locator("#email")).to_have_value("meera@gmail.com")


def test_the_total_on_the_button_follows_the_choices_by_keyboard(page, live):
    to_checkout(page, live, make_product(price=49_900))
    page.locator("#rate-standard").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Pay ₹748.00 with Sandbox").wait_for()
    expect(page.locator("#rate-express")).to_be_focused()
    page.check("#method-cod")
    page.get_by_role("button", name="Place order, pay ₹797.00 on delivery").wait_for()
    expect(page.locator("#summary")).to_contain_text("₹797.00")
    page.select_option("#country", "SE")
    page.get_by_text("That way to pay does not fit here").wait_for()
    expect(page.locator("select#state")).to_have_count(0)


def test_mistakes_are_told_at_the_top_with_the_focus_there_and_links_to_the_fields(page, live):
    to_checkout(page, live, make_product())
    fill(page, city="")
    page.click("#pay")
    page.locator(".error-summary").wait_for()
    page.wait_for_function("document.activeElement.id === 'errors'")
    expect(page).to_have_title(re.compile("^Error: Checkout"))
    expect(page.locator("#name")).to_have_value("Meera Nair")
    page.get_by_role("link", name="Enter the city").click()
    expect(page.locator("#city")).to_be_focused()
    page.keyboard.type("Bengaluru")
    page.click("#pay")
    page.wait_for_url("**/sandbox/pay/**")


def test_five_quick_clicks_on_pay_make_one_order(page, live):
    to_checkout(page, live, make_product())
    fill(page)
    page.evaluate("for (let i = 0; i < 5; i++) document.getElementById('pay').click()")
    page.wait_for_url("**/sandbox/pay/**")
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == 1


def test_back_from_the_gateway_there_is_no_form_to_order_twice(page, live):
    to_checkout(page, live, make_product())
    fill(page)
    page.click("#pay")
    page.wait_for_url("**/sandbox/pay/**")
    page.go_back()
    page.wait_for_url("**/orders/*/pay")
    page.get_by_text("You have an unfinished payment").wait_for()
    page.get_by_role("button", name="Give me 10 more minutes").click()
    page.locator("#hold .countdown").wait_for()
    page.check("#method-bank_transfer")
    page.get_by_role("button", name="bank transfer").wait_for()


def test_the_open_page_shows_what_happened_without_being_loaded_again(page, live):
    order = make_order()
    order_id = order.id
    page.goto(f"{live}/orders/{order.token}")
    page.evaluate("window.kept = document.getElementById('order')")
    page.wait_for_timeout(2_500)
    assert page.evaluate("window.kept.isConnected"), "what did not change was drawn again"
    bring(db.session.get_one(Order, order_id), OrderStatus.PAID)
    page.get_by_role("heading", name="Thank you, we have your order").wait_for()
    assert page.evaluate("window.kept !== undefined && !window.kept.isConnected")
    expect(page.locator("#order-news")).to_contain_text("Thank you")


def test_bank_details_can_be_copied(page, live, context):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    order = make_order(method="bank_transfer")
    number = order.number
    page.goto(f"{live}/orders/{order.token}")
    page.get_by_role("button", name="Copy reference").click()
    page.wait_for_function(
        "async (wanted) => await navigator.clipboard.readText() === wanted", arg=number
    )
