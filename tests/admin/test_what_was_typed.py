"""A form of the admin that is refused keeps what was typed, with the words beside the field that is wrong."""

from html.parser import HTMLParser

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.delivery import shipping
from shop.delivery.models import Shipment
from shop.orders.models import Order
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute
from shop.payments.refunds import request_refund
from shop.payments.statements import matching
from shop.payments.statements.models import BankStatementLine, LineState
from shop.returns import deciding
from shop.returns.deciding import Checked
from shop.returns.models import Disposition, ReturnRequest
from shop.shipping_prices import editing, forms
from tests.factories import make_order, make_product
from tests.payments.transfers import by_hand
from tests.returns.conftest import make_asked

TODAY = utcnow().date().isoformat()
TRANSFER = {"amount": "10.00", "currency": "USD", "booked_on": TODAY, "bank_id": "UTR 7", "note": "by phone"}  # fmt: skip
ZONE = {"name": "Metro", "countries": "in", "postal_codes": "5600??"}
RATE = {
    "label": "Express", "basis": "value", "up_to": "500", "price": "99", "free_from": "5,000",
    "days_from": "3", "days_to": "5",
}  # fmt: skip
STEP, RECEIVED = "orders/{packed}/transition", "orders/{awaited}/payments/{payment}/received"
REFUNDS, GIFTS, ZONES = "orders/{paid}/refunds", "gift-cards", "shipping/zones"
REFUND = {"do": "refund", "qty-{paid_line}": "1", "shipping": "0.00", "reason": "Goodwill"}

FORMS = {
    "stock_move": ("stock/{variant}", {"reason": "write_off", "units": "ten", "note": "box 7"}, "units"),
    "order_received": (RECEIVED, {**TRANSFER, "amount": "1e3"}, "amount"),
    "order_received, currency": (RECEIVED, {**TRANSFER, "currency": "US"}, "currency"),
    "order_received, day": (RECEIVED, {**TRANSFER, "booked_on": "2020-01-01"}, "booked_on"),
    "order_received, id": (RECEIVED, {**TRANSFER, "bank_id": " "}, "bank_id"),
    "order_rejected": ("orders/{awaited}/payments/{payment}/reject", {"reason": " "}, "reason"),
    "order_refund_done": ("orders/{by_hand}/refunds/{refund}/done", {"bank_reference": " "}, "bank_reference"),
    "order_note": ("orders/{paid}/notes", {"note": "n" * 2001}, "note"),
    "order_transition": (STEP, {"event": "corrected", "to": "delivered", "reason": " "}, "reason"),
    "order_transition, state": (STEP, {"event": "corrected", "to": "", "reason": "a slip"}, "to"),
    "order_transition, number": (STEP, {"event": "shipped", "courier_name": "Delhivery", "awb": "{taken}"}, "awb"),
    "order_refunds": (REFUNDS, {**REFUND, "qty-{paid_line}": "two"}, "qty-{paid_line}"),
    "order_refunds, counted": (REFUNDS, {**REFUND, "do": "count", "shipping": "1e3"}, "shipping"),
    "order_refunds, too many": (REFUNDS, {**REFUND, "qty-{paid_line}": "99"}, "qty-{paid_line}"),
    "order_make_parcel": ("orders/{paid}/parcels", {"made": "0", "qty-{paid_line}": "two", "courier": "manual"}, "qty-{paid_line}"),
    "parcel_name": ("orders/{packed}/shipments/{parcel}/number", {"number": " ", "carrier": "UPS"}, "number"),
    "desk_match": ("desks/lines/{line}/match", {"desk": "unmatched", "number": "9999.999"}, "number"),
    "desk_match, worth": ("desks/lines/{dollars}/match", {"desk": "currency", "number": "{paid}", "worth": "1e3"}, "worth"),
    "desk_ignore": ("desks/lines/{line}/ignore", {"desk": "unmatched", "reason": " "}, "reason"),
    "desk_refund_sent": ("desks/refunds/{refund}", {"desk": "refunds", "bank_reference": " "}, "bank_reference"),
    "statement_import": ("desks/statements", {}, "file"),
    "dispute_sent": ("disputes/{dispute}/sent", {"note": "n" * 301}, "note"),
    "return_refuse": ("returns/{asked}/refuse", {"why": "n" * 501}, "why"),
    "return_check": ("returns/{asked}/check", {"arrived-{asked_line}": "two", "condition-{asked_line}": "worn", "goes-{asked_line}": "write_off"}, "arrived-{asked_line}"),
    "return_check, too many": ("returns/{asked}/check", {"arrived-{asked_line}": "9", "condition-{asked_line}": "", "goes-{asked_line}": "restock"}, "arrived-{asked_line}"),
    "return_refund": ("returns/{here}/refund", {"delivery": "1e3"}, "delivery"),
    "return_refund, counted": ("returns/{here}/refund", {"do": "count", "delivery": "1e3"}, "delivery"),
    "return_settle": ("returns/{here}/settle", {"why": "n" * 501}, "why"),
    "return_note": ("returns/{asked}/note", {"note": "n" * 2001}, "note"),
    "gift_card_issue": (GIFTS, {"amount": "0", "expires": "2099-01-31", "note": "for Asha"}, "amount"),
    "gift_card_issue, no amount": (GIFTS, {"amount": "ten", "expires": "2099-01-31", "note": "for Asha"}, "amount"),
    "gift_card_issue, day": (GIFTS, {"amount": "100", "expires": "2020-01-31", "note": "for Asha"}, "expires"),
    "keep_out": ("kept-out", {"kind": "sms", "recipient": "98 76", "details": "by telephone"}, "recipient"),
    "zone_add": (ZONES, {**ZONE, "countries": "XX"}, "countries"),
    "zone_add, range": (ZONES, {**ZONE, "postal_codes": "560001-560099"}, "postal_codes"),
    "zone_change": ("shipping/zones/{zone}", {**ZONE, "name": " "}, "name"),
    "rate_add": ("shipping/zones/{zone}/rates", {**RATE, "up_to": "far"}, "up_to"),
    "rate_change": ("shipping/zones/{zone}/rates/{rate}", {**RATE, "price": "free"}, "price"),
    "rate_change, days": ("shipping/zones/{zone}/rates/{rate}", {**RATE, "days_from": "7"}, "days_to"),
    "setting_change": ("settings/hold_minutes", {"value": "ten"}, "value"),
    "message_save": ("messages/words/order_confirmed/email/en", {"subject": "Hello {{nobody}}"}, "subject"),
}  # fmt: skip
"""By the name of the view, and of the case: address, what is typed, and the field that is wrong."""

