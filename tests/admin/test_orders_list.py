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


def test_tabs_count_what_they_show(staff):
    ball = make_product(stock=50)
    for state in ("paid", "processing", "ready_for_shipment", "pending_payment", "payment_failed"):
        make_order(state, lines={ball: 1})
    for state in ("shipped", "delivered", "archived"):
        make_order(state, lines={ball: 1})
    browser = staff("manager")
    shown = browser.get("/admin/orders")
    expected = {
        "All": 8, "To pack": 2, "To ship": 1, "Awaiting payment": 2, "On the way": 1, "Archived": 1,
        "Needs attention": 0, "Refunds": 0,
    }  # fmt: skip
    assert {words: counted(shown, words) for words in expected} == expected
    for tab, count in (("to-pack", 2), ("to-ship", 1), ("awaiting-payment", 2), ("archived", 1)):
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
    wanted = make_order("paid", address={"recipient": "Rekha Iyer"}, **told).id
    make_order("paid", email="other@there.example")
    return wanted


@pytest.mark.parametrize("field", ["name", "mail", "phone", "sku", "reference", "gateway id"])
def test_search_finds_by(field, shop, staff):
    wanted = db.session.get_one(Order, shop.scene("one-of-two-orders", one_of_two))
    payment = attempts.latest(wanted.id)
    query = {
        "name": "rekha iy", "mail": "REKHA@there", "phone": "90000 12345", "sku": wanted.lines[0].sku,
        "reference": payment.reference, "gateway id": payment.gateway_id,
    }[field]  # fmt: skip
    number = wanted.number
    assert numbers(staff("manager").get("/admin/orders", query_string={"q": query})) == [number]


def test_an_exact_number_opens_the_order(staff, order_in):
    order = order_in("paid")
    browser = staff("manager")
    answer = browser.get("/admin/search", query_string={"q": order.number}, follow_redirects=False)
    listed = browser.get(answer.headers["Location"])
    assert listed.status_code == 303
    assert listed.headers["Location"].endswith(f"/admin/orders/{order.number}")
    by_htmx = browser.get(f"/admin/orders?q={order.number}", headers=HX)
    assert by_htmx.headers["HX-Redirect"].endswith(f"/admin/orders/{order.number}")


def test_search_takes_wildcards_for_what_they_are(staff):
    make_order("paid")
    browser = staff("manager")
    assert numbers(browser.get("/admin/orders", query_string={"q": "%"})) == []
    assert "Nothing matches" in browser.get("/admin/orders", query_string={"q": "_"}).text


def test_those_who_may_not_see_mail_cannot_search_by_it(staff):
    order = make_order("paid", email="secret@there.example")
    browser = staff("fulfilment")
    assert numbers(browser.get("/admin/orders?q=secret@there.example")) == []
    assert numbers(browser.get("/admin/orders")) == [order.number]


def test_filters_by_payment_and_country(staff):
    paid, unpaid = make_order("paid"), make_order("pending_payment")
    browser = staff("manager")
    assert numbers(browser.get("/admin/orders?payment=paid")) == [paid.number]
    assert numbers(browser.get("/admin/orders?country=IN")) == [unpaid.number, paid.number]
    assert numbers(browser.get("/admin/orders?country=SE")) == []
    assert len(numbers(browser.get("/admin/orders?payment=nonsense&tab=nonsense&before=x"))) == 2


def test_pages_follow_each_other_without_gap_or_repeat(staff, monkeypatch):
    monkeypatch.setattr("shop.admin.orders.PAGE_ROWS", 2)
    ball = make_product(stock=20)
    made = [make_order(lines={ball: 1}).number for _ in range(5)][::-1]
    browser = staff("manager")
    seen, address = [], "/admin/orders"
    while address:
        page = browser.get(address)
        seen.append(numbers(page))
        found = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = found[1].replace("&amp;", "&") if found else None
    assert [number for rows in seen for number in rows] == made
    back = re.search(r'href="([^"]+)" rel="prev"', page.text)[1].replace("&amp;", "&")
    assert numbers(browser.get(back)) == made[2:4]


def test_the_poll_answers_304_until_something_happens(staff):
    ball = make_product(stock=20)
    order = make_order("paid", lines={ball: 1})
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
    browser.post_form(
        f"/admin/orders/{order.number}/transition",
        {"event": "accepted"},
    )
    make_order("paid", lines={ball: 1})
    changed = browser.get(address, headers=again)
    assert changed.status_code == 200
    assert "1 new order since" in changed.text
    cell = re.search(
        rf'<span id="st-{order.id}" hx-swap-oob="true">(.*?)</span></span>', changed.text, re.S
    )
    assert "Processing" in cell[0]


def test_the_number_of_statements_does_not_grow_with_the_rows(staff, sql_count):
    ball = make_product(stock=60)
    make_order("paid", lines={ball: 1})
    browser = staff("manager")

    def statements():
        with sql_count() as told:
            assert browser.get("/admin/orders").status_code == 200
        return len(told)

    few = statements()
    for _ in range(8):
        make_order("paid", lines={ball: 1})
    assert statements() == few <= 9


def test_many_orders_move_at_once_and_the_rest_is_skipped(staff):
    ball = make_product(stock=20)
    paid = [make_order("paid", lines={ball: 1}).number for _ in range(2)]
    unpaid = make_order("pending_payment", lines={ball: 1}).number
    browser = staff("fulfilment")
    answer = browser.post_form(
        "/admin/orders/bulk",
        {"do": "accepted", "id": [*paid, unpaid]},
        page="/admin/orders",
        follow_redirects=True,
    )
    assert "2 started, 1 skipped" in answer.text
    states = dict(db.session.execute(db.select(Order.number, Order.status)).all())
    assert [states[number] for number in [*paid, unpaid]] == [
        "processing",
        "processing",
        "pending_payment",
    ]


def test_names_from_outside_are_text(staff):
    make_order("paid", address={"recipient": "<img src=x onerror=alert(1)>"})
    shown = staff("manager").get("/admin/orders").text
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_no_page_of_the_admin_is_stored_or_indexed(staff):
    answer = staff("manager").get("/admin/orders")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "HX-Request" in answer.headers["Vary"]
