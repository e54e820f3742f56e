"""Forgotten passwords and confirmed addresses, by mail (security.md S33, S36, S47, S56)."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from shop.accounts import links
from shop.accounts.models import LinkPurpose, MailedLink, SignIn, User
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging.models import Notification
from shop.orders.models import Order
from tests.factories import PASSWORD, make_order, make_user, sign_in

NEW = "several quite plain words"
LINK = re.compile(r"http://[^\s\"<>]+/account/(?:reset|confirm|move)/[\w-]+")
OVER = "This link is over"


def ask(client, email):
    return client.send("/account/reset", {"email": email})


def path_in(message):
    found = LINK.search(message.get_body("plain").get_content())
    assert found, message.get_body("plain").get_content()
    assert found[0] in message.get_body("html").get_content()
    return found[0][found[0].index("/account") :]


@pytest.fixture
def mailed(client, run_jobs, smtp_server):
    """Ask for a link to this address; the path that came by mail."""

    def asked(email):
        assert ask(client, email).status_code == 303
        run_jobs()
        return path_in(smtp_server.messages[-1])

    return asked


@pytest.fixture
def reset_link(app):
    """The path of a person's link to a new password, as it stands in the mail."""

    def made(user):
        with transaction() as session:
            return f"/account/reset/{links.make(session.get_one(User, user.id), LinkPurpose.RESET)}"

    return made


def set_new(client, path, password=NEW):
    return client.send(path, {"password": password})


def test_a_forgotten_password_is_replaced_by_mail(client, new_client, mailed, smtp_server):
    user = make_user()
    assert 'href="/account/reset"' in client.get("/account/sign-in").text
    path = mailed(user.email.upper())

    assert smtp_server.messages[-1]["Subject"] == "Your link to a new password"
    assert smtp_server.messages[-1]["To"] == user.email
    shown = client.get(path)
    assert shown.status_code == 200
    assert shown.headers["Referrer-Policy"] == "no-referrer"
    answer = set_new(client, path)
    assert answer.headers["Location"] == "/account/sign-in"
    assert sign_in(new_client(), user, NEW).status_code == 303
    refused = new_client().send("/account/sign-in", {"email": user.email, "password": PASSWORD})
    assert refused.status_code == 422


def test_s33_an_unknown_address_is_answered_and_worked_for_alike(
    client, new_client, run_jobs, smtp_server, sql_count
):
    known, unknown, shut = make_user().email, "nobody@shop.example", make_user(active=False).email
    answers, statements = [], []
    for email in (known, unknown, shut):
        browser = new_client()
        page = browser.get("/account/reset").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        with sql_count(everything=True) as told:
            answer = browser.post("/account/reset", data={"csrf_token": token, "email": email})
        statements.append([line.split()[0] for line in told])
        shown = browser.get("/account/sign-in").text
        shown = re.search(r"<main.*</main>", shown, re.DOTALL)[0]
        answers.append((answer.status_code, re.sub(r'value="[^"]+"', "", shown)))
    run_jobs()

    assert answers[0] == answers[1] == answers[2]
    assert "If this address has an account" in answers[0][1]
    assert statements[0] == statements[1] == statements[2]
    assert [message["To"] for message in smtp_server.messages] == [known]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s36_the_link_has_256_bits_and_nothing_keeps_it(client, mailed):
    token = mailed(make_user().email).rpartition("/")[2]
    assert len(token) == 43

    kept = db.session.scalars(sa.select(MailedLink)).one()
    assert kept.token_hash != token
    note = db.session.scalars(sa.select(Notification)).one()
    assert (note.template, note.status) == ("password_reset", "sent")
    assert note.body_text is note.body_html is None
    for table in db.metadata.sorted_tables:
        for row in db.session.execute(sa.select(table)):
            assert token not in repr(row), table.name


def test_s36_the_link_works_once(client, reset_link):
    path = reset_link(make_user())
    assert set_new(client, path).status_code == 303

    assert client.get(path).status_code == 410
    answer = client.post(path, data={"csrf_token": client.csrf_token(), "password": "other " + NEW})
    assert answer.status_code == 410
    assert OVER in answer.text


