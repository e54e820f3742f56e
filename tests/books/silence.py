"""Deeds of people that the audit does not tell of: what each wrote, and what the proof says of it."""

from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Executable, insert, update

from shop.accounts.models import Role, User
from shop.audit.models import AuditEntry
from shop.catalog.models import VariantPrice
from shop.messaging.models import MessageSwitch, MessageWording
from shop.orders.models import OrderEvent
from shop.payments.models import Dispute, Payment, PaymentEvent, Refund, RefundStatus
from shop.payments.statements.models import BankStatement, BankStatementLine, LineState
from shop.preferences import Setting
from shop.promotions.models import EntryKind, GiftCard, GiftCardEntry
from shop.shipping_prices.models import ShippingRate, ShippingZone
from shop.stock.models import MovementReason, StockMovement

ACTOR = "user:2"
SEEN = "payment.confirmed or statement.matched"
RATE = {
    "method": "standard", "label": "Standard", "basis": "weight", "up_to": None, "currency": "INR",
    "price_minor": 9_900, "free_from_minor": None, "days_from": 3, "days_to": 5, "is_live": False,
}  # fmt: skip


class Silent(NamedTuple):
    """What was written past the audit, and the faults of it."""

    rows: tuple[Executable, ...]
    told: tuple[str, ...]


def lacks(subject: str, action: str, actor: str = f" by {ACTOR}") -> tuple[str]:
    """The fault of a deed without its entry."""
    return (f"audit_entries:{subject} lacks {action}{actor}",)


def entry(action: str, subject: str, before: Any, after: Any) -> Executable:
    """An entry of a deed whose rows say otherwise."""
    return insert(AuditEntry).values(
        actor=ACTOR, action=action, subject=subject, before=before, after=after
    )


def changed(model: Any, key: int, **values: Any) -> Executable:
    """A row that is there already, written past the rules."""
    return update(model).where(model.id == key).values(**values)


def bank_line(state: LineState, **more: Any) -> Executable:
    """A booking that a person decided on."""
    return insert(BankStatementLine).values(
        booked_on=date(2026, 1, 2), amount_minor=1, currency="INR", state=state, sameness=state,
        decided_by=ACTOR, **more,
    )  # fmt: skip


def orders_and_money(names: dict[str, Any]) -> list[Silent]:
    """What staff do at the desks."""
    order, opened = f"order:{names['number']}", f"order:{names['open_number']}"
    step = {
        "order_id": names["open_order"],
        "actor": ACTOR,
        "text": "",
        "occurred_at": names["now"],
    }
    news = {"payment_id": names["open_payment"], "source": "admin", "changed": "nothing"}
    return [
        Silent(
            (insert(OrderEvent).values(kind="payment_succeeded", from_status="pending_payment", **step),),
            lacks(opened, "payment.late_accept") + lacks(opened, "order.payment_succeeded"),
        ),
        Silent(
            (
                changed(Payment, names["payment"], gateway="cod"),
                update(Refund).values(
                    reason="paid too late", actor=ACTOR, status=RefundStatus.SUCCEEDED
                ),
            ),
            lacks(order, "refund.requested")
            + lacks(order, "payment.late_refund")
            + lacks(order, "refund.done_by_hand", ""),
        ),
        Silent(
            (
                changed(Payment, names["open_payment"], gateway="bank_transfer"),
                insert(PaymentEvent).values(kind="captured", **news),
                insert(PaymentEvent).values(kind="failed", **news),
            ),
            lacks(opened, SEEN, "") + lacks(opened, "payment.rejected", ""),
        ),
        Silent(
            (bank_line(LineState.MATCHED, payment_id=names["payment"]),), lacks(order, SEEN)
        ),
        Silent(
            (bank_line(LineState.IGNORED, id=8),), lacks("statement_line:8", "statement.ignored")
        ),
        Silent(
            (insert(BankStatement).values(id=9, name="a", digest="a", form="csv", actor=ACTOR),),
            lacks("statement:9", "statement.imported"),
        ),
        Silent(
            (
                insert(Dispute).values(
                    id=7, payment_id=names["payment"], gateway_id="d", amount_minor=1,
                    evidence_sent_by=ACTOR,
                ),
            ),
            lacks("dispute:7", "dispute.evidence_sent"),
        ),
        Silent(
            (
                insert(StockMovement).values(
                    variant_id=names["variant"], order_line_id=names["line"], sequence=99, delta=1,
                    reason=MovementReason.RESTOCK, actor=ACTOR,
                ),
            ),
            lacks(order, "refund.requested or return.checked or shipment.restocked or order.cancelled"),
        ),
        Silent(
            (
                insert(GiftCardEntry).values(
                    gift_card_id=names["card"], kind=EntryKind.ISSUE, amount_minor=1,
                    reference="again", actor=ACTOR,
                ),
                changed(GiftCard, names["card"], blocked_at=names["now"]),
            ),
            lacks(f"gift_card:{names['card']}", "gift_card.issued")
            + lacks(f"gift_card:{names['card']}", "gift_card.blocked", ""),
        ),
    ]  # fmt: skip