NOTHING_TYPED = {
    "channel_test", "desk_late", "desk_over", "desk_put_back", "dispute_evidence",
    "dispute_not_sent", "gateway_test", "gift_card_block", "incident_acknowledge", "incident_again",
    "job_cancel", "job_retry", "jobs_retry_dead", "let_in", "message_arrived",
    "message_preview_typed", "message_resend", "message_reset", "message_restore", "message_switch",
    "message_test", "order_ask", "order_attention", "order_book", "order_late_money", "order_lift",
    "order_put_together", "order_refund_preview", "order_resend", "order_track", "orders_bulk",
    "parcel_again", "parcel_cancel", "parcel_choose", "parcel_fetch_papers", "parcel_moved",
    "parcel_restock", "rate_remove", "return_approve", "return_drop", "return_exchange",
    "return_receive", "shipping_start", "stock_release", "takings_compare", "webhook_replay",
    "webhooks_replay_failed", "zone_move", "zone_remove",
}  # fmt: skip
"""Views that take buttons, choices and passwords only, or show a form's figures."""

NEVER_WRONG = {"incident_resolve"}
"""Views whose words may be anything."""


class Page(HTMLParser):
    """The fields of each form by its address, and the texts of the elements that have an id."""

    def __init__(self, text):
        super().__init__()
        self.fields, self.texts = {}, {}
        self.form, self.select, self.area, self.open = None, None, None, []
        self.is_chosen = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        if tag == "form":
            self.form = self.fields.setdefault(held.get("action"), {})
        if tag in {"input", "select", "textarea"} and self.form is not None and "name" in held:
            self.form[held["name"]] = held
        if tag == "select":
            self.select = held
        if tag == "textarea":
            self.area = held
            held["value"] = ""
        if tag == "option":
            self.is_chosen = "selected" in held
            if self.is_chosen:
                self.select["value"] = held.get("value", "")
        if tag in {"span", "p"}:
            self.open.append((tag, held.get("id")))

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None
        if tag == "textarea":
            self.area = None
        if tag == "option":
            self.is_chosen = False
        if self.open and self.open[-1][0] == tag:
            self.open.pop()

    def handle_data(self, data):
        if self.area is not None:
            self.area["value"] += data
        if self.is_chosen and not self.select["value"]:
            self.select["value"] = data
        for _, key in self.open:
            if key:
                self.texts[key] = self.texts.get(key, "") + data


