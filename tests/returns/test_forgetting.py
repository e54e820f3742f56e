"""What a customer takes away of their returns, and what is left when the account is closed."""

import pytest

from shop.checkout import account_data
from shop.database import transaction
from shop.errors import NotFound
from shop.extensions import db
from shop.returns import asking, pictures
from shop.returns.models import ReturnRequest
from tests.factories import make_order, make_product, make_user
from tests.returns.conftest import arrive, picture


def test_s85_returns_are_in_the_file_and_their_words_and_pictures_go_with_the_account(shop):
    user = make_user()
    order = arrive(make_order("paid", lines={make_product(): 2}, user=user))
    user_id, order_id = user.id, order.id
    sent = {
        f"qty-{order.lines[0].id}": "1", "reason": "other", "resolution": "refund", "words": "Too red",
    }  # fmt: skip
    form = asking.read_form(order, sent, [])
    key = pictures.keep(picture())
    db.session.rollback()
    with transaction():
        asking.request_return(order_id, form, [key], f"user:{user_id}")
    (told,) = account_data.everything_about(user_id)["returns"]
    assert (told["words"], told["state"], told["pictures"]) == ("Too red", "requested", 1)
    assert told["lines"] == [{"name": "Halflong Match ball", "quantity": 1, "arrived": None}]

    with transaction():
        account_data.erase(user_id)
    found = db.session.scalars(db.select(ReturnRequest)).one()
    assert found.words == ""
    assert found.pictures == []
    with pytest.raises(NotFound):
        pictures.read(key)
