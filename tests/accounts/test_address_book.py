"""The address book, and that nobody opens another's."""

import pytest
from sqlalchemy import select

from shop.accounts import address_book
from shop.accounts.models import Address
from shop.database import transaction
from shop.extensions import db
from tests.checkout.shopping import sign_in
from tests.factories import make_user

HOME = {
    "recipient": "Meera Joshi", "phone": "+91 98220 12345", "line1": "14 Prabhat Road", "city": "Pune",
    "state": "Maharashtra", "postal_code": "411004", "country": "IN", "kind": "home",
}  # fmt: skip
BOOK = "/account/addresses"


def entries(user):
    rows = select(Address).filter_by(user_id=user.id).order_by(Address.id)
    return db.session.scalars(rows).all()


def add(client, **changes):
    return client.send(BOOK, {**HOME, **changes})


def test_the_first_address_is_the_default(client):
    user = make_user()
    sign_in(client, user)

    assert add(client).status_code == 303
    add(client, line1="2 Office Park", kind="office")

    assert [entry.is_default for entry in entries(user)] == [True, False]
    assert "2 Office Park" in client.get(BOOK).text


def test_another_can_be_made_the_default(client):
    user = make_user()
    sign_in(client, user)
    add(client)
    add(client, line1="2 Office Park", is_default="y")
    assert [entry.is_default for entry in entries(user)] == [False, True]

    first = entries(user)[0].id
    client.send(f"{BOOK}/{first}/default")
    assert [entry.is_default for entry in entries(user)] == [True, False]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_address_is_changed_in_its_place(client):
    user = make_user()
    sign_in(client, user)
    add(client)
    where = f"{BOOK}/{entries(user)[0].id}"
    assert 'value="14 Prabhat Road"' in client.get(where).text

    client.send(where, {**HOME, "line1": "15 Prabhat Road"})

    [entry] = entries(user)
    assert (entry.line1, entry.is_default) == ("15 Prabhat Road", True)


def test_when_the_default_goes_another_becomes_it(client):
    user = make_user()
    sign_in(client, user)
    add(client)
    add(client, line1="2 Office Park")

    client.send(f"{BOOK}/{entries(user)[0].id}/delete")

    assert [(entry.line1, entry.is_default) for entry in entries(user)] == [("2 Office Park", True)]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_wrong_is_said_beside_the_field_and_what_was_typed_stays(client):
    user = make_user()
    sign_in(client, user)

    for field, value, words in (
        ("postal_code", "41100", "Use 6 digits"),
        ("postal_code", "４１１００４", "Use 6 digits"),
        ("phone", "ring me", "Enter a phone number"),
        ("recipient", "", "Enter who receives the parcel."),
        ("recipient", "x" * 121, "Use at most 120 characters."),
        ("country", "XX", "Not a valid choice"),
    ):
        answer = add(client, **{field: value})
        assert answer.status_code == 422, (field, value)
        assert words in answer.text, (field, value)
        assert 'value="14 Prabhat Road"' in answer.text, (field, value)
    assert entries(user) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s43_the_address_of_another_is_not_there(client, new_client):
    owner = make_user()
    theirs = new_client()
    sign_in(theirs, owner)
    add(theirs)
    [entry] = entries(owner)
    sign_in(client, make_user())

    for path in (f"{BOOK}/%s", f"{BOOK}/%s/default", f"{BOOK}/%s/delete"):
        answers = [
            client.post(
                path % number, data={**HOME, "line1": "taken", "csrf_token": client.csrf_token()}
            )
            for number in (entry.id, 999_999)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert len({len(answer.text) for answer in answers}) == 1
    assert client.get(f"{BOOK}/{entry.id}").status_code == 404
    assert [row.line1 for row in entries(owner)] == ["14 Prabhat Road"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s17_the_owner_of_an_address_cannot_be_named(client):
    user, other = make_user(), make_user()
    sign_in(client, user)

    add(client, user_id=str(other.id), id="77")

    assert len(entries(user)) == 1
    assert entries(other) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_twenty_addresses_are_the_most(client):
    user = make_user()
    sign_in(client, user)
    with transaction():
        for _ in range(address_book.MOST):
            address_book.add(user.id, dict(HOME))

    answer = add(client)

    assert answer.status_code == 422
    assert "Twenty addresses" in answer.text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_names_are_shown_as_text(client):
    sign_in(client, make_user())
    add(client, recipient="<img src=x onerror=alert(1)>")

    assert "&lt;img src=x onerror=alert(1)&gt;" in client.get(BOOK).text
