"""Swish (Sweden): a payment request that the shopper approves in the app, over mutual TLS.

The merchant is known by its client certificate alone. Messages are not signed, so they are hints: the
request is read again before anything changes (provider page, section 3). SWISH_ENVIRONMENT says with
whom the shop speaks, and every attempt remembers with whom it was opened.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any
from urllib.parse import quote

import segno

from shop.clock import utcnow
from shop.config import settings
from shop.payments.gateways import swish_pretend as pretend
from shop.payments.gateways.base import (
    AttemptRef,
    EventKind,
    GatewayEvent,
    Opened,
    PageEnd,
    PaymentRequest,
    RefundRequest,
    Webhook,
)
from shop.payments.gateways.signatures import header_value
from shop.payments.gateways.swish_calls import HOSTS, answered, object_at, object_of
from shop.payments.gateways.swish_reading import (
    MAX_ORE,
    PAYMENT_KINDS,
    REFUND_KINDS,
    instruction_id,
    major_units,
    message_of,
    minor_units,
    payment_event,
    refund_event,
)
from shop.provider_json import NOT_AS_EXPECTED, UNREADABLE, exact, name_in, read_json
from shop.providers import Answer, BadSignature, OutcomeUnknown, ProviderRefused
from shop.secret_box import derived_secrets

PRETEND = pretend.ENVIRONMENT
OPEN_SECONDS = 10
#: Asked while a shopper waits, too.
ASK_SECONDS = 6
WORKER_SECONDS = 25
#: How long the shopper has to open the app and sign (section 3, timing).
TO_APPROVE = timedelta(minutes=3)
#: The floor is 0.01 kr in newer texts and 1 kr in the manual, which always holds (section 1).
MIN_ORE = 100
#: An outcome that Swish itself does not know is asked about so long; then it counts as not paid.
IN_DOUBT_FOR = timedelta(hours=71)
#: The light rim that a scanner needs, in modules.
QUIET = 4
CALLBACK_HEADER = "callbackIdentifier"


@dataclass(frozen=True)
class Code:
    """A QR code for an SVG: its side in modules, the quiet rim included, and the dark ones as a path."""

    side: int
    path: str

    @classmethod
    def of(cls, rows: Sequence[Sequence[bool]]) -> "Code":
        """One stroke for each run of dark modules."""
        strokes = []
        for y, row in enumerate(rows):
            x = 0
            for is_dark, run in groupby(row):
                length = len(list(run))
                if is_dark:
                    strokes.append(f"M{x} {y}h{length}v1h-{length}z")
                x += length
        return cls(len(rows), "".join(strokes))


class Swish:
    """The shopper scans a code, or opens the app on the same phone, from a page of the shop."""

    key = "swish"
    marks: tuple[str, ...] = ("App",)
    is_online = True
    page_end = PageEnd.BY_CALL
    is_authoritative = False
    #: The page is the shop's own.
    redirect_hosts: tuple[str, ...] = ()
    #: What a person may pick on the page of a pretend payment.
    outcomes = pretend.OUTCOMES

    @property
    def label(self) -> str:
        """Pretend money says so."""
        return "Swish (pretend money)" if environment_now() == PRETEND else "Swish"

    @property
    def explanation(self) -> str:
        """What comes next."""
        if environment_now() == PRETEND:
            return "You see the page of a Swish payment and pick what happens. No money moves."
        return "You open the Swish app, or scan a code with it, and approve with BankID."

    def unavailable(self, currency: str, country: str, amount_minor: int) -> str | None:
        """Kronor only, wherever the parcel goes; nothing new while Swish is withdrawn."""
        if is_withdrawn():
            return "Swish is switched off at the moment."
        if currency != "SEK":
            return "Only for orders in Swedish kronor."
        if not MIN_ORE <= amount_minor <= MAX_ORE:
            return "This amount cannot be paid with Swish."
        return None

    def open(self, request: PaymentRequest) -> Opened:
        """Ask for the payment. Its id is made from our reference, so a repeat makes no second one.

        The token comes with the first answer only: a request that was made before has no page.
        """
        environment = environment_now()
        if environment == PRETEND:
            return pretend.opened(request, TO_APPROVE)
        number = instruction_id(request.reference)
        try:
            token = _put_payment(environment, number, request)
        except ProviderRefused:
            found = object_at(environment, f"/api/v1/paymentrequests/{number}", OPEN_SECONDS)
            if found is None or _minor(found) != request.amount_minor:
                raise
            token = ""
        step = {"kind": "page", "token": token, "return_url": f"{request.return_url}&stay=1"}
        return Opened(
            gateway_id=number,
            next_step=step if token else {},
            expires_at=utcnow() + TO_APPROVE,
            refs={environment: number},
        )

    def fetch(self, attempt: AttemptRef) -> Sequence[GatewayEvent]:
        """The request and, where it was paid, our refunds of it: Swish lists none, each is asked for."""
        environment = environment_of(attempt)
        if environment == PRETEND:
            return pretend.news(attempt)
        event = _payment(environment, attempt, ASK_SECONDS)
        if event.kind != EventKind.CAPTURED:
            return [event]
        asked = [_refund(environment, key, ASK_SECONDS) for key in attempt.refund_keys]
        return [event, *(one for one in asked if one is not None)]

    def close(self, attempt: AttemptRef) -> GatewayEvent:
        """Cancel the request. One that is over already is asked what it came to (section 2.4)."""
        environment = environment_of(attempt)
        if environment == PRETEND:
            return pretend.closed(attempt)
        path = f"/api/v1/paymentrequests/{_number(attempt)}"
        patch = [{"op": "replace", "path": "/status", "value": "cancelled"}]
        try:
            answer = answered(environment, "PATCH", path, WORKER_SECONDS, patch)
        except ProviderRefused:
            event = _payment(environment, attempt, WORKER_SECONDS)
            if event.kind == EventKind.PENDING:
                raise
            return event
        return _ours(_told(answer), attempt)

    def refund(self, request: RefundRequest) -> GatewayEvent:
        """Give money back, by an id made from the refund's key. Refused where it was never paid."""
        environment, attempt = environment_of(request.attempt), request.attempt
        if environment == PRETEND:
            if settings().is_production:
                raise ProviderRefused("the payment was pretend money", "pretend")
            return pretend.refunded(request)
        original = attempt.refs.get("payment_reference")
        if not original:
            paid = _payment(environment, attempt, WORKER_SECONDS)
            original = paid.refs.get("payment_reference")
        if not original:
            raise ProviderRefused("the payment request was never paid", "never_paid")
        number = instruction_id(request.idempotency_key)
        wish = _refund_wish(request, original, number)
        try:
            answered(environment, "PUT", f"/api/v2/refunds/{number}", WORKER_SECONDS, wish)
        except ProviderRefused:
            # Made before: then the repeat is refused, and what was made counts.
            made = _refund(environment, request.idempotency_key, WORKER_SECONDS)
            if made is None or made.amount_minor != request.amount_minor:
                raise
            return made
        return GatewayEvent(
            EventKind.REFUND_PENDING,
            reference=attempt.reference,
            amount_minor=request.amount_minor,
            currency=request.currency,
            refund_gateway_id=number,
            refund_key=request.idempotency_key,
            refs={"payment_reference": original},
        )

    def find_refund(self, request: RefundRequest) -> GatewayEvent | None:
        """Asked for by the id that our key makes."""
        environment = environment_of(request.attempt)
        if environment == PRETEND:
            return None
        return _refund(environment, request.idempotency_key, WORKER_SECONDS)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """The header must repeat what the shop gave this very request: no signature, but a secret of ours."""
        given = header_value(headers, CALLBACK_HEADER) or ""
        try:
            number = name_in(read_json(body, exact), "id")
        except UNREADABLE as error:
            raise BadSignature("the message names no request") from error
        matches = [
            hmac.compare_digest(wanted.encode(), given.encode()) for wanted in identifiers(number)
        ]
        if not any(matches):
            raise BadSignature("the callback identifier is not that of the request")

    def parse(self, body: bytes) -> Webhook:
        """A callback is the object as it stood. It has no id: id and status stand for one (section 3)."""
        try:
            found = read_json(body, exact)
            is_refund = "originalPaymentReference" in found
            status = name_in(found, "status")
            name = f"{status}:{name_in(found, 'id')}"
            if status not in (REFUND_KINDS if is_refund else PAYMENT_KINDS):
                return Webhook(name, status.lower(), [])
            kind = f"{'refund' if is_refund else 'payment'}.{status.lower()}"
            return Webhook(name, kind, [refund_event(found) if is_refund else payment_event(found)])
        except NOT_AS_EXPECTED as error:
            raise ValueError("not a callback of Swish") from error

    def list_payments(self, since: Any) -> None:
        """Swish keeps no list: every recent attempt is asked about instead."""

    def list_refunds(self, since: Any) -> Sequence[GatewayEvent]:
        """Swish keeps no list."""
        return []

    def list_disputes(self, since: Any) -> Sequence[GatewayEvent]:
        """A Swish payment is final; there are no disputes (section 2.5)."""
        return []

    def code(self, step: Mapping[str, Any]) -> "Code":
        """The code that the app scans: the letter D and the token (section 2.2)."""
        rows = segno.make(f"D{step['token']}", error="m", micro=False).matrix_iter(border=QUIET)
        return Code.of([list(map(bool, row)) for row in rows])

    def app_link(self, step: Mapping[str, Any]) -> str:
        """Opens the app on the same phone; the way back carries no result (section 2.2)."""
        back = quote(str(step["return_url"]), safe="")
        return (
            f"swish://paymentrequest?token={quote(str(step['token']), safe='')}&callbackurl={back}"
        )


