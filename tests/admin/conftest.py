"""Staff who have signed in."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import factories
from tests.delivery.conftest import parcels

__all__ = ["parcels", "staff"]


@pytest.fixture
def staff(new_client: Callable[[], Any]) -> Callable[..., Any]:
    """`staff("manager")` is a browser in which such a person has signed in; `.user` is the person."""

    def signed_in(role: str = "owner", **more: Any) -> Any:
        browser = new_client()
        user = factories.make_user(role, **more)
        browser.user_id, browser.user_email = user.id, user.email
        factories.sign_in(browser, user)
        return browser

    return signed_in
