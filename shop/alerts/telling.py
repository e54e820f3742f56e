"""Telling people of an alert: a mail to ADMIN_EMAIL, and a post to ALERT_WEBHOOK_URL.

Both are jobs of their own, so that one that cannot be sent does not hold back the other. A post may
come twice after a time-out: better than not at all.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import url_for

from shop import providers
from shop.alerts.models import Alert
from shop.alerts.rules import RULES, sentence_of
from shop.clock import utcnow
from shop.config import settings
from shop.jobs.handlers import Policy, Work, handles_outward
from shop.jobs.queue import enqueue
from shop.messaging import once
from shop.messaging.channels.base import Outgoing
from shop.messaging.rendering import render_plain
from shop.messaging.wordings import Wording
from shop.pages import moment
from shop.providers import ProviderRefused

BEGAN, MORE, STILL, ENDED = "began", "more", "still", "ended"
MAIL, POST = "alerts.mail", "alerts.post"
PROVIDER = "alert_webhook"
READ_SECONDS = 10
WHY = "You get this email because alerts of {shop_name} are sent to this address."
HEADS = {BEGAN: "Alert: {}", MORE: "One more: {}", STILL: "Still: {}", ENDED: "Over: {}"}


def tell(row: Alert, what: str) -> None:
    """Write the jobs that tell of it, in the caller's transaction."""
    told = {
        "alert": row.key, "what": what, "value": row.value, "sample": row.sample,
        "threshold": row.threshold, "at": utcnow().isoformat(), "since": row.since.isoformat(),
    }  # fmt: skip
    if settings().admin_email:
        enqueue(MAIL, told, key=f"{row.key}:{what}")
    if settings().alert_webhook_url:
        enqueue(POST, told, key=f"{row.key}:{what}")


@dataclass(frozen=True)
class Words:
    """What is said of an alert."""

    head: str
    sentence: str
    advice: str
    url: str


def words_of(told: dict[str, Any]) -> Words:
    """The words for what a job was told, with the address of the page to act on."""
    rule = RULES[told["alert"]]
    head = HEADS[told["what"]].format(rule.trouble[:1].lower() + rule.trouble[1:])
    url = url_for(rule.endpoint, **rule.arguments, _external=True)
    if told["what"] == ENDED:
        return Words(
            head, f"The figure is good again; over since {_clock(told['since'])}.", "", url
        )
    sentence = sentence_of(rule, told["value"], told["sample"], told["threshold"])
    return Words(head, f"{sentence} Since {_clock(told['since'])}.", rule.advice, url)


def _clock(iso: str) -> str:
    return moment(datetime.fromisoformat(iso))


def webhook_host() -> str:
    """Where posts go, as it may be shown: the host alone, since the address is a secret."""
    return urlsplit(settings().alert_webhook_url).hostname or ""


@dataclass(frozen=True)
class Sending:
    """A mail that is written."""

    turn: once.Turn
    message: Outgoing


@handles_outward(
    MAIL, Policy(limit=30, attempts=6, base=30, cap=1800, priority=1, incident=("api", "medium"))
)
class Mail:
    """Mail an alert. A try of which nobody knows is repeated once, under the same Message-ID."""

    def prepare(self, work: Work) -> Sending | None:
        """Written when it is sent; nothing where nobody is to hear of it."""
        recipient = settings().admin_email
        if not recipient:
            return None
        turn = once.take_up(work, _key(work), "email", "alert", recipient=recipient)
        if turn is None:
            return None
        words = words_of(work.payload)
        made = render_plain(_wording(words), words.url, WHY)
        message = Outgoing(
            recipient=recipient, message_id=turn.message_id, subject=made.subject,
            text=made.text, html=made.html,
        )  # fmt: skip
        return Sending(turn, message)

    def call(self, request: Sending) -> str:
        """Hand it over; returns the provider's id."""
        return once.hand_over(request.turn, request.message)

    def record(self, work: Work, request: Sending, answer: str) -> None:
        """That it went, for the list of messages; the demo's mailbox shows what it said."""
        once.note_sent(_key(work), answer, request.message)

    def failed_try(self, work: Work, error: Exception) -> None:
        """Whether the next try is a repeat."""
        once.note_failed_try(_key(work), error)

    def gave_up(self, work: Work, words: str) -> None:
        """Failed, or uncertain."""
        once.note_gave_up(_key(work), words)


def _key(work: Work) -> str:
    return f"alert:{work.payload['alert']}:job{work.job_id}"


def _wording(words: Words) -> Wording:
    return Wording(
        subject=words.head, preheader=words.sentence, headline=words.head,
        sentence=f"{words.sentence} {words.advice}".strip(), button="Look at it", link="url",
        sections=(),
    )  # fmt: skip


@dataclass(frozen=True)
class Posting:
    """A message in Slack's form, and where it goes. The address never reaches a log or a row."""

    url: str
    text: str


@handles_outward(
    POST, Policy(limit=30, attempts=6, base=30, cap=1800, priority=1, incident=("api", "medium"))
)
class Post:
    """Post an alert as {"text": …}."""

    def prepare(self, work: Work) -> Posting | None:
        """Nothing where there is no address any more."""
        if not settings().alert_webhook_url:
            return None
        return Posting(settings().alert_webhook_url, text_of(words_of(work.payload)))

    def call(self, request: Posting) -> None:
        """One post. What goes wrong is told without the address."""
        fault = _post(request)
        if fault is not None:
            # Nothing of where it came from: the libraries' own errors name the address.
            raise fault from None

    def record(self, work: Work, request: Posting, answer: None) -> None:
        """Nothing to keep: the state says that people were told."""


def _post(request: Posting) -> providers.ProviderError | None:
    """None when it was taken, else the fault, stripped of its cause and its frames."""
    try:
        answer = providers.call(
            PROVIDER, "POST", request.url, json={"text": request.text}, read_seconds=READ_SECONDS
        )
    except providers.ProviderError as error:
        return _bare(error)
    if answer.status >= 300:
        return ProviderRefused(f"HTTP {answer.status}", str(answer.status))
    return None


def _bare(error: providers.ProviderError) -> providers.ProviderError:
    if isinstance(error, providers.TryLater):
        return type(error)(error.words, error.code, error.retry_after)
    return type(error)(error.words, error.code)


def text_of(words: Words) -> str:
    """In Slack's own marks: a bold head, the sentence, what to do, a link."""
    lines = [f"*{_plain(words.head)}* ({_plain(settings().shop_name)})", _plain(words.sentence)]
    if words.advice:
        lines.append(_plain(words.advice))
    return "\n".join([*lines, f"<{words.url}|Look at it>"])


def _plain(text: str) -> str:
    """Without what Slack reads as marks of a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
