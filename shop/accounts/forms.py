"""The account's forms. Fields are read by name from these classes; whatever else is sent is nothing."""

import re
from functools import cache
from typing import Any

from babel import Locale
from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, ValidationError

from shop.accounts import emails
from shop.accounts.models import AddressKind

PHONE = re.compile(r"\+?[0-9][0-9 ()\-]{5,18}")
POSTAL_CODE = {"IN": re.compile(r"[1-9][0-9]{5}")}
NO_COUNTRIES = {"EU", "EZ", "UN", "XA", "XB", "ZZ", "QO"}
"""Unions, oceans and the like, which Babel counts among the territories."""

KINDS = [(kind.value, kind.value.capitalize()) for kind in AddressKind]
"""(value, words) of the kinds of address."""

ANY_POSTAL_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 \-]{1,14}")


def tidy(value: str | None) -> str:
    """Without blanks at the ends and without the control signs that no name or address has."""
    return "".join(sign for sign in (value or "") if sign.isprintable()).strip()


def email_address(_form: FlaskForm, field: StringField) -> None:
    """An address of the form that mail can reach, folded. Names of the demo need not exist."""
    found = emails.normalized(field.data or "")
    if found is None:
        raise ValidationError("Enter an email address such as name@example.com.")
    field.data = found.casefold()
    if len(field.data) > 254:
        raise ValidationError("Use at most 254 characters.")


def wanted(words: str) -> InputRequired:
    """The field must be filled; `words` say so."""
    return InputRequired(words)


class Form(FlaskForm):
    """A form whose token the guards have checked already."""

    class Meta:
        """Flask-WTF would check the token a second time."""

        csrf = False

    @property
    def faults(self) -> dict[str, str]:
        """The first fault of each field by its name, for the summary above the form."""
        return {field.name: field.errors[0] for field in self if field.errors}


class SignInForm(Form):
    """Address and password. What is wrong is never told more closely than in one sentence."""

    email = StringField("Email", filters=[tidy], validators=[wanted("Enter your email address.")])
    password = PasswordField("Password", validators=[wanted("Enter your password.")])
    next = StringField()


class RegisterForm(Form):
    """A new customer."""

    name = StringField("Name", filters=[tidy], validators=[wanted("Enter your name."), Length(max=120, message="Use at most 120 characters.")])  # fmt: skip
    email = StringField("Email", filters=[tidy], validators=[wanted("Enter your email address."), email_address])  # fmt: skip
    password = PasswordField("Password", validators=[wanted("Choose a password.")])


class EmailForm(Form):
    """An address to which something is mailed."""

    email = StringField("Email", filters=[tidy], validators=[wanted("Enter your email address."), email_address])  # fmt: skip


class ChangeEmailForm(EmailForm):
    """Another address, against the present password."""

    proof = PasswordField("Present password", validators=[wanted("Enter your present password.")])


class NewPasswordForm(Form):
    """A new password, by a mailed link."""

    password = PasswordField("New password", validators=[wanted("Choose a new password.")])


class CodeForm(Form):
    """A code of an authenticator app, or a recovery code."""

    code = StringField("Code", filters=[tidy], validators=[wanted("Enter the code."), Length(max=40, message="That is too long for a code.")])  # fmt: skip
    next = StringField()


class PasswordForm(Form):
    """The password once more: to step up, or to delete the account."""

    password = PasswordField("Password", validators=[wanted("Enter your password.")])
    next = StringField()


class ChangePasswordForm(Form):
    """The present password and the new one."""

    present = PasswordField("Present password", validators=[wanted("Enter your present password.")])
    password = PasswordField("New password", validators=[wanted("Choose a new password.")])


class AddressForm(Form):
    """An entry of the address book. The checkout checks it again, for the country's delivery."""

    recipient = StringField("Full name", filters=[tidy], validators=[wanted("Enter who receives the parcel."), Length(max=120, message="Use at most 120 characters.")])  # fmt: skip
    phone = StringField("Phone", filters=[tidy])
    line1 = StringField("House number and street", filters=[tidy], validators=[wanted("Enter the house number and street."), Length(max=200, message="Use at most 200 characters.")])  # fmt: skip
    line2 = StringField("Area, building, floor", filters=[tidy], validators=[Length(max=200, message="Use at most 200 characters.")])  # fmt: skip
    landmark = StringField("Landmark", filters=[tidy], validators=[Length(max=120, message="Use at most 120 characters.")])  # fmt: skip
    city = StringField("City", filters=[tidy], validators=[wanted("Enter the city."), Length(max=80, message="Use at most 80 characters.")])  # fmt: skip
    state = StringField("State", filters=[tidy], validators=[Length(max=80, message="Use at most 80 characters.")])  # fmt: skip
    postal_code = StringField("PIN or postal code", filters=[tidy], validators=[wanted("Enter the PIN or postal code.")])  # fmt: skip
    country = SelectField("Country", default="IN")
    kind = SelectField("Where this is", choices=[SelectChoice(*pair) for pair in KINDS], default="home")  # fmt: skip
    is_default = BooleanField("Use this address first")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.country.choices = [SelectChoice(*pair) for pair in country_choices()]
        self.countries, self.kinds = country_choices(), KINDS

    @property
    def values(self) -> dict[str, Any]:
        """The fields by column."""
        return {name: value for name, value in self.data.items() if name != "csrf_token"}

    def validate_phone(self, field: StringField) -> None:
        """Couriers ring: digits, perhaps with a country code."""
        if field.data and not PHONE.fullmatch(field.data):
            raise ValidationError("Enter a phone number such as +91 98765 43210.")

    def validate_postal_code(self, field: StringField) -> None:
        """Six digits in India; elsewhere letters and digits."""
        pattern = POSTAL_CODE.get(self.country.data or "", ANY_POSTAL_CODE)
        if not pattern.fullmatch(field.data or ""):
            wish = "Use 6 digits, such as 411004." if self.country.data == "IN" else "Check the postal code."  # fmt: skip
            raise ValidationError(wish)


@cache
def country_choices() -> list[tuple[str, str]]:
    """(code, English name) of every country, by name."""
    names = {str(code): name for code, name in Locale("en").territories.items()}
    codes = {code for code in names if len(code) == 2 and code.isalpha()} - NO_COUNTRIES
    return sorted(((code, names[code]) for code in codes), key=lambda pair: pair[1])