def people_and_settings(names: dict[str, Any]) -> list[Silent]:
    """What the owner does."""
    clerk, guest, former = names["clerk"], names["guest"], names["former"]
    wording = {"template": "order_shipped", "channel": "email", "language": "en", "version": 1}
    return [
        Silent(
            (changed(User, clerk, role=Role.OWNER, totp_secret="sealed"),),
            (
                f"users:{clerk} is owner, the audit tells support",
                *lacks(f"user:{clerk}", "account.second_factor_on", ""),
            ),
        ),
        Silent(
            (changed(User, guest, role=Role.MANAGER),),
            (f"users:{guest} is manager, the audit tells nothing",),
        ),
        Silent(
            (changed(User, former, role=Role.CUSTOMER),),
            (f"users:{former} is customer, the audit tells support",),
        ),
        Silent(
            (
                insert(Setting).values(key="hold_minutes", value="12", changed_by=clerk),
                insert(Setting).values(key="cod_refusals", value="4", changed_by=clerk),
                entry("setting.changed", "setting:cod_refusals", None, {"value": 5}),
                insert(Setting).values(key="line_limit", value="9", changed_by=clerk),
                entry("setting.changed", "setting:line_limit", None, {"value": 9}),
                insert(Setting).values(key="digest_hour", value="noon", changed_by=clerk),
            ),
            (
                "settings:hold_minutes is 12, the audit tells nothing",
                "settings:cod_refusals is 4, the audit tells 5",
                f"settings:line_limit was changed by user:{clerk}, the audit tells {ACTOR}",
                "settings:digest_hour is noon, the audit tells nothing",
            ),
        ),
        Silent(
            (
                insert(MessageSwitch).values(
                    event="order_shipped", channel="email", is_on=False, changed_by=clerk
                ),
                insert(MessageWording).values(**wording, parts={}, changed_by=clerk),
            ),
            (
                "message_switches:order_shipped:email is off, the audit tells nothing",
                *lacks(
                    "wording:order_shipped:email:en",
                    "wording.changed or wording.reset or wording.restored",
                    f" by user:{clerk}",
                ),
            ),
        ),
    ]  # fmt: skip


def prices(names: dict[str, Any]) -> list[Silent]:
    """What goods and their delivery cost."""
    zone = {"name": "India", "countries": "IN", "postal_codes": "", "is_active": True}
    price = {"amount_minor": 1, "compare_at_minor": None}
    return [
        Silent(
            (
                insert(ShippingZone).values(id=5, **zone),
                insert(ShippingRate).values(id=6, zone_id=5, **RATE),
            ),
            (
                "shipping_zones:5 name is India, the audit tells nothing",
                "shipping_rates:6 of 9900 is not in the audit",
            ),
        ),
        Silent(
            (
                insert(ShippingZone).values(id=7, **{**zone, "name": "Metro"}),
                entry("shipping_zone.added", "shipping_zone:7", None, {**zone, "name": "Town"}),
                entry("shipping_zone.changed", "shipping_zone:7", None, {"name": "City"}),
                insert(ShippingRate).values(id=8, zone_id=7, **{**RATE, "price_minor": 1}),
                entry("shipping_rate.added", "shipping_zone:7", None, {**RATE, "price_minor": 2}),
                entry(
                    "shipping_rate.changed",
                    "shipping_zone:7",
                    {**RATE, "price_minor": 2},
                    {**RATE, "price_minor": 3},
                ),
                entry("shipping_zone.added", "shipping_zone:9", None, zone),
            ),
            (
                "shipping_zones:7 name is Metro, the audit tells City",
                "shipping_rates:8 of 1 is not in the audit",
                "shipping_zones:7 lacks the price of 3 that the audit tells",
                "shipping_zones:9 is gone, the audit tells of it",
            ),
        ),
        Silent(
            (
                entry("price.changed", f"variant:{names['variant']}:INR", None, price),
                changed(VariantPrice, names["price"], amount_minor=777),
            ),
            (f"variant_prices:{names['price']} is 777, the audit tells 1",),
        ),
    ]


def all_of(names: dict[str, Any]) -> list[Silent]:
    """Every deed that the proofs know, beside those of breaks.py."""
    return [*orders_and_money(names), *people_and_settings(names), *prices(names)]
