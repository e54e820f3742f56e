"""What a password may be and how it is kept (security.md §4)."""

import threading
import time

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from shop.accounts import passwords
from shop.accounts.models import User
from shop.database import transaction
from shop.extensions import db
from tests.factories import PASSWORD, make_user, sign_in

EMAIL = "asha.rao@postbox.example"


@pytest.fixture
def as_shipped(real_hasher, monkeypatch):
    """With the hasher that the shop comes with."""
    monkeypatch.setattr(passwords, "HASHER", real_hasher)


pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("eleven char", "Use at least 12 characters"),
        ("x" * 64 + "abcdefgh" * 8 + "y", "Use at most 128 characters"),
        ("qwertyuiop123", "among the first"),
        ("Shadow!!!2024", "among the first"),
        ("dragondragon", "among the first"),
        ("aaaaaaaaaaaaaaaa", "among the first"),
        ("halflong12345", "the shop's name"),
        ("Asha.Rao@postbox.example", "your email address"),
        ("asha.rao2024", "your email address"),
    ],
)
def test_s30_s31_what_is_too_short_too_long_common_or_about_oneself_is_refused(
    app, password, words
):
    assert words in passwords.fault(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "पासवर्ड बहुत लंबा है", " leading and trailing ", "z" * 60 + "abcd" * 17],
)
def test_s30_signs_of_any_kind_are_taken_as_typed(app, password):
    assert passwords.fault(password, EMAIL) is None
    known_hash = passwords.hashed(password)
    assert passwords.fits(password, known_hash)
    assert not passwords.fits(password.strip() + "x", known_hash)


def test_s30_staff_need_fifteen_characters(app):
    assert passwords.fault("fourteen signs", EMAIL) is None
    assert "at least 15" in passwords.fault("fourteen signs", EMAIL, is_staff=True)


def test_s31_the_list_is_there(app):
    assert len(passwords.common()) > 3_000
    assert all(word == word.casefold() for word in passwords.common())


def test_s32_hashes_are_argon2id_with_enough_memory_and_passes(app, as_shipped):
    kind = passwords.hashed("correct horse battery").split("$")
    costs = dict(pair.split("=") for pair in kind[3].split(","))

    assert kind[1] == "argon2id"
    assert int(costs["m"]) >= 19 * 1024
    assert int(costs["t"]) >= 2


def test_s32_a_weaker_hash_is_replaced_at_the_next_sign_in(client, as_shipped):
    user = make_user()
    with transaction() as session:
        weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        session.get(User, user.id).password_hash = weak

    sign_in(client, user)

    kept = db.session.scalar(select(User.password_hash).filter_by(id=user.id))
    assert kept != weak
    assert not passwords.is_outdated(kept)
    assert passwords.fits(PASSWORD, kept)


def test_s32_at_most_four_hashes_are_computed_at_once(app, monkeypatch):
    under_way, most, lock = 0, 0, threading.Lock()

    class Slow:
        def hash(self, _password):
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.02)
            with lock:
                under_way -= 1
            return "hash"

    monkeypatch.setattr(passwords, "HASHER", Slow())
    threads = [threading.Thread(target=passwords.hashed, args=("x",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 4


def test_s30_the_password_fields_can_be_pasted_into_and_named_for_managers(client):
    assert 'autocomplete="current-password"' in client.get("/account/sign-in").text
    shown = client.get("/account/register").text
    assert 'autocomplete="new-password"' in shown
    assert "onpaste" not in shown
