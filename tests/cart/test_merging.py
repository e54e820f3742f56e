"""At sign-in the browser's cart is merged into the person's."""

from typing import Any

import pytest

from shop.cart.models import Cart, CartLine
from shop.database import transaction
from shop.extensions import db
from shop.preferences import change
from tests.cart.test_adding import add
from tests.factories import make_cart, make_product, make_user, sign_in


def quantities(user: Any) -> dict[int, int]:
    """What the person's open cart holds."""
    db.session.rollback()
    rows = db.session.execute(
        db.select(CartLine.variant_id, CartLine.quantity)
        .join(Cart, Cart.id == CartLine.cart_id)
        .where(Cart.user_id == user.id, Cart.ordered_at.is_(None))
    )
    return dict(rows.all())


def test_the_higher_quantity_counts_and_nothing_is_lost(app: Any, client: Any) -> None:
    both, own, guest = make_product("Both"), make_product("Own"), make_product("Guest")
    person = make_user()
    make_cart({both: 1, own: 4}, user=person)
    add(client, both, "3")
    add(client, guest, "2")
    sign_in(client, person)
    assert quantities(person) == {
        both.variants[0].id: 3,
        own.variants[0].id: 4,
        guest.variants[0].id: 2,
    }
    assert db.session.scalar(db.select(db.func.count(Cart.id))) == 1
    assert '<span class="count">9</span>' in client.get("/cart").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_lower_quantity_takes_nothing_away(app: Any, client: Any) -> None:
    ball, person = make_product(), make_user()
    make_cart({ball: 5}, user=person)
    add(client, ball, "1")
    sign_in(client, person)
    assert quantities(person) == {ball.variants[0].id: 5}


def test_stock_and_the_limit_cap_what_is_merged(app: Any, client: Any) -> None:
    scarce, many, gone = (
        make_product("Scarce", stock=4),
        make_product("Many", stock=50),
        make_product("Gone", stock=3),
    )
    person = make_user()
    for product, quantity in ((scarce, "4"), (many, "15"), (gone, "3")):
        add(client, product, quantity)
    with transaction() as session:
        change("line_limit", "10")
        session.execute(
            db.text("UPDATE stock_levels SET reserved = on_hand WHERE variant_id = :id"),
            {"id": gone.variants[0].id},
        )
        session.execute(
            db.text("UPDATE stock_levels SET reserved = 2 WHERE variant_id = :id"),
            {"id": scarce.variants[0].id},
        )
    sign_in(client, person)
    assert quantities(person) == {scarce.variants[0].id: 2, many.variants[0].id: 10}
    with transaction() as session:
        session.execute(db.text("UPDATE stock_levels SET reserved = 0"))


def test_a_person_without_a_cart_gets_the_browsers(app: Any, client: Any) -> None:
    ball, person = make_product(), make_user()
    add(client, ball, "2")
    sign_in(client, person)
    assert quantities(person) == {ball.variants[0].id: 2}


def test_signing_in_without_a_cart_makes_none(app: Any, client: Any) -> None:
    sign_in(client, make_user())
    assert db.session.scalar(db.select(Cart.id)) is None
