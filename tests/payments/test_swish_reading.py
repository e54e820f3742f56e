"""How Swish writes amounts, messages, ids and numbers."""

from typing import Any

import pytest

from shop.payments.gateways.swish_reading import (
    instruction_id,
    major_units,
    message_of,
    minor_units,
    payment_event,
    phone_of,
)
from tests.simulators.swish import ID


@pytest.mark.parametrize(
    ("amount_minor", "written"),
    [(1, "0.01"), (100, "1.00"), (105, "1.05"), (24_900, "249.00"), (99_999_999_999_999, "999999999999.99")],
)  # fmt: skip
def test_amounts_go_out_in_kronor_to_the_ore(amount_minor: int, written: str) -> None:
    assert major_units(amount_minor) == written
    assert minor_units(written) == amount_minor


@pytest.mark.parametrize("wrong", ["", "1.005", "NaN", "Infinity", "1e30", "ett", None, [], {}])
def test_what_is_no_amount_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        minor_units(wrong)


def test_a_message_keeps_only_what_swish_takes() -> None:
    assert message_of("Order SH-100482: åäö & <b>") == "Order SH100482: åäö  b"
    assert message_of("x" * 60) == "x" * 50


def test_an_id_is_the_same_for_the_same_name_and_for_no_other() -> None:
    assert instruction_id("A") == instruction_id("A") != instruction_id("B")
    assert ID.fullmatch(instruction_id("A"))


@pytest.mark.parametrize(
    ("alias", "phone"),
    [("46701234768", "+46701234768"), ("0701234768", None), ("4670", None), (None, None), ("", None)],
)  # fmt: skip
def test_a_payers_alias_is_a_number_without_its_plus(alias: str | None, phone: str | None) -> None:
    assert phone_of(alias) == phone


def test_a_payment_event_needs_every_field_that_it_tells() -> None:
    whole = {
        "id": "A" * 32, "status": "PAID", "amount": 1, "currency": "SEK",
        "payeePaymentReference": "REF", "datePaid": "2026-11-16T10:00:41.093Z",
    }  # fmt: skip
    assert payment_event(whole).amount_minor == 100
    for name in ("id", "status", "amount", "currency"):
        with pytest.raises((KeyError, ValueError)):
            payment_event({key: value for key, value in whole.items() if key != name})