def test_s36_of_two_uses_at_once_one_is_good(app):
    user = make_user()
    with transaction():
        token = links.make(db.session.get_one(User, user.id), LinkPurpose.RESET)
    gate = threading.Barrier(8)

    def use(_number):
        with app.app_context():
            gate.wait()
            with transaction():
                return links.use(token, LinkPurpose.RESET) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(8))) == 1


def test_s36_the_link_lives_thirty_minutes(client, reset_link, turn_clock):
    path = reset_link(make_user())
    turn_clock(minutes=29)
    assert client.get(path).status_code == 200
    turn_clock(minutes=2)
    assert client.get(path).status_code == 410


def test_s36_a_newer_link_voids_the_older(client, mailed):
    user = make_user()
    older, newer = mailed(user.email), mailed(user.email)
    assert client.get(older).status_code == 410
    assert client.get(newer).status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("change", [{"active": False}, {"email": "other@shop.example"}])
def test_the_link_of_who_is_shut_out_or_has_another_address_is_over(client, reset_link, change):
    user = make_user()
    path = reset_link(user)
    with transaction():
        db.session.execute(sa.update(User).filter_by(id=user.id).values(**change))
    assert client.get(path).status_code == 410


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_link_to_confirm_sets_no_password(client):
    user = make_user()
    with transaction():
        token = links.make(db.session.get_one(User, user.id), LinkPurpose.CONFIRM)
    assert client.get(f"/account/reset/{token}").status_code == 410
    assert client.get("/account/reset/" + "x" * 43).status_code == 410


