"""The second factor of staff: enrolling, the code at sign-in, recovery codes (security.md S36–S39)."""

import base64
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from shop.accounts import second_factor
from shop.accounts.models import RecoveryCode, SignIn, User
from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from tests.factories import PASSWORD, make_user, sign_in

SECRET = re.compile(r'<code class="mono">([A-Z2-7 ]{32,})</code>')
RECOVERY = re.compile(r'<code class="mono">((?:[A-Z2-7]{4}-){3}[A-Z2-7]{4})</code>')
SEALED = re.compile(r'name="sealed" value="([^"]+)"')
PAGE = "/account/second-factor"
CODE = "/account/sign-in/code"


def code_of(secret, steps_ago=0):
    """What the app shows."""
    app = TOTP(base64.b32decode(secret), 6, SHA1(), 30)
    return app.generate(int(utcnow().timestamp()) - 30 * steps_ago).decode()


def enrol(client):
    """Scan, type the code; returns the secret and the recovery codes."""
    shown = client.get(PAGE).text
    secret = SECRET.search(shown)[1].replace(" ", "")
    answer = client.send(PAGE, {"sealed": SEALED.search(shown)[1], "code": code_of(secret)})
    assert answer.status_code == 200, answer.text
    return secret, RECOVERY.findall(answer.text)


def give_password(client, user, **more):
    return client.send("/account/sign-in", {"email": user.email, "password": PASSWORD, **more})


def is_signed_in(client):
    return client.get("/account/orders").status_code == 200


@pytest.fixture
def user(app, request):
    """A manager: the one who is enrolled, where a test has one."""
    if "enrolled" in request.fixturenames:
        request.getfixturevalue("enrolled")
        return db.session.scalars(sa.select(User)).one()
    return make_user("manager")


@pytest.fixture
def enrolled(shop, client, turn_clock):
    """(secret, recovery codes) of the person; the code that enrolled is in the past."""

    def sign_in_and_enrol():
        sign_in(client, make_user("manager"))
        return *enrol(client), client.get_cookie("shop", domain="127.0.0.1").value

    secret, codes, token = shop.scene("second-factor-enrolled", sign_in_and_enrol)
    client.set_cookie("shop", token, domain="127.0.0.1")
    turn_clock(minutes=3)
    return secret, codes


def test_codes_are_those_of_rfc_6238(turn_clock):
    from datetime import UTC, datetime

    secret = base64.b32encode(b"12345678901234567890").decode()
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        turn_clock(datetime.fromtimestamp(seconds, tz=UTC))
        assert second_factor.step_of(secret, code) == seconds // 30


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_app_reads_the_secret_from_the_picture_or_a_person_types_it(client, user):
    sign_in(client, user)
    shown = client.get(PAGE).text
    secret = SECRET.search(shown)[1].replace(" ", "")
    assert len(base64.b32decode(secret)) == 20
    with client.application.app_context():
        address = urlsplit(second_factor.app_address(secret, user.email))
    assert (address.scheme, address.netloc) == ("otpauth", "totp")
    assert parse_qs(address.query)["secret"] == [secret]
    assert 'src="data:image/svg+xml' in shown
    assert SECRET.search(client.get(PAGE).text)[1].replace(" ", "") != secret


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("so", [{"staff_second_factor": "required"}, {"shop_env": "production"}])
def test_s37_where_it_is_required_the_admin_opens_after_enrolling_only(client, configure, user, so):
    configure(**so)
    sign_in(client, user)

    refused = client.get("/admin/")
    assert (refused.status_code, refused.headers["Location"]) == (303, PAGE)
    by_htmx = client.get("/admin/orders", headers={"HX-Request": "true"})
    assert (by_htmx.status_code, by_htmx.headers["HX-Redirect"]) == (403, PAGE)
    assert client.send("/admin/jobs/retry-dead").status_code == 303

    enrol(client)
    assert client.get("/admin/").status_code == 200


def test_signing_in_asks_for_the_code_and_goes_on(client, new_client, user, enrolled):
    browser = new_client()
    answer = give_password(browser, user, next="/admin/stock")
    assert answer.headers["Location"].startswith(CODE)
    assert not is_signed_in(browser)
    assert browser.get("/admin/").status_code == 303

    done = browser.send(
        CODE, {"code": code_of(enrolled[0]), "next": "/admin/stock"})  # fmt: skip
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/stock")
    assert is_signed_in(browser)


def test_s38_a_code_is_good_once_and_so_is_the_one_before(client, new_client, user, enrolled):
    first, second, third = new_client(), new_client(), new_client()
    before = code_of(enrolled[0], steps_ago=1)
    for browser in (first, second, third):
        give_password(browser, user)
    assert second.send(CODE, {"code": code_of(enrolled[0], 3)}).status_code == 422
    assert first.send(CODE, {"code": f" {before[:3]} {before[3:]} "}).status_code == 303
    assert second.send(CODE, {"code": before}).status_code == 422
    assert third.send(CODE, {"code": code_of(enrolled[0])}).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s38_a_code_that_was_overtaken_is_refused(client, new_client, user, enrolled):
    give_password(client, user)
    assert client.send(CODE, {"code": code_of(enrolled[0])}).status_code == 303
    late = new_client()
    give_password(late, user)
    assert late.send(CODE, {"code": code_of(enrolled[0], steps_ago=1)}).status_code == 422


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s36_codes_are_tried_five_times_then_wait(new_client, user, enrolled):
    client = new_client()
    give_password(client, user)
    codes = [client.send(CODE, {"code": "000000"}).status_code for _ in range(6)]
    assert codes == [422] * 5 + [429]
    assert client.send(CODE, {"code": code_of(enrolled[0])}).status_code == 429
    assert not is_signed_in(client)


