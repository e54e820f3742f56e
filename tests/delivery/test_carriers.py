"""A carrier is known by the shape of its numbers, and a person chooses where several fit."""

import pytest

from shop.delivery.couriers import carriers


def keys(number):
    return [one.key for one in carriers.recognise(number)]


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("1Z5R89390357567127", ["ups"]),
        ("1z 5r89 3903 5756 7127", ["ups"]),
        ("RR123456785SE", ["postnord"]),
        ("EE123456785IN", ["india_post"]),
        ("RR123456785NO", ["bring"]),
        ("RR123456785US", ["usps"]),
        ("RR123456785GB", ["royal_mail"]),
        ("RR123456785FR", ["post"]),
        ("00373500490000000009", ["postnord"]),
        ("370700000000000007", ["bring"]),
        ("12345678901", ["bluedart"]),
        ("D12345678", ["dtdc"]),
        ("FMPC0123456789", ["ekart"]),
        ("JD014600006281230704", ["dhl"]),
        ("GIG12345678", ["gig"]),
        ("123456789012343", ["fedex"]),
        ("7888305670281", ["delhivery"]),
    ],
)
def test_one_carrier_is_recognised(number, found):
    assert keys(number) == found


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("986578788855", ["delhivery", "fedex"]),
        ("3318810025", ["dhl", "gig"]),
        ("13412345678901", ["delhivery", "xpressbees"]),
    ],
)
def test_a_number_that_fits_several_names_them_all(number, found):
    assert keys(number) == found


@pytest.mark.parametrize(
    "number",
    [
        "1Z5R89390357567128", "RR123456784SE", "00373500490000000008", "370700000000000008",
        "", "hello", "1", "٣٣١٨٨١٠٠٢٥", "1Z" + "X" * 15 + "Y",
    ],
)  # fmt: skip
def test_a_wrong_check_digit_or_shape_is_nobodys(number):
    assert keys(number) == []


@pytest.mark.parametrize("number", ["986578788856", "3318810026"])
def test_a_wrong_check_digit_leaves_those_that_have_none(number):
    assert keys(number) in (["delhivery"], ["gig"])


@pytest.mark.parametrize("digits", range(0, 99_999_999, 7_777_777))
def test_every_postal_number_has_exactly_one_check_digit(digits):
    written = f"{digits:08d}"
    assert sum(carriers.is_s10(f"RR{written}{check}SE") for check in range(10)) == 1


def test_the_number_is_put_into_the_carriers_page():
    (ups,) = carriers.recognise("1Z5R89390357567127")
    assert ups.link("1Z5R89390357567127") == "https://www.ups.com/track?tracknum=1Z5R89390357567127"
    assert carriers.of_name("Post").link("RR123456785FR") == ""
    assert "%2F" in ups.link("A/B?c")
    assert all(one.page == "" or one.page.startswith("https://") for one in carriers.CARRIERS)


@pytest.mark.parametrize(
    ("name", "key"),
    [("blue dart", "bluedart"), ("Blue Dart", "bluedart"), ("GIG Logistics", "gig"), ("india_post", "india_post")],
)  # fmt: skip
def test_a_carrier_is_found_by_its_name(name, key):
    assert carriers.of_name(name).key == key


def test_a_name_that_is_not_in_the_table_is_nobodys():
    assert carriers.of_name("Northline") is None
    assert carriers.of_name("") is None
