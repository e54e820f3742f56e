"""Every page of the staff names its right, and every role gets what the table gives it (S42)."""

import pytest
from flask import Blueprint
from werkzeug.routing import IntegerConverter

from shop.accounts import rights
from shop.accounts.models import Role
from shop.accounts.rights import RIGHTS, Right, may, needs, refund_limit_minor
from shop.database import transaction
from shop.preferences import change
from tests.checkout.shopping import sign_in
from tests.factories import PASSWORD, make_user

STAFF = [Role.SUPPORT, Role.FULFILMENT, Role.MANAGER, Role.OWNER]

TABLE = {
    Right.SEE_ORDERS: "support fulfilment manager owner",
    Right.SEE_CUSTOMERS: "support manager owner",
    Right.SEE_CONTACT: "support manager owner",
    Right.SEE_MONEY: "support manager owner",
    Right.SEE_REFERENCES: "manager owner",
    Right.ANNOTATE: "support fulfilment manager owner",
    Right.MOVE_ORDERS: "fulfilment manager owner",
    Right.DECIDE_RETURNS: "support manager owner",
    Right.REFUND: "support manager owner",
    Right.RECORD_MONEY: "manager owner",
    Right.CHANGE_CATALOG: "manager owner",
    Right.CHANGE_WORDS: "manager owner",
    Right.COUNT_STOCK: "fulfilment manager owner",
    Right.EXPORT: "manager owner",
    Right.PICKING_LISTS: "fulfilment manager owner",
    Right.SEE_INCIDENTS: "support fulfilment manager owner",
    Right.SEE_AUDIT: "support fulfilment manager owner",
    Right.SEE_EVERYTHING: "manager owner",
    Right.CHANGE_SETTINGS: "owner",
}
"""security.md §5, written a second time on purpose."""


@pytest.mark.parametrize("right", TABLE)
def test_s42_each_role_may_what_the_table_says(right):
    having = {role.value for role in Role if right in RIGHTS[role]}

    assert having == set(TABLE[right].split())


def staff_rules(app):
    return [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s42_every_page_of_the_admin_names_the_right_it_needs(app):
    nameless = [
        rule.rule
        for rule in staff_rules(app)
        if not isinstance(getattr(app.view_functions[rule.endpoint], "needed_right", None), Right)
    ]

    assert staff_rules(app)
    assert nameless == []


def reached(app, rule, method):
    values = {
        name: "1" if isinstance(kind, IntegerConverter) else "x"
        for name, kind in rule._converters.items()
    }
    with app.test_request_context(base_url=app.extensions["settings"].public_url):
        adapter = app.url_map.bind("localhost")
        return adapter.build(rule.endpoint, values, method=method)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", [*STAFF, Role.CUSTOMER])
def test_s42_a_walk_through_the_admin_with_each_role(app, client, role, loose_limits):
    """Two load whole pages; to the others a fragment tells as well whether they may."""
    sign_in(client, make_user(role))
    token = client.csrf_token()
    whole = role in {Role.OWNER, Role.FULFILMENT}
    headers = {} if whole else {"HX-Request": "true"}

    for rule in staff_rules(app):
        needed = app.view_functions[rule.endpoint].needed_right
        for method in rule.methods & {"GET", "POST"}:
            answer = client.open(
                reached(app, rule, method),
                method=method,
                data={"csrf_token": token} if method == "POST" else None,
                headers=headers,
            )
            refused = answer.status_code == 403
            assert refused == (needed not in RIGHTS[role]), (
                role,
                method,
                rule.rule,
                answer.status_code,
            )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s42_strangers_are_led_to_the_sign_in_from_every_page(app, client):
    token = {"csrf_token": client.csrf_token()}
    for rule in staff_rules(app):
        for method in rule.methods & {"GET", "POST"}:
            data = token if method == "POST" else None
            answer = client.open(reached(app, rule, method), method=method, data=data)
            assert answer.status_code == 303, (method, rule.rule)
            assert answer.location.startswith("/account/sign-in?next=/admin")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s42_a_page_that_names_no_right_is_closed_to_everybody(app, client, monkeypatch):
    owner = make_user("owner")
    sign_in(client, owner)
    rule = next(rule for rule in staff_rules(app) if "GET" in rule.methods and not rule.arguments)
    monkeypatch.setitem(app.view_functions, rule.endpoint, lambda: "open to all")

    answer = client.get(rule.rule)

    assert answer.status_code == 403
    assert "open to all" not in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s46_a_refusal_is_a_page_and_a_line_in_the_log(app, client, monkeypatch):
    told = []
    monkeypatch.setattr(
        rights.log, "warning", lambda event, **facts: told.append((event, facts)), raising=False
    )
    clerk = make_user("support")
    sign_in(client, clerk)
    rule = next(
        rule for rule in staff_rules(app)
        if "GET" in rule.methods and not rule.arguments and app.view_functions[rule.endpoint].needed_right not in RIGHTS[Role.SUPPORT]
    )  # fmt: skip

    answer = client.get(rule.rule)

    assert answer.status_code == 403
    assert "Your role may not do this." in answer.text
    [(event, facts)] = told
    assert event == "right.refused"
    assert facts["actor"] == f"user:{clerk.id}"


def test_support_refunds_up_to_the_limit_that_the_owner_set(app):
    support, manager, packer = make_user("support"), make_user("manager"), make_user("fulfilment")
    assert refund_limit_minor(support) == 200_000

    with transaction():
        change("support_refund_minor", "50000")

    assert refund_limit_minor(support) == 50_000
    assert refund_limit_minor(manager) is None
    assert refund_limit_minor(packer) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_strangers_have_no_right(app):
    class Stranger:
        is_authenticated = False

    assert not any(may(Stranger(), right) for right in Right)


def test_s40_a_step_up_lasts_ten_minutes(app, client, turn_clock):
    sign_in(client, make_user())
    assert client.send("/account/export").mimetype == "application/json"

    turn_clock(minutes=11)
    asked = client.send("/account/export")
    assert asked.location == "/account/step-up?next=/account/export"
    wrong = client.send("/account/step-up", {"password": "not this one"})
    assert (wrong.status_code, "That is not your password." in wrong.text) == (422, True)

    client.send("/account/step-up", {"password": PASSWORD, "next": "/account/export"})
    assert client.send("/account/export").mimetype == "application/json"


def test_a_view_says_which_right_it_needs():
    blueprint = Blueprint("example", __name__)

    @blueprint.get("/")
    @needs(Right.ENTER)
    def view():
        return ""

    assert view.needed_right is Right.ENTER
