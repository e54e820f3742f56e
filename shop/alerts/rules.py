"""The one table of alerts: what is measured, when it is too much, and where a person acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shop.alerts import measures
from shop.alerts.measures import Measured


@dataclass(frozen=True)
class Rule:
    """One alert. A `threshold` or `minimum` that is a word is a preference's key."""

    #: What is measured, as a label: "Payments that succeed, 1 h".
    watched: str
    #: What is wrong when it fires, as a headline: "Payments fail".
    trouble: str
    #: The figure in a sentence; {value}, {sample} and {threshold} are filled in.
    sentence: str
    #: What a person does first.
    advice: str
    measure: Callable[..., Measured]
    threshold: str | int
    #: The least sample that says anything.
    minimum: str | int = 0
    unit: str = ""
    #: True when the figure must not fall under the threshold; else it must not rise above it.
    is_under: bool = False
    #: Minutes that the figure must be good before the alert ends: no to and fro at the threshold.
    calm_minutes: int = 10
    #: Measured in parts, of which the worst speaks; then `measure` is given the least sample.
    is_parted: bool = False
    #: Whether one more of them is told at once (a second dispute).
    is_each: bool = False
    #: The page of the admin where it is looked at.
    endpoint: str = "admin.home"
    arguments: Mapping[str, Any] = field(default_factory=dict)


RULES: dict[str, Rule] = {
    "payment_success": Rule(
        "Payments that succeed, 1 h",
        "Payments fail",
        "{value} % of {sample} payments in the last hour succeeded; under {threshold} % is an alarm.",
        "Look which gateway's payments fail, and at the gateway's status page.",
        measures.payments, "alert_payment_success_percent", "alert_payment_minimum", "%",
        is_under=True, endpoint="admin.orders", arguments={"tab": "needs-attention"},
    ),
    "webhook_failures": Rule(
        "Webhooks that fail, 1 h",
        "Webhooks fail",
        "{value} % of {sample} webhooks of gateways, of couriers or of messages in the last hour failed or wait; over {threshold} % is an alarm.",
        "Read the error of one, mend its cause, then replay them.",
        measures.webhooks, "alert_webhook_failure_percent", "alert_webhook_minimum", "%",
        is_parted=True, endpoint="admin.webhooks", arguments={"status": "failed"},
    ),
    "hold_expiry": Rule(
        "Holds that expire unpaid, 24 h",
        "Shoppers do not finish paying",
        "{value} % of {sample} holds in the last day expired unpaid; over {threshold} % is an alarm.",
        "Try to pay by each method; look for a gateway that turns people away, or for a bot.",
        measures.holds, "alert_hold_expiry_percent", "alert_hold_minimum", "%",
        endpoint="admin.orders",
    ),
    "shipment_failures": Rule(
        "Parcels not made in time, 24 h",
        "Parcels cannot be booked",
        "{value} % of {sample} parcels in the last day were not made in time; over {threshold} % is an alarm.",
        "Read the open incidents of parcels: wallet, log-in, pickup place, addresses.",
        measures.shipments, "alert_shipment_failure_percent", "alert_shipment_minimum", "%",
        endpoint="admin.incidents", arguments={"category": "delivery"},
    ),
    "errors": Rule(
        "Unforeseen errors, 5 min",
        "Unforeseen errors",
        "Unforeseen errors in 5 minutes: {value}; more than {threshold} is an alarm.",
        "Search the log for “unforeseen” and “job.put_back”; was something changed just now?",
        measures.errors, "alert_errors", calm_minutes=5, endpoint="admin.jobs",
        arguments={"status": "failed"},
    ),
    "mail_failures": Rule(
        "Mails that fail, 1 h",
        "Mails cannot be sent",
        "{value} % of {sample} mails in the last hour failed or wait; over {threshold} % is an alarm.",
        "Try the SMTP server's log-in; look at its status page and at what it said.",
        measures.mails, "alert_mail_failure_percent", "alert_mail_minimum", "%",
        endpoint="admin.incidents", arguments={"category": "api"},
    ),
    "disputes": Rule(
        "Disputes without evidence",
        "A payment is disputed",
        "Disputes that wait for evidence: {value}.",
        "Send the evidence before its date: unanswered, it is lost.",
        measures.disputes, 0, calm_minutes=0, is_each=True, endpoint="admin.disputes",
    ),
    "low_stock": Rule(
        "Variants low on stock",
        "Stock runs low",
        "Variants at or under their own threshold: {value}; more than {threshold} is an alarm.",
        "Order more, or set their thresholds right.",
        measures.low_stock, "alert_low_stock", endpoint="admin.stock", arguments={"low": "1"},
    ),
    "no_worker": Rule(
        "Workers missing",
        "No worker is seen",
        "No worker has said lately that it lives: no parcel is booked and no mail is sent.",
        "Start worker.py again; what waits is done then.",
        measures.missing_workers, 0, calm_minutes=0, endpoint="admin.jobs",
    ),
}  # fmt: skip


def is_bad(rule: Rule, found: Measured, threshold: float, minimum: float) -> bool:
    """Whether the figure is an alarm. Too small a sample never is."""
    if found.value is None or found.sample < minimum:
        return False
    return found.value < threshold if rule.is_under else found.value > threshold


def shown(value: float | None, unit: str = "") -> str:
    """The figure as people read it: "84.5 %", "7", or a dash."""
    if value is None:
        return "–"
    number = f"{value:.1f}".removesuffix(".0")
    return f"{number} {unit}".strip()


def sentence_of(rule: Rule, value: float | None, sample: int, threshold: float) -> str:
    """The rule's sentence with these figures."""
    if value is None:
        return "There is nothing to measure just now."
    return rule.sentence.format(value=shown(value), sample=sample, threshold=shown(threshold))
