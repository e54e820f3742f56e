"""What the design and the providers' documents demand, written out to be compared with the catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the design's table of retries: seconds for a try, tries, waits, and what giving up is."""

    kind: str
    limit: int
    attempts: int
    base: float
    cap: float
    severity: str


GIVE_UP = (
    Row("webhooks.process", 30, 12, 2, 3600, "high"),
    Row("payments.verify", 15, 10, 30, 1800, "high"),
    Row("payments.close_attempt", 30, 10, 5, 3600, "critical"),
    Row("payments.refund", 30, 15, 10, 7200, "critical"),
    Row("delivery.create_shipment", 45, 10, 30, 3600, "high"),
    Row("delivery.cancel_shipments", 30, 8, 30, 3600, "high"),
    Row("delivery.track", 20, 5, 300, 21_600, "medium"),
    Row("messaging.send", 20, 8, 15, 7200, "low"),
    Row("incidents.ticket", 15, 10, 60, 21_600, "low"),
    Row("stock.expire_holds", 30, 5, 5, 60, "medium"),
    Row("orders.cancel_unpaid", 30, 5, 5, 60, "medium"),
    Row("retention.run", 600, 3, 300, 3600, "low"),
    Row("orders.archive", 600, 3, 300, 3600, "low"),
)


@dataclass(frozen=True)
class Told:
    """A line of a provider's table of errors, and what a person hears of it in the end."""

    provider: str
    seen: str
    #: Keys of the catalogue; none where no person has to act.
    keys: tuple[str, ...] = ()
    #: Why none.
    why: str = ""


REFUND, VERIFY, CLOSE, OPEN = "job:payments.refund", "job:payments.verify", "job:payments.close_attempt", "open_refused"  # fmt: skip
FAILED, DOUBT, COMPARE = "refund_failed", "in_doubt", "job:payments.compare"
BOOK, CANCEL, TRACK = "job:delivery.create_shipment", "job:delivery.cancel_shipments", "job:delivery.track"  # fmt: skip
SEND, TICKET = "job:messaging.send", "job:incidents.ticket"
DOWN = "channel_broken"
UNREACHABLE = "the recipient opted out or cannot be reached"
SHOPPER = "the shopper reads it and pays another way"


def _gateway(provider: str, *, refused: str, later: str) -> tuple[Told, ...]:
    """What all gateways share."""
    return (
        Told(provider, refused, (OPEN, FAILED, VERIFY, CLOSE)),
        Told(provider, "401, 403: the key", (OPEN, REFUND, VERIFY, COMPARE)),
        Told(provider, later, (REFUND, VERIFY, CLOSE)),
        Told(provider, "time-out after sending", (REFUND, VERIFY, CLOSE)),
        Told(provider, "a message with a wrong signature", ("webhook_refused",)),
        Told(provider, "a message of another form", ("webhook_unreadable",)),
        Told(provider, "a message that cannot be processed", ("job:webhooks.process",)),
    )


PROVIDERS = (
    *_gateway("stripe", refused="400, 404 invalid_request_error; 400 idempotency_error", later="409, 429, 5xx"),
    Told("stripe", "402 card_error", (), SHOPPER),
    Told("stripe", "refund.failed days later", ("refund_failed",)),
    Told("stripe", "charge.dispute.created", ("dispute",)),
    *_gateway("razorpay", refused="400 BAD_REQUEST_ERROR, 404", later="409 refund in progress, 429, 500 to 504"),
    Told("razorpay", "payment.failed", (), SHOPPER),
    Told("razorpay", "payment.dispute.created", ("dispute",)),
    *_gateway("paystack", refused="400 missing_params, invalid_params; 404, 422", later="429, 5xx"),
    Told("paystack", "400 duplicate_reference", (), "the first call arrived: a new attempt, the old one watched"),
    Told("paystack", "refund.needs-attention", ("refund_waits",)),
    *_gateway("flutterwave", refused="400, 404", later="409, 429, 5xx"),
    *_gateway("swish", refused="422 FF08, RP01, RP03, PA01, PA02, AM02, AM03, AM06, ACMT07", later="5xx, FF10"),
    Told("swish", "422 RP06, BE18, ACMT01, ACMT03; RF07, TM01, BANKID…", (), SHOPPER),
    Told("swish", "RF02, RF03, RF04, RF06, RF08 of a refund", ("refund_failed",)),
    Told("swish", "DS24: nobody knows whether it was paid", (DOUBT,)),
    Told("shiprocket", "200 with awb_assign_status 0, and no other courier", (BOOK,)),
    Told("shiprocket", "AWB is already assigned", (), "an earlier try came through: its AWB is taken over"),
    Told("shiprocket", "status_code 350: the wallet is empty", (BOOK,)),
    Told("shiprocket", "400 Cannot reassign courier; 422; 500 with PHP texts", (BOOK,)),
    Told("shiprocket", "the reference of a cancelled order", (BOOK,)),
    Told("shiprocket", "429, 502, 503, 504, connect errors", (BOOK, CANCEL, TRACK)),
    Told("shiprocket", "time-out after sending", (BOOK, CANCEL)),
    Told("shiprocket", "log-in refused", ("courier_login",)),
    Told("shiprocket", "track_status 0: no activity yet", ("silent",)),
    Told("shiprocket", "lost, damaged, undelivered, RTO", ("parcel",)),
    Told("shiprocket", "a return's pickup or way fails", ("job:returns.book", "return_parcel")),
    Told("shiprocket", "a message with a wrong token", ("webhook_refused",)),
    Told("email", "550 of the recipient", (SEND,)),
    Told("email", "450 greylisted, 454 throttled", (SEND,)),
    Told("email", "554 rejected, 530, 552, 535", (SEND, "job:messaging.account_mail", "job:messaging.staff_mail")),
    Told("email", "disconnected before the final dot", (SEND,)),
    Told("email", "disconnected after the final dot", ("message_repeated",)),
    *(
        told
        for provider, broken, later in (
            ("twilio", "20003, 21212, 21606, 21408, 63016", "20429, 21611, 63018"),
            ("termii", "401, 403, 422, Invalid Sender Id, not set up on this route", "429, 5xx"),
            ("msg91", "401, 418, template errors; type error with 200", "429, 5xx"),
            ("wati", "401, 403, 404, 405; result false with 200", "429, 500"),
            ("interakt", "400, 401, 403", "429, 5xx"),
            ("whatsapp-cloud", "0, 190, 3, 10, 131005, 368, 131042, 1320xx", "4, 80007, 130429, 131056, 131000"),
        )
        for told in (
            # At once for all messages; each gives up when it has lasted for a day.
            Told(provider, broken, (DOWN, SEND)),
            Told(provider, later, (SEND,)),
            Told(provider, UNREACHABLE, (), "nobody can mend it: the message says so, nothing more goes there"),
            Told(provider, "time-out after sending", ("message_uncertain",)),
            Told(provider, "handed over and not delivered", ("message_undelivered",)),
            Told(provider, "a receipt with a wrong signature", ("webhook_refused",)),
        )
    ),
    Told("jira", "400: a string description, a label with a blank", ("ticket_refused",)),
    Told("jira", "401, 403: the token", (TICKET,)),
    Told("jira", "429, 503", (TICKET,)),
    Told("jira", "time-out after a create", (), "searched for, then filed once more"),
)  # fmt: skip
