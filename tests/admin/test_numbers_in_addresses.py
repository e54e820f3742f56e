"""No number in an address reaches a column that cannot hold it."""

import re

import pytest
from werkzeug.exceptions import NotFound

from tests.factories import make_order

#: More than any column holds.
TOO_LARGE = 10**20
#: The largest that is read.
LARGEST = 10**15 - 1
KEY = re.compile(r"<int:\w+>")

#: Where an address says a number, with its place left open.
NUMBERS = (
    "/products?page={}", "/products?min={0}&max={0}",
    "/admin/orders?before={}", "/admin/orders?after={}", "/admin/orders/fresh?ids={}.1",
    "/admin/stock?page={}", "/admin/stock/movements?before={}", "/admin/stock/movements?variant={}",
    "/admin/jobs?before={}", "/admin/jobs?q={}", "/admin/webhooks?before={}", "/admin/webhooks?q={}",
    "/admin/messages?before={}", "/admin/messages?q={}", "/admin/kept-out?before={}",
    "/admin/incidents?before={}", "/admin/audit?before={}", "/admin/gift-cards?before={}",
    "/admin/returns?before={}", "/admin/disputes?show=closed&before={}",
    "/admin/desks/statements?before={}", "/admin/desks?desk=short&after=short~{}",
    "/admin/desks?desk=late&after=late~1~{}", "/admin/desks?desk=late&after=late~{}~1",
    "/admin/desks?desk=unmatched&before=unknown~{}", "/admin/disputes?after=open~1~{}",
    "/admin/shipping?postcode=560001&country=IN&weight={0}&value={0}",
)  # fmt: skip


def keyed(app, key):
    """Every address with the key of a row in it, once for each method."""
    return [
        (method, re.sub(r"<[^>]+>", "1", KEY.sub(str(key), rule.rule)))
        for rule in app.url_map.iter_rules()
        if KEY.search(rule.rule)
        for method in sorted(rule.methods & {"GET", "POST"})
    ]


@pytest.mark.parametrize(
    ("engine", "number"),
    [("sqlite", TOO_LARGE), pytest.param("postgresql", LARGEST, marks=pytest.mark.pg)],
    indirect=["engine"],
)
def test_a_number_that_no_column_holds_is_never_a_fault_of_ours(staff, number):
    """SQLite's columns hold whatever is read at all, and PostgreSQL's differ in their size."""
    browser = staff("owner")
    for address in NUMBERS:
        shown = browser.get(address.format(number))
        assert (shown.status_code, address) == (200, address), number
    assert browser.get(f"/account/orders?page={number}").status_code == 404


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_key_that_no_column_holds_is_no_address(app, client):
    bound = app.url_map.bind("127.0.0.1")
    addresses = keyed(app, TOO_LARGE)
    assert len(addresses) > 50
    for method, address in addresses:
        with pytest.raises(NotFound):
            bound.match(address, method)
    assert client.get(addresses[0][1]).status_code == 404


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.pg
def test_a_key_that_no_row_has_is_not_found(app, staff):
    browser = staff("owner")
    shown = [address for method, address in keyed(app, LARGEST) if method == "GET"]
    assert {address: browser.get(address).status_code for address in shown} == dict.fromkeys(shown, 404)  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("version", ["²", "9" * 5_000])
def test_a_version_that_cannot_be_read_is_none(app, staff, version):
    number = make_order("paid", lines=1).number
    sent = {"event": "accepted", "version": version}
    answer = staff("owner").post_form(f"/admin/orders/{number}/transition", sent)
    assert answer.status_code == 303
