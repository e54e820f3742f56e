"""Addresses: each country by its own rules, in its own words."""

import pytest

from shop.accounts.addresses import (
    COUNTRIES,
    countries,
    free_text,
    meant_email,
    read_address,
    read_country,
    read_email,
    read_postal_code,
    rules_of,
)

GOOD = {
    "IN": {"tel": "98400 12345", "postal_code": "560034", "city": "Bengaluru", "state": "Karnataka"},
    "SE": {"tel": "070-123 45 67", "postal_code": "11122", "city": "Stockholm"},
    "NG": {"tel": "0803 123 4567", "postal_code": "", "city": "Ikeja", "state": "Lagos"},
    "US": {"tel": "(415) 555-0132", "postal_code": "94107", "city": "San Francisco", "state": "california"},
    "GB": {"tel": "07400 123456", "postal_code": "sw1a1aa", "city": "London"},
    "DE": {"tel": "01512 3456789", "postal_code": "10115", "city": "Berlin"},
    "AT": {"tel": "0664 1234567", "postal_code": "1010", "city": "Wien"},
}  # fmt: skip
STREET = {"name": "Meera Nair", "address_line1": "14, 3rd Cross"}


@pytest.mark.parametrize("country", GOOD)
def test_a_good_address_of_each_country_is_taken(country):
    address, errors = read_address({**STREET, **GOOD[country]}, country)
    assert errors == {}
    assert set(address) == {
        "recipient", "phone", "line1", "line2", "landmark", "city", "state", "postal_code", "country",
    }  # fmt: skip
    assert address["country"] == country
    assert address["recipient"] == "Meera Nair"
    assert address["phone"].startswith("+")


@pytest.mark.parametrize(
    ("country", "phone", "postal_code"),
    [
        ("IN", "+919840012345", "560034"), ("SE", "+46701234567", "111 22"), ("US", "+14155550132", "94107"),
        ("GB", "+447400123456", "SW1A 1AA"), ("NG", "+2348031234567", ""), ("DE", "+4915123456789", "10115"),
    ],
)  # fmt: skip
def test_phones_are_kept_in_e164_and_codes_in_the_countrys_spelling(country, phone, postal_code):
    address, _ = read_address({**STREET, **GOOD[country]}, country)
    assert (address["phone"], address["postal_code"]) == (phone, postal_code)


def test_a_number_of_another_country_is_taken_with_its_code():
    address, errors = read_address({**STREET, **GOOD["SE"], "tel": "+91 98400 12345"}, "SE")
    assert not errors
    assert address["phone"] == "+919840012345"


def test_what_is_missing_is_said_at_each_field_in_the_order_of_the_form():
    _, errors = read_address({}, "IN")
    assert list(errors.items()) == [
        ("tel", "Enter a mobile number with 10 digits"),
        ("name", "Enter the name on the door or letterbox"),
        ("postal_code", "Enter all 6 digits, like 560034"),
        ("city", "Enter the city"),
        ("state", "Choose the state"),
        ("address_line1", "Enter your street and house number"),
    ]


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("typed", ["1", "12345678901", "abcdefgh", "<b>", "٥٦٠٠٣٤"])
def test_codes_that_no_letter_could_reach_are_refused(country, typed):
    assert read_postal_code(typed, rules_of(country)) is None


@pytest.mark.parametrize("typed", ["560 034", " 560034 ", "560-034"])
def test_codes_may_be_typed_with_spaces(typed):
    assert read_postal_code(typed, rules_of("IN")) == "560034"


@pytest.mark.parametrize(
    "typed", ["12345", "98400 1234", "abc", "+91", "1" * 50, "98400 12345 ext. 7"]
)
def test_phones_that_nobody_could_ring_are_refused(typed):
    _, errors = read_address({**STREET, **GOOD["IN"], "tel": typed}, "IN")
    assert set(errors) == {"tel"}


def test_a_state_must_be_one_of_the_countrys():
    _, errors = read_address({**STREET, **GOOD["IN"], "state": "Bavaria"}, "IN")
    assert errors == {"state": "Choose the state"}


def test_where_there_are_no_states_what_was_left_in_the_field_is_dropped():
    address, errors = read_address({**STREET, **GOOD["SE"], "state": "Karnataka"}, "SE")
    assert not errors
    assert address["state"] == ""


def test_a_billing_address_is_read_from_its_own_fields_and_needs_no_phone():
    form = {f"billing_{name}": value for name, value in {**STREET, **GOOD["SE"]}.items()}
    address, errors = read_address(form, "SE", "billing_")
    assert not errors
    assert address["phone"] == ""
    _, errors = read_address({}, "SE", "billing_")
    assert set(errors) == {
        "billing_name", "billing_postal_code", "billing_city", "billing_address_line1",
    }  # fmt: skip


def test_text_that_is_too_long_is_refused():
    _, errors = read_address(
        {**STREET, **GOOD["IN"], "name": "x" * 121, "landmark": "x" * 121}, "IN"
    )
    assert errors == dict.fromkeys(("name", "landmark"), "Use at most 120 characters")


def test_names_of_any_script_and_of_one_word_are_taken():
    for name in ("मीरा", "Ngozi", "O'Brien-Åström", "김"):
        address, errors = read_address({**STREET, **GOOD["IN"], "name": name}, "IN")
        assert not errors
        assert address["recipient"] == name


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("4111 1111 1111 1111", "•••• 1111"),
        ("ring 4111-1111-1111-1111 twice", "ring •••• 1111 twice"),
        ("12 4111111111111111", "12 •••• 1111"),
        ("378282246310005", "•••• 0005"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("14, 3rd Cross, 560034", "14, 3rd Cross, 560034"),
        ("+91 98400 12345", "+91 98400 12345"),
    ],
)
def test_s88_card_numbers_in_free_text_are_masked(typed, kept):
    assert free_text(typed) == kept


def test_s88_no_field_of_the_address_keeps_a_card_number():
    card = "4111 1111 1111 1111"
    form = {**GOOD["AT"], **dict.fromkeys(("name", "address_line1", "address_line2", "landmark", "city", "state"), card)}  # fmt: skip
    address, _ = read_address(form, "AT")
    assert "4111" not in "".join(address.values())


def test_control_signs_and_line_breaks_are_dropped():
    address, _ = read_address({**STREET, **GOOD["IN"], "name": "Meera\r\nBcc: x\x00"}, "IN")
    assert address["recipient"] == "MeeraBcc: x"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Enter your email"), ("meera", "Enter an email like name@example.com"),
        ("meera@", "Enter an email like name@example.com"), ("a b@example.com", "Enter an email like name@example.com"),
    ],
)  # fmt: skip
def test_emails_are_checked_in_words(typed, words):
    assert read_email({"email": typed})[1] == words


def test_emails_are_taken_without_asking_the_network():
    assert read_email({"email": " Meera@Halflong.Example "}) == ("Meera@halflong.example", "")


def test_a_slip_in_the_domain_is_noticed_but_is_no_error():
    assert meant_email("meera@gmial.com") == "meera@gmail.com"
    assert meant_email("meera@gmail.com") == ""


def test_an_unknown_country_becomes_the_shops_own():
    for asked in ("", "XX", "in", "<script>"):
        assert read_country({"country": asked}) == "IN"


def test_the_countries_known_well_come_first():
    assert [code for code, _ in countries()][:6] == list(COUNTRIES)
    assert len({code for code, _ in countries()}) == len(countries())
