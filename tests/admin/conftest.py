"""Staff who have signed in."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from shop.accounts import signing_in
from shop.config import settings
from shop.database import transaction
from tests import factories
from tests.delivery.conftest import parcels
from tests.orders.scenes import order_in

__all__ = ["order_in", "parcels", "staff"]


@pytest.fixture
def staff(app: Flask, new_client: Callable[[], Any]) -> Callable[..., Any]:
    """`staff("manager")` is a browser in which such a person has just signed in.

    The form of signing in is tested where it belongs (tests/accounts): here its row and cookie do.
    """

    def signed_in(role: str = "owner", **more: Any) -> Any:
        browser = new_client()
        user = factories.make_user(role, **more)
        browser.user_id, browser.user_email = user.id, user.email
        with app.test_request_context(), transaction():
            name, token = signing_in.cookie_name(), signing_in.start_row(user)
        browser.set_cookie(name, token, domain=urlsplit(settings().public_url).hostname)
        return browser

    return signed_in
