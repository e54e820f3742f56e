"""The pretend gateway's pages: the one on which a shopper picks what happens, and the desk."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shop.database import transaction
from shop.errors import Conflict, NotFound
from shop.headers import allow_forms_to
from shop.pages import page
from shop.sandbox import gateway, never_in_production, only_in_development
from shop.sandbox.models import SandboxPayment

bp = Blueprint("sandbox", __name__, url_prefix="/sandbox")
bp.before_request(never_in_production)

ONE_TIME_CODE = "482913"
#: Seconds, and reloads, for which the page waits for its webhook.
WAITS = 15

REASONS = ("insufficient_funds", "expired_card", "do_not_honour")


@dataclass(frozen=True)
class Outcome:
    """One choice on the page. `act` runs in a transaction; the browser goes on afterwards."""

    name: str
    explanation: str
    act: Callable[[SandboxPayment], None]
    #: "return" (back to the shop), "code" (one more step) or "wait" (for the webhook first).
    then: str = "return"


def _nothing(payment: SandboxPayment) -> None:
    """The payment stays as it is."""


def _decline(payment: SandboxPayment) -> None:
    reason = request.form.get("reason", "")
    gateway.decline(payment, reason if reason in REASONS else REASONS[0])


OUTCOMES = {
    "ok": Outcome("Approve", "Paid at once, webhook follows", gateway.pay),
    "code": Outcome("Ask for a one-time code", "Shows a 3-D Secure step, then approves", _nothing, "code"),
    "decline": Outcome("Decline", "Pick the reason below", _decline),
    "pending": Outcome("Leave pending", "Settles by webhook after 60 seconds", gateway.leave_pending),
    "late": Outcome("Approve after the hold has expired", "Tests the late-payment path", gateway.pay_late),
    "twice": Outcome(
        "Approve and send the webhook twice", "Tests idempotency",
        lambda payment: gateway.pay(payment, webhooks=2),
    ),
    "webhook_first": Outcome(
        "Approve, webhook before the return", "You go back once the shop has taken the webhook",
        gateway.pay, "wait",
    ),
    "no_webhook": Outcome(
        "Approve without any webhook", "The shop has to ask by itself",
        lambda payment: gateway.pay(payment, webhooks=0),
    ),
}  # fmt: skip
"""What may happen on an open page."""

LEAVE = Outcome("Cancel", "Nothing happens here; the page stays open", _nothing)
PAY_LATE = Outcome("Pay anyway", "The money comes after the page was closed", gateway.pay)


@bp.get("/pay/<public_id>")
def pay(public_id: str) -> ResponseReturnValue:
    """The hosted page."""
    return _page(gateway.find(public_id))


@bp.post("/pay/<public_id>")
def choose(public_id: str) -> ResponseReturnValue:
    """What the visitor picked."""
    with transaction():
        payment = gateway.find(public_id, lock=True)
        outcome = _picked(payment)
        if outcome:
            outcome.act(payment)
        return_url = payment.return_url
    if outcome is None:
        return _page(gateway.find(public_id), status=422, fault="Pick one of these.")
    allow_forms_to(_origin(return_url))
    if outcome.then == "code":
        return page("sandbox/code.html", payment=payment, code=ONE_TIME_CODE)
    if outcome.then == "wait":
        return redirect(url_for(".confirming", public_id=public_id), 303)
    return redirect(return_url + ("&left=1" if outcome is LEAVE else ""), 303)


@bp.post("/pay/<public_id>/code")
def confirm_code(public_id: str) -> ResponseReturnValue:
    """The 3-D Secure step: the code is the one that the page shows."""
    with transaction():
        payment = gateway.find(public_id, lock=True)
        right = request.form.get("code", "").strip() == ONE_TIME_CODE
        if right and gateway.status_of(payment) == "open":
            gateway.pay(payment)
        return_url = payment.return_url
    allow_forms_to(_origin(return_url))
    if not right:
        fault = "That is not the code shown above."
        return page(
            "sandbox/code.html", status=422, payment=payment, code=ONE_TIME_CODE, fault=fault
        )
    return redirect(return_url, 303)


@bp.get("/pay/<public_id>/confirming")
def confirming(public_id: str) -> ResponseReturnValue:
    """Hold the visitor until the shop has taken the webhook, some seconds at most."""
    payment = gateway.find(public_id)
    waited = request.args.get("waited", 0, type=int)
    if payment.told_at or waited >= WAITS:
        return redirect(payment.return_url, 303)
    following = url_for(".confirming", public_id=public_id, waited=waited + 1)
    response = page("sandbox/confirming.html", payment=payment)
    response.headers["Refresh"] = f"1; url={following}"
    return response


@bp.get("/")
def desk() -> ResponseReturnValue:
    """What a gateway's own dashboard would allow: refunds, disputes, settling."""
    only_in_development()
    shown = [(payment, gateway.status_of(payment)) for payment in gateway.latest()]
    return page("sandbox/desk.html", payments=shown, left_minor=gateway.left_minor, open_dispute=gateway.open_dispute)  # fmt: skip


ACTIONS: dict[str, Callable[[SandboxPayment], object]] = {
    "settle": gateway.pay,
    "refund": lambda payment: gateway.refund(
        payment, f"dashboard-{len(payment.refunds)}", gateway.left_minor(payment)
    ),
    "dispute": gateway.dispute,
    "win": lambda payment: gateway.decide(payment, "won"),
    "lose": lambda payment: gateway.decide(payment, "lost"),
}


@bp.post("/payments/<public_id>/<action>")
def act(public_id: str, action: str) -> ResponseReturnValue:
    """One action of the desk."""
    only_in_development()
    if action not in ACTIONS:
        raise NotFound
    with transaction():
        ACTIONS[action](gateway.find(public_id, lock=True))
    return redirect(url_for(".desk"), 303)


def _picked(payment: SandboxPayment) -> Outcome | None:
    """The outcome that was sent, if the page as it stands offers it."""
    # A button's own outcome stands after the one that the radios hold.
    wish = (request.form.getlist("outcome") or [""])[-1]
    if wish == "abandon":
        return LEAVE
    status = gateway.status_of(payment)
    if status in {"expired", "cancelled", "declined"}:
        return PAY_LATE if wish == "pay_late" else None
    if status != "open":
        raise Conflict("This payment is settled already.")
    return OUTCOMES.get(wish)


def _page(payment: SandboxPayment, status: int = 200, fault: str = "") -> ResponseReturnValue:
    allow_forms_to(_origin(payment.return_url))
    before = gateway.tries_before(payment)
    return page(
        "sandbox/pay.html", status=status, payment=payment, state=gateway.status_of(payment),
        outcomes=OUTCOMES, reasons=REASONS, attempt=len(before) + 1, fault=fault,
        last_failure=before[-1].failure_code if before else None,
    )  # fmt: skip


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
