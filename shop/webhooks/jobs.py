"""Processing what the inbox has stored."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from shop.clock import in_future, utcnow
from shop.delivery import tracking
from shop.delivery.couriers import courier
from shop.delivery.couriers.base import TrackingHook
from shop.extensions import db
from shop.incidents.jobs import when_given_up_tell
from shop.incidents.models import Category, Severity
from shop.incidents.opening import About
from shop.jobs.handlers import Policy, Work, handles, handles_outward
from shop.jobs.sweeping import next_page
from shop.messaging.channels import ses
from shop.payments import attempts, recording
from shop.payments.gateways import gateway
from shop.payments.gateways.base import EventKind, Webhook
from shop.payments.reconciling import report_unknown
from shop.provider_json import UNREADABLE
from shop.providers import TryLater
from shop.returns import parcels
from shop.webhooks import messages
from shop.webhooks.inbox import (
    COURIER_PREFIX,
    enqueue_processing,
    report_unreadable,
    why_unreadable,
)
from shop.webhooks.models import WebhookEvent, WebhookStatus

PAGE = 500
WAIT_FOR_OURS = timedelta(minutes=10)
"""News of something we do not have may have overtaken our own commit; after this it is unknown."""


@dataclass(frozen=True)
class Fetching:
    """A hint was received: what to ask the provider."""

    event_row: int
    payment_id: int
    gateway_key: str
    attempt: Any


@handles_outward(
    "webhooks.process",
    Policy(limit=30, attempts=12, base=2, cap=3600, priority=0, incident=("payment", "high")),
)
class Process:
    """Bring a stored message's news into the shop. Hints are asked about first."""

    def prepare(self, work: Work) -> Fetching | None:
        """Local news is recorded right here, in the transaction that ends the job."""
        event = db.session.scalars(
            select(WebhookEvent)
            .where(WebhookEvent.id == work.payload["event_id"])
            .with_for_update()
        ).one_or_none()
        if event is None or event.status != WebhookStatus.RECEIVED:
            return None
        event.attempts += 1
        try:
            told = _read(event)
        except UNREADABLE as error:
            _not_readable(event, error)
            return None
        return _take_in(event, told)

    def call(self, request: Fetching) -> Any:
        """Ask the gateway for the present state of what the hint names."""
        return attempts.answer_of(request.gateway_key, request.attempt, never_opened=False)

    def record(self, work: Work, request: Fetching, answer: Any) -> None:
        """Record the answer; the message is done with it."""
        attempts.keep_answer(request.payment_id, request.gateway_key, answer, "webhook")
        _done(db.session.get_one(WebhookEvent, request.event_row), WebhookStatus.PROCESSED)

    def gave_up(self, work: Work, words: str) -> None:
        """The message stands as failed and can be replayed by hand."""
        db.session.execute(
            update(WebhookEvent)
            .where(WebhookEvent.id == work.payload["event_id"])
            .values(status=WebhookStatus.FAILED, error=words, processed_at=utcnow())
        )


@when_given_up_tell("webhooks.process")
def about_message(work: Work) -> About:
    """Money hangs on a gateway's message; a courier's news is asked for again anyway."""
    event = db.session.get(WebhookEvent, work.payload["event_id"]) or WebhookEvent(source="nobody")
    told, _, name = event.source.rpartition("/")
    category, severity = {
        "delivery": (Category.DELIVERY, Severity.MEDIUM), "messages": (Category.API, Severity.LOW),
    }.get(told, (Category.PAYMENT, Severity.HIGH))  # fmt: skip
    return About(
        issue=f"A message of {name} could not be processed",
        category=category,
        severity=severity,
        job_id=work.job_id,
        context={
            "source": event.source, "event": event.event_id, "eventKind": event.kind,
            "jobId": work.job_id, "jobKind": work.kind,
        },
    )  # fmt: skip


def _read(event: WebhookEvent) -> Any:
    """What its source's own reader makes of the stored body."""
    if event.source.startswith(COURIER_PREFIX):
        return courier(event.source.removeprefix(COURIER_PREFIX)).parse(event.raw_body)
    if event.source.startswith(messages.PREFIX):
        return messages.read(event)
    return gateway(event.source).parse(event.raw_body)


