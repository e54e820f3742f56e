"""Swish's page in a real browser: it counts down, and goes on by itself."""

import re

import pytest
from playwright.sync_api import expect

from shop.payments import attempts
from tests.factories import make_order

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
]


def test_the_page_counts_down_and_goes_on_when_the_payment_came(page, live, client, configure):
    configure(default_currency="SEK", payment_gateways=("sandbox", "swish"))
    order = make_order(method="swish")
    payment = attempts.latest(order.id)
    token, reference = order.token, payment.reference
    page.goto(f"{live}/pay/swish/{reference}")
    expect(page.locator("[data-left]")).to_have_text(re.compile(r", [0-2]:\d\d left"))
    expect(page.get_by_role("img", name="Code to scan with the Swish app")).to_be_visible()
    # Somebody pays elsewhere: this page was not touched.
    client.post_form(
        f"/sandbox/swish/{reference}", {"outcome": "paid"}, page=f"/pay/swish/{reference}"
    )
    page.wait_for_url(f"**/orders/{token}")
    expect(page.locator("#order-headline")).to_contain_text("Thank you")