def environment_now() -> str:
    """Whom new payments are asked of. Where money is real that is the real Swish, withdrawn or not."""
    return "production" if settings().is_production else settings().swish_environment


def is_withdrawn() -> bool:
    """True where money is real and Swish is set to pretend: nothing new, and what is open is finished."""
    return settings().is_production and settings().swish_environment == PRETEND


def environment_of(attempt: AttemptRef) -> str:
    """With whom the attempt was opened, whatever the setting says since."""
    known = (name for name in (*HOSTS, PRETEND) if name in attempt.refs)
    return next(known, environment_now())


# --- what is asked ---------------------------------------------------------------------------


def _put_payment(environment: str, number: str, request: PaymentRequest) -> str:
    """Make the request. Returns the token. Raises ProviderRefused, also while Swish is withdrawn."""
    if is_withdrawn():
        raise ProviderRefused("Swish is withdrawn: SWISH_ENVIRONMENT is mock", "withdrawn")
    wish = {
        "payeeAlias": _merchant_number(),
        "amount": major_units(request.amount_minor),
        "currency": request.currency,
        "callbackUrl": request.webhook_url,
        "callbackIdentifier": identifiers(number)[0],
        "payeePaymentReference": request.reference,
        "message": message_of(f"Order {request.order_number}"),
    }
    answer = answered(environment, "PUT", f"/api/v2/paymentrequests/{number}", OPEN_SECONDS, wish)
    return answer.headers.get("PaymentRequestToken", "")


