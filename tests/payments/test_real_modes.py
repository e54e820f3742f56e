"""The way to the providers' own test modes: who is asked, with what, and that real money is left alone.

No provider is reached from here: the variables name our stand-ins, as they could name a provider.
"""

from collections.abc import Callable
from typing import Any

import pytest

from shop.config import Settings, settings
from shop.payments.gateways.base import EventKind
from tests import real_modes
from tests.payments import sides
from tests.payments import test_gateway_contract as contract
from tests.payments.sides import Side

GATEWAYS = [name.removeprefix("real ") for name in sides.SIDES if name.startswith("real ")]


@pytest.fixture
def engine() -> str:
    """The gateways read no table."""
    return "sqlite"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own keys are of no account here."""
    for key, names in real_modes.NEEDED.items():
        for name in (*names, f"{key}_api_base", f"{key}_ca_file"):
            monkeypatch.delenv(f"TEST_{name.upper()}", raising=False)


@pytest.fixture
def named(
    side_of: Callable[[str], Side], configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[Side, Side]]:
    """A stand-in, and the real side to which the environment names it. The settings say nothing of it."""

    def make(key: str) -> tuple[Side, Side]:
        stand_in = side_of(key)
        for name in (*real_modes.NEEDED[key], f"{key}_api_base", f"{key}_ca_file"):
            if name in Settings.__dataclass_fields__:
                monkeypatch.setenv(f"TEST_{name.upper()}", getattr(settings(), name))
                configure(**{name: Settings.__dataclass_fields__[name].default})
        return stand_in, side_of(f"real {key}")

    return make


@pytest.mark.parametrize("key", GATEWAYS)
def test_the_promises_are_asked_of_whom_the_environment_names(
    named: Callable[[str], tuple[Side, Side]], configure: Callable[..., None], key: str
) -> None:
    _stand_in, real = named(key)
    assert sides.to_ask() == [f"real {key}"]
    contract.test_an_opening_says_what_comes_next_and_has_brought_no_money(real)
    contract.test_one_key_opens_one_payment(real)
    contract.test_an_opening_whose_answer_was_lost_is_found_and_can_be_closed(real)
    contract.test_what_was_not_paid_cannot_go_back(real)
    contract.test_what_is_only_open_is_on_no_list(real)
    if real.remembers_keys:
        contract.test_a_key_used_for_another_amount_is_refused(real)
    if real.ends_pages:
        contract.test_closing_ends_the_page_and_closing_twice_is_closing_once(real)
    contract.test_who_has_the_wrong_keys_is_refused(real, configure)


def test_the_simulator_of_swish_is_waited_for(named: Callable[[str], Any]) -> None:
    stand_in, real = named("swish")
    made, attempt = real.opened(webhook_url=stand_in.wish().webhook_url)
    stand_in.pay(made)
    real.pay(made)
    assert real.gateway.fetch(attempt)[0].kind == EventKind.CAPTURED


def test_without_keys_no_provider_is_asked() -> None:
    assert real_modes.given() == []
    assert sides.to_ask() == []


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        ("stripe", "STRIPE_SECRET_KEY", "sk_live_1"),
        ("stripe", "STRIPE_SECRET_KEY", "rk_live_1"),
        ("razorpay", "RAZORPAY_KEY_ID", "rzp_live_1"),
        ("paystack", "PAYSTACK_SECRET_KEY", "sk_live_1"),
        ("flutterwave", "FLUTTERWAVE_SECRET_KEY", "FLWSECK-1-X"),
        ("flutterwave", "FLUTTERWAVE_SECRET_KEY", "nothing known"),
    ],
)
def test_a_key_that_may_move_money_is_refused_before_it_is_used(
    side_of: Callable[[str], Side], monkeypatch: pytest.MonkeyPatch, key: str, name: str, value: str
) -> None:
    monkeypatch.setenv("TEST_RAZORPAY_KEY_SECRET", "any")
    monkeypatch.setenv(f"TEST_{name}", value)
    with pytest.raises(pytest.fail.Exception, match=f"TEST_{name} is not a test key"):
        side_of(f"real {key}")


def test_swish_is_asked_where_money_is_pretended_only(
    side_of: Callable[[str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in real_modes.NEEDED["swish"]:
        monkeypatch.setenv(f"TEST_{name.upper()}", "any")
    monkeypatch.setenv("TEST_SWISH_API_BASE", "https://cpc.getswish.net/swish-cpcapi")
    with pytest.raises(pytest.fail.Exception, match="where money is real"):
        side_of("real swish")


def test_half_of_what_is_needed_is_told(
    side_of: Callable[[str], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_RAZORPAY_KEY_ID", "rzp_test_1")
    with pytest.raises(pytest.fail.Exception, match="TEST_RAZORPAY_KEY_SECRET missing"):
        side_of("real razorpay")
