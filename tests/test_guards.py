"""What every request must pass before its view (security.md §2, §6, S49, S60, S61, S76)."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from werkzeug.middleware.proxy_fix import ProxyFix

from shop import guards
from shop.accounts.models import SignIn, User
from shop.clock import utcnow
from shop.extensions import db, limiter
from tests.factories import PASSWORD, make_product, make_user, sign_in

SIGN_IN = "/account/sign-in"
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]

once = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def credentials(client, user):
    return {"email": user.email, "password": PASSWORD, "csrf_token": client.csrf_token()}


def sign_ins():
    return db.session.scalar(select(func.count()).select_from(SignIn))


def variant_id():
    return str(make_product().variants[0].id)


@once
def test_s12_a_form_without_its_token_is_refused_and_changes_nothing(client):
    fields = credentials(client, make_user())

    for given in ({"csrf_token": ""}, {"csrf_token": "not a token"}, {}):
        sent = {name: value for name, value in fields.items() if name != "csrf_token"}
        answer = client.post(SIGN_IN, data={**sent, **given})

        assert answer.status_code == 400, given
        assert "Go back, reload the page and try again." in answer.text
    assert sign_ins() == 0


@once
def test_s12_the_token_of_another_session_is_refused(client, new_client):
    user = make_user()
    stolen = new_client().csrf_token()
    client.get(SIGN_IN)

    answer = client.post(SIGN_IN, data={**credentials(client, user), "csrf_token": stolen})

    assert answer.status_code == 400
    assert sign_ins() == 0


@once
def test_s12_a_token_from_before_the_sign_in_is_outdated(client):
    old = client.csrf_token()
    sign_in(client, make_user())

    answer = client.post("/account/sign-out", data={"csrf_token": old})

    assert answer.status_code == 400
    assert client.get("/account/orders").status_code == 200


@once
def test_s12_the_token_may_come_as_a_header(client):
    sign_in(client, make_user())

    answer = client.post("/account/sign-out", headers={"X-CSRFToken": client.csrf_token()})

    assert answer.status_code == 303


@once
def test_s12_no_route_that_changes_something_goes_without_a_token_but_the_listed_ones(
    app, client, loose_limits
):
    exempt = []
    for rule in app.url_map.iter_rules():
        for method in rule.methods & guards.UNSAFE:
            values = {**dict.fromkeys(rule.arguments, "1"), **(rule.defaults or {})}
            path = app.url_map.bind("127.0.0.1").build(rule.endpoint, values, method=method)
            answer = client.open(path, method=method, headers={"Sec-Fetch-Site": "same-origin"})
            if answer.status_code != 400 or "too old or came from elsewhere" not in answer.text:
                exempt.append(rule.endpoint)

    listed = guards.SERVERS_ONLY + tuple(guards.WITHOUT_TOKEN)
    assert exempt
    assert [endpoint for endpoint in exempt if not endpoint.startswith(listed)] == []


@once
def test_s12_putting_in_the_cart_needs_no_token_but_says_whence_it_comes(client):
    fields = {"variant_id": variant_id(), "quantity": "1"}

    assert client.post("/cart/items", data=fields).status_code == 403
    for headers in FOREIGN:
        assert client.post("/cart/items", data=fields, headers=headers).status_code == 403
    assert client.get_cookie("cart", domain="127.0.0.1") is None
    assert (
        client.post(
            "/cart/items", data=fields, headers={"Sec-Fetch-Site": "same-origin"}
        ).status_code
        == 303
    )


@once
def test_s13_what_comes_from_elsewhere_is_refused_even_with_a_token(client):
    fields = credentials(client, make_user())

    for headers in FOREIGN:
        answer = client.post(SIGN_IN, data=fields, headers=headers)

        assert answer.status_code == 403, headers
        assert "from another site" in answer.text
    assert sign_ins() == 0


@once
@pytest.mark.parametrize(
    "site",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}],
)
def test_s13_our_own_pages_pass_and_so_does_a_browser_that_says_nothing_but_has_the_token(
    client, site
):
    user = make_user()

    assert client.post(SIGN_IN, data=credentials(client, user), headers=site).status_code == 303


@once
def test_s13_our_own_origin_passes(client, app):
    user = make_user()
    headers = {"Origin": app.extensions["settings"].public_url}

    assert client.post(SIGN_IN, data=credentials(client, user), headers=headers).status_code == 303


@once
def test_s15_webhooks_need_neither_token_nor_origin(client):
    answer = client.post(
        "/webhooks/sandbox",
        data=b"{}",
        headers={"Origin": "https://gateway.example", "Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 400
    assert "too old" not in answer.text
    assert "Set-Cookie" not in answer.headers


@once
def test_s18_a_field_given_twice_is_refused(client):
    user, other = make_user(), make_user()
    fields = {**credentials(client, user), "email": [user.email, other.email]}

    assert client.post(SIGN_IN, data=fields).status_code == 400
    assert sign_ins() == 0


@once
def test_s18_a_field_in_the_address_is_refused_where_it_belongs_in_the_form(client):
    fields = credentials(client, make_user())

    assert client.post(f"{SIGN_IN}?next=/cart", data=fields).status_code == 400
    assert sign_ins() == 0


@once
def test_s60_a_webhook_over_256_kib_and_a_form_over_1_mib_are_too_large(client):
    assert (
        client.post("/webhooks/sandbox", data=b"x" * (guards.WEBHOOK_BYTES + 1)).status_code == 413
    )
    assert (
        client.post("/api/webhooks/sandbox", data=b"x" * (guards.WEBHOOK_BYTES + 1)).status_code
        == 413
    )
    assert client.post("/webhooks/sandbox", data=b"x" * guards.WEBHOOK_BYTES).status_code == 400
    assert client.post(SIGN_IN, data=b"x" * (1024 * 1024 + 1)).status_code == 413


@once
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""])
def test_s61_a_host_that_is_not_ours_is_refused(client, host):
    for path in ("/", SIGN_IN, "/no-such-page"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 400
        assert "nosniff" in answer.headers["X-Content-Type-Options"]


@once
def test_s61_health_is_told_by_any_name(client):
    assert client.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200


@once
def test_s76_trace_is_refused(client):
    assert client.open("/", method="TRACE").status_code == 405


def last_allowed(client, path, most, **kwargs):
    """The answers to the first and the last of the requests that are allowed, and to the one after.

    Those in between are only counted, where they would be.
    """
    before = limiter.storage.storage.copy()
    first = client.open(path, **kwargs).status_code
    [counted] = [key for key, count in limiter.storage.storage.items() if before[key] != count]
    limiter.storage.incr(counted, 60, most - 2)
    last = client.open(path, **kwargs).status_code
    return [first, last], client.open(path, **kwargs)


@pytest.fixture
def early_in_a_minute(turn_clock):
    turn_clock(utcnow().replace(second=1) + timedelta(minutes=1))


@once
@pytest.mark.parametrize(
    ("path", "most", "kwargs"),
    [
        ("/checkout", 300, {}),
        ("/products?q=blade", 60, {}),
        ("/webhooks/sandbox", 100, {"method": "POST", "data": b"{}"}),
        ("/cart/items", 60, {"method": "POST", "headers": {"Sec-Fetch-Site": "same-origin"}}),
    ],
)
def test_s47_the_request_after_the_last_allowed_one_waits(
    client, limits_on, early_in_a_minute, path, most, kwargs
):
    statuses, after = last_allowed(client, path, most, **kwargs)

    assert 429 not in statuses
    assert after.status_code == 429
    assert int(after.headers["Retry-After"]) > 0
    assert "Wait a minute" in after.text


@once
def test_s47_the_limits_are_counted_apart_and_by_address(client, limits_on, early_in_a_minute):
    last_allowed(client, "/products?q=blade", 60)

    assert client.get("/products").status_code == 200
    elsewhere = {"REMOTE_ADDR": "127.0.0.2"}
    assert client.get("/products?q=blade", environ_overrides=elsewhere).status_code == 200


@once
def test_s47_receipts_of_messages_have_a_limit_of_their_own_and_it_is_a_setting(
    client, limits_on, early_in_a_minute, configure
):
    configure(webhooks_per_minute=2, message_webhooks_per_minute=4)
    post = {"method": "POST", "data": b"{}"}
    statuses, after = last_allowed(client, "/webhooks/messages/twilio", 4, **post)
    assert 429 not in statuses
    assert after.status_code == 429
    statuses, after = last_allowed(client, "/webhooks/sandbox", 2, **post)
    assert 429 not in statuses
    assert after.status_code == 429


@once
def test_s48_files_and_health_are_not_counted(client, limits_on, early_in_a_minute):
    _, after = last_allowed(client, "/checkout", 300)
    assert after.status_code == 429
    for path in ("/static/css/shop.css", "/healthz"):
        assert client.get(path).status_code == 200


@once
def test_s48_staff_are_counted_by_person(client, new_client, limits_on, early_in_a_minute):
    packer, manager = make_user("fulfilment"), make_user("manager")
    sign_in(client, packer)
    second = new_client()
    sign_in(second, manager)

    statuses, after = last_allowed(client, "/admin/settings", 300)

    assert set(statuses) == {403}
    assert after.status_code == 429
    assert second.get("/admin/settings").status_code == 403


@once
def test_s49_a_forged_address_changes_no_limit(client, limits_on, early_in_a_minute):
    forged = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(2)]
    statuses, after = last_allowed(client, "/products?q=blade", 60, headers=forged[0])

    assert 429 not in statuses
    assert after.status_code == 429
    assert client.get("/products?q=blade", headers=forged[1]).status_code == 429


@once
def test_s49_behind_one_trusted_proxy_its_word_counts_and_nothing_before_it(
    app, client, monkeypatch
):
    user = make_user()
    monkeypatch.setattr(app, "wsgi_app", ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=0))

    client.post(
        SIGN_IN,
        data=credentials(client, user),
        headers={"X-Forwarded-For": "198.51.100.9, 203.0.113.7"},
    )

    assert db.session.scalar(select(SignIn.address)) == "203.0.113.7"


@once
def test_s77_a_guard_that_fails_refuses(app, client, monkeypatch):
    def broken(*_args):
        raise RuntimeError

    for name in ("came_from", "_is_for_servers"):
        with monkeypatch.context() as patched:
            patched.setattr(guards, name, broken)
            answer = client.post(SIGN_IN, data=credentials(client, make_user()))
            assert answer.status_code == 500
    assert sign_ins() == 0


@once
def test_s10_pages_with_personal_data_are_not_kept(client):
    sign_in(client, make_user())

    for path in (
        "/account/orders",
        "/account/addresses",
        "/account/security",
        "/account/export",
        "/account/delete",
    ):
        answer = client.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "HX-Request" in answer.headers["Vary"]


def test_s11_reading_the_account_changes_nothing(client, sql_count):
    sign_in(client, make_user())

    with sql_count() as told:
        for path in (
            "/account/orders", "/account/addresses", "/account/security", "/account/export",
            "/account/delete", "/account/step-up", SIGN_IN, "/account/register",
        ):  # fmt: skip
            client.get(path)

    assert [words for words in told if not words.startswith("SELECT")] == []
    assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_a_nul_is_refused_before_a_database_sees_it(app, client):
    for path in (
        "/track/%00", "/orders/find?x=%00", "/orders/%00", "/products/a%00b", "/api/payments/verify/%00",
    ):  # fmt: skip
        assert client.get(path).status_code in {400, 404}, path


def test_a_nul_in_a_form_is_refused_too(app, client):
    fields = {"variant_id": "1", "quantity": "1\x00"}
    answer = client.post("/cart/items", data=fields, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 400
