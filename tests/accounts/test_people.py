"""Owners, roles, and the people of the demo."""

import pytest
from sqlalchemy import select

from shop.accounts import demo, people
from shop.accounts.models import Role, User
from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from tests.factories import make_user


def test_s45_the_last_owner_stays(app):
    owner, manager = make_user("owner"), make_user("manager")

    for change in (
        lambda: people.change_role(owner.id, Role.MANAGER, manager),
        lambda: people.deactivate(owner.id, manager),
    ):
        with pytest.raises(people.LastOwner), transaction():
            change()
    assert db.session.get(User, owner.id).role == Role.OWNER


def test_s45_one_of_two_owners_may_go(app):
    first, second = make_user("owner"), make_user("owner")

    with transaction():
        people.change_role(first.id, Role.CUSTOMER, second)

    assert db.session.get(User, first.id).role == Role.CUSTOMER


def test_s45_an_owner_who_is_shut_out_does_not_count(app):
    first, second = make_user("owner"), make_user("owner", active=False)

    with pytest.raises(people.LastOwner), transaction():
        people.deactivate(first.id, second)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s45_nobody_changes_their_own_role(app):
    owner = make_user("owner")
    make_user("owner")

    with pytest.raises(people.OwnRole), transaction():
        people.change_role(owner.id, Role.CUSTOMER, owner)


def test_a_change_of_role_is_in_the_audit(app):
    owner, clerk = make_user("owner"), make_user("support")

    with transaction():
        people.change_role(clerk.id, Role.MANAGER, owner)

    entry = db.session.scalar(select(AuditEntry).filter_by(action="account.role_changed"))
    assert (entry.actor, entry.subject) == (f"user:{owner.id}", f"user:{clerk.id}")
    assert (entry.before, entry.after) == ({"role": "support"}, {"role": "manager"})


def test_the_first_owner_is_made_with_a_good_password_only(app):
    with pytest.raises(Refused, match="at least 15"), transaction():
        people.create_owner("Owner@shop.example", "short password")
    with transaction():
        made = people.create_owner(" Owner@shop.example", "several quite plain words")

    assert (made.email, made.role) == ("owner@shop.example", Role.OWNER)
    with pytest.raises(people.EmailTaken), transaction():
        people.create_owner("owner@shop.example", "several quite plain words")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "x@"])
def test_an_owner_needs_an_address(app, address):
    with pytest.raises(Refused, match="email address"), transaction():
        people.create_owner(address, "several quite plain words")


def test_s41_the_demo_has_its_people_once(app, client):
    for _ in range(2):
        with transaction():
            told = demo.seed_people()

    assert db.session.scalars(select(User.email).order_by(User.id)).all() == [
        email for _, email, _ in told
    ]
    for _what, email, password in told:
        answer = client.post_form("/account/sign-in", {"email": email, "password": password})
        assert answer.status_code == 303
        client.post_form("/account/sign-out")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s41_production_has_no_people_of_the_demo(app, configure):
    configure(shop_env="production")

    with pytest.raises(demo.NoDemoHere), transaction():
        demo.seed_people()
    assert db.session.scalars(select(User.id)).all() == []
