"""Addresses, by country: which fields are asked, how they are called, and what counts as filled in.

Everything here is pure: it reads the mapping that a form sent and gives back values and words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from shop.accounts import emails
from shop.accounts.forms import country_choices, tidy

Form = Mapping[str, str]

ANY_POSTAL_CODE = r"[A-Z0-9][A-Z0-9 -]{1,14}"
CARD_RUN = re.compile(r"\d[\d -]{11,}\d")
SEPARATED = re.compile(r"[ -]+")
LENGTHS = {"name": 120, "address_line1": 200, "address_line2": 200, "landmark": 120, "city": 80, "state": 80}  # fmt: skip

TYPOS = {
    "gmail.con": "gmail.com", "gmail.co": "gmail.com", "gmial.com": "gmail.com", "gmai.com": "gmail.com",
    "gnail.com": "gmail.com", "gmail.cm": "gmail.com", "hotmial.com": "hotmail.com",
    "hotmail.con": "hotmail.com", "yaho.com": "yahoo.com", "yahoo.con": "yahoo.com",
    "outlok.com": "outlook.com", "outlook.con": "outlook.com", "iclod.com": "icloud.com",
    "example.con": "example.com",
}  # fmt: skip
"""Mistyped mail domains and what was meant."""


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split("|"))


INDIAN_STATES = _listed(
    "Andaman and Nicobar Islands|Andhra Pradesh|Arunachal Pradesh|Assam|Bihar|Chandigarh|Chhattisgarh|"
    "Dadra and Nagar Haveli and Daman and Diu|Delhi|Goa|Gujarat|Haryana|Himachal Pradesh|"
    "Jammu and Kashmir|Jharkhand|Karnataka|Kerala|Ladakh|Lakshadweep|Madhya Pradesh|Maharashtra|"
    "Manipur|Meghalaya|Mizoram|Nagaland|Odisha|Puducherry|Punjab|Rajasthan|Sikkim|Tamil Nadu|"
    "Telangana|Tripura|Uttar Pradesh|Uttarakhand|West Bengal"
)
NIGERIAN_STATES = _listed(
    "Abia|Abuja (FCT)|Adamawa|Akwa Ibom|Anambra|Bauchi|Bayelsa|Benue|Borno|Cross River|Delta|Ebonyi|Edo|"
    "Ekiti|Enugu|Gombe|Imo|Jigawa|Kaduna|Kano|Katsina|Kebbi|Kogi|Kwara|Lagos|Nasarawa|Niger|Ogun|Ondo|"
    "Osun|Oyo|Plateau|Rivers|Sokoto|Taraba|Yobe|Zamfara"
)
AMERICAN_STATES = _listed(
    "Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|District of Columbia|"
    "Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|"
    "Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New Hampshire|"
    "New Jersey|New Mexico|New York|North Carolina|North Dakota|Ohio|Oklahoma|Oregon|Pennsylvania|"
    "Puerto Rico|Rhode Island|South Carolina|South Dakota|Tennessee|Texas|Utah|Vermont|Virginia|"
    "Washington|West Virginia|Wisconsin|Wyoming"
)


@dataclass(frozen=True)
class Rules:
    """How an address looks in a country."""

    postal_label: str = "Postal code"
    postal_pattern: str = ANY_POSTAL_CODE
    #: What is said when it is missing or does not fit.
    postal_words: str = "Enter a postal code of letters and digits, like 1010"
    postal_is_required: bool = False
    #: How the groups of a good code stand apart: sizes from the left; empty for none.
    postal_groups: tuple[int, ...] = ()
    is_numeric: bool = False
    street_label: str = "Street and house number"
    city_label: str = "City"
    city_words: str = "Enter the city"
    #: Empty: no such field.
    state_label: str = ""
    #: Empty with a label: free text, and optional.
    states: tuple[str, ...] = ()
    state_words: str = "Choose the state"
    phone_words: str = "Enter a phone number with its country code, like +46 70 123 45 67"


COUNTRIES = {
    "IN": Rules(
        "PIN code", r"[1-9]\d{5}", "Enter all 6 digits, like 560034", True, (), True,
        "Flat, house number, street", state_label="State", states=INDIAN_STATES,
        phone_words="Enter a mobile number with 10 digits",
    ),
    "SE": Rules(
        "Postcode", r"\d{5}", "Enter all 5 digits, like 111 22", True, (3, 2), True,
        city_label="Town", city_words="Enter the town",
        phone_words="Enter a mobile number, like 070 123 45 67",
    ),
    "NG": Rules(
        "Postal code", r"\d{6}", "Enter all 6 digits, like 101233, or leave it empty", False, (), True,
        "House number and street", state_label="State", states=NIGERIAN_STATES,
        phone_words="Enter a mobile number, like 0803 123 4567",
    ),
    "US": Rules(
        "ZIP code", r"\d{5}(-?\d{4})?", "Enter a ZIP code of 5 digits, like 94107", True, (), True,
        "Street address", state_label="State", states=AMERICAN_STATES,
        phone_words="Enter a phone number with 10 digits, like (415) 555-0132",
    ),
    "GB": Rules(
        "Postcode", r"[A-Z]{1,2}\d[A-Z\d]?\d[A-Z]{2}", "Enter a full postcode, like SW1A 1AA", True, (-3,),
        street_label="House number and street", city_label="Town or city",
        city_words="Enter the town or city", phone_words="Enter a mobile number, like 07400 123456",
    ),
    "DE": Rules(
        "Postcode", r"\d{5}", "Enter all 5 digits, like 10115", True, (), True,
        city_label="Town or city", city_words="Enter the town or city",
        phone_words="Enter a mobile number, like 01512 3456789",
    ),
}  # fmt: skip
"""The countries that the shop knows well. Every other one takes ELSEWHERE."""

ELSEWHERE = Rules(state_label="State, province or region")


def rules_of(country: str) -> Rules:
    """How an address looks there."""
    return COUNTRIES.get(country, ELSEWHERE)


@cache
def countries() -> list[tuple[str, str]]:
    """(code, name): the countries known well, then all the others by name."""
    named = dict(country_choices())
    return [(code, named[code]) for code in COUNTRIES] + [
        (code, name) for code, name in country_choices() if code not in COUNTRIES
    ]


@cache
def _names() -> dict[str, str]:
    return dict(countries())


def country_name(country: str) -> str:
    """The country's English name; its code where it has none."""
    return _names().get(country, country)


