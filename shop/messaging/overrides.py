"""The words of messages as the owner wants them: kept in the database over the built-in ones.

Each saving adds a version, so that every earlier one can be brought back, the built-in words (a
version that changes nothing) among them. What is kept was checked when it was saved; a part that a
later release could no longer fill is passed over, and the built-in words stand in for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import func, select

from shop.audit import recording as audit
from shop.database import insert_ignore
from shop.errors import Conflict, NotFound
from shop.extensions import db
from shop.messaging.languages import LANGUAGES, languages_of
from shop.messaging.models import MessageWording
from shop.messaging.placeholders import fault_in, placeholders_of
from shop.messaging.whatsapp_templates import WHATSAPP
from shop.messaging.wordings import BLANKS, PARTS, WORDINGS, Wording
from shop.preferences import preference

log = structlog.get_logger()


@dataclass(frozen=True)
class Place:
    """Which words: of a template, by a channel, in a language. `check` says whether there are such."""

    template: str
    channel: str
    language: str

    @property
    def subject(self) -> str:
        """How the audit names it."""
        return f"wording:{self.template}:{self.channel}:{self.language}"


def channels_of(template: str) -> list[str]:
    """The kinds by which this message can go: those that have words for it."""
    known = {"email": WORDINGS, "sms": LANGUAGES["en"].sms, "whatsapp": WHATSAPP}
    return [kind for kind, table in known.items() if template in table]


def check(place: Place) -> Place:
    """The same place. Raises NotFound when there are no such words."""
    is_known = place.channel in channels_of(place.template)
    if not is_known or place.language not in languages_of(place.template, place.channel):
        raise NotFound("There is no such message.")
    return place


def wording_of(template: str, language: str) -> Wording:
    """The words of a mail in force. Raises KeyError for an unknown template."""
    place = Place(template, "email", language)
    return _built_in_mail(template, language).with_words(_changed(place))


def sms_of(template: str, language: str) -> str:
    """The text of an SMS in force. Raises KeyError where there is none."""
    built_in = _built_in_sms(template, language)
    return _changed(Place(template, "sms", language)).get("text", built_in)


def whatsapp_name_of(template: str, language: str) -> str:
    """The name of the template at the provider. Raises KeyError where there is none."""
    built_in = WHATSAPP[template].name
    return _changed(Place(template, "whatsapp", language)).get("name", built_in)


def spoken(template: str, channel: str, language: str) -> str:
    """The language in which this message goes to a reader of `language`: one that has words for it."""
    if channel == "whatsapp":
        approved = str(preference("whatsapp_languages")).split(", ")
        return language if language in approved else approved[0]
    return language if language in languages_of(template, channel) else "en"


def built_in(place: Place) -> dict[str, str]:
    """Part → the words that the program came with."""
    if place.channel == "sms":
        return {"text": _built_in_sms(place.template, place.language)}
    if place.channel == "whatsapp":
        return {"name": WHATSAPP[place.template].name}
    wording = _built_in_mail(place.template, place.language)
    parts = [part for part in PARTS if part != "caption" or _has_caption(wording)]
    return {part: getattr(wording, part) for part in parts}


def in_force(place: Place) -> dict[str, str]:
    """Part → the words that are sent now."""
    return built_in(place) | _changed(place)


def newest(place: Place) -> MessageWording | None:
    """The last change; None where nobody ever changed these words."""
    found: MessageWording | None = db.session.scalar(_versions(place).limit(1))
    return found


def history(place: Place) -> Sequence[MessageWording]:
    """All changes, the newest first."""
    return db.session.scalars(_versions(place)).all()


def changed_places() -> dict[tuple[str, str, str], MessageWording]:
    """Where the words in force differ from the built-in ones."""
    last = (
        select(func.max(MessageWording.id).label("id"))
        .group_by(MessageWording.template, MessageWording.channel, MessageWording.language)
        .subquery()
    )
    rows = db.session.scalars(select(MessageWording).join(last, last.c.id == MessageWording.id))
    return {(row.template, row.channel, row.language): row for row in rows if row.parts}


def tidy(typed: Mapping[str, str]) -> dict[str, str]:
    """The parts as they are kept: blanks and line breaks are one blank."""
    return {part: BLANKS.sub(" ", words).strip() for part, words in typed.items()}


def faults(place: Place, parts: Mapping[str, str]) -> dict[str, str]:
    """Part → what is wrong with its words, for the owner to read. Empty: they can be sent."""
    known = placeholders_of(place.template)
    wrong = {part: fault_in(part, words, known) for part, words in parts.items()}
    return {part: words for part, words in wrong.items() if words}


def save(place: Place, parts: Mapping[str, str], seen: int, actor: str) -> None:
    """Keep these words, which were checked. `seen` is the version that the editor showed.

    Raises Conflict when somebody saved in between. Nothing is written when nothing changed.
    """
    original = built_in(place)
    different = {part: words for part, words in parts.items() if words != original[part]}
    _add(place, different, seen, actor, "wording.changed")


def back_to_built_in(place: Place, seen: int, actor: str) -> None:
    """The words that the program came with are sent again. Raises Conflict."""
    _add(place, {}, seen, actor, "wording.reset")


def restore(place: Place, version: int, seen: int, actor: str) -> None:
    """An earlier version is sent again. Raises NotFound, and Conflict as `save` does."""
    found = db.session.scalar(_versions(place).where(MessageWording.version == version))
    if found is None:
        raise NotFound("There is no such version.")
    kept = {
        part: words for part, words in found.parts.items() if part not in faults(place, found.parts)
    }
    _add(place, kept, seen, actor, "wording.restored")


def _add(place: Place, parts: dict[str, str], seen: int, actor: str, action: str) -> None:
    last = newest(place)
    version, before = (last.version, last.parts) if last else (0, {})
    if version != seen:
        raise Conflict("Somebody changed these words meanwhile. Look at theirs, then save again.")
    if parts == before:
        return
    user = actor.removeprefix("user:")
    row: dict[str, Any] = {
        "template": place.template, "channel": place.channel, "language": place.language,
        "version": version + 1, "parts": parts, "changed_by": int(user) if user.isdigit() else None,
    }  # fmt: skip
    if insert_ignore(MessageWording, row) is None:
        raise Conflict("Somebody changed these words meanwhile. Look at theirs, then save again.")
    audit.write(actor, action, place.subject, before, parts)


def _versions(place: Place) -> Any:
    return (
        select(MessageWording)
        .where(
            MessageWording.template == place.template,
            MessageWording.channel == place.channel,
            MessageWording.language == place.language,
        )
        .order_by(MessageWording.version.desc())
    )


def _changed(place: Place) -> dict[str, str]:
    """What is kept for the place and can still be filled."""
    last = newest(place)
    if last is None or not last.parts:
        return {}
    wrong = faults(place, last.parts)
    if wrong:
        log.warning("wording.passed_over", place=place.subject, parts=sorted(wrong))
    return {part: words for part, words in last.parts.items() if part not in wrong}


def _built_in_mail(template: str, language: str) -> Wording:
    said = LANGUAGES[language].mail.get(template)
    wording = WORDINGS[template]
    return wording.with_words(said) if said else wording


def _built_in_sms(template: str, language: str) -> str:
    return LANGUAGES[language].sms.get(template) or LANGUAGES["en"].sms[template]


def _has_caption(wording: Wording) -> bool:
    return bool({"lines", "parcel_lines", "goods"} & set(wording.sections))