def test_s39_ten_recovery_codes_each_open_once(client, new_client, user, enrolled):
    _secret, codes = enrolled
    assert len(set(codes)) == 10
    give_password(client, user)
    assert client.send(CODE, {"code": codes[3].lower()}).status_code == 303
    assert "9 of your recovery codes" in client.get(PAGE).text

    again = new_client()
    give_password(again, user)
    assert again.send(CODE, {"code": codes[3]}).status_code == 422
    assert again.send(CODE, {"code": codes[4].replace("-", "")}).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s39_nothing_keeps_the_secret_or_a_code_as_it_is(client, user, enrolled):
    secret, codes = enrolled
    for table in db.metadata.sorted_tables:
        for row in db.session.execute(sa.select(table)):
            assert secret not in repr(row), table.name
            assert not any(code in repr(row) for code in codes), table.name
    kept = db.session.scalars(sa.select(RecoveryCode.code_hash)).all()
    assert all(one.startswith("$argon2id$") for one in kept)


def test_s06_enrolling_and_switching_off_end_the_other_sign_ins(client, new_client, user):
    elsewhere = new_client()
    sign_in(elsewhere, user)
    sign_in(client, user)
    enrol(client)
    assert is_signed_in(client)
    assert not is_signed_in(elsewhere)

    answer = client.send(f"{PAGE}/off")
    assert answer.status_code == 303
    assert is_signed_in(client)
    live = sa.select(sa.func.count()).select_from(SignIn).where(SignIn.revoked_at.is_(None))
    assert db.session.scalar(live) == 1
    assert give_password(new_client(), user).headers["Location"] == "/admin/"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_it_is_required_it_is_not_switched_off(client, user, enrolled, configure):
    configure(staff_second_factor="required")
    give_password(client, user)
    client.send(CODE, {"code": code_of(enrolled[0])})
    assert client.send(f"{PAGE}/off").status_code in {400, 409, 422}
    assert db.session.scalar(sa.select(User.totp_secret).filter_by(id=user.id))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s40_enrolling_and_switching_off_need_a_fresh_password(client, user, turn_clock):
    sign_in(client, user)
    turn_clock(minutes=11)
    assert "/account/step-up" in client.get(PAGE).headers["Location"]
    assert client.send(f"{PAGE}/off").status_code == 303
    assert db.session.scalar(sa.select(User.totp_secret).filter_by(id=user.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_wrong_first_code_changes_nothing_and_keeps_the_secret(client, user):
    sign_in(client, user)
    shown = client.get(PAGE).text
    answer = client.send(PAGE, {"sealed": SEALED.search(shown)[1], "code": "000000"})
    assert answer.status_code == 422
    assert SECRET.search(answer.text)[1] == SECRET.search(shown)[1]
    assert db.session.scalar(sa.select(User.totp_secret).filter_by(id=user.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_secret_of_another_persons_page_is_no_good(client, new_client, user):
    other, victim = new_client(), client
    sign_in(other, make_user("support"))
    sign_in(victim, user)
    shown = other.get(PAGE).text
    secret = SECRET.search(shown)[1].replace(" ", "")
    form = {"sealed": SEALED.search(shown)[1], "code": code_of(secret)}
    assert victim.send(PAGE, form).status_code == 303
    assert victim.send(PAGE, {**form, "sealed": "nonsense"}).status_code == 303
    assert db.session.scalar(sa.select(User.totp_secret).filter_by(id=user.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_half_sign_in_is_over_after_ten_minutes(client, user, enrolled, turn_clock):
    give_password(client, user)
    turn_clock(minutes=11)
    answer = client.post(
        CODE, data={"csrf_token": client.csrf_token(), "code": code_of(enrolled[0])}
    )
    assert answer.headers["Location"] == "/account/sign-in"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_without_the_password_there_is_no_code_to_give(client):
    assert client.get(CODE).headers["Location"] == "/account/sign-in"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s36_a_new_password_by_mail_skips_no_code(client, new_client, user, enrolled, run_jobs):
    from shop.accounts import links
    from shop.accounts.models import LinkPurpose

    browser = new_client()
    give_password(browser, user)
    with transaction():
        token = links.make(db.session.get_one(User, user.id), LinkPurpose.RESET)
    new = "several quite plain words"
    assert new_client().send(f"/account/reset/{token}", {"password": new}).status_code == 303

    half = browser.post(
        CODE, data={"csrf_token": browser.csrf_token(), "code": code_of(enrolled[0])}
    )
    assert half.headers["Location"] == "/account/sign-in"
    fresh = new_client()
    answer = fresh.send("/account/sign-in", {"email": user.email, "password": new})
    assert answer.headers["Location"].startswith(CODE)
    assert not is_signed_in(fresh)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_lost_everything_begins_again_with_the_operators_help(app, client, user, enrolled):
    done = app.test_cli_runner().invoke(args=["shop", "second-factor-off", user.email.upper()])
    assert done.exit_code == 0, done.output
    assert give_password(client, user).headers["Location"] == "/admin/"
    unknown = app.test_cli_runner().invoke(args=["shop", "second-factor-off", "x@shop.example"])
    assert unknown.exit_code == 1
