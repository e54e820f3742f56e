"""Signing in, and how long it holds (security.md §1, §4)."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from shop.accounts import passwords, people, sign_in_limits, signing_in
from shop.accounts.models import Role, SignIn, User
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.limits import TooMany
from tests.factories import PASSWORD, make_user, sign_in

NEW_PASSWORD = "several quite plain words"
ORDERS = "/account/orders"


def token_of(client):
    cookie = client.get_cookie("shop", domain="127.0.0.1")
    return cookie.value if cookie else None


def is_signed_in(client):
    return client.get(ORDERS).status_code == 200


def test_a_customer_signs_in_and_sees_their_orders(client):
    answer = sign_in(client, make_user())

    assert answer.location == ORDERS
    assert is_signed_in(client)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_staff_go_on_to_the_admin(client):
    assert sign_in(client, make_user("manager")).location == "/admin/"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_address_is_read_without_regard_to_case_and_blanks(client):
    make_user(email="asha@shop.example")

    answer = client.post_form(
        "/account/sign-in", {"email": " Asha@Shop.example ", "password": PASSWORD}
    )

    assert answer.status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s01_a_token_from_before_signing_in_again_is_refused(client, new_client):
    user = make_user()
    sign_in(client, user)
    other = new_client()
    other.set_cookie("shop", token_of(client), domain="127.0.0.1")
    assert is_signed_in(other)

    client.get("/account/sign-in")
    client.post(
        "/account/sign-in",
        data={"email": user.email, "password": PASSWORD, "csrf_token": client.csrf_token()},
    )

    assert not is_signed_in(other)
    assert is_signed_in(client)


def test_s01_after_signing_out_the_token_is_refused(client, new_client):
    sign_in(client, make_user())
    thief = new_client()
    thief.set_cookie("shop", token_of(client), domain="127.0.0.1")

    assert client.send("/account/sign-out").status_code == 303

    assert token_of(client) is None
    assert not is_signed_in(thief)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s01_a_step_up_replaces_the_token(client, new_client):
    sign_in(client, make_user())
    thief = new_client()
    thief.set_cookie("shop", token_of(client), domain="127.0.0.1")

    answer = client.send("/account/step-up", {"password": PASSWORD, "next": "/account/export"})

    assert answer.location == "/account/export"
    assert is_signed_in(client)
    assert not is_signed_in(thief)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s02_the_database_holds_the_hash_of_a_token_of_256_bits(client):
    sign_in(client, make_user())

    token = token_of(client)

    assert len(token) >= 43
    assert (
        db.session.scalar(select(SignIn.token_hash)) == hashlib.sha256(token.encode()).hexdigest()
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s03_the_cookie_is_for_this_host_only_and_not_for_scripts(client):
    answer = sign_in(client, make_user())

    [cookie] = [held for held in answer.headers.getlist("Set-Cookie") if held.startswith("shop=")]

    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s03_over_tls_the_cookie_is_secure_and_bound_to_the_host(client, configure):
    configure(public_url="https://127.0.0.1")
    user = make_user()
    data = {"email": user.email, "password": PASSWORD, "csrf_token": client.csrf_token()}

    answer = client.post("/account/sign-in", data=data)

    [cookie] = [held for held in answer.headers.getlist("Set-Cookie") if "-shop=" in held]
    assert cookie.startswith("__Host-shop=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {
        part.strip() for part in cookie.split(";")
    }


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("role", "idle", "at_most"),
    [
        ("customer", timedelta(days=14), timedelta(days=30)),
        ("support", timedelta(minutes=30), timedelta(hours=12)),
    ],
)
def test_s04_a_sign_in_ends_a_second_after_its_time(client, turn_clock, role, idle, at_most):
    sign_in(client, make_user(role))
    begun = db.session.scalar(select(SignIn.created_at))

    turn_clock(begun + idle - timedelta(seconds=5))
    assert is_signed_in(client)
    for share in (0.9, 1.8):
        turn_clock(begun + idle * share)
        assert is_signed_in(client)

    turn_clock(begun + idle * 1.8 + idle + timedelta(seconds=10))
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    ("role", "at_most"), [("customer", timedelta(days=30)), ("owner", timedelta(hours=12))]
)
def test_s04_however_busy_it_is_a_sign_in_ends_in_the_end(client, turn_clock, role, at_most):
    sign_in(client, make_user(role))
    begun = db.session.scalar(select(SignIn.created_at))
    with transaction() as session:
        session.scalar(select(SignIn)).last_seen_at = begun + at_most - timedelta(seconds=10)

    turn_clock(begun + at_most - timedelta(seconds=5))
    assert is_signed_in(client)
    turn_clock(begun + at_most + timedelta(seconds=1))
    assert not is_signed_in(client)


def test_presence_is_written_every_five_minutes_at_most(client, turn_clock, sql_count):
    sign_in(client, make_user())
    turn_clock(minutes=4)
    with sql_count() as told:
        client.get("/account/addresses")
    assert not [words for words in told if words.startswith("UPDATE")]

    turn_clock(minutes=6)
    with sql_count() as told:
        client.get("/account/addresses")
    assert len([words for words in told if words.startswith("UPDATE sign_ins")]) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_poll_is_no_use_of_the_shop(client, turn_clock):
    sign_in(client, make_user())
    before = db.session.scalar(select(SignIn.last_seen_at))
    turn_clock(minutes=10)

    client.get(ORDERS, headers={"HX-Request": "true", "If-None-Match": '"seen"'})
    assert db.session.scalar(select(SignIn.last_seen_at)) == before

    client.get(ORDERS)
    assert db.session.scalar(select(SignIn.last_seen_at)) > before


def test_s05_people_see_and_end_their_sign_ins(client, new_client):
    user = make_user()
    phone = new_client()
    phone_headers = {"User-Agent": "Mozilla/5.0 (iPhone) Version/17 Safari/604.1"}
    phone.send(
        "/account/sign-in", {"email": user.email, "password": PASSWORD}, headers=phone_headers
    )
    sign_in(client, user)

    shown = client.get("/account/security").text
    assert "Safari on iPhone" in shown
    assert "127.0.0.1" in shown

    phone_id = db.session.scalar(select(SignIn.id).where(SignIn.user_agent.contains("iPhone")))
    client.send(f"/account/security/sign-ins/{phone_id}/end")
    assert not is_signed_in(phone)
    assert is_signed_in(client)


def test_s05_all_other_sign_ins_end_with_one_button(client, new_client):
    user = make_user()
    others = [new_client(), new_client()]
    for browser in (*others, client):
        sign_in(browser, user)

    client.send("/account/security/sign-ins/end-others")

    assert is_signed_in(client)
    assert not any(is_signed_in(browser) for browser in others)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s43_the_sign_in_of_another_is_not_there(client, new_client):
    other = new_client()
    sign_in(other, make_user())
    others_id = db.session.scalar(select(SignIn.id))
    sign_in(client, make_user())

    answer = client.send(f"/account/security/sign-ins/{others_id}/end")
    none = client.send("/account/security/sign-ins/999999/end")

    assert answer.status_code == none.status_code == 404
    assert is_signed_in(other)


def test_s06_a_new_password_ends_all_other_sign_ins(client, new_client):
    user = make_user()
    other = new_client()
    sign_in(other, user)
    sign_in(client, user)
    old_token = token_of(client)

    changed = client.send(
        "/account/security/password",
        {"present": PASSWORD, "password": NEW_PASSWORD},
    )

    assert changed.status_code == 303
    assert token_of(client) != old_token
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert sign_in(new_client(), user, NEW_PASSWORD).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s35_a_new_password_needs_the_present_one(client):
    user = make_user()
    sign_in(client, user)

    answer = client.send(
        "/account/security/password",
        {"present": "not the one it is", "password": NEW_PASSWORD},
    )

    assert answer.status_code == 422
    assert "That is not your password." in answer.text
    assert is_signed_in(client)


def test_s06_who_is_shut_out_is_out_at_once(client):
    user, owner = make_user(), make_user("owner")
    sign_in(client, user)

    with transaction():
        people.deactivate(user.id, owner)

    assert not is_signed_in(client)
    answer = client.send("/account/sign-in", {"email": user.email, "password": PASSWORD})
    assert answer.status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s07_there_is_no_cookie_for_remembering_beside_this_one(client):
    answer = sign_in(client, make_user())

    names = {cookie.partition("=")[0] for cookie in answer.headers.getlist("Set-Cookie")}

    assert names <= {"shop", "session"}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s08_a_new_role_ends_the_sign_ins_and_counts_from_the_next_request(client):
    user, owner = make_user("support"), make_user("owner")
    sign_in(client, user)

    with transaction():
        people.change_role(user.id, Role.CUSTOMER, owner)

    assert not is_signed_in(client)
    assert sign_in(client, user).location == ORDERS


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s08_the_role_is_read_from_the_row_at_each_request(client, turn_clock):
    user = make_user()
    sign_in(client, user)
    turn_clock(minutes=31)
    assert "Admin" not in client.get("/account/addresses").text

    with transaction() as session:
        session.get(User, user.id).role = Role.MANAGER

    assert "/admin/" in client.get("/account/addresses").text


ELSEWHERE = (
    "//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)",
    "/\t/evil.example", "evil", "/\n/evil",
)  # fmt: skip


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s20_after_the_sign_in_nobody_is_sent_elsewhere(new_client):
    user = make_user()
    for target in ELSEWHERE:
        fields = {"email": user.email, "password": PASSWORD, "next": target}
        assert new_client().send("/account/sign-in", fields).location == "/", target


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s20_a_path_of_ours_is_gone_on_to(client):
    user = make_user()
    away = client.get("/account/security")
    assert away.location == "/account/sign-in?next=/account/security"

    form = client.get(away.location)
    assert 'name="next" value="/account/security"' in form.text
    answer = client.send(
        "/account/sign-in", {"email": user.email, "password": PASSWORD, "next": "/account/security"}
    )
    assert answer.location == "/account/security"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_htmx_is_told_to_load_the_sign_in(client):
    answer = client.get(
        ORDERS, headers={"HX-Request": "true", "Referer": "http://x/account/orders?tab=way"}
    )

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/account/sign-in?next=/account/orders"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s33_an_unknown_address_a_wrong_password_and_an_inactive_person_are_answered_alike(
    client, monkeypatch
):
    known, gone = make_user(), make_user(active=False)
    hashes = []
    monkeypatch.setattr(passwords, "fits", _counting(passwords.fits, hashes))

    answers = [
        client.send("/account/sign-in", {"email": email, "password": password})
        for email, password in [
            ("nobody@shop.example", PASSWORD), (known.email, "not this password"), (gone.email, PASSWORD),
        ]
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    assert all("Email or password is not right." in answer.text for answer in answers)
    assert len(hashes) == 3
    assert len({_without_variable(answer.text) for answer in answers}) == 1


def _counting(inner, calls):
    def counted(*args):
        calls.append(args)
        return inner(*args)

    return counted


def _without_variable(text):
    return re.sub(r'value="[^"]*"|content="[^"]*"', "", text)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s33_the_work_for_a_stranger_is_a_whole_hash(app, monkeypatch):
    checked = []

    class Told(type(passwords.HASHER)):
        def verify(self, hash, password):
            checked.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Told(time_cost=1, memory_cost=8))

    assert not passwords.fits("whatever it is", None)
    assert checked[0].startswith("$argon2id$")


def test_s34_after_five_failures_an_account_waits_and_is_not_locked_for_good(client, turn_clock):
    user = make_user()
    for _ in range(5):
        wrong = client.send("/account/sign-in", {"email": user.email, "password": "wrong password"})
        assert wrong.status_code == 422

    refused = client.send("/account/sign-in", {"email": user.email, "password": PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert "Too many tries. Wait" in refused.text

    turn_clock(seconds=int(refused.headers["Retry-After"]) + 1)
    assert (
        client.send("/account/sign-in", {"email": user.email, "password": PASSWORD}).status_code
        == 303
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s34_each_failure_after_the_fifth_doubles_the_wait_to_fifteen_minutes(client, turn_clock):
    user = make_user()
    guess = {"email": user.email, "password": "wrong password"}
    for _ in range(5):
        assert client.send("/account/sign-in", guess).status_code == 422
    waits = []
    for _ in range(8):
        told = int(client.send("/account/sign-in", guess).headers["Retry-After"])
        waits.append(round(told, -1))
        turn_clock(seconds=told + 1)
        assert client.send("/account/sign-in", guess).status_code == 422
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]

    turn_clock(minutes=31)
    for _ in range(4):
        assert client.send("/account/sign-in", guess).status_code == 422
    assert sign_in(client, user).status_code == 303


def test_s34_many_guesses_at_once_count_as_many(app, client):
    email = make_user().email

    def tried(_number):
        with app.app_context():
            try:
                sign_in_limits.count_try(email)
            except TooMany:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(tried, range(20))) == 5


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s34_proving_oneself_often_is_no_failure(client):
    user = make_user()
    sign_in(client, user)
    for _ in range(7):
        answer = client.send("/account/step-up", {"password": PASSWORD})
        assert answer.status_code == 303


def test_s34_a_stranger_does_not_lock_a_person_out_of_where_they_have_signed_in_before(
    client, new_client
):
    user = make_user()
    sign_in(client, user)
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "127.0.0.9"}}
    guess = {"email": user.email, "password": "wrong password"}
    stranger = new_client()

    statuses = [stranger.send("/account/sign-in", guess, **elsewhere).status_code for _ in range(6)]

    assert statuses == [422] * 5 + [429]
    assert sign_in(new_client(), user).status_code == 303
    assert stranger.send("/account/sign-in", guess, **elsewhere).status_code == 429


def test_s34_a_success_ends_the_count(client, new_client, turn_clock):
    user = make_user()
    for _ in range(2):
        turn_clock(minutes=2)
        for _ in range(3):
            client.send("/account/sign-in", {"email": user.email, "password": "wrong password"})
        assert sign_in(new_client(), user).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s47_one_address_tries_ten_times_a_minute(client, turn_clock):
    turn_clock(utcnow().replace(second=1) + timedelta(minutes=1))
    statuses = [
        client.send(
            "/account/sign-in",
            {"email": f"someone{number}@shop.example", "password": "wrong password"},
        ).status_code
        for number in range(11)
    ]

    assert statuses == [422] * 10 + [429]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s17_fields_that_the_form_does_not_have_change_nothing(client):
    client.send(
        "/account/register",
        {
            "email": "eve@shop.example", "name": "Eve", "password": NEW_PASSWORD,
            "role": "owner", "is_staff": "1", "user_id": "1", "active": "0",
        },
    )  # fmt: skip

    assert db.session.scalar(select(User.role).filter_by(email="eve@shop.example")) == Role.CUSTOMER


def test_s33_registering_a_known_address_is_answered_like_a_new_one(client, new_client):
    known = make_user()
    kept = known.password_hash
    new = {"name": "Eve", "password": NEW_PASSWORD}

    first = client.send("/account/register", {**new, "email": "eve@shop.example"})
    second = new_client().send("/account/register", {**new, "email": known.email.upper()})

    assert (first.status_code, first.location) == (second.status_code, second.location)
    assert db.session.scalar(select(func.count()).select_from(User)) == 2
    assert db.session.get(User, known.id, populate_existing=True).password_hash == kept


def test_who_registers_can_sign_in(client):
    client.post_form(
        "/account/register", {"email": "Eve@shop.example", "name": "Eve", "password": NEW_PASSWORD}
    )

    answer = client.post_form(
        "/account/sign-in", {"email": "eve@shop.example", "password": NEW_PASSWORD}
    )

    assert answer.status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s47_one_address_registers_five_times_an_hour(client, turn_clock):
    turn_clock(utcnow().replace(minute=1) + timedelta(hours=1))
    statuses = [
        client.send(
            "/account/register",
            {"email": f"new{number}@shop.example", "name": "N", "password": NEW_PASSWORD},
        ).status_code
        for number in range(6)
    ]

    assert statuses == [303] * 5 + [429]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_was_typed_stays_and_passwords_do_not(client):
    answer = client.send(
        "/account/register", {"email": "eve@shop", "name": "Eve <b>", "password": "too short"}
    )

    assert answer.status_code == 422
    assert 'value="Eve &lt;b&gt;"' in answer.text
    assert 'value="eve@shop"' in answer.text
    assert "Enter an email address such as name@example.com." in answer.text
    assert "too short" not in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_reacts_to_a_sign_in_is_part_of_its_transaction(client, monkeypatch):
    user = make_user()
    seen = []

    def react(user_id):
        seen.append(user_id)
        raise RuntimeError

    monkeypatch.setattr(signing_in, "on_sign_in", [react])
    answer = client.send("/account/sign-in", {"email": user.email, "password": PASSWORD})

    assert answer.status_code == 500
    assert seen == [user.id]
    assert db.session.scalar(select(func.count()).select_from(SignIn)) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_visitor_without_a_cookie_costs_no_statement(client, sql_count):
    with sql_count() as told:
        client.get("/account/sign-in")
    assert not [words for words in told if "sign_ins" in words or "users" in words]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_person_costs_one_statement(client, sql_count):
    sign_in(client, make_user())
    with sql_count() as told:
        client.get("/account/addresses")
    assert len([words for words in told if "sign_ins" in words or "users" in words]) == 1


def test_old_sign_ins_are_forgotten(client, new_client, turn_clock):
    user = make_user()
    sign_in(client, user)
    turn_clock(days=91)
    sign_in(new_client(), user)
    turn_clock(days=31)

    with transaction():
        signing_in.forget_old(90)

    assert db.session.scalar(select(func.count()).select_from(SignIn)) == 1