def make_forms():
    """One row for each form; returns what their addresses and fields are made of."""
    asked, here = make_asked(), make_asked()
    ball = make_product(price=100_000, stock=9)
    paid, packed = (make_order(state, lines={ball: 2}) for state in ("paid", "ready_for_shipment"))
    awaited, came = (make_order(method="bank_transfer") for _ in range(2))
    keys = {
        "asked": asked, "here": here, "variant": ball.variants[0].id, "paid": paid.number,
        "packed": packed.number, "awaited": awaited.number, "by_hand": came.number,
        "payment": attempts.latest(awaited.id).id, "paid_line": paid.lines[0].id,
    }  # fmt: skip
    packed_id, came_payment, total = packed.id, attempts.latest(came.id).id, came.total_minor
    disputed = GatewayEvent(
        EventKind.DISPUTE_OPENED, reference=attempts.latest(make_order("paid").id).reference,
        dispute_gateway_id="dp_1", amount_minor=100,
    )  # fmt: skip
    with transaction() as session:
        line = session.get(ReturnRequest, here).lines[0].id
        deciding.approve(here, "user:1")
        deciding.check_in(here, {line: Checked(2, "", Disposition.RESTOCK)}, "user:1")
        deciding.approve(asked, "user:1")
        deciding.receive(asked, "user:1")
        keys["asked_line"] = session.get(ReturnRequest, asked).lines[0].id
        keys["taken"] = session.scalars(sa.select(Shipment.awb).where(Shipment.awb.is_not(None))).first()  # fmt: skip
    with transaction() as session:
        matching.confirm(came_payment, by_hand(total), "user:1")
        keys["refund"] = request_refund(came_payment, 100, [], "goodwill", "user:1").id
        recording.record(disputed, "sandbox", "webhook")
        keys["dispute"] = session.scalars(sa.select(Dispute.id)).one()
        parcel = shipping.reserve(session.get(Order, packed_id), {session.get(Order, packed_id).lines[0].id: 1}, courier_key="manual")  # fmt: skip
        keys["parcel"] = parcel.id
        zone = editing.add_zone(
            {"name": "All", "countries": "*", "postal_codes": "", "is_active": True}, "system"
        )
        rate = editing.add_rate(zone.id, {**forms.read_rate(RATE), "label": "Post"}, "system")
        keys["zone"], keys["rate"] = zone.id, rate.id
        lines = [
            BankStatementLine(
                bank_id=f"L-{currency}", booked_on=utcnow().date(), amount_minor=12_000, text="?",
                currency=currency, account="", remark=remark, state=LineState.UNMATCHED,
                sameness=currency,
            )
            for currency, remark in (("INR", ""), ("USD", matching.OTHER_CURRENCY))
        ]  # fmt: skip
        session.add_all(lines)
        session.flush()
        keys["line"], keys["dollars"] = (one.id for one in lines)
    return keys


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("part", sorted({path.partition("/")[0] for path, *_ in FORMS.values()}))
def test_a_refused_form_keeps_what_was_typed_and_says_beside_the_field_what_is_wrong(
    shop, staff, part
):
    keys = shop.scene("forms-of-the-admin", make_forms)
    browser = staff("owner")
    token = browser.csrf_token()
    for path, typed, wrong in FORMS.values():
        if path.partition("/")[0] != part:
            continue
        address, field = f"/admin/{path}".format(**keys), wrong.format(**keys)
        sent = {name.format(**keys): value.format(**keys) for name, value in typed.items()}
        for headers in ({}, {"HX-Request": "true"}):
            answer = browser.post(
                address, data={"csrf_token": token, **sent},
                headers={"Sec-Fetch-Site": "same-origin", **headers},
            )  # fmt: skip
            assert answer.status_code in {200 if "do" in sent else 422, 422}, address
            assert_shown_again(answer.text, address, sent, field)


def assert_shown_again(text, address, sent, wrong):
    """The form holds what was sent, and one of its fields is wrong, which has its words beside it."""
    page = Page(text)
    fields = page.fields[address]
    kept = {name: value for name, value in sent.items() if name not in {"do", "event", "made"}}
    assert {name: fields[name].get("value", "") for name in kept} == kept, address
    assert [name for name in fields if "aria-invalid" in fields[name]] == [wrong], address
    words = page.texts[fields[wrong]["aria-describedby"].split()[0]].strip()
    assert words.endswith("."), address
    assert fields[wrong]["id"], address


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_form_of_the_admin_is_among_these(app):
    posted = {
        rule.endpoint.removeprefix("admin.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("admin.") and "POST" in rule.methods
    }
    typed = {name.partition(",")[0] for name in FORMS}
    assert posted == typed | NOTHING_TYPED | NEVER_WRONG
