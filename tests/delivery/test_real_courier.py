"""What Shiprocket promises without a parcel: by its stand-in, and by itself where its log-in is given.

It has no test mode: nothing is asked here that makes, costs or cancels anything. A wrong password
is not tried, since a few of them lock the account.
"""

import pytest

from shop.delivery.couriers import courier
from tests import real_modes
from tests.delivery.shiprocket_samples import WISH
from tests.simulators.shiprocket import EMAIL, PASSWORD, Shiprocket

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

REAL = [key for key in real_modes.given() if key == "shiprocket"]


@pytest.fixture(params=["stand-in", *REAL])
def account(request, app, configure, monkeypatch):
    """The shop's courier is one of them, reached by what the environment says."""
    server = Shiprocket() if request.param == "stand-in" else None
    if server:
        monkeypatch.setenv("TEST_SHIPROCKET_EMAIL", EMAIL)
        monkeypatch.setenv("TEST_SHIPROCKET_PASSWORD", PASSWORD)
        monkeypatch.setenv("TEST_SHIPROCKET_API_BASE", server.base)
    configure(courier="parcel", shiprocket_dry_run=False, **real_modes.settings_of("shiprocket"))
    yield courier("parcel")
    if server:
        server.stop()


def test_it_says_who_would_bring_a_parcel_and_for_how_much(account):
    rates = account.rates(WISH)
    assert all(rate.courier_id and rate.courier_name and rate.price_minor > 0 for rate in rates)
    assert rates


def test_it_knows_no_parcel_that_was_never_made(account):
    assert account.find("NEVER-MADE-1042") is None
