"""How each branch of each proof is broken by SQL, and what the audit must say of it then.

In the statements and the words {names} stand for the keys of the rows that test_books.py makes: a
paid order with a refund and a parcel, and another that is still open (`open_…`).
"""

from typing import NamedTuple


class Break(NamedTuple):
    """Statements, the beginning of the fault, and the table whose own guards are taken away first."""

    statements: tuple[str, ...]
    told: str
    loosen: str | None = None


def one(statement: str, told: str, loosen: str | None = None) -> Break:
    """A break of one statement."""
    return Break((statement,), told, loosen)


def step(
    kind: str, before: str | None, after: str, *, of: str = "order", actor: str = "system"
) -> str:
    """A step in an order's timeline."""
    came_from = f"'{before}'" if before else "NULL"
    return (
        "INSERT INTO order_events (order_id, kind, actor, from_status, to_status, text, details,"
        " for_customer, occurred_at, created_at, updated_at)"
        f" SELECT id, '{kind}', '{actor}', {came_from}, '{after}', '', '{{{{}}}}', false, placed_at, placed_at,"
        f" placed_at FROM orders WHERE id = {{{of}}}"
    )


def stands(status: str, before: str | None = None) -> str:
    """The order's state, written past the lifecycle."""
    remembered = f"'{before}'" if before else "NULL"
    return (
        f"UPDATE orders SET status = '{status}', status_before = {remembered} WHERE id = {{order}}"
    )


def movement(delta: int, reason: str, line: str, actor: str = "system") -> str:
    """A movement of the paid order's variant that no rule made."""
    return (
        "INSERT INTO stock_movements (variant_id, delta, reason, order_line_id, sequence, actor, note,"
        f" created_at, updated_at) SELECT {{variant}}, {delta}, '{reason}', {line}, 99, '{actor}', '',"
        " created_at, updated_at FROM orders WHERE id = {order}"
    )


def refund(amount: int, lines: str = "[]", actor: str = "system") -> str:
    """A refund of the paid order that took no hold."""
    return (
        "INSERT INTO refunds (payment_id, order_id, amount_minor, lines, reason, status, idempotency_key,"
        f" actor, created_at, updated_at) SELECT id, order_id, {amount}, '{lines}', '', 'sent', 'k', '{actor}',"
        " created_at, updated_at FROM payments WHERE id = {payment}"
    )


def news(kind: str, changed: str) -> str:
    """News of the paid order's payment, taken in past `record`."""
    return (
        "INSERT INTO payment_events (payment_id, kind, amount_minor, source, gateway_event_id, changed,"
        f" details, created_at, updated_at) SELECT id, '{kind}', amount_minor, 'webhook', 'evt_1', '{changed}',"
        " '{{}}', created_at, updated_at FROM payments WHERE id = {payment}"
    )


def message(key: int, ended_at: str) -> str:
    """A webhook's row."""
    return (
        "INSERT INTO webhook_events (id, source, event_id, kind, raw_body, headers, received_at, status,"
        f" attempts, repeats, processed_at, created_at, updated_at) SELECT {key}, 'sandbox', 'e', 'k', '',"
        f" '{{{{}}}}', placed_at, 'processed', 0, 0, {ended_at}, placed_at, placed_at FROM orders"
        " WHERE id = {order}"
    )


def parcel(order: str, reference: str, awb: str, reached: str) -> str:
    """A second parcel beside the first."""
    return (
        "INSERT INTO shipments (id, order_id, sequence, courier, reference, awb, courier_name, status, step,"
        " is_dry_run, weight_grams, length_mm, width_mm, height_mm, collect_minor, failed_attempts,"
        f" created_at, updated_at) SELECT 999, {order}, 1, courier, '{reference}', {awb}, '', status,"
        f" '{reached}', false, 0, 0, 0, 0, 0, 0, created_at, updated_at FROM shipments"
    )


def entry(kind: str, amount: int) -> str:
    """A line of a gift card's ledger that no payment and no refund made."""
    return (
        "INSERT INTO gift_card_entries (gift_card_id, kind, amount_minor, reference, actor, created_at,"
        f" updated_at) SELECT id, '{kind}', {amount}, '{'pay-' if kind == 'spend' else ''}strange', 'x',"
        " created_at, updated_at FROM gift_cards WHERE id = {card}"
    )


