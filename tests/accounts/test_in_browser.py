"""The account in a real browser: with script and without, and readable by everybody."""

import pytest

from tests.browsing import axe_faults, looks, runs_off
from tests.factories import PASSWORD, make_user

#: In light colours; each page there is, these in dark ones: tests/e2e/test_every_page.py.
PAGES = ("addresses", "security")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.parametrize("engine", ["sqlite"], indirect=True),
    pytest.mark.allows_console("422"),
]


def enter(page, live, user, password=PASSWORD):
    page.goto(f"{live}/account/sign-in")
    page.fill("#email", user.email)
    page.fill("#password", password)
    page.click("form[action='/account/sign-in'] button:not([type=button])")


def test_a_person_signs_in_adds_an_address_and_signs_out(live, page):
    enter(page, live, make_user(name="Meera Joshi"))
    page.get_by_role("heading", name="Your orders").wait_for()
    assert "Meera" in page.inner_text("header")

    page.click("nav.acc >> text=Addresses")
    for name, value in {
        "recipient": "Meera Joshi",
        "line1": "14 Prabhat Road",
        "city": "Pune",
        "postal_code": "411004",
    }.items():
        page.fill(f"#{name}", value)
    page.click("text=Add address")
    page.get_by_text("First choice").wait_for()

    page.click("text=Sign out")
    page.wait_for_url(f"{live}/")
    page.goto(f"{live}/account/orders")
    assert page.url == f"{live}/account/sign-in?next=/account/orders"


def test_what_is_wrong_takes_the_focus_and_the_password_can_be_shown(live, page):
    enter(page, live, make_user(), "not the right one")

    assert page.locator("[role=alert]:focus").inner_text() == "Email or password is not right."
    page.fill("#password", "typed in the open")
    page.click("button[data-shows]")
    assert page.get_attribute("#password", "type") == "text"
    assert page.get_attribute("button[data-shows]", "aria-pressed") == "true"


def test_without_script_a_person_signs_in_as_well(live, browser, watch_page):
    user = make_user()
    context = browser.new_context(java_script_enabled=False)
    page = watch_page(context.new_page())

    enter(page, live, user)

    page.get_by_role("heading", name="Your orders").wait_for()
    assert not page.locator("button[data-shows]:visible").count()
    context.close()


def test_axe_finds_no_fault_and_nothing_runs_off_the_page(live, browser, watch_page):
    context = browser.new_context(bypass_csp=True)
    page = watch_page(context.new_page())
    faults = []

    def check(*wanted):
        for scheme, _width in looks(page, *wanted):
            faults.extend((page.url, scheme, found["id"]) for found in axe_faults(page))
            if runs_off(page):
                faults.append((page.url, scheme, "wider than the screen"))

    page.goto(f"{live}/account/register")
    page.click("text=Create account")
    page.wait_for_load_state()
    check(("light", 1280), ("dark", 360))
    enter(page, live, make_user())
    page.get_by_role("heading", name="Your orders").wait_for()
    for name in PAGES:
        page.goto(f"{live}/account/{name}")
        check(("light", 1280))
    context.close()

    assert faults == []
