"""Channels: who carries mail, SMS and WhatsApp, is each ready, do its receipts come, how do messages fare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select, union_all

from shop.accounts.rights import Right, needs, staff_actor
from shop.admin import bp
from shop.admin.rendering import done, names_of, screen, shown_again
from shop.admin.webhooks import RESULTS
from shop.audit import recording as audit
from shop.audit.models import AuditEntry
from shop.clock import in_future
from shop.config import settings
from shop.database import transaction
from shop.extensions import db
from shop.jobs.models import Job, JobStatus
from shop.messaging import trials
from shop.messaging.channels import CHANNELS, SOURCES, channel_by, provider_of
from shop.messaging.models import Notification, NotificationStatus
from shop.webhooks.messages import PREFIX
from shop.webhooks.models import WebhookEvent, WebhookRefusal

DAYS = 7
"""The messages of so many days are counted."""

KINDS = {"email": "Mail", "sms": "SMS", "whatsapp": "WhatsApp"}
#: Whose address holds a secret, which is not shown: only what it is to be put in place of.
BEHIND_SECRET = {
    "msg91": "MSG91_WEBHOOK_SECRET",
    "wati": "WATI_WEBHOOK_SECRET",
    "ses": "SES_WEBHOOK_SECRET",
}
#: Where each is explained, where the file is not called by the provider's key.
PAPERS = {"smtp": "email", "cloud": "whatsapp_cloud"}
GOOD = (NotificationStatus.DELIVERED, NotificationStatus.READ)
BAD = (NotificationStatus.FAILED, NotificationStatus.UNCERTAIN)
UNDER_WAY = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class Known:
    """What the tables tell of all channels: a fixed number of statements."""

    #: By source ("messages/twilio").
    events: Mapping[str, Any]
    refused: Mapping[str, int]
    #: By (kind, provider, status).
    counts: Mapping[tuple[str, str, NotificationStatus], int]
    #: "sms:twilio".
    asked: frozenset[str]
    tests: Mapping[str, AuditEntry]


@dataclass(frozen=True)
class Card:
    """One channel, as the screen shows it. Nothing secret is on it."""

    kind: str
    key: str
    name: str
    is_on: bool
    #: Messages are built and nothing leaves.
    is_dry_run: bool
    missing: list[str]
    why_no_test: str | None
    webhook_url: str
    known: Known

    @property
    def id(self) -> str:
        """In addresses of the page, and in the tables of tests."""
        return f"{self.kind}:{self.key}"

    @property
    def paper(self) -> str:
        """The page of the documentation."""
        return f"docs/channels/{PAPERS.get(self.key, self.key)}.md"

    @property
    def source(self) -> str:
        """Whose posts are its receipts."""
        return PREFIX + ("ses" if self.key == "smtp" else self.key)

    def count(self, statuses: Iterable[NotificationStatus]) -> int:
        """Its messages of some days in one of these states."""
        return sum(self.known.counts.get((self.kind, self.key, status), 0) for status in statuses)

    @property
    def sent(self) -> int:
        """Handed over, whatever became of them."""
        return self.count((NotificationStatus.SENT, *GOOD, *BAD))

    @property
    def delivered(self) -> int:
        """Known to have come."""
        return self.count(GOOD)

    @property
    def failed(self) -> int:
        """Failed, or nobody knows."""
        return self.count(BAD)


@bp.get("/channels")
@needs(Right.SEE_JOBS)
def channels() -> ResponseReturnValue:
    """All ways to bring a message; those that are chosen first."""
    return show_channels()


def show_channels(*, problem: str = "", status: int = 200, **_others: Any) -> Response:
    """The screen; `problem` is why a test could not be made."""
    known = _known()
    cards = [_card(kind, key, known) for kind, keys in CHANNELS.items() for key in keys]
    return screen(
        "admin/channels.html",
        status,
        section="admin.channels",
        problem=problem,
        groups={
            "Chosen": [card for card in cards if card.is_on],
            "Not chosen": [card for card in cards if not card.is_on and card.key != "mailbox"],
        },
        kinds=KINDS,
        days=DAYS,
        results=RESULTS,
        names=names_of(entry.actor for entry in known.tests.values()),
    )


def _card(kind: str, key: str, known: Known) -> Card:
    way = channel_by(kind, key)
    return Card(
        kind=kind,
        key=key,
        name=way.name,
        is_on=provider_of(kind) == key,
        is_dry_run=key == "mailbox" or (kind != "email" and settings().messages_dry_run),
        missing=trials.missing(kind, key),
        why_no_test=trials.why_not(kind, key),
        webhook_url=_webhook_url("ses" if key == "smtp" else key),
        known=known,
    )


def _webhook_url(key: str) -> str:
    """The address to give to the provider; a secret in it is named, not shown."""
    if key not in SOURCES:
        return ""
    address = f"{settings().public_url}/webhooks/messages/{key}"
    return f"{address}/<{BEHIND_SECRET[key]}>" if key in BEHIND_SECRET else address


def _known() -> Known:
    asked = db.session.scalars(
        select(Job.key).where(Job.kind == trials.KIND, Job.status.in_(UNDER_WAY))
    )
    return Known(
        events=_last_events(),
        refused=_refused(),
        counts=_counts(),
        asked=frozenset(key for key in asked if key),
        tests=_tests(),
    )


def _last_events() -> dict[str, Any]:
    """The post of each source that came last; never its body."""
    # One look at the index for each source, however many posts there are.
    last = union_all(
        *(
            select(func.max(WebhookEvent.id)).where(WebhookEvent.source == PREFIX + key)
            for key in SOURCES
        )
    )
    rows = db.session.execute(
        select(
            WebhookEvent.source, WebhookEvent.id, WebhookEvent.kind, WebhookEvent.status,
            WebhookEvent.received_at,
        ).where(WebhookEvent.id.in_(last))
    )  # fmt: skip
    return {row.source: row for row in rows}


def _refused() -> dict[str, int]:
    rows = db.session.execute(
        select(WebhookRefusal.source, func.sum(WebhookRefusal.count))
        .where(
            WebhookRefusal.hour_at >= in_future(hours=-24), WebhookRefusal.source.startswith(PREFIX)
        )
        .group_by(WebhookRefusal.source)
    )
    return {source: int(count) for source, count in rows}


def _counts() -> dict[tuple[str, str, NotificationStatus], int]:
    rows = db.session.execute(
        select(Notification.channel, Notification.provider, Notification.status, func.count())
        .where(Notification.created_at >= in_future(hours=-24 * DAYS))
        .group_by(Notification.channel, Notification.provider, Notification.status)
    )
    return {(kind, key, status): count for kind, key, status, count in rows}


def _tests() -> dict[str, AuditEntry]:
    """The last test of each, by "kind:provider"."""
    subjects = {
        trials.subject(kind, key): f"{kind}:{key}"
        for kind, keys in CHANNELS.items()
        for key in keys
    }
    last = audit.latest(trials.ACTION, subjects)
    return {subjects[subject]: entry for subject, entry in last.items()}


@bp.post("/channels/<kind>/<key>/test")
@needs(Right.RUN_JOBS)
@shown_again(show_channels)
def channel_test(kind: str, key: str) -> ResponseReturnValue:
    """Ask the provider something harmless, by a job, so that no request waits for it."""
    with transaction():
        trials.ask(kind, key, staff_actor())
    words = f"{channel_by(kind, key).name} is being asked. The answer appears here."
    return done(url_for("admin.channels"), words)
