"""The evidence: all that a bank asks for, nothing that is only for staff, and text that stays text."""

import io
import re
from datetime import timedelta
from pathlib import Path

import pypdf
import pytest
import sqlalchemy as sa

from shop.admin import evidence
from shop.admin.evidence_pdf import FONTS, draw, legible
from shop.audit.models import AuditEntry
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus, Step, TrackingEvent
from shop.errors import NotFound
from shop.extensions import db
from shop.messaging.models import Notification, NotificationStatus
from shop.orders.models import Order, OrderEvent
from shop.payments import attempts, recording
from shop.payments.gateways.base import EventKind, GatewayEvent
from shop.payments.models import Dispute
from shop.preferences import change
from tests.factories import make_order, make_product

DESK = "/admin/disputes"
ROOT = Path(__file__).resolve().parents[2]
LATIN = frozenset(range(32, 0x250)) | {0x20B9, 0x41F, 0xD7}


def scans(shipment, count=0):
    """What the courier scanned, the last at the door."""
    told = [("picked_up", "Picked up", "Bengaluru"), ("in_transit", "At the hub", "Pune & Co")]
    told += [("in_transit", f"Hub no. {number}", "Hyderabad") for number in range(count)]
    told += [("delivered", "Handed over, signed: A RAO", "Banjara Hills")]
    for number, (status, words, place) in enumerate(told):
        at = utcnow() - timedelta(hours=2 * len(told) - number)
        yield TrackingEvent(
            shipment_id=shipment.id, code=f"c{number}", words=words, status=status, place=place, occurred_at=at
        )  # fmt: skip


@pytest.fixture
def make_dispute(app):
    """A dispute of an order that was delivered, with all that stands around it."""
    with transaction():
        change("auto_ship", "false")

    def make(recipient="Asha Rao", more_scans=0):
        ball = make_product("Match 40+", price=44_900)
        order = make_order(
            "delivered", lines={ball: 2}, address={"recipient": recipient, "line2": "Flat 7"}
        )
        order_id, reference = order.id, attempts.latest(order.id).reference
        news = GatewayEvent(
            EventKind.DISPUTE_OPENED, reference=reference, dispute_gateway_id="dp_1", amount_minor=89_800,
            dispute_reason="product_not_received", evidence_due_at=utcnow() + timedelta(days=5),
        )  # fmt: skip
        with transaction() as session:
            order = session.get(Order, order_id)
            shipment = Shipment(
                order_id=order_id, courier="sandbox", courier_name="BlueDart Surface", reference="S-1", step=Step.LABELLED,
                awb="78883056700", status=ShipmentStatus.DELIVERED, delivered_at=utcnow(),
                lines=[ShipmentLine(order_line_id=line.id, quantity=line.quantity) for line in order.lines],
            )  # fmt: skip
            session.add(shipment)
            for line in order.lines:
                line.shipped_quantity = line.quantity
            session.flush()
            session.add_all(scans(shipment, more_scans))
            for number, (to, subject) in enumerate(
                [
                    (order.email, "We have your order"),
                    ("owner@halflong.example", "A new order came"),
                ]
            ):
                session.add(Notification(
                    order_id=order_id, template="t", channel="email", recipient=to, subject=subject,
                    dedupe_key=f"k{number}", status=NotificationStatus.SENT, sent_at=utcnow(),
                ))  # fmt: skip
            session.add(OrderEvent(
                order_id=order_id, kind="note", actor="user:1", text="A liar, I think", occurred_at=utcnow()
            ))  # fmt: skip
            recording.record(news, "sandbox", "webhook")
        return db.session.scalars(sa.select(Dispute)).one()

    return make


def words_of(pdf):
    assert pdf.startswith(b"%PDF-")
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert not any("/Annots" in page for page in pages), "a link in the file"
    return [re.sub(r"\s+", " ", page.extract_text()) for page in pages]


def test_the_file_holds_all_that_the_bank_asks_for_and_nothing_for_staff_only(make_dispute, staff):
    dispute = make_dispute()
    payment, order = dispute.payment, dispute.payment.order
    number, wanted = order.number, [
        "product not received".capitalize(), "dp_1", "₹898.00", order.number, "Match 40+", "SKU-",
        order.email, order.phone, "Asha Rao", "12 MG Road, Flat 7", "560001, Bengaluru", payment.reference,
        payment.gateway_id, "Card", evidence.moment(payment.captured_at), "BlueDart Surface", "78883056700",
        "Handed over, signed: A RAO", "Banjara Hills", "Pune & Co", "We have your order",
        "The payment is disputed", "Asia/Kolkata (UTC+0530)",
    ]  # fmt: skip
    browser = staff("manager")
    answer = browser.send(f"{DESK}/{dispute.id}/evidence.pdf")
    assert answer.mimetype == "application/pdf"
    assert answer.headers["Content-Disposition"] == f"attachment; filename=evidence-{number}.pdf"
    assert answer.headers["Cache-Control"] == "no-store"
    said = " ".join(words_of(answer.data))
    assert [words for words in wanted if words not in said] == []
    assert [words for words in ("A liar", "A new order came", "owner@") if words in said] == []
    taken = sa.select(AuditEntry).where(AuditEntry.action == "dispute.evidence_taken")
    [entry] = db.session.scalars(taken)
    assert entry.subject == f"dispute:{dispute.id}"
    assert entry.actor == f"user:{browser.user_id}"
    assert entry.after == {"order": number}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_text_of_people_stays_text_and_no_name_is_lost(make_dispute):
    dispute = make_dispute("<b>Åsa</b> **Пётр** {nb} आशा", more_scans=60)
    pages = words_of(draw(evidence.gather(dispute.id)))
    assert "<b>Åsa</b> **Пётр** {nb} [aashaa]" in pages[0]
    assert len(pages) > 2
    assert "Words in [brackets] are in a script" in pages[-1]
    assert [page.startswith("When What the courier scanned Where") for page in pages[1:]].count(
        True
    ) >= 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_scans_and_messages_cost_no_more_statements(make_dispute, sql_count):
    dispute_id = make_dispute(more_scans=30).id
    db.session.rollback()
    with sql_count() as told:
        evidence.gather(dispute_id)
    assert len(told) <= 9
    with pytest.raises(NotFound):
        evidence.gather(dispute_id + 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Åsa П ₹", "Åsa П ₹"),
        ("आशा राव ५", "[aashaa] [raava] [5]"),
        ("தமிழ்", "[tamilll]"),
        ("عمر", "[ain-meem-reh]"),
        ("김민", "[gim-min]"),
        ("山 x", "[U+5C71] x"),
        ("x\u202egpj.exe", "x[U+202E]gpj.exe"),
        ("क\u200d", "[ka]"),
        ("a\x00b\nc", "a b\nc"),
    ],
)
def test_what_the_font_lacks_is_spelled_out(text, shown):
    assert legible(text, LATIN) == shown


def test_the_library_is_loaded_only_where_it_is_used():
    loads = re.compile(r"^(from|import) .*\b(fpdf|evidence_pdf)\b", re.M)
    named = [
        path.name
        for path in (ROOT / "shop").rglob("*.py")
        if loads.search(path.read_text(encoding="utf-8"))
    ]
    assert named == ["evidence_pdf.py"]


def test_the_fonts_come_with_their_licence():
    assert {path.name for path in FONTS.iterdir()} == {
        "DejaVuSans.ttf",
        "DejaVuSans-Bold.ttf",
        "LICENSE",
    }
    assert "Bitstream Vera" in (FONTS / "LICENSE").read_text(encoding="utf-8")
