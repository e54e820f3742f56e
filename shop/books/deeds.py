"""The proof that what people did is in the audit: each row that tells of a deed asks for an entry."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from shop.accounts.models import User
from shop.audit.models import AuditEntry
from shop.books.reading import stream
from shop.messaging.models import MessageWording
from shop.orders.models import Order, OrderEvent, OrderLine
from shop.payments.late import PAID_TOO_LATE
from shop.payments.models import Dispute, Payment, PaymentEvent, Refund, RefundStatus
from shop.payments.refunds import BY_HAND
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.payments.transfers import KEY as BANK_TRANSFER
from shop.promotions.models import EntryKind, GiftCard, GiftCardEntry
from shop.stock.models import MovementReason, StockMovement

PERSON = "user:%"
SEEN_ON_THE_ACCOUNT = "payment.confirmed or statement.matched"
PUT_BACK = "refund.requested or return.checked or shipment.restocked or order.cancelled"
WORDED = "wording.changed or wording.reset or wording.restored"


def _about(kind: str, *names: Any) -> Any:
    """A subject as the audit writes it: "variant:12"."""
    subject: Any = literal(kind)
    for name in names:
        subject = subject + ":" + cast(name, String)
    return subject


OF_ORDER = _about("order", Order.number)


def _deeds(table: Any, action: Any, subject: Any, actor: Any = None) -> Select[Any]:
    """Deeds of people that a table tells of: who, the entries any of which tells of it, of what.

    The actor is None where the table does not keep it: such rows come about by people only.
    """
    what = action if not isinstance(action, str) else literal(action)
    columns = (what.label("action"), subject.label("subject"))
    if actor is None:
        return select(cast(null(), String).label("actor"), *columns).select_from(table)
    return select(actor.label("actor"), *columns).select_from(table).where(actor.like(PERSON))


def _of_order(table: Any, action: Any, actor: Any = None) -> Select[Any]:
    """Deeds done to orders, by a table that names its order."""
    return _deeds(table, action, OF_ORDER, actor).join(Order, table.order_id == Order.id)


def _of_payment(table: Any, action: Any, actor: Any = None) -> Select[Any]:
    """Deeds done to orders, by a table that names a payment."""
    paid = _deeds(table, action, OF_ORDER, actor).join(Payment, table.payment_id == Payment.id)
    return paid.join(Order, Payment.order_id == Order.id)


def _of_transfer(kind: str, action: str) -> Select[Any]:
    """What staff entered of bank transfers; of other payments they only ask the gateway."""
    return _of_payment(PaymentEvent, action).where(
        PaymentEvent.source == "admin",
        PaymentEvent.kind == kind,
        Payment.gateway == BANK_TRANSFER,
    )


DEEDS = union_all(
    _of_order(OrderEvent, literal("order.") + OrderEvent.kind, OrderEvent.actor).where(
        OrderEvent.from_status.is_not(None)
    ),
    _of_order(OrderEvent, "payment.late_accept", OrderEvent.actor).where(
        OrderEvent.kind == "payment_succeeded"
    ),
    _of_order(Refund, "refund.requested", Refund.actor),
    # One choice may send several payments back.
    _of_order(Refund, "payment.late_refund", Refund.actor)
    .where(Refund.reason == PAID_TOO_LATE)
    .distinct(),
    _of_payment(Refund, "refund.done_by_hand").where(
        Refund.status == RefundStatus.SUCCEEDED, Payment.gateway.in_(BY_HAND)
    ),
    _of_transfer("captured", SEEN_ON_THE_ACCOUNT),
    _of_transfer("failed", "payment.rejected"),
    _deeds(
        BankStatement,
        "statement.imported",
        _about("statement", BankStatement.id),
        BankStatement.actor,
    ),
    _of_payment(BankStatementLine, SEEN_ON_THE_ACCOUNT, BankStatementLine.decided_by).where(
        BankStatementLine.state == LineState.MATCHED
    ),
    _deeds(
        BankStatementLine,
        "statement.ignored",
        _about("statement_line", BankStatementLine.id),
        BankStatementLine.decided_by,
    ).where(BankStatementLine.state == LineState.IGNORED),
    _deeds(
        Dispute, "dispute.evidence_sent", _about("dispute", Dispute.id), Dispute.evidence_sent_by
    ),
    _deeds(
        StockMovement,
        literal("stock.") + type_coerce(StockMovement.reason, String),
        _about("variant", StockMovement.variant_id),
        StockMovement.actor,
    ).where(StockMovement.order_line_id.is_(None)),
    # One deed puts back several lines.
    _deeds(StockMovement, PUT_BACK, OF_ORDER, StockMovement.actor)
    .join(OrderLine, StockMovement.order_line_id == OrderLine.id)
    .join(Order, OrderLine.order_id == Order.id)
    .where(StockMovement.reason == MovementReason.RESTOCK)
    .distinct(),
    _deeds(
        GiftCardEntry,
        "gift_card.issued",
        _about("gift_card", GiftCardEntry.gift_card_id),
        GiftCardEntry.actor,
    ).where(GiftCardEntry.kind == EntryKind.ISSUE),
    _deeds(GiftCard, "gift_card.blocked", _about("gift_card", GiftCard.id)).where(
        GiftCard.blocked_at.is_not(None)
    ),
    _deeds(User, "account.second_factor_on", _about("user", User.id)).where(
        User.totp_secret.is_not(None)
    ),
    _deeds(
        MessageWording,
        WORDED,
        _about("wording", MessageWording.template, MessageWording.channel, MessageWording.language),
        literal("user:") + cast(MessageWording.changed_by, String),
    ),
)


def _unwritten() -> Select[Any]:
    """Deeds that have fewer entries than there were."""
    done = DEEDS.subquery()
    what = (done.c.actor, done.c.action, done.c.subject)
    written = (
        select(func.count(AuditEntry.id))
        .where(
            AuditEntry.subject == done.c.subject,
            done.c.action.contains(AuditEntry.action),
            or_(done.c.actor.is_(None), AuditEntry.actor == done.c.actor),
        )
        .correlate(done)
        .scalar_subquery()
    )
    return select(*what).group_by(*what).having(func.count() > written)


UNWRITTEN = _unwritten()


def audited(connection: Connection) -> Iterator[str]:
    """I33: what a person did to orders, stock, money, secrets and words has its audit entries."""
    for actor, action, subject in stream(connection, UNWRITTEN):
        yield f"audit_entries:{subject} lacks {action}{f' by {actor}' if actor else ''}"
