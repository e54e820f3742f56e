"""The words of messages: which there are, changing them, and seeing what comes out."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from flask import Response, current_app, make_response, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.messages import CHANNEL_WORDS, framed
from shop.admin.rendering import done, names_of, screen, shown_again
from shop.database import transaction
from shop.errors import NotFound, Refused
from shop.headers import allow_sources
from shop.messaging import overrides, rendering, switches, trying_out
from shop.messaging.events import Audience
from shop.messaging.facts import load
from shop.messaging.filling import filled
from shop.messaging.languages import LANGUAGES, languages_of
from shop.messaging.overrides import Place
from shop.messaging.placeholders import LONGEST, placeholders_of
from shop.messaging.samples import Sample, sample_of
from shop.messaging.sms_text import length_of
from shop.messaging.whatsapp_templates import WHATSAPP

PARTS = {
    "subject": ("Subject", "What stands in the list of mails."),
    "preheader": ("Line beside it", "What mail programs show after the subject."),
    "headline": ("Headline", "Large, on the panel."),
    "sentence": ("Sentence", "Under the headline."),
    "button": ("Button", ""),
    "caption": ("Above the lines", ""),
    "text": ("Text", "One SMS holds 160 characters, or 70 with signs such as ₹ or Devanagari."),
    "name": ("Template", "Its name at your provider, as it was approved."),
}
"""Part → label and hint."""
LONG_PARTS = {"sentence", "text"}
#: The frame's own small page: only the admin's style sheets.
PREVIEW_POLICY = (
    "default-src 'none'; style-src 'self'; font-src 'self'; frame-ancestors 'self'; base-uri 'none';"
    " form-action 'none'"
)
NO_SAMPLE = "There is nothing yet to show this message with."


@dataclass(frozen=True)
class Way:
    """One channel of a message in the list: its switch, and its languages with whether they are changed."""

    line: switches.Line
    languages: list[tuple[str, bool]]


@bp.get("/messages/words")
@needs(Right.CHANGE_WORDS)
def message_words() -> ResponseReturnValue:
    """All messages: their channels, what is switched on, and where the words are changed."""
    return show_list()


def show_list(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The page; `problem` is what was refused just now."""
    changed = overrides.changed_places()
    lines = switches.lines()
    groups: dict[Audience, list[tuple[str, list[Way]]]] = {
        Audience.CUSTOMER: [],
        Audience.OWNER: [],
    }
    for template, told in groupby(lines, key=lambda line: line.telling.template):
        ways = [_way(line, changed) for line in told]
        groups[ways[0].line.telling.audience].append((template, ways))
    return screen(
        "admin/message_words.html",
        status,
        section="admin.messages",
        problem=problem,
        groups={"To customers": groups[Audience.CUSTOMER], "To you": groups[Audience.OWNER]},
        channels=CHANNEL_WORDS,
        languages=LANGUAGES,
    )


def _way(line: switches.Line, changed: Any) -> Way:
    template, channel = line.telling.template, line.telling.channel
    codes = languages_of(template, channel)
    return Way(line, [(code, (template, channel, code) in changed) for code in codes])


@bp.post("/messages/words/switch")
@needs(Right.CHANGE_WORDS)
@shown_again(show_list)
def message_switch() -> ResponseReturnValue:
    """Switch an event's messages by one channel on or off."""
    event, channel = request.form.get("event", ""), request.form.get("channel", "")
    is_on = request.form.get("on") == "yes"
    with transaction():
        switches.switch(event, channel, is_on, current_user.id, staff_actor())
    words = CHANNEL_WORDS.get(channel, channel)
    return done(url_for("admin.message_words"), f"{words} is switched {'on' if is_on else 'off'}.")


@bp.get("/messages/words/<template>/<channel>/<language>")
@needs(Right.CHANGE_WORDS)
def message_edit(template: str, channel: str, language: str) -> ResponseReturnValue:
    """The words in force, with their placeholders and a preview."""
    return show_editor(template, channel, language)


