"""The outside trackers: one table, one file each."""

from importlib import import_module
from typing import Any

from shop.config import settings
from shop.incidents import catalogue
from shop.incidents.models import Incident
from shop.incidents.trackers.base import Ticket, Tracker
from shop.money import to_decimal

TRACKERS = {
    "jsonl": "shop.incidents.trackers.jsonl:JsonLines",
    "jira": "shop.incidents.trackers.jira:Jira",
}

CONTEXT = (
    "orderId", "customerId", "paymentId", "gatewayOrderId", "amount", "customerEmail",
    "customerPhone", "deliveryStage",
)  # fmt: skip
"""What a ticket's context holds, always; what is not known is null."""


def tracker() -> Tracker:
    """The tracker that TICKET_TRACKER names."""
    module, _, name = TRACKERS[settings().ticket_tracker].partition(":")
    made: Tracker = getattr(import_module(module), name)()
    return made


def ticket_of(incident: Incident, earlier: tuple[str, ...] = ()) -> Ticket:
    """The incident in a tracker's terms; `earlier` are the tickets that the same fault had before.

    The id holds the moment as well: a fresh database counts from 1 again, and its first incident
    must not be taken for the first of the one before.
    """
    context = {name: incident.context.get(name) for name in CONTEXT}
    context["amount"] = _amount(incident.context)
    return Ticket(
        id=f"INC-{incident.created_at:%Y%m%dT%H%M%S}-{incident.id}",
        order_id=context["orderId"],
        category=incident.category.value,
        severity=incident.severity.value,
        issue=incident.issue,
        error_message=incident.error_message,
        error_stack=incident.error_stack,
        context=context,
        created_at=incident.created_at,
        environment=settings().shop_env,
        fault=f"{settings().public_url} {incident.fingerprint}",
        times=incident.repeats + 1,
        last_seen_at=incident.last_seen_at,
        to_do=catalogue.to_do(incident.fingerprint, incident.context),
        url=f"{settings().public_url}/admin/incidents/{incident.id}",
        earlier=earlier,
        note=incident.note,
        resolved_at=incident.resolved_at,
    )


def _amount(context: dict[str, Any]) -> Any:
    """ "13848.00 INR" for people, where the context has minor units and their currency."""
    amount, currency = context.get("amount"), context.get("currency")
    if isinstance(amount, int) and currency:
        return f"{to_decimal(amount, currency)} {currency}"
    return amount
