"""Every failure that opens an incident: how grave it is, what it means, and what to do about it.

A failure's key is what stands before the first colon of the fault that `open_incident` is given; for
a job that gave up it is "job:" and the kind. A test reads all faults and all kinds of jobs off the
code and compares them with this table, both ways; another has each of them forced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shop.incidents.models import Category, Severity

DELIVERY, PAYMENT, STOCK = Category.DELIVERY, Category.PAYMENT, Category.STOCK
DATABASE, API, UNKNOWN = Category.DATABASE, Category.API, Category.UNKNOWN
CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


@dataclass(frozen=True)
class Failure:
    """A row of the table."""

    key: str
    category: Category
    #: The gravest that it gets.
    severity: Severity
    #: What it means, for people.
    words: str
    to_do: str
    #: What it is otherwise, where circumstances decide.
    less: tuple[Severity, ...] = ()
    #: Another category, where the thing decides.
    also: tuple[Category, ...] = ()

    @property
    def severities(self) -> tuple[Severity, ...]:
        """All that it may get."""
        return (self.severity, *self.less)


def _gave_up(
    kind: str, category: Category, severity: Severity, words: str, to_do: str,
    less: tuple[Severity, ...] = (), also: tuple[Category, ...] = (),
) -> Failure:  # fmt: skip
    return Failure(f"job:{kind}", category, severity, words, to_do, less, also)


RETRY = "See the error, mend its cause, then retry the job from here."
NEXT_TURN = "The next turn does it again. If this comes back, see the error."
ASK_GATEWAY = (
    "Look the payment up in the gateway's dashboard, then retry: it asks the gateway first."
)

_MONEY = (
    Failure("mismatch", PAYMENT, CRITICAL, "Money came in the wrong currency, or none did.", "Compare the payment with the gateway's dashboard; refund it, or settle it with the customer."),
    Failure("short", PAYMENT, CRITICAL, "Less was paid than asked.", "Ask the customer for the rest, or refund. A transfer that was too small waits at the money desk.", (HIGH,)),
    Failure("second", PAYMENT, HIGH, "An order was paid twice; the second payment goes back by itself.", "See that its refund succeeds."),
    Failure("overpaid", PAYMENT, HIGH, "More was paid than asked.", "Send the excess back at the money desk; after some days it goes back by itself."),
    Failure("late_money", PAYMENT, HIGH, "Money came after the hold had ended.", "Decide on the order's page: ship it, or refund. Without a decision the preference decides.", (MEDIUM,)),
    Failure("cash_for_cancelled", PAYMENT, HIGH, "The courier took cash for an order that was cancelled.", "Let it stand, or refund from the order's page."),
    Failure("in_doubt", PAYMENT, HIGH, "The gateway does not know whether the customer paid.", "Ask the bank. Offer no other way to pay before it is known."),
    Failure("open_refused", PAYMENT, MEDIUM, "The gateway refused to open a payment.", "See its words: most often a key, a currency or a limit of the account."),
    Failure("unknown_money", PAYMENT, CRITICAL, "The gateway tells of money that names no order of ours.", "Find out at the gateway whose it is; refund it there, or record it by hand."),
    Failure("difference", PAYMENT, HIGH, "The gateway's list and our books differ.", "Compare both; record what is missing, or ask the gateway's support."),
    Failure("refund_failed", PAYMENT, CRITICAL, "A refund failed for certain; the customer has no money.", "Refund another way and record it, or try again from the order's page."),
    Failure("refund_waits", PAYMENT, HIGH, "A refund waits for a person at the gateway.", "See the words: top up the balance, or enter the customer's account in the gateway's dashboard."),
    Failure("refund_by_hand", PAYMENT, HIGH, "A refund that a person must send was not sent in time.", "Send it, then record it at the money desk."),
    Failure("dispute", PAYMENT, CRITICAL, "A customer disputes a payment with the bank.", "Send evidence before the day it is due: Disputes makes it as one PDF."),
    Failure("evidence_due", PAYMENT, CRITICAL, "Evidence for a dispute is due soon, and none was sent.", "Send it now: what comes late does not count."),
    Failure("instalment", PAYMENT, HIGH, "An instalment is overdue, and the goods have been sold.", "Write to the customer, or take the goods back."),
    Failure("unmatched_line", PAYMENT, HIGH, "Money on the bank account names no order.", "Match it by hand at the money desk."),
    Failure("webhook_refused", PAYMENT, HIGH, "Messages that claim to come from a provider do not carry its signature.", "Compare the webhook secret with the provider's dashboard. If it fits, somebody else is sending them: nothing of them is stored or believed.", (MEDIUM,), (DELIVERY, API)),
    Failure("webhook_unreadable", API, MEDIUM, "A signed message could not be read.", "The provider may have changed its format: read the message under Webhooks, and report it."),
)  # fmt: skip

_PARCELS = (
    Failure("parcel", DELIVERY, CRITICAL, "A parcel is lost or damaged, comes back, could not be delivered, or was cancelled at the courier; or a cancelled one moves.", "Ask the courier; then send again, or refund.", (HIGH, MEDIUM)),
    Failure("returned", DELIVERY, HIGH, "An order came back to us.", "Look at the goods; restock and refund from the order's page."),
    Failure("silent", DELIVERY, MEDIUM, "The courier has told nothing of a parcel for days.", "Ask the courier where it is."),
    Failure("half_made", DELIVERY, MEDIUM, "A parcel was left half made; it has been asked for again.", "See that it gets its waybill."),
    Failure("duplicate_shipment", DELIVERY, LOW, "Two tries to book the same parcel met; one went on.", "Nothing, unless it comes often: then too many workers take too long."),
    Failure("courier_login", DELIVERY, HIGH, "The courier refused our log-in; no parcel can be booked.", "Check the courier's e-mail and password. After mending them wait for the hold to end: more tries lock the account."),
    Failure("return_waits", DELIVERY, MEDIUM, "A return has waited for days for somebody of the shop.", "Decide on it on the return's page."),
    Failure("return_parcel", DELIVERY, MEDIUM, "The courier tells of trouble with a returning parcel.", "Ask the courier and the customer; book the way back anew if need be."),
    Failure("return_overdue", DELIVERY, MEDIUM, "A return is under way for long, or nothing is heard of it.", "Ask the courier and the customer where it is; drop the return, or settle it."),
    Failure("replacement_ended", DELIVERY, MEDIUM, "What was sent in place of a return was cancelled, lost or came back.", "Refund the first order by its refund form, or send again."),
    Failure("count_after_cancel", STOCK, MEDIUM, "An order was cancelled after a part of it had left.", "Count what is still here, and put the count right under Stock."),
)  # fmt: skip

_MACHINERY = (
    Failure("message_repeated", API, LOW, "A message may have gone twice.", "Nothing. If it comes often, see why workers end in between."),
    Failure("message_uncertain", API, LOW, "Nobody knows whether a message was sent.", "Look in the provider's log; then send it again, or let it be, on the message's page."),
    Failure("channel_broken", API, HIGH, "A channel carries no messages: they wait, for a day at most.", "See the provider's words: most often a key or password that was changed, or no money left. Test it under Channels; once it is mended, what waits goes by itself."),
    Failure("message_undelivered", API, LOW, "A provider takes messages over and does not deliver them.", "See the provider's own words: the sender's registration, the template, or the numbers are at fault."),
    Failure("ticket_refused", API, LOW, "The tracker takes tickets, but not this one.", "See its words: a field that the project demands, or a text that it does not take. It is tried again once a day."),
    Failure("jobs_overdue", UNKNOWN, HIGH, "Jobs wait for more than a minute.", "See Jobs: is a worker running, is one kind slow? Start more workers (WORKERS)."),
    Failure("books", DATABASE, CRITICAL, "The books do not add up.", "Change nothing by hand. Run `flask shop audit`, and find the cause of each row."),
    Failure("no_worker", UNKNOWN, HIGH, "No worker has been seen: nothing is shipped, mailed or asked.", "Start the worker (`python worker.py`)."),
)  # fmt: skip

_JOBS = (
    _gave_up("webhooks.process", PAYMENT, HIGH, "A provider's message could not be processed.", "See the error, then replay the message from here.", (MEDIUM,), (DELIVERY, API)),
    _gave_up("webhooks.sweep", API, MEDIUM, "The look for messages left behind failed.", NEXT_TURN),
    _gave_up("webhooks.confirm_sns", API, MEDIUM, "The notices of bounced mail could not be subscribed to.", "See the error; ask the provider to send the confirmation again."),
    _gave_up("payments.verify", PAYMENT, HIGH, "The gateway does not tell how a payment stands.", ASK_GATEWAY),
    _gave_up("payments.ask_due", PAYMENT, MEDIUM, "The sweep over payments failed.", NEXT_TURN),
    _gave_up("payments.ask_refunds", PAYMENT, MEDIUM, "The sweep over refunds failed.", NEXT_TURN),
    _gave_up("payments.close_attempt", PAYMENT, CRITICAL, "A payment page could not be closed at the gateway.", ASK_GATEWAY),
    _gave_up("payments.close_attempts", PAYMENT, MEDIUM, "An order's payment pages could not be closed.", RETRY),
    _gave_up("payments.refund", PAYMENT, CRITICAL, "The gateway does not answer about a refund; its hold is kept.", ASK_GATEWAY),
    _gave_up("payments.refund_in_full", PAYMENT, MEDIUM, "A cancelled order's refund was not begun.", RETRY),
    _gave_up("payments.return_excess", PAYMENT, MEDIUM, "What was paid too much did not go back.", RETRY),
    _gave_up("payments.return_late_money", PAYMENT, MEDIUM, "Late money did not go back.", RETRY),
    _gave_up("payments.late_money_default", PAYMENT, MEDIUM, "The default about late money could not be applied.", NEXT_TURN),
    _gave_up("payments.forgotten_money", PAYMENT, MEDIUM, "The look for forgotten money failed.", NEXT_TURN),
    _gave_up("payments.remind", PAYMENT, MEDIUM, "The reminders of payments failed.", NEXT_TURN),
    _gave_up("payments.remind_evidence", PAYMENT, MEDIUM, "The look at disputes' days failed.", NEXT_TURN),
    _gave_up("payments.miss_instalment", PAYMENT, MEDIUM, "A missed instalment was not dealt with.", RETRY),
    _gave_up("payments.reconcile", PAYMENT, MEDIUM, "The comparing with gateways was not begun.", NEXT_TURN),
    _gave_up("payments.compare", PAYMENT, HIGH, "A gateway's list could not be compared with our books.", "See the error, then retry: money may have come that nobody told of."),
    _gave_up("payments.learn_payouts", PAYMENT, MEDIUM, "A gateway does not tell what it paid out.", "See the error, then retry. Until then payments stay without their payout; nothing else waits for it."),
    _gave_up("payments.take_in", PAYMENT, MEDIUM, "News of money could not be recorded.", RETRY),
    _gave_up("payments.match_line", PAYMENT, HIGH, "A line of a bank statement could not be matched.", "Match it by hand at the money desk, or retry."),
    _gave_up("payments.test_gateway", UNKNOWN, MEDIUM, "A gateway's test did not end.", "Press the test again on the gateways' page."),
    _gave_up("delivery.create_shipment", DELIVERY, HIGH, "A parcel could not be booked.", "See the courier's words; mend the address, the weight or the account, then retry. It asks the courier first."),
    _gave_up("delivery.cancel_shipments", DELIVERY, HIGH, "A parcel could not be cancelled at the courier.", "Cancel it in the courier's panel, so that nobody fetches it."),
    _gave_up("delivery.keep_paper", DELIVERY, LOW, "A label, manifest or invoice could not be kept.", "Retry, or print it from the courier's panel."),
    _gave_up("delivery.track", DELIVERY, MEDIUM, "The courier does not tell where a parcel is.", "The next poll asks again. If all parcels are silent, see the courier's status."),
    _gave_up("delivery.follow_money", DELIVERY, MEDIUM, "Parcels did not follow a refund or a dispute.", RETRY),
    _gave_up("delivery.poll", DELIVERY, MEDIUM, "The poll of parcels failed.", NEXT_TURN),
    _gave_up("returns.book", DELIVERY, MEDIUM, "The way back of a return could not be booked.", "See the courier's words; mend the address or send the customer a label by hand, then retry."),
    _gave_up("returns.cancel_way", DELIVERY, LOW, "The way back of a return could not be cancelled.", "Cancel it in the courier's panel."),
    _gave_up("returns.track", DELIVERY, LOW, "The courier does not tell where a return is.", "The next poll asks again."),
    _gave_up("returns.poll", DELIVERY, LOW, "The poll of returns failed.", NEXT_TURN),
    _gave_up("returns.lapse", DELIVERY, LOW, "A return that was never sent could not be ended.", "Drop it on its page."),
    _gave_up("returns.replacement_ended", DELIVERY, MEDIUM, "Nobody was told that a replacement ended.", RETRY),
    _gave_up("returns.sweep", DELIVERY, LOW, "The look for returns that wait failed.", NEXT_TURN),
    _gave_up("stock.expire_holds", PAYMENT, MEDIUM, "The sweep over holds failed.", NEXT_TURN),
    _gave_up("stock.end_hold", PAYMENT, MEDIUM, "A hold that ended was not released.", RETRY),
    _gave_up("orders.cancel_unpaid", PAYMENT, MEDIUM, "The cancelling of unpaid orders failed.", NEXT_TURN),
    _gave_up("orders.expire", PAYMENT, MEDIUM, "An unpaid order was not cancelled.", RETRY),
    _gave_up("orders.unstick", DELIVERY, MEDIUM, "The look for stuck orders failed.", NEXT_TURN),
    _gave_up("orders.archive", DATABASE, LOW, "Finished orders were not archived.", NEXT_TURN),
    _gave_up("messaging.send", API, MEDIUM, "A message could not be sent.", "See the error; mend the address or the account, then send it again from the message's page.", (LOW,)),
    _gave_up("messaging.tell", API, LOW, "It was not decided whom to tell of an event.", RETRY),
    _gave_up("messaging.sweep", API, LOW, "The look for messages left behind failed.", NEXT_TURN),
    _gave_up("messaging.back_in_stock", API, LOW, "Customers were not told that goods are back.", RETRY),
    _gave_up("messaging.left_carts", API, LOW, "The look for left carts failed.", NEXT_TURN),
    _gave_up("messaging.try_out", API, LOW, "A test message could not be sent.", "See the error; then send the test again from the messages' page."),
    _gave_up("messaging.unresolved", API, LOW, "A message that is uncertain was not handed to a person.", RETRY),
    _gave_up("messaging.account_mail", API, MEDIUM, "A mail about an account could not be sent.", "See the error. The person can ask for the mail again."),
    _gave_up("messaging.test_channel", UNKNOWN, MEDIUM, "A channel's test did not end.", "Press the test again on the channels' page."),
    _gave_up("messaging.staff_mail", API, MEDIUM, "A mail to staff could not be sent.", "Check SMTP_URL and ADMIN_EMAIL: without it nobody hears of what is critical."),
    _gave_up("incidents.ticket", API, LOW, "Incidents do not reach the tracker; they stand here only.", "Check the tracker's address and token. Retry one here: when it goes through, the others follow."),
    _gave_up("incidents.sweep", API, LOW, "The look for tickets left behind failed.", NEXT_TURN),
    _gave_up("incidents.digest", API, LOW, "The day's digest was not mailed.", NEXT_TURN),
    _gave_up("alerts.evaluate", UNKNOWN, MEDIUM, "The alerts were not worked out.", NEXT_TURN),
    _gave_up("alerts.mail", API, MEDIUM, "A mail about an alert could not be sent.", "Check SMTP_URL and ADMIN_EMAIL; the alert stands on the dashboard."),
    _gave_up("alerts.post", API, MEDIUM, "An alert could not be posted to ALERT_WEBHOOK_URL.", "Check the address; the alert stands on the dashboard."),
    _gave_up("books.light", DATABASE, MEDIUM, "The quick audit of the books did not end.", NEXT_TURN),
    _gave_up("books.full", DATABASE, MEDIUM, "The full audit of the books did not end.", NEXT_TURN),
    _gave_up("retention.run", DATABASE, LOW, "Old data was not deleted.", NEXT_TURN),
    _gave_up("jobs.overdue", UNKNOWN, MEDIUM, "The look for overdue jobs failed.", NEXT_TURN),
    _gave_up("jobs.unknown", UNKNOWN, MEDIUM, "A job of a kind that this version does not know.", "Deploy the version that knows it, then retry."),
    _gave_up("sandbox.settle", UNKNOWN, MEDIUM, "The sandbox could not settle a pretended transfer.", RETRY),
    _gave_up("sandbox.deliver_webhook", API, LOW, "The sandbox gateway's message was not taken.", RETRY),
    _gave_up("sandbox.deliver_scan", API, LOW, "The sandbox courier's message was not taken.", RETRY),
)  # fmt: skip

FAILURES = {one.key: one for one in (*_MONEY, *_PARCELS, *_MACHINERY, *_JOBS)}
"""The table, by key."""

JOB = "job:"


def key_of(fault: str) -> str:
    """The key in a fault: "job:payments.refund" of "job:payments.refund:refund_id=3"."""
    name, _, rest = fault.partition(":")
    return f"{JOB}{rest.partition(':')[0]}" if name == "job" else name


def failure_of(fault: str) -> Failure | None:
    """Its row. None for what this version does not know any more (an older row of the database)."""
    return FAILURES.get(key_of(fault))


def to_do(fault: str, context: Mapping[str, Any] | None = None) -> str:
    """What a person should do about it; empty when the fault is not known.

    Who opened the incident may know better: `whatToDo` in its context goes first.
    """
    known = failure_of(fault)
    told = (context or {}).get("whatToDo")
    return str(told) if told else known.to_do if known else ""