def show_editor(
    template: str,
    channel: str,
    language: str,
    *,
    typed: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    """The page; `typed` are words that were refused, with what is wrong with each part."""
    place = overrides.check(Place(template, channel, language))
    allow_sources({"frame-src": ("'self'",)})
    versions = overrides.history(place)
    number, sample = _sample(template)
    return screen(
        "admin/message_edit.html",
        status,
        section="admin.messages",
        problem=problem,
        place=place,
        version=versions[0].version if versions else 0,
        is_changed=bool(versions and versions[0].parts),
        original=overrides.built_in(place),
        words=typed or (_typed(place) if problem else overrides.in_force(place)),
        faults=faults or {},
        parts=PARTS,
        long_parts=LONG_PARTS,
        longest=LONGEST,
        known=placeholders_of(template),
        values=_values(sample, language),
        spoken=overrides.spoken(template, channel, language),
        approved=WHATSAPP[template] if channel == "whatsapp" else None,
        versions=versions,
        names=names_of(f"user:{row.changed_by}" for row in versions),
        channels=CHANNEL_WORDS,
        other_channels=overrides.channels_of(template),
        languages={code: LANGUAGES[code].name for code in languages_of(template, channel)},
        sample=sample,
        order=number,
        no_sample=NO_SAMPLE,
    )


def _sample(template: str) -> tuple[str, Sample | None]:
    """The order's number that was asked for, and what the message is shown with."""
    number = request.values.get("order", "").strip()[:20]
    try:
        found = sample_of(template, number)
    except NotFound:
        found = sample_of(template)
    return (found.number if found else ""), found


def _values(sample: Sample | None, language: str) -> dict[str, str]:
    """What the placeholders become with this sample."""
    if sample is None:
        return {}
    return filled(load(sample.subject, sample.context), sample.context, LANGUAGES[language])


def _typed(place: Place) -> dict[str, str]:
    """The words in the form, tidied; parts that the form does not hold are as they are."""
    held = overrides.in_force(place)
    sent = {part: request.form.get(part, held[part])[:2000] for part in held}
    return overrides.tidy(sent)


def _seen() -> int:
    """The version that the form was opened with."""
    value = request.form.get("version", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else -1


@bp.post("/messages/words/<template>/<channel>/<language>")
@needs(Right.CHANGE_WORDS)
@shown_again(show_editor)
def message_save(template: str, channel: str, language: str) -> ResponseReturnValue:
    """Keep the words, if each placeholder in them can be filled."""
    place = overrides.check(Place(template, channel, language))
    typed = _typed(place)
    faults = overrides.faults(place, typed)
    if faults:
        problem = "These words cannot be sent yet. Nothing was saved."
        return show_editor(
            template, channel, language, typed=typed, faults=faults, problem=problem, status=422
        )
    with transaction():
        overrides.save(place, typed, _seen(), staff_actor())
    return _back(place, "The words are saved. The next message says them.")


@bp.post("/messages/words/<template>/<channel>/<language>/reset")
@needs(Right.CHANGE_WORDS)
@shown_again(show_editor)
def message_reset(template: str, channel: str, language: str) -> ResponseReturnValue:
    """Back to the words that the program came with."""
    place = overrides.check(Place(template, channel, language))
    with transaction():
        overrides.back_to_built_in(place, _seen(), staff_actor())
    return _back(place, "The built-in words are back. Yours are kept below.")


@bp.post("/messages/words/<template>/<channel>/<language>/restore")
@needs(Right.CHANGE_WORDS)
@shown_again(show_editor)
def message_restore(template: str, channel: str, language: str) -> ResponseReturnValue:
    """Back to an earlier version."""
    place = overrides.check(Place(template, channel, language))
    wanted = request.form.get("wanted", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 9):
        raise NotFound
    with transaction():
        overrides.restore(place, int(wanted), _seen(), staff_actor())
    return _back(place, "The earlier words are back.")


@bp.post("/messages/words/<template>/<channel>/<language>/test")
@needs(Right.CHANGE_WORDS)
@shown_again(show_editor)
def message_test(template: str, channel: str, language: str) -> ResponseReturnValue:
    """Send the saved words to the person who asks."""
    place = overrides.check(Place(template, channel, language))
    _, sample = _sample(template)
    if sample is None:
        raise Refused(NO_SAMPLE)
    with transaction():
        recipient = trying_out.ask_for(place, sample, current_user)
    return _back(place, f"A test with the saved words goes to {recipient}.")


def _back(place: Place, words: str) -> Response:
    address = url_for(
        "admin.message_edit", template=place.template, channel=place.channel,
        language=place.language, order=request.form.get("order") or None,
    )  # fmt: skip
    return done(address, words)


@bp.get("/messages/words/<template>/<channel>/<language>/preview")
@needs(Right.CHANGE_WORDS)
def message_preview(template: str, channel: str, language: str) -> ResponseReturnValue:
    """What goes out with the saved words, for the frame beside them."""
    place = overrides.check(Place(template, channel, language))
    return _preview(place, overrides.in_force(place))


@bp.post("/messages/words/<template>/<channel>/<language>/preview")
@needs(Right.CHANGE_WORDS)
def message_preview_typed(template: str, channel: str, language: str) -> ResponseReturnValue:
    """The same with the words that stand in the form; nothing is saved."""
    place = overrides.check(Place(template, channel, language))
    return _preview(place, _typed(place))


def _preview(place: Place, words: dict[str, str]) -> Response:
    """Made by what makes the real message. Words that cannot be filled are named instead."""
    faults = overrides.faults(place, words)
    _, sample = _sample(place.template)
    if faults or sample is None:
        told = [f"{PARTS[part][0]}: {fault}" for part, fault in faults.items()]
        return _small(problems=told or [NO_SAMPLE])
    wish = (place.template, sample.subject, sample.context, place.language, words)
    if place.channel == "sms":
        text = rendering.render_sms(*wish)
        return _small(text=text, length=length_of(text))
    if place.channel == "whatsapp":
        return _small(whatsapp=rendering.whatsapp(*wish))
    made = rendering.render(*wish)
    return _small(mail=made) if request.values.get("as") == "text" else framed(made.html)


def _small(**shown: Any) -> Response:
    """The frame's page for what is no mail."""
    page = current_app.jinja_env.get_template("admin/message_preview.html").render(shown)
    response = make_response(page)
    response.headers["Content-Security-Policy"] = PREVIEW_POLICY
    return response
