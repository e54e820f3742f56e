"""The list of orders: what the tabs count, what search finds, and what the poll sends."""

import re

import pytest

from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.payments import attempts
from tests.factories import make_order, make_product

HX = {"HX-Request": "true"}


def numbers(answer):
    """The orders of a list, as they stand."""
    return re.findall(r'class="ord" href="/admin/orders/([^"]+)"', answer.text)


def counted(answer, words):
    """The count behind a tab; 0 where none stands."""
    found = re.search(rf">{words}(?: <span class=\"n\"[^>]*>([\d,]+)</span>)?</a>", answer.text)
    return int((found[1] or "0").replace(",", ""))


STATES = (
    "paid", "paid", "processing", "ready_for_shipment", "pending_payment", "payment_failed", "shipped",
    "delivered", "archived",
)  # fmt: skip


def make_nine():
    """The ids of orders in those states, of one ball each."""
    ball = make_product(stock=50)
    return [make_order(state, lines={ball: 1}).id for state in STATES]


@pytest.fixture
def nine(shop):
    """Such orders, in the order in which they were placed."""
    return [db.session.get_one(Order, key) for key in shop.scene("nine-orders", make_nine)]


def test_tabs_count_what_they_show(nine, staff):
    browser = staff("manager")
    shown = browser.get("/admin/orders")
    expected = {
        "All": 9, "To pack": 3, "To ship": 1, "Awaiting payment": 2, "On the way": 1, "Archived": 1,
        "Needs attention": 0, "Refunds": 0,
    }  # fmt: skip
    assert {words: counted(shown, words) for words in expected} == expected
    for tab, count in (("to-pack", 3), ("to-ship", 1), ("awaiting-payment", 2), ("archived", 1)):
        assert len(numbers(browser.get(f"/admin/orders?tab={tab}"))) == count


def test_what_needs_a_person_has_its_own_tab_and_desks(staff, order_in):
    order = order_in("paid")
    with transaction():
        db.session.get(Order, order.id).attention = "Paid too little"
    browser = staff("manager")
    shown = browser.get("/admin/orders?tab=needs-attention")
    assert numbers(shown) == [order.number]
    assert numbers(browser.get("/admin/orders?tab=needs-attention&desk=attention")) == [
        order.number
    ]
    assert numbers(browser.get("/admin/orders?tab=needs-attention&desk=disputes")) == []


def one_of_two():
    """The id of the first of two orders, by different people."""
    told = {"email": "rekha@there.example", "phone": "+919000012345"}
    wanted = make_order("paid", lines=1, address={"recipient": "Rekha Iyer"}, **told).id
    make_order("paid", lines=1, email="other@there.example")
    return wanted


def test_search_finds_by_each_of_what_tells_an_order(staff):
    wanted = db.session.get_one(Order, one_of_two())
    payment = attempts.latest(wanted.id)
    asked = {
        "name": "rekha iy", "mail": "REKHA@there", "phone": "90000 12345", "sku": wanted.lines[0].sku,
        "reference": payment.reference, "gateway id": payment.gateway_id,
    }  # fmt: skip
    number, browser = wanted.number, staff("manager")
    for field, query in asked.items():
        found = numbers(browser.get("/admin/orders", query_string={"q": query}))
        assert (field, found) == (field, [number])


