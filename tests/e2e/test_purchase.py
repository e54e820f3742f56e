"""The whole way in a real browser: buy, pay, be mailed, be packed, be delivered; then without script."""

from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.extensions import db
from shop.messaging.models import Notification
from shop.orders.models import Order, OrderStatus
from shop.preferences import change
from shop.stock.models import StockLevel
from tests.factories import PASSWORD, make_product, make_user

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    # A check of a field that leaving the page cuts short.
    pytest.mark.allows_console("htmx:(sendAbort|afterRequest)"),
]
FIELDS = {
    "email": "asha@shopper.example", "tel": "98123 45678", "name": "Asha Rao", "postal_code": "560001",
    "city": "Bengaluru", "address_line1": "12 MG Road",
}  # fmt: skip


@pytest.fixture
def ball(app: Any) -> Any:
    """What is bought. Parcels are booked by hand, so that the admin packs."""
    with transaction():
        change("auto_ship", "false")
    return make_product("Match 40+", stock=5)


def buy(page: Any, live: str, ball: Any) -> None:
    """From the shelf to the gateway's page and back, as anybody would."""
    page.goto(f"{live}/products/{ball.slug}")
    page.get_by_role("button", name="Add to cart").click()
    page.locator("#cart-link .count").wait_for()
    page.locator("#cart-link").click()
    page.get_by_role("link", name="Check out").click()
    for name, value in FIELDS.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("[name=state]").select_option("Karnataka")
    page.locator("[name=method][value=sandbox]").check()
    page.locator("#pay").click()
    page.wait_for_url("**/sandbox/pay/**")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/orders/**")


def order_now() -> Order:
    db.session.expire_all()
    return db.session.scalars(sa.select(Order)).one()


def sign_in(page: Any, live: str, person: Any) -> None:
    page.goto(f"{live}/account/sign-in?next=/admin/orders")
    page.locator("[name=email]").fill(person.email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/orders")


def step(page: Any, words: str) -> None:
    """One step by the admin's own button; returns when the shop has answered."""
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name=words, exact=True).first.click()


def scan(desk: Any, live: str, run_jobs: Any) -> None:
    """The courier's next scan; its webhook comes over HTTP and is processed."""
    if not desk.url.endswith("/sandbox/parcels"):
        desk.goto(f"{live}/sandbox/parcels")
    with desk.expect_navigation():
        desk.get_by_role("button", name="Next scan").first.click()
    run_jobs()


def test_from_the_shelf_to_the_door_while_the_page_stays_open(
    app, live, page, browser, watch_page, ball, run_jobs
):
    buy(page, live, ball)
    run_jobs()
    order = order_now()
    assert order.status == OrderStatus.PAID
    page.get_by_role("heading", name="Thank you").wait_for()

    staff = watch_page(browser.new_context().new_page())
    staff.goto(f"{live}/sandbox/mailbox")
    staff.get_by_text(f"We have your order {order.number}").first.wait_for()

    sign_in(staff, live, make_user("owner"))
    staff.goto(f"{live}/admin/orders/{order.number}")
    step(staff, "Start processing")
    staff.get_by_text("Processing").first.wait_for()
    step(staff, "Book parcel")
    run_jobs()
    assert order_now().status == OrderStatus.READY_FOR_SHIPMENT

    for expected in ("SHIPPED", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED"):
        scan(staff, live, run_jobs)
        if expected != "IN_TRANSIT":
            assert order_now().status == OrderStatus[expected]
    # Nobody has touched the shopper's page since it was opened.
    page.get_by_role("heading", name="Delivered").wait_for(timeout=20_000)
    told = set(db.session.scalars(sa.select(Notification.template)))
    assert {"order_confirmed", "admin_new_order", "order_shipped", "order_delivered"} <= told
    level = db.session.scalars(sa.select(StockLevel)).one()
    assert (level.on_hand, level.reserved) == (4, 0)


# What differs is the browser: the forms are those that the test's own client sends on both engines.
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_same_purchase_with_javascript_switched_off(
    app, live, browser, ball, run_jobs, watch_page
):
    shopper = browser.new_context(java_script_enabled=False).new_page()
    buy(shopper, live, ball)
    run_jobs()
    order = order_now()
    assert order.status == OrderStatus.PAID

    staff = browser.new_context(java_script_enabled=False).new_page()
    sign_in(staff, live, make_user("owner"))
    staff.goto(f"{live}/admin/orders/{order.number}")
    step(staff, "Start processing")
    step(staff, "Book parcel")
    run_jobs()
    for _ in range(4):
        scan(staff, live, run_jobs)
    assert order_now().status == OrderStatus.DELIVERED
    shopper.reload()
    shopper.get_by_role("heading", name="Delivered").wait_for()
