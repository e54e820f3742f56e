"""The fields of the checkout's form, for the templates: names, labels, values and what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from markupsafe import Markup

from shop.accounts.addresses import (
    Rules,
    countries,
    meant_email,
    read_address,
    read_country,
    read_email,
    rules_of,
)

Form = Mapping[str, str]

CHECKED = ("email", "tel", "name", "postal_code", "city", "state", "address_line1")
"""Fields that the server looks at as soon as they are left."""

TICKED = frozenset({"email", "tel", "postal_code"})
"""Only these show that they are right."""


@dataclass(frozen=True)
class Field:
    """One field as it is drawn. `autocomplete` is the browser's word for it."""

    name: str
    label: str
    autocomplete: str
    value: str = ""
    error: str = ""
    hint: str = ""
    type: str = "text"
    inputmode: str = ""
    maxlength: int = 0
    #: Its width in the form's six columns.
    span: int = 6
    options: Sequence[tuple[str, str]] = ()
    is_optional: bool = False
    #: The server looks at it when it is left.
    is_checked: bool = False
    #: It is filled in and right, and says so.
    is_good: bool = False
    #: What was probably meant by a mistyped address.
    meant: str = ""


def contact_fields(form: Form, errors: Mapping[str, str]) -> list[Field]:
    """How the shopper is reached."""
    return [field_of(name, form, errors) for name in ("email", "tel")]


def address_fields(form: Form, errors: Mapping[str, str], prefix: str = "") -> list[Field]:
    """Where the parcel, or with the prefix the bill, goes."""
    rules = rules_of(read_country(form, prefix))
    wanted = ["name", "postal_code", "city"]
    wanted += ["state"] if rules.state_label else []
    return [field_of(prefix + name, form, errors) for name in [*wanted, "address_line1"]]


def extra_fields(form: Form, errors: Mapping[str, str], prefix: str = "") -> list[Field]:
    """What most addresses do not need."""
    return [field_of(prefix + name, form, errors) for name in ("address_line2", "landmark")]


def checked_field(name: str, form: Form) -> Field:
    """One field, looked at by itself. An empty one is not found fault with before the form is sent."""
    if not form.get(name, "").strip():
        return field_of(name, form, {})
    if name == "email":
        email, error = read_email(form)
        return field_of(name, form, {name: error}, "" if error else meant_email(email))
    _, errors = read_address(form, read_country(form))
    return field_of(name, form, errors)


def options_html(choices: Sequence[tuple[str, str]], chosen: str) -> Markup:
    """The options of a select, the chosen one marked; upper and lower case count alike.

    A form has 250 countries, twice: what is the same for everybody is written once.
    """
    wanted = chosen.lower()
    tags = [marked if code == wanted else plain for code, plain, marked in _tags(tuple(choices))]
    return Markup("".join(tags))  # noqa: S704  (its parts are escaped below)


@cache
def _tags(choices: tuple[tuple[str, str], ...]) -> list[tuple[str, str, str]]:
    plain = Markup('<option value="{}">{}</option>')
    marked = Markup('<option value="{}" selected>{}</option>')
    return [
        (code.lower(), str(plain.format(code, words)), str(marked.format(code, words)))
        for code, words in choices
    ]


def field_of(name: str, form: Form, errors: Mapping[str, str], meant: str = "") -> Field:
    """The field of this name, with or without the billing address's prefix."""
    prefix = "billing_" if name.startswith("billing_") else ""
    plain = name.removeprefix(prefix)
    kind = "billing" if prefix else "shipping"
    shape = _shape(plain, read_country(form, prefix), kind)
    value, error = form.get(name, ""), errors.get(name, "")
    is_good = name in TICKED and bool(value.strip()) and not error and _is_good(name, form)
    return replace(
        shape,
        name=name,
        value=value,
        error=error,
        meant=meant,
        is_checked=name in CHECKED,
        is_good=is_good,
    )


def _is_good(name: str, form: Form) -> bool:
    if name == "email":
        return not read_email(form)[1]
    return name not in read_address(form, read_country(form))[1]


@cache
def _shape(name: str, country: str, kind: str) -> Field:
    """The empty field. The country is one of a list, so there are not many of these."""
    return _contact(name) or _place(name, rules_of(country), kind)


def _contact(name: str) -> Field | None:
    if name == "email":
        hint = "Receipt and tracking go here. No account needed."
        return Field(
            name,
            "Email",
            "email",
            hint=hint,
            type="email",
            inputmode="email",
            span=3,
            maxlength=254,
        )
    if name == "tel":
        hint = "Only for the courier on delivery day."
        return Field(
            name,
            "Mobile number",
            "tel",
            hint=hint,
            type="tel",
            inputmode="tel",
            span=3,
            maxlength=40,
        )
    return None


def _place(name: str, rules: Rules, kind: str) -> Field:
    third = 2 if rules.state_label else 3
    states = [("", "Choose"), *((one, one) for one in rules.states)] if rules.states else ()
    shapes = (
        Field("country", "Country", f"{kind} country", options=countries()),
        Field("name", "Full name", f"{kind} name", maxlength=120),
        Field(
            "postal_code", rules.postal_label, f"{kind} postal-code", span=third, maxlength=16,
            inputmode="numeric" if rules.is_numeric else "", is_optional=not rules.postal_is_required,
        ),
        Field("city", rules.city_label, f"{kind} address-level2", span=third, maxlength=80),
        Field(
            "state", rules.state_label, f"{kind} address-level1", span=third, maxlength=80, options=states,
            is_optional=not rules.states,
        ),
        Field("address_line1", rules.street_label, f"{kind} address-line1", maxlength=200),
        Field(
            "address_line2", "Company, building or floor", f"{kind} address-line2", maxlength=200,
            is_optional=True,
        ),
        Field("landmark", "Landmark", "off", maxlength=120, is_optional=True),
    )  # fmt: skip
    return next(shape for shape in shapes if shape.name == name)