LOST = (
    "INSERT INTO disputes (payment_id, gateway_id, amount_minor, reason, status, evidence_note,"
    " created_at, updated_at) SELECT id, 'd', amount_minor, '', 'lost', '', created_at, updated_at"
    " FROM payments WHERE id = {payment}"
)
HELD_OF_BARE = (
    "INSERT INTO reservations (order_id, variant_id, quantity, expires_at, state, created_at, updated_at)"
    " SELECT id, {bare}, 1, placed_at, 'active', placed_at, placed_at FROM orders WHERE id = {open_order}"
)
LINE = "UPDATE order_lines SET {} WHERE id = {{line}}"
PAYMENT = "UPDATE payments SET {} WHERE id = {{payment}}"
OPEN = "UPDATE orders SET {} WHERE id = {{open_order}}"
UNSOLD = "order_lines:{open_line} is sold, its sale is of 0 units, not 1"
OF_ANOTHER = '[{{"line_id": {open_line}, "quantity": 1, "amount_minor": 1, "restock": false}}]'

BREAKS: dict[str, Break] = {
    "I1-lines": one(
        "UPDATE orders SET subtotal_minor = subtotal_minor + 1, discount_minor = discount_minor + 1"
        " WHERE id = {order}",
        "orders:{number} lines are 30000 of 30001",
    ),
    "I1-figures": one(
        "UPDATE orders SET fee_minor = 7 WHERE id = {order}",
        "orders:{number} figures make",
        "orders",
    ),
    "I1-parts": one(
        "UPDATE payment_parts SET amount_minor = 1 WHERE id = {part}",
        "orders:{number} parts are 1 of",
    ),
    "I1-line": one(
        LINE.format("discount_minor = 1"), "order_lines:{line} total is wrong", "order_lines"
    ),
    "I2-amount": one(
        PAYMENT.format("captured_minor = captured_minor - 1"),
        "payment_parts:{part} is paid by nothing",
    ),
    "I2-currency": one(
        PAYMENT.format("currency = 'USD'"), "payment_parts:{part} is paid by nothing"
    ),
    "I2-asked-amount": one(
        PAYMENT.format("amount_minor = 1"), "payments:{reference} asks for something else"
    ),
    "I2-asked-currency": one(
        PAYMENT.format("currency = 'USD'"), "payments:{reference} asks for something else"
    ),
    "I3-amount": one(
        PAYMENT.format("captured_minor = captured_minor + 1"), "payments:{reference} captured"
    ),
    "I3-twice": one(news("captured", "captured"), "payments:{reference} captured"),
    "I4-held": one(
        PAYMENT.format("refund_held_minor = 1"), "payments:{reference} holds 1 for refunds of 10000"
    ),
    "I4-back": one(
        PAYMENT.format("refunded_minor = 1"), "payments:{reference} gave back 1, its refunds 0"
    ),
    "I4-captured": one(refund(9_000_000), "payments:{reference} refunds more than came in"),
    "I4-quantity": one(
        LINE.format("refunded_quantity = 4"),
        "order_lines:{line} is refunded (4, 10000)",
        "order_lines",
    ),
    "I4-total": one(
        LINE.format("refunded_minor = 30001"),
        "order_lines:{line} is refunded (1, 30001)",
        "order_lines",
    ),
    "I4-line-quantity": one(
        LINE.format("refunded_quantity = 2"), "order_lines:{line} says (2, 10000) refunded"
    ),
    "I4-line-amount": one(
        LINE.format("refunded_minor = 10001"), "order_lines:{line} says (1, 10001) refunded"
    ),
    "I4-lost-quantity": Break(
        (LOST, LINE.format("refunded_quantity = 0")), "order_lines:{line} says (0, 10000) refunded"
    ),
    "I4-lost-amount": Break(
        (LOST, LINE.format("refunded_minor = 9999")), "order_lines:{line} says (1, 9999) refunded"
    ),
    "I4-another": one(
        refund(1, OF_ANOTHER),
        "order_lines:{open_line} is refunded by order {order}, which has it not",
    ),
    "I7-balance": one(
        "UPDATE gift_cards SET balance_minor = 1 WHERE id = {card}",
        "gift_cards:{card} holds 1, its entries 50000",
    ),
    "I7-spent": one(
        PAYMENT.format("gateway = 'gift_card'"),
        "payments:{reference} captured 39900, its gift card gave 0",
    ),
    "I7-spent-on-nothing": Break(
        (entry("spend", -1), "UPDATE gift_cards SET balance_minor = 49999 WHERE id = {card}"),
        "gift_card_entries:pay-strange was spent on nothing",
    ),
    "I7-refilled": Break(
        (
            PAYMENT.format("gateway = 'gift_card'"),
            "UPDATE refunds SET status = 'succeeded', idempotency_key = 'k' WHERE payment_id = {payment}",
        ),
        "refunds:k gave back 10000, its gift card got 0",
    ),
    "I7-refilled-for-nothing": Break(
        (entry("refund", 1), "UPDATE gift_cards SET balance_minor = 50001 WHERE id = {card}"),
        "gift_card_entries:strange gave back nothing",
    ),
    "I8-status": one(
        "UPDATE orders SET payment_status = 'not_paid' WHERE id = {order}",
        "orders:{number} says not_paid, its money says paid",
    ),
    "I8-units": one(
        "UPDATE sellers SET sales_count = 77",
        "sellers:{seller} counts (77, 20000), its lines (2, 20000)",
    ),
    "I8-worth": one(
        "UPDATE sellers SET sales_minor = 77",
        "sellers:{seller} counts (2, 77), its lines (2, 20000)",
    ),
    "I9-above": one(
        "UPDATE stock_levels SET reserved = 99 WHERE variant_id = {variant}",
        "stock_levels:{variant} reserved 99 of 7 on hand",
        "stock_levels",
    ),
    "I9-below": one(
        "UPDATE stock_levels SET reserved = -1 WHERE variant_id = {variant}",
        "stock_levels:{variant} reserved -1 of 7 on hand",
        "stock_levels",
    ),
    "I10-reserved": one(
        "UPDATE stock_levels SET reserved = reserved + 1",
        "stock_levels:{variant} reserved is not",
        "stock_levels",
    ),
    "I10-on-hand": one(
        "UPDATE stock_levels SET on_hand = on_hand + 1", "stock_levels:{variant} on hand is not"
    ),
    "I10-no-row": one(
        "DELETE FROM stock_levels WHERE variant_id = {variant}", "stock_levels:{variant} has no row"
    ),
    "I10-no-row-held": Break(
        (HELD_OF_BARE, "DELETE FROM stock_levels WHERE variant_id = {bare}"),
        "stock_levels:{bare} has no row",
    ),
    "I11-sale-of-state": one(OPEN.format("status = 'paid'"), UNSOLD),
    "I11-sale-of-counted": one(OPEN.format("sales_counted_at = placed_at"), UNSOLD),
    "I11-sale-of-accepted": one(
        step("payment_succeeded", "pending_payment", "paid", of="open_order"), UNSOLD
    ),
    "I11-sale-of-disputed": one(
        OPEN.format("status = 'disputed', status_before = 'delivered'"), UNSOLD
    ),
    "I11-sale-of-archived": one(
        OPEN.format("status = 'archived', status_before = 'returned'"), UNSOLD
    ),
    "I11-sold-twice": one(
        movement(-3, "sale", "{line}"), "order_lines:{line} is sold, its sale is of 6 units, not 3"
    ),
    "I11-reservation": one(
        "UPDATE reservations SET state = 'expired' WHERE order_id = {order}",
        "order_lines:{line} is confirmed for 0, its sales are of 3",
    ),
    "I11-restock": one(
        movement(3, "restock", "{line}"), "order_lines:{line} had 4 put back of 3 sold"
    ),
    "I14-end": one(stands("delivered"), "orders:{number} is delivered, its timeline ends at paid"),
    "I14-remembered": one(
        stands("paid", "paid"), "orders:{number} remembers paid, its timeline None"
    ),
    "I14-begun": one(
        "UPDATE order_events SET to_status = 'paid' WHERE id = {first}",
        "order_events:{first} None →",
    ),
    "I14-begun-from": one(
        "UPDATE order_events SET from_status = 'paid' WHERE id = {first}",
        "order_events:{first} paid → placed → pending_payment",
    ),
    "I14-begun-again": Break(
        (step("placed", None, "delivered"), stands("delivered")),
        "order_events:{last} None → placed → delivered",
    ),
    "I14-gap": Break(
        (step("in_transit", "shipped", "in_transit"), stands("in_transit")),
        "order_events:{last} shipped → in_transit → in_transit",
    ),
    "I14-no-rule": Break(
        (step("delivered", "paid", "delivered"), stands("delivered")),
        "order_events:{last} paid → delivered → delivered",
    ),
    "I14-other-target": Break(
        (step("accepted", "paid", "shipped"), stands("shipped")),
        "order_events:{last} paid → accepted → shipped",
    ),
    "I14-same": Break(
        (step("partly_refunded", "paid", "processing"), stands("processing")),
        "order_events:{last} paid → partly_refunded → processing",
    ),
    "I14-before": Break(
        (
            step("dispute_opened", "paid", "disputed"),
            step("dispute_won", "disputed", "delivered"),
            stands("delivered"),
        ),
        "order_events:{last} disputed → dispute_won → delivered",
    ),
    "I14-parcel-of-disputed": Break(
        (
            step("dispute_opened", "paid", "disputed"),
            step("delivered", "disputed", "disputed"),
            stands("disputed", "paid"),
        ),
        "order_events:{last} disputed → delivered → disputed",
    ),
    "I17-twice": Break(
        (news("failed", "failed"),) * 2, "payment_events:{payment} took evt_1 in twice"
    ),
    "I17-repeated": Break(
        (message(998, "placed_at"), message(999, "placed_at")),
        "webhook_events:999 repeats source sandbox, event_id e",
        "webhook_events",
    ),
    "I17-time": one(message(999, "NULL"), "webhook_events:999 has no time of its end"),
    "I24-silent": one("UPDATE jobs SET status = 'failed' WHERE id = {job}", "jobs:{job} "),
    "I28-no-waybill": one(
        "UPDATE shipments SET awb = NULL", "shipments:{shipment} is labelled with waybill None"
    ),
    "I28-waybill-too-early": one(
        "UPDATE shipments SET step = 'reserved'",
        "shipments:{shipment} is reserved with waybill AWB1",
    ),
    "I28-same-waybill": one(
        parcel("{open_order}", "other", "awb", "labelled"),
        "shipments:999 repeats courier sandbox, awb AWB1",
        "shipments",
    ),
    "I28-same-sequence": one(
        parcel("{order}", "other", "NULL", "reserved"),
        "shipments:999 repeats order_id {order}, sequence 1",
        "shipments",
    ),
    "I29-said": one(
        LINE.format("shipped_quantity = 1"), "order_lines:{line} says 1 shipped, parcels hold 2"
    ),
    "I29-given-back": one(
        "UPDATE shipment_lines SET given_back = true",
        "order_lines:{line} says 2 shipped, parcels hold 0",
    ),
    "I29-bought": one(
        "UPDATE shipment_lines SET quantity = 4",
        "order_lines:{line} has 4 in parcels, 3 were bought",
    ),
    "I29-cancelled": Break(
        (
            step("cancelled", "paid", "cancelled"),
            "UPDATE shipments SET created_at = '2199-01-01 00:00:00.000000'",
        ),
        "shipments:{shipment} was begun after its order was closed",
    ),
    "I39-counted": one(
        LINE.format("returned_quantity = 1"),
        "order_lines:{line} says 1 go back, its returns hold 0",
    ),
    "I39-delivered": Break(
        (
            LINE.format("returned_quantity = 1"),
            "INSERT INTO return_requests (id, order_id, reference, state, state_at, resolution, reason, words,"
            " staff_note, refusal, refund_minor, created_at, updated_at) SELECT 1, id, 'R', 'requested', placed_at,"
            " 'refund', 'other', '', '', '', 0, placed_at, placed_at FROM orders WHERE id = {order}",
            "INSERT INTO return_lines (id, return_id, order_line_id, quantity, condition, created_at, updated_at)"
            " SELECT 1, 1, {line}, 1, '', placed_at, placed_at FROM orders WHERE id = {order}",
        ),
        "order_lines:{line} has 1 going back, 0 were delivered",
    ),
    "I33-order": one(
        step("accepted", "paid", "processing", actor="user:2"),
        "audit_entries:order:{number} lacks order.accepted by user:2",
    ),
    "I33-stock": one(
        movement(1, "receive", "NULL", "user:2"),
        "audit_entries:variant:{variant} lacks stock.receive by user:2",
    ),
    "I33-refund": one(
        "UPDATE refunds SET actor = 'user:2'",
        "audit_entries:order:{number} lacks refund.requested by user:2",
    ),
    "I33-fewer": one(
        refund(1, actor="user:1"), "audit_entries:order:{number} lacks refund.requested by user:1"
    ),
}
