"""Every page there is, in a real browser: readable by everybody, and whole on a narrow screen."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shop.accounts import signing_in
from tests.browsing import IS_THOROUGH, axe_faults, looks, runs_off
from tests.e2e.addresses import API_OF_THE_SANDBOX, AREAS, EXEMPT, IN_BOTH_COLOURS
from tests.e2e.full_shop import fill
from tests.factories import PASSWORD
from tests.payments.sides.razorpay import RAZORPAY_SECRETS
from tests.simulators.razorpay import KEY_ID, KEY_SECRET, Razorpay

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
WAYS = ("sandbox", "swish", "razorpay", "bank_transfer", "cod", "gift_card")
LIGHT, DARK, NARROW = ("light", 1280), ("dark", 360), ("", 360)
GRAVE = {"serious", "critical"}
#: Three messages of each group stand for all: they are drawn by the same lines of a template. With
#: all of them the page costs as much as four others.
ALIKE = () if IS_THOROUGH else (".words__row:nth-child(n+4)",)


def test_every_address_is_looked_at_or_says_why_not(app: Any) -> None:
    read = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    looked_at = {rule for area in AREAS.values() for rule in area}
    pages = {rule for rule in read if not rule.startswith(API_OF_THE_SANDBOX)}
    assert pages == looked_at | EXEMPT.keys()
    assert not looked_at & EXEMPT.keys()
    addresses = {one for area in AREAS.values() for listed in area.values() for one in listed}
    assert addresses >= IN_BOTH_COLOURS


@pytest.fixture
def full_shop(
    shop: Any, live: str, configure: Callable[..., None], run_jobs: Callable[..., int]
) -> dict[str, Any]:
    """What stands in the addresses, by name."""
    configure(
        payment_gateways=WAYS, razorpay_key_id=KEY_ID, razorpay_key_secret=KEY_SECRET,
        razorpay_webhook_secret=RAZORPAY_SECRETS, razorpay_checkout="checkout_js",
    )  # fmt: skip
    named: dict[str, Any] = shop.scene("full-shop", lambda: make(shop, configure, run_jobs))
    return named


def make(shop: Any, configure: Callable[..., None], run_jobs: Callable[..., int]) -> Any:
    """Razorpay's stand-in is there while orders are placed. Later its page says what it says without it."""
    razorpay, real = Razorpay(), shop.app.extensions["settings"].razorpay_api_base
    configure(razorpay_api_base=razorpay.url)
    named = fill(configure, run_jobs)
    configure(razorpay_api_base=real)
    razorpay.stop()
    return named


@pytest.fixture
def visitor(
    browser: Any, live: str, full_shop: dict[str, Any], watch_page: Callable[[Any], Any]
) -> Iterator[Callable[[str], Any]]:
    """`visitor(area)` is the browser page of somebody who may look at that part."""
    context = browser.new_context(
        viewport={"width": LIGHT[1], "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = watch_page(context.new_page())

    def come(area: str) -> Any:
        if area == "shop":
            put_in_cart(page, live, full_shop["variant_id"])
        elif area == "doors":
            # The page that goes on by itself stays to be looked at. A route keeps a browser from
            # keeping what it loaded, so it is for these pages alone.
            context.route("**/confirming", answer_and_stay)
            give_password(page, live, full_shop["owner_email"])
        else:
            token = full_shop["customer" if area == "account" else "owner"]
            context.add_cookies([{"name": signing_in.cookie_name(), "value": token, "url": live}])
        return page

    yield come
    context.close()


def answer_and_stay(route: Any) -> None:
    answer = route.fetch()
    staying = {name: value for name, value in answer.headers.items() if name != "refresh"}
    route.fulfill(response=answer, headers=staying)


def put_in_cart(page: Any, live: str, variant_id: int) -> None:
    wish = {"variant_id": str(variant_id), "quantity": "2"}
    same_site = {"Sec-Fetch-Site": "same-origin"}
    assert page.request.post(f"{live}/cart/items", form=wish, headers=same_site).ok


def give_password(page: Any, live: str, email: str) -> None:
    """The first half of a sign-in: the code of the app is owed."""
    page.goto(f"{live}/account/sign-in")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/account/sign-in/code")


def pages_of(area: str, named: dict[str, Any]) -> list[tuple[str, str]]:
    """The area's addresses, each with the rule that it stands for."""
    return [
        (address.format(**named), rule)
        for rule, addresses in AREAS[area].items()
        for address in addresses
    ]


@pytest.mark.browser
@pytest.mark.allows_console("ERR_NAME_NOT_RESOLVED.*checkout.razorpay.com")
@pytest.mark.parametrize("area", AREAS)
def test_no_page_has_a_grave_fault_or_runs_off_a_narrow_screen(
    app: Any, live: str, full_shop: dict[str, Any], visitor: Callable[[str], Any], area: str
) -> None:
    page, found = visitor(area), pages_of(area, full_shop)
    in_both = {address.format(**full_shop) for address in IN_BOTH_COLOURS}
    rules = app.url_map.bind("shop.example")
    faults: list[Any] = []
    for scheme, pages in (("light", found[::2]), ("dark", found[1::2])):
        for path, rule in pages:
            assert rules.match(path.partition("?")[0], return_rule=True)[0].rule == rule
            answer = page.goto(live + path)
            shown = (answer.status, answer.headers["content-type"], page.url)
            assert shown == (200, "text/html; charset=utf-8", live + path)
            in_one = [LIGHT, NARROW] if scheme == "light" else [DARK]
            wanted = [LIGHT, DARK] if IS_THOROUGH or path in in_both else in_one
            for look in looks(page, *wanted):
                if look != NARROW:
                    faults += [(path, *look, *told) for told in grave_faults(page)]
                if runs_off(page):
                    faults.append((path, *look, "runs off the page"))
    assert faults == []


def grave_faults(page: Any) -> list[tuple[str, str]]:
    """What shuts somebody out: the rule, and the first place that breaks it."""
    return [
        (one["id"], one["nodes"][0]["html"][:160])
        for one in axe_faults(page, best_practice=False, alike=ALIKE)
        if one["impact"] in GRAVE
    ]