def _refund_wish(request: RefundRequest, original: str, number: str) -> dict[str, str]:
    asked = request.attempt.request
    return {
        "originalPaymentReference": original,
        "payerAlias": _merchant_number(),
        "amount": major_units(request.amount_minor),
        "currency": request.currency,
        "callbackUrl": asked.webhook_url if asked else f"{settings().public_url}/webhooks/swish",
        "callbackIdentifier": identifiers(number)[0],
        "payerPaymentReference": request.attempt.reference,
        "message": message_of(f"Refund of order {asked.order_number}" if asked else "Refund"),
    }


def _payment(environment: str, attempt: AttemptRef, read_seconds: float) -> GatewayEvent:
    path = f"/api/v1/paymentrequests/{_number(attempt)}"
    event = _ours(_told(answered(environment, "GET", path, read_seconds)), attempt)
    if event.kind == EventKind.IN_DOUBT and utcnow() - attempt.created_at > IN_DOUBT_FOR:
        return GatewayEvent(
            EventKind.FAILED, reference=event.reference, gateway_id=event.gateway_id,
            failure_code=event.failure_code, failure_words="Swish never learnt whether your bank paid",
        )  # fmt: skip
    return event


def _refund(environment: str, refund_key: str, read_seconds: float) -> GatewayEvent | None:
    """The refund that this key has made, or None."""
    found = object_at(environment, f"/api/v1/refunds/{instruction_id(refund_key)}", read_seconds)
    if found is None:
        return None
    try:
        return refund_event(found, refund_key)
    except (KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("a refund of Swish could not be read") from error


def _number(attempt: AttemptRef) -> str:
    """The request's id, also where the answer to the opening was lost."""
    return attempt.gateway_id or instruction_id(attempt.reference)


def identifiers(number: str) -> list[str]:
    """What a callback about this request must carry: 36 characters, by each secret in force."""
    secrets = derived_secrets("swish callback")
    return [hmac.new(key.encode(), number.encode(), "sha256").hexdigest()[:36] for key in secrets]


def _merchant_number() -> str:
    """SWISH_PAYEE_ALIAS however it was typed: digits alone."""
    return "".join(sign for sign in settings().swish_payee_alias if sign in "0123456789")


def _told(answer: Answer) -> GatewayEvent:
    """What an answer about a payment means. One that cannot be read tells nothing."""
    try:
        return payment_event(object_of(answer))
    except UNREADABLE as error:
        raise OutcomeUnknown("an answer of Swish could not be read") from error


def _ours(event: GatewayEvent, attempt: AttemptRef) -> GatewayEvent:
    """The answer must be about our request (section 3, step 6); its amount is judged where it is recorded."""
    if (event.reference, event.gateway_id) != (attempt.reference, _number(attempt)):
        raise OutcomeUnknown("Swish answered about another request")
    return event


def _minor(found: Mapping[str, Any]) -> int | None:
    try:
        return minor_units(found.get("amount"))
    except ValueError:
        return None
