"""Making a message from its wording and the database: mail in two twins, an SMS, WhatsApp's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import current_app

from shop.config import ROOT, settings
from shop.messaging import facts, filling, overrides, sections
from shop.messaging.facts_beside import Beside
from shop.messaging.languages import ENGLISH, LANGUAGES, Language
from shop.messaging.sms_text import sendable
from shop.messaging.subjects import Subject
from shop.messaging.whatsapp_templates import WHATSAPP
from shop.messaging.wordings import BLANKS, PARTS, Wording, filled_in

if TYPE_CHECKING:
    import css_inline

UNKNOWN = "-"
"""What stands for a parameter without a value: WhatsApp takes no empty one."""


@dataclass(frozen=True)
class Message:
    """A mail: one line of subject, and the same content twice."""

    subject: str
    text: str
    html: str
    preheader: str = ""


@dataclass(frozen=True)
class WhatsApp:
    """What WhatsApp sends: an approved template by name, its language, its values in their order."""

    name: str
    language: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Block:
    """A table in a mail that is about no order. A row's address may be empty: then it is no link."""

    caption: str
    #: (label, value, address)
    rows: tuple[tuple[str, str, str], ...] = ()
    #: A sentence above the table.
    note: str = ""


def render(
    template: str,
    about: int | Subject,
    context: dict[str, Any],
    language: str = "en",
    words: Mapping[str, str] | None = None,
) -> Message:
    """Make the mail from what is committed now. Raises KeyError for an unknown template.

    `about` is an order's id, or another subject. `context` names what the message is about beside
    it: refund_id, shipment_id, payment_id, return_id. `words` stand in for those that are kept (a
    preview of what is not saved).
    """
    spoken = LANGUAGES[overrides.spoken(template, "email", language)]
    wording = overrides.wording_of(template, spoken.code).with_words(words or {})
    rows = facts.load(_subject(about), context)
    filled = filling.filled(rows, context, spoken)
    reason = spoken.say(wording.reason, shop_name=settings().shop_name)
    if isinstance(rows, Beside):
        shown: dict[str, Any] = {
            "items": sections.goods(rows, spoken),
            "stop_url": filled.get("stop_url", ""),
        }
        return _drawn(wording, filled, reason, spoken, **shown)
    made = sections.About(rows, context, filled, spoken)
    shown = {"number": rows.order.number, **sections.contents(made, wording.sections)}
    return _drawn(wording, filled, reason, spoken, **shown)


def render_sms(
    template: str,
    about: int | Subject,
    context: dict[str, Any],
    language: str = "en",
    words: Mapping[str, str] | None = None,
) -> str:
    """The text of an SMS. Raises KeyError where the template has none."""
    spoken = LANGUAGES[overrides.spoken(template, "sms", language)]
    kept = overrides.sms_of(template, spoken.code)
    filled = filling.filled(facts.load(_subject(about), context), context, spoken)
    return sendable(filled_in((words or {}).get("text") or kept, filled))


def whatsapp(
    template: str,
    about: int | Subject,
    context: dict[str, Any],
    language: str = "en",
    words: Mapping[str, str] | None = None,
) -> WhatsApp:
    """What WhatsApp is told. Raises KeyError where the template has no approved counterpart."""
    spoken = LANGUAGES[overrides.spoken(template, "whatsapp", language)]
    name = (words or {}).get("name") or overrides.whatsapp_name_of(template, spoken.code)
    filled = filling.filled(facts.load(_subject(about), context), context, spoken)
    values = tuple(
        (parameter, filled_in(filled[placeholder], {}) or UNKNOWN)
        for parameter, placeholder in WHATSAPP[template].parameters
    )
    return WhatsApp(name, spoken.code, values)


def render_plain(
    wording: Wording, url: str, reason: str, blocks: tuple[Block, ...] = ()
) -> Message:
    """A mail that is about no order, in English: its words, one button, tables, and why it was sent.

    The words are whole: braces in them are braces. Only `reason` may name {shop_name}.
    """
    said = filled_in(reason, {"shop_name": settings().shop_name})
    words = {part: BLANKS.sub(" ", getattr(wording, part)).strip() for part in PARTS}
    return _laid_out(words, wording, url, said, ENGLISH, blocks=blocks)


def _subject(about: int | Subject) -> Subject:
    return Subject("order", about) if isinstance(about, int) else about


def _drawn(
    wording: Wording, filled: dict[str, str], reason: str, language: Language, **contents: Any
) -> Message:
    words = {part: filled_in(getattr(wording, part), filled) for part in PARTS}
    return _laid_out(words, wording, filled[wording.link], reason, language, **contents)


def _laid_out(
    words: dict[str, str],
    wording: Wording,
    url: str,
    reason: str,
    language: Language,
    **contents: Any,
) -> Message:
    shown = {
        "language": language.code,
        "say": language.say,
        "shop_name": settings().shop_name,
        "support_email": settings().support_email,
        "site": settings().public_url.partition("://")[2],
        "public_url": settings().public_url,
        "reason": reason,
        "wording": words,
        "url": url,
        "sections": wording.sections,
        **contents,
    }
    environment = current_app.jinja_env
    page = environment.get_template("messages/skeleton.html").render(shown)
    text = environment.get_template("messages/skeleton.txt").render(shown)
    return Message(words["subject"], _tidy(text), _inliner().inline(page), words["preheader"])


@cache
def _inliner() -> "css_inline.CSSInliner":
    """Puts mail.css into style attributes: mail programs drop style elements."""
    import css_inline  # Who makes no mail, a web process mostly, does without it.

    css = Path(ROOT / "templates/messages/mail.css").read_text(encoding="utf-8")
    return css_inline.CSSInliner(extra_css=css, load_remote_stylesheets=False)


def _tidy(text: str) -> str:
    """At most one empty line at a time, and no blanks at line ends."""
    kept: list[str] = []
    for line in (line.rstrip() for line in text.splitlines()):
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip() + "\n"