def _not_readable(event: WebhookEvent, error: Exception) -> None:
    """It could be read when it came: reader or settings have changed since. It can be replayed."""
    event.error = why_unreadable(event.source, error)
    report_unreadable(event.source, event.error)
    _done(event, WebhookStatus.FAILED)


def _take_in(event: WebhookEvent, told: Any) -> Fetching | None:
    """`told` is what `_read` gave. News of parcels and messages is recorded at once."""
    if event.source.startswith(COURIER_PREFIX):
        _track(event, told)
        return None
    if event.source.startswith(messages.PREFIX):
        _done(event, messages.apply(event, told))
        return None
    return _pay(event, told)


def _pay(event: WebhookEvent, told: Webhook) -> Fetching | None:
    way = gateway(event.source)
    news = [
        replace(one, event_id=one.event_id or event.event_id)
        for one in told.events
        if one.kind != EventKind.IGNORED
    ]
    if not news:
        _done(event, WebhookStatus.IGNORED)
        return None
    for one in news:
        try:
            payment_id = recording.find(one, way.key)
        except recording.UnknownPayment:
            _not_ours(event, one)
            return None
        if one.is_hint or not way.is_authoritative:
            payment, _order = recording.locked(payment_id)
            return Fetching(event.id, payment_id, way.key, attempts.ref_of(payment))
        recording.record(one, way.key, "webhook", payment_id)
    _done(event, WebhookStatus.PROCESSED)
    return None


def _not_ours(event: WebhookEvent, news: Any) -> None:
    """It may have overtaken our own commit: wait; after ten minutes a person must look."""
    if utcnow() - event.received_at < WAIT_FOR_OURS:
        raise TryLater("it names a payment that is not here yet")
    report_unknown(news, event.source)
    event.error = "names no payment of ours"
    _done(event, WebhookStatus.FAILED)


def _track(event: WebhookEvent, hook: TrackingHook) -> None:
    key = event.source.removeprefix(COURIER_PREFIX)
    way = courier(key)
    if hook.returning is not None:
        is_known = parcels.take_in(hook.returning, key, is_authoritative=way.is_authoritative)
    elif hook.tracking is None:
        is_known = False
    elif way.is_authoritative:
        is_known = tracking.apply(hook.tracking, key, "webhook")
    else:
        is_known = tracking.ask_soon(hook.tracking, key)
    # Ours are known before the courier is told of them: what is unknown is of another shop that
    # uses the account, and waiting would not make it ours.
    _done(event, WebhookStatus.PROCESSED if is_known else WebhookStatus.IGNORED)


def _done(event: WebhookEvent, status: WebhookStatus) -> None:
    event.status = status
    event.processed_at = utcnow()


@handles_outward(
    "webhooks.confirm_sns",
    Policy(limit=30, attempts=6, base=10, cap=600, incident=("api", "medium")),
)
class ConfirmSns:
    """Say yes to the subscription by which Amazon's notices of mail come here."""

    def prepare(self, work: Work) -> str | None:
        """The address, of Amazon's hosts only."""
        event = db.session.get(WebhookEvent, work.payload["event_id"])
        return (ses.confirmation_url(event.raw_body) or None) if event else None

    def call(self, request: str) -> str:
        """Visit it."""
        ses.confirm(request)
        return request

    def record(self, work: Work, request: str, answer: str) -> None:
        """Amazon remembers it; nothing is kept here."""


@handles("webhooks.sweep", Policy(limit=30, attempts=3, base=5, cap=60, incident=("api", "medium")))
def sweep(work: Work) -> None:
    """Messages stored a minute ago and not processed: ask again for it."""
    waiting = select(WebhookEvent.id, WebhookEvent.source).where(
        WebhookEvent.status == WebhookStatus.RECEIVED,
        WebhookEvent.received_at < in_future(seconds=-60),
    )
    for event_id, source in next_page(work, waiting, PAGE):
        enqueue_processing(event_id, source)