def test_an_exact_number_opens_the_order(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    answer = browser.get("/admin/search", query_string={"q": order.number}, follow_redirects=False)
    listed = browser.get(answer.headers["Location"])
    assert listed.status_code == 303
    assert listed.headers["Location"].endswith(f"/admin/orders/{order.number}")
    by_htmx = browser.get(f"/admin/orders?q={order.number}", headers=HX)
    assert by_htmx.headers["HX-Redirect"].endswith(f"/admin/orders/{order.number}")


def test_search_takes_wildcards_for_what_they_are(nine, staff):
    browser = staff("manager")
    assert numbers(browser.get("/admin/orders", query_string={"q": "%"})) == []
    assert "Nothing matches" in browser.get("/admin/orders", query_string={"q": "_"}).text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_those_who_may_not_see_mail_cannot_search_by_it(staff):
    order = make_order("paid", lines=1, email="secret@there.example")
    browser = staff("fulfilment")
    assert numbers(browser.get("/admin/orders?q=secret@there.example")) == []
    assert numbers(browser.get("/admin/orders")) == [order.number]


def test_filters_by_payment_and_country(nine, staff):
    newest = [order.number for order in reversed(nine)]
    paid = [order.number for order in reversed(nine) if order.payment_status == "paid"]
    assert len(paid) == 7
    browser = staff("manager")
    assert numbers(browser.get("/admin/orders?payment=paid")) == paid
    assert numbers(browser.get("/admin/orders?country=IN")) == newest
    assert numbers(browser.get("/admin/orders?country=SE")) == []
    assert len(numbers(browser.get("/admin/orders?payment=nonsense&tab=nonsense&before=x"))) == 9


def test_pages_follow_each_other_without_gap_or_repeat(nine, staff, monkeypatch):
    monkeypatch.setattr("shop.admin.orders.PAGE_ROWS", 4)
    made = [order.number for order in reversed(nine)]
    browser = staff("manager")
    seen, address = [], "/admin/orders"
    while address:
        page = browser.get(address)
        seen.append(numbers(page))
        found = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = found[1].replace("&amp;", "&") if found else None
    assert [number for rows in seen for number in rows] == made
    back = re.search(r'href="([^"]+)" rel="prev"', page.text)[1].replace("&amp;", "&")
    assert numbers(browser.get(back)) == made[4:8]


def test_the_poll_answers_304_until_something_happens(nine, staff):
    order = nine[0]
    browser = staff("manager")
    address = re.search(r'hx-get="(/admin/orders/fresh[^"]+)"', browser.get("/admin/orders").text)[
        1
    ]
    address = address.replace("&amp;", "&")
    first = browser.get(address, headers=HX)
    again = {**HX, "If-None-Match": first.headers["ETag"]}
    assert "new order" not in first.text
    unchanged = browser.get(address, headers=again)
    assert (unchanged.status_code, unchanged.text) == (304, "")
    browser.send(
        f"/admin/orders/{order.number}/transition",
        {"event": "accepted"},
    )
    make_order("paid", lines=1)
    changed = browser.get(address, headers=again)
    assert changed.status_code == 200
    assert "1 new order since" in changed.text
    cell = re.search(
        rf'<span id="st-{order.id}" hx-swap-oob="true">(.*?)</span></span>', changed.text, re.S
    )
    assert "Processing" in cell[0]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_number_of_statements_does_not_grow_with_the_rows(nine, staff, sql_count, monkeypatch):
    browser = staff("manager")

    def statements():
        with sql_count() as told:
            assert browser.get("/admin/orders").status_code == 200
        return len(told)

    many = statements()
    monkeypatch.setattr("shop.admin.orders.PAGE_ROWS", 1)
    assert statements() == many <= 9


def test_many_orders_move_at_once_and_the_rest_is_skipped(nine, staff):
    paid = [order.number for order in nine if order.status == "paid"]
    unpaid = next(order.number for order in nine if order.status == "pending_payment")
    assert len(paid) == 2
    browser = staff("fulfilment")
    answer = browser.send(
        "/admin/orders/bulk",
        {"do": "accepted", "id": [*paid, unpaid]},
        follow_redirects=True,
    )
    assert "2 started, 1 skipped" in answer.text
    states = dict(db.session.execute(db.select(Order.number, Order.status)).all())
    assert [states[number] for number in [*paid, unpaid]] == [
        "processing",
        "processing",
        "pending_payment",
    ]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_names_from_outside_are_text(staff):
    make_order(lines=1, address={"recipient": "<img src=x onerror=alert(1)>"})
    shown = staff("manager").get("/admin/orders").text
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_page_of_the_admin_is_stored_or_indexed(staff):
    answer = staff("manager").get("/admin/orders")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "HX-Request" in answer.headers["Vary"]