def test_s06_a_reset_ends_every_sign_in_and_begins_none(client, new_client, reset_link):
    user, elsewhere = make_user(), new_client()
    sign_in(elsewhere, user)
    set_new(client, reset_link(user))

    assert elsewhere.get("/account/orders").status_code == 303
    assert client.get("/account/orders").status_code == 303
    assert db.session.scalar(sa.select(SignIn.id).where(SignIn.revoked_at.is_(None))) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("role", "weak"),
    [
        (
            "customer",
            {
                "short": "Use at least 12 characters",
                "shadow123456!": "among the first",
                "": "Choose a new password.",
            },
        ),
        ("manager", {"twelve chars": "Use at least 15 characters"}),
    ],
)
def test_a_weak_password_is_refused_and_the_link_goes_on_working(client, reset_link, role, weak):
    path = reset_link(make_user(role))
    for password, words in weak.items():
        answer = set_new(client, path, password)
        assert answer.status_code == 422, password
        assert words in answer.text, password
    assert set_new(client, path).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_reset_ends_the_wait_after_failed_sign_ins(client, reset_link):
    user = make_user()
    for _ in range(5):
        client.send("/account/sign-in", {"email": user.email, "password": "wrong password"})
    set_new(client, reset_link(user))
    assert sign_in(client, user, NEW).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s47_links_are_asked_for_five_times_an_hour(client, new_client, turn_clock):
    email = "somebody@shop.example"
    assert [ask(client, email).status_code for _ in range(6)] == [303] * 5 + [429]
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "127.0.0.9"}}
    again = new_client().send("/account/reset", {"email": email}, **elsewhere)
    assert again.status_code == 429


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_mistyped_address_is_told_beside_the_field(client):
    answer = ask(client, "not an address")
    assert answer.status_code == 422
    assert "Enter an email address such as" in answer.text
    assert db.session.scalar(sa.select(Job.id)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s61_a_foreign_host_does_not_get_into_the_mail(client, app, run_jobs, smtp_server):
    user = make_user()
    with client.session_transaction(base_url=app.extensions["settings"].public_url):
        pass
    headers = {"X-Forwarded-Host": "evil.example", "Origin": app.extensions["settings"].public_url}
    client.send("/account/reset", {"email": user.email}, headers=headers)
    run_jobs()
    assert "evil.example" not in smtp_server.messages[0].as_string()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_demo_shows_the_mail_in_its_mailbox(client, run_jobs):
    ask(client, make_user().email)
    run_jobs()
    note = db.session.scalars(sa.select(Notification)).one()
    assert LINK.search(client.get(f"/sandbox/mailbox/{note.id}").text)


def register(client, email, password="rather a long password"):
    form = {"name": "Meera", "email": email, "password": password}
    return client.send("/account/register", form)


def test_s56_a_confirmed_address_brings_the_orders_of_the_guest(client, run_jobs, smtp_server):
    email = "meera@shopper.example"
    own, foreign = make_order(lines=1, email="Meera@Shopper.example"), make_order(lines=1)
    with transaction():
        db.session.execute(sa.delete(Job))
    register(client, email)
    run_jobs()
    person = db.session.scalars(sa.select(User).filter_by(email=email)).one()
    assert person.email_confirmed_at is None
    assert db.session.get_one(Order, own.id).user_id is None
    path = path_in(smtp_server.messages[0])

    assert "Confirm your email address" in client.get(path).text
    db.session.rollback()
    assert db.session.scalar(sa.select(User.email_confirmed_at).filter_by(email=email)) is None
    assert client.send(path).status_code == 303

    db.session.rollback()
    assert db.session.scalar(sa.select(User.email_confirmed_at).filter_by(email=email))
    assert db.session.get_one(Order, own.id).user_id == person.id
    assert db.session.get_one(Order, foreign.id).user_id is None
    assert client.get(path).status_code == 410


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s33_who_registers_again_is_told_by_mail_alone(client, new_client, run_jobs, smtp_server):
    user = make_user()
    first = register(client, user.email)
    second = register(new_client(), "new@shop.example")
    run_jobs()

    assert (first.status_code, first.headers["Location"]) == (303, second.headers["Location"])
    told = {message["To"]: message["Subject"] for message in smtp_server.messages}
    assert told == {
        user.email: "You have an account already",
        "new@shop.example": "Confirm your email address",
    }


MOVED = "fresh@example.com"


def move(client, email=MOVED, proof=PASSWORD):
    fields = {"email": email, "proof": proof}
    return client.send("/account/security/email", fields)


@pytest.fixture
def moving(client, run_jobs, smtp_server):
    """A signed-in customer who asked for another address, and the link's path."""
    user = make_user()
    sign_in(client, user)
    assert move(client).status_code == 303
    run_jobs()
    mail = smtp_server.messages[-1]
    assert mail["To"] == MOVED
    return user.id, user.email, path_in(mail)


def test_s35_another_address_counts_once_its_link_is_followed_and_the_old_one_is_told(
    client, new_client, run_jobs, smtp_server, moving
):
    user_id, old, path = moving
    assert db.session.get_one(User, user_id).email == old
    assert MOVED in client.get(path).text
    assert db.session.get_one(User, user_id).email == old

    answer = new_client().send(path)
    assert answer.headers["Location"] == "/account/sign-in"
    run_jobs()
    person = db.session.get_one(User, user_id, populate_existing=True)
    assert person.email == MOVED
    assert person.email_confirmed_at is not None
    assert smtp_server.messages[-1]["To"] == old
    assert client.get("/account/orders").status_code == 303
    assert new_client().send(path).status_code == 410
    assert sign_in(new_client(), person).status_code == 303


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s35_changing_the_address_needs_the_present_password(client, run_jobs, smtp_server):
    sign_in(client, make_user())
    refused = move(client, proof="not the password")
    assert refused.status_code == 422
    assert "That is not your password." in refused.text
    assert f'value="{MOVED}"' in refused.text
    assert move(client, email="nowhere").status_code == 422
    run_jobs()
    assert not smtp_server.messages


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s33_an_address_that_is_taken_is_told_by_mail_alone_and_nothing_moves(
    client, run_jobs, smtp_server
):
    other, user = make_user(email="taken@example.com"), make_user()
    sign_in(client, user)
    assert move(client, email=other.email).status_code == 303
    run_jobs()
    assert smtp_server.messages[-1]["To"] == other.email
    assert smtp_server.messages[-1]["Subject"] == "You have an account already"
    assert not db.session.scalar(sa.select(MailedLink.id))


def test_an_address_taken_meanwhile_is_refused_and_the_link_can_be_used_up_no_more(
    client, new_client, moving
):
    user_id, old, path = moving
    make_user(email=MOVED)
    assert new_client().send(path).status_code == 409
    assert db.session.get_one(User, user_id, populate_existing=True).email == old


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s35_a_changed_password_is_told_by_mail(client, run_jobs, smtp_server):
    user = make_user()
    sign_in(client, user)
    fields = {"present": PASSWORD, "password": NEW}
    client.send("/account/security/password", fields)
    run_jobs()
    assert smtp_server.messages[-1]["Subject"] == "Your password was changed"
    assert smtp_server.messages[-1]["To"] == user.email