def read_country(form: Form, prefix: str = "", default: str = "IN") -> str:
    """The country that was chosen; anything unknown is the default."""
    asked = form.get(f"{prefix}country", "")
    return asked if asked in _names() else default


def read_address(
    form: Form, country: str, prefix: str = ""
) -> tuple[dict[str, str], dict[str, str]]:
    """The address for this country, and what is wrong with it: {field's name: words}.

    Without a prefix it is the delivery address, to which a phone number belongs.
    """
    rules = rules_of(country)
    typed = {name: free_text(form.get(prefix + name)) for name in LENGTHS}
    errors = {
        name: f"Use at most {most} characters"
        for name, most in LENGTHS.items()
        if len(typed[name]) > most
    }
    postal_code = read_postal_code(form.get(f"{prefix}postal_code", ""), rules)
    state, state_error = _read_state(typed["state"], rules)
    phone, phone_error = ("", "") if prefix else read_phone(form, country)
    wrong = {
        "tel": phone_error,
        "name": "" if typed["name"] else "Enter the name on the door or letterbox",
        "postal_code": rules.postal_words if postal_code is None else "",
        "city": "" if typed["city"] else rules.city_words,
        "state": state_error,
        "address_line1": "" if typed["address_line1"] else "Enter your street and house number",
    }
    errors = {**{name: words for name, words in wrong.items() if words}, **errors}
    address = {
        "recipient": typed["name"], "phone": phone, "line1": typed["address_line1"],
        "line2": typed["address_line2"], "landmark": typed["landmark"], "city": typed["city"],
        "state": state, "postal_code": postal_code or "", "country": country,
    }  # fmt: skip
    return address, {prefix + name: words for name, words in errors.items()}


def read_postal_code(typed: str, rules: Rules) -> str | None:
    """The code in the country's own spelling; empty where it may be; None when it does not fit."""
    code = tidy(typed).upper()
    if not code:
        return None if rules.postal_is_required else ""
    if rules.postal_pattern == ANY_POSTAL_CODE:
        return code if re.fullmatch(ANY_POSTAL_CODE, code, re.ASCII) else None
    code = SEPARATED.sub("", code)
    if not re.fullmatch(rules.postal_pattern, code, re.ASCII):
        return None
    if len(code) == 9:
        return f"{code[:5]}-{code[5:]}"
    if rules.postal_groups:
        return f"{code[: rules.postal_groups[0]]} {code[rules.postal_groups[0] :]}"
    return code


def _read_state(typed: str, rules: Rules) -> tuple[str, str]:
    if not rules.state_label:
        return "", ""
    if not rules.states:
        return typed, ""
    found = {name.casefold(): name for name in rules.states}.get(typed.casefold())
    return (found, "") if found else (typed, rules.state_words)


def read_phone(form: Form, country: str) -> tuple[str, str]:
    """The number in E.164, and what is wrong with it."""
    # Its tables are large, and most requests never ask for them.
    import phonenumbers

    words = rules_of(country).phone_words
    typed = tidy(form.get("tel", ""))
    if not typed or len(typed) > 40:
        return "", words
    try:
        number = phonenumbers.parse(typed, country)
    except phonenumbers.NumberParseException:
        return "", words
    if number.extension or not phonenumbers.is_valid_number(number):
        return "", words
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), ""


def read_email(form: Form) -> tuple[str, str]:
    """The address as mail can reach it, and what is wrong with it. Nothing is asked of the network."""
    typed = tidy(form.get("email", ""))
    if not typed:
        return "", "Enter your email"
    found = emails.normalized(typed)
    if found is None or len(found) > 254:
        return typed, "Enter an email like name@example.com"
    return found, ""


def meant_email(email: str) -> str:
    """What was probably meant, when the domain is a well-known slip; else empty."""
    name, _, domain = email.rpartition("@")
    meant = TYPOS.get(domain.casefold(), "")
    return f"{name}@{meant}" if name and meant else ""


def free_text(typed: str | None) -> str:
    """Text as a person typed it, tidied, and without card numbers (security.md, S88)."""
    return CARD_RUN.sub(_masked, tidy(typed))


def _masked(run: re.Match[str]) -> str:
    """Mask each 13 to 19 digits, in whole groups, that pass the check of card numbers."""
    text = run.group()
    groups = [(found.start(), found.end()) for found in re.finditer(r"\d+", text)]
    for first, (start, _) in enumerate(groups):
        for _, end in reversed(groups[first:]):
            digits = re.sub(r"\D", "", text[start:end])
            if 13 <= len(digits) <= 19 and _passes_luhn(digits):
                rest = CARD_RUN.sub(_masked, text[end:])
                return f"{text[:start]}•••• {digits[-4:]}{rest}"
    return text


def _passes_luhn(digits: str) -> bool:
    doubled = [int(sign) * 2 for sign in digits[-2::-2]]
    plain = [int(sign) for sign in digits[-1::-2]]
    return (sum(plain) + sum(n // 10 + n % 10 for n in doubled)) % 10 == 0
