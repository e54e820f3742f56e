"""The languages in which the shop writes to its customers, with their money, days and numbers.

A language is plain data: whole messages (`mail`, `sms`) and the phrases that the facts of an order
become. Babel knows how it writes amounts and days. What a language does not say is said in English.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from babel import Locale
from babel.dates import format_date

from shop.clock import local
from shop.messaging.languages import english as english
from shop.messaging.languages import french as french
from shop.messaging.languages import hindi as hindi
from shop.messaging.languages import swedish as swedish
from shop.messaging.wordings import WORDINGS, Words, filled_in
from shop.money import format_minor
from shop.pages import clock
from shop.preferences import preference


@dataclass(frozen=True)
class Language:
    """One language. `code` is that of order.locale ("sv" of "sv_SE") and of WhatsApp's templates."""

    code: str
    #: In English, for staff.
    name: str
    #: By Babel's names: how days and how amounts are written.
    days_in: str
    money_in: str
    #: Template → its words. English has none here: its words are the WORDINGS themselves.
    mail: Mapping[str, Words]
    #: Template → the text of an SMS.
    sms: Mapping[str, str]
    #: What the facts of an order become in a sentence.
    phrases: Mapping[str, str]

    def say(self, phrase: str, **values: Any) -> str:
        """A phrase with its values. Raises KeyError for one that is not even in English."""
        words = self.phrases.get(phrase) or english.PHRASES[phrase]
        return filled_in(words, {name: str(value) for name, value in values.items()})

    def knows(self, phrase: str) -> bool:
        """Whether there is such a phrase."""
        return phrase in self.phrases

    def counted(self, phrase: str, count: int) -> str:
        """A phrase in the form that the count asks for: "1 item", "3 items"."""
        form = Locale(self.code).plural_form(count)
        name = f"{phrase}_{form}" if f"{phrase}_{form}" in self.phrases else f"{phrase}_other"
        return self.say(name, count=count)

    def money(self, amount_minor: int, currency: str) -> str:
        """An amount (minor units) as this language writes it."""
        return format_minor(amount_minor, currency, self.money_in)

    def day(self, value: datetime | date) -> str:
        """Tue 24 Nov, by the shop's clock."""
        return self._dated(value, "EEE d MMM")

    def long_day(self, value: datetime | date) -> str:
        """Tuesday 24 November, by the shop's clock."""
        return self._dated(value, "EEEE d MMMM")

    def moment(self, value: datetime) -> str:
        """Tue 24 Nov, 18:00, by the shop's clock."""
        return f"{self.day(value)}, {clock(value)}"

    def country(self, code: str) -> str:
        """A country's name; empty for an unknown code."""
        return str(Locale(self.code).territories.get(code, ""))

    def _dated(self, value: datetime | date, pattern: str) -> str:
        shown = local(value) if isinstance(value, datetime) else value
        return format_date(shown, pattern, locale=self.days_in)


LANGUAGES = {
    language.code: language
    for language in (
        Language("en", "English", "en_GB", "en_IN", {}, english.SMS, english.PHRASES),
        Language("hi", "Hindi", "hi_IN", "hi_IN", hindi.MAIL, hindi.SMS, hindi.PHRASES),
        Language("sv", "Swedish", "sv_SE", "sv_SE", swedish.MAIL, swedish.SMS, swedish.PHRASES),
        Language("fr", "French", "fr_FR", "fr_FR", french.MAIL, french.SMS, french.PHRASES),
    )
}
"""By code; English first. The preference default_language names one of them."""

ENGLISH = LANGUAGES["en"]


def language_of(locale: str) -> str:
    """The code of the language for a locale such as "sv_SE"; the shop's default for any other."""
    code = locale.replace("-", "_").partition("_")[0].lower()
    return code if code in LANGUAGES else str(preference("default_language"))


def first_offered(wanted: Iterable[str]) -> str:
    """The first of a browser's languages that is offered, as it names it; empty when none is."""
    for name in wanted:
        if name.replace("-", "_").partition("_")[0].lower() in LANGUAGES:
            return name.replace("-", "_")[:12]
    return ""


def languages_of(template: str, channel: str) -> list[str]:
    """The codes of the languages in which this message has words of its own."""
    if channel == "whatsapp" or template not in WORDINGS:
        return list(LANGUAGES)
    told = [code for code, one in LANGUAGES.items() if template in getattr(one, _TABLES[channel])]
    return ["en", *(code for code in told if code != "en")]


_TABLES = {"email": "mail", "sms": "sms"}
