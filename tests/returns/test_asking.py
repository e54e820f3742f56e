"""A customer asks for a return: only of what was delivered, and never of the same unit twice."""

import io
import struct
import threading

import pytest
from PIL import ExifTags, Image, ImageOps
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from shop import guards
from shop.audit.models import AuditEntry
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentStatus
from shop.errors import Conflict
from shop.extensions import db
from shop.messaging.models import Notification
from shop.orders.models import Order, OrderEvent, OrderLine
from shop.payments import attempts
from shop.payments.refunds import RefundLine, request_refund
from shop.returns import asking, claims, pictures
from shop.returns.asking import without_cards
from shop.returns.models import ReturnRequest, ReturnState
from tests.factories import let_in, make_order, make_user
from tests.returns.conftest import picture

sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def count(model=ReturnRequest):
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model))


def line_of(order):
    db.session.rollback()
    return db.session.scalars(select(OrderLine).filter_by(order_id=order.id)).one()


def test_a_customer_asks_from_the_order_page_and_is_told(
    client, arrived, ask, the_return, run_returns
):
    assert "Send something back" in client.get(f"/orders/{arrived.token}").text
    answer = ask(arrived, qty=2, page="/new")

    found = the_return()
    assert answer.status_code == 303
    assert answer.location.endswith(f"/orders/{arrived.token}/returns/{found.id}")
    assert found.state == ReturnState.REQUESTED
    assert found.reference == f"{arrived.number}-RET1"
    assert [(line.quantity, line.order_line_id) for line in found.lines] == [
        (2, arrived.lines[0].id)
    ]
    assert line_of(arrived).returned_quantity == 2
    shown = client.get(answer.location).text
    assert "We are looking at it" in shown
    assert "It has a dent" in shown
    assert found.reference in client.get(f"/orders/{arrived.token}").text
    run_returns(also=("messaging.tell",))
    told = db.session.scalars(
        select(Notification.template).where(Notification.template.contains("return"))
    )
    assert "return_requested" in set(told)
    events = db.session.scalars(select(OrderEvent).filter_by(kind="return")).all()
    assert [event.actor for event in events] == ["customer"]


FAULTS = (
    ({"reason": ""}, "Choose why you send it back"),
    ({"reason": "because"}, "Choose why you send it back"),
    ({"resolution": "gold"}, "Choose what you would like"),
    ({"qty": "0"}, "Choose at least one item"),
    ({"qty": "4"}, "Up to 3 of these can go back"),
    ({"qty": "-1"}, "Use a whole number"),
    ({"qty": "1e1"}, "Use a whole number"),
    ({"qty": "²"}, "Use a whole number"),
    ({"words": "x" * 2001}, "Write at most 2000 letters"),
)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_fault_stands_beside_its_field_and_what_was_typed_is_kept(arrived, ask, loose_limits):
    for fields, words in FAULTS:
        answer = ask(arrived, **{"words": "A long story", **fields})
        assert answer.status_code == 422, fields
        assert words in answer.text, fields
        assert ("A long story" in answer.text) or "words" in fields, fields
        assert 'aria-invalid="true"' in answer.text or "resolution" in fields, fields
    assert count() == 0


def test_the_same_units_are_not_asked_back_twice(arrived, ask, client):
    assert ask(arrived, qty=2).status_code == 303
    assert ask(arrived, qty=2).status_code == 422
    assert ask(arrived, qty=1).status_code == 303
    assert count() == 2
    assert "Send something back" not in client.get(f"/orders/{arrived.token}").text
    assert (
        "Nothing of this order can be sent back"
        in client.get(f"/orders/{arrived.token}/returns/new").text
    )


def test_two_forms_at_once_take_each_unit_once(app, arrived):
    """Both were read before either was stored; the database decides."""
    order_id, line_id = arrived.id, arrived.lines[0].id
    said = {f"qty-{line_id}": "2", "reason": "damaged", "resolution": "refund"}
    ready, outcomes = threading.Barrier(2), []

    def send():
        with app.app_context():
            form = asking.read_form(db.session.get_one(Order, order_id), said, [])
            db.session.rollback()
            ready.wait(10)
            try:
                with transaction():
                    asking.request_return(order_id, form, [], "customer")
                outcomes.append("done")
            except Conflict:
                outcomes.append("refused")

    threads = [threading.Thread(target=send) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert sorted(outcomes) == ["done", "refused"]
    assert line_of(arrived).returned_quantity == 2


def test_the_database_itself_takes_no_unit_twice(arrived):
    line_id = arrived.lines[0].id
    with pytest.raises(IntegrityError), transaction() as session:
        session.execute(update(OrderLine).filter_by(id=line_id).values(returned_quantity=4))
    with pytest.raises(Conflict), transaction() as session:
        claims.take(session.get_one(Order, arrived.id), {line_id: 4})
    with pytest.raises(Conflict), transaction() as session:
        session.execute(update(Shipment).values(status=ShipmentStatus.IN_TRANSIT))
        claims.take(session.get_one(Order, arrived.id), {line_id: 1})


@sqlite_only
def test_what_was_refunded_otherwise_does_not_go_back(arrived, ask):
    line = arrived.lines[0]
    with transaction():
        request_refund(
            attempts.latest(arrived.id).id, 20_000, [RefundLine(line.id, 2, 20_000)], "x", "user:1"
        )
    answer = ask(arrived, qty=2)
    assert answer.status_code == 422
    assert "Up to 1 of these" in answer.text
    assert ask(arrived, qty=1).status_code == 303


@sqlite_only
def test_only_what_was_delivered_lately_goes_back(arrived, ask, turn_clock, client):
    turn_clock(days=29)
    assert "Send something back" in client.get(f"/orders/{arrived.token}").text
    turn_clock(days=2)
    assert "Send something back" not in client.get(f"/orders/{arrived.token}").text
    assert ask(arrived).status_code == 422
    assert count() == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nothing_goes_back_that_did_not_arrive(client, ask):
    for state in ("pending_payment", "paid", "cancelled"):
        order = make_order(state, lines=1)
        assert "returns" not in client.get(f"/orders/{order.token}").text, state
        assert ask(order).status_code == 422, state
    assert count() == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_another_orders_return_is_not_there(client, asked):
    other = make_order("paid", lines=1)
    for path in (f"/orders/{other.token}/returns/{asked.id}", "/orders/nobody/returns/new"):
        assert client.get(path).status_code == 404
    posted = client.send(f"/orders/{other.token}/returns/{asked.id}/withdraw")
    assert posted.status_code == 404
    db.session.rollback()
    assert db.session.get_one(ReturnRequest, asked.id).state == ReturnState.REQUESTED


def test_a_wish_is_withdrawn_until_it_is_on_its_way(client, asked, the_return):
    path = f"/orders/{asked.order.token}/returns/{asked.id}"
    assert client.post_form(f"{path}/withdraw", page=path).status_code == 303
    found = the_return()
    assert found.state == ReturnState.WITHDRAWN
    assert line_of(found.order).returned_quantity == 0
    again = client.send(f"{path}/withdraw")
    assert again.status_code == 409
    assert "withdrawn since" in again.text
    assert count(AuditEntry)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_ordered_with_an_account_is_named_in_the_timeline(client, ask, new_client):
    from tests.returns.conftest import arrive, make_product

    user = make_user()
    order = arrive(make_order("paid", lines={make_product(): 1}, user=user))
    let_in(client, user)
    assert ask(order).status_code == 303
    db.session.rollback()
    assert (
        db.session.scalars(select(OrderEvent).filter_by(kind="return")).one().actor
        == f"user:{user.id}"
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_pictures_are_made_anew_and_kept(arrived, ask, the_return):
    kinds = [picture("JPEG", exif=b"Exif\x00\x00secret-place"), picture("PNG"), picture("WEBP")]
    files = [(one + b"<script>trailing</script>", "dent.jpg") for one in kinds]
    assert ask(arrived, files=files).status_code == 303
    kept = the_return().pictures
    assert len(kept) == len(kinds)
    for one in kept:
        body = pictures.read(one.storage_key)
        assert body.startswith(b"\xff\xd8\xff")
        assert b"secret-place" not in body
        assert b"script" not in body


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_no_small_picture_is_refused_beside_its_field(arrived, ask):
    wide = io.BytesIO()
    Image.new("1", (9000, 5000)).save(wide, "PNG")
    for files, words in (
        ([(b"<svg onload=alert(1)>", "a.svg")], "no picture that we can read"),
        ([(b"GIF89a" + b"\x00" * 40, "a.gif")], "no picture that we can read"),
        ([(picture()[:200], "cut.jpg")], "no picture that we can read"),
        ([(b"\xff\xd8\xff" + b"x" * (5 * 1024 * 1024), "big.jpg")], "5 MB at most"),
        ([(wide.getvalue(), "wide.png")], "40 megapixels"),
        ([(picture(), f"{n}.jpg") for n in range(6)], "Up to 5 pictures"),
    ):
        answer = ask(arrived, files=files)
        assert answer.status_code == 422, words
        assert words in answer.text
        assert "choose them again" in answer.text, words
    assert count() == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_more_than_pictures_need_is_refused_before_it_is_read(client, arrived):
    path = f"/orders/{arrived.token}/returns"
    answer = client.post(path, data=b"x" * (guards.PICTURE_BYTES + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("my card 4242 4242 4242 4242 please", "my card [number removed] please"),
        ("5555-5555-5555-4444", "[number removed]"),
        ("waybill 4242424242424241", "waybill 4242424242424241"),
        ("call +91 98123 45678", "call +91 98123 45678"),
    ],
)
def test_s88_a_card_number_in_the_words_is_not_kept(typed, kept):
    assert without_cards(typed) == kept


def oddly_tagged(kind):
    """A real picture on its side, beside which a camera wrote a width below zero."""
    tags = [(0x0112, 3, b"\6\0\0\0"), (0x0100, 9, b"\xff\xff\xff\xff")]
    written = b"".join(struct.pack("<HHI", tag, type_, 1) + value for tag, type_, value in tags)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + written + struct.pack("<I", 0)
    return picture(kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_a_camera_wrote_oddly_beside_a_picture_stops_nobody(kind):
    with Image.open(io.BytesIO(pictures.made_anew(oddly_tagged(kind)))) as made:
        assert made.size == (30, 40)


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_the_camera_was_held(turn):
    tall, exif = Image.new("RGB", (40, 20), "white"), Image.Exif()
    tall.paste("black", (0, 0, 20, 10))
    exif[ExifTags.Base.Orientation] = turn
    out = io.BytesIO()
    tall.save(out, "PNG", exif=exif)
    with (
        Image.open(out) as sent,
        Image.open(io.BytesIO(pictures.made_anew(out.getvalue()))) as made,
    ):
        right = ImageOps.exif_transpose(sent)
        assert made.size == right.size
        corners = [(2, 2), (right.width - 3, right.height - 3), (2, right.height - 3)]
        for corner in corners:
            dark = sum(made.getpixel(corner)) < 300
            assert dark == (sum(right.getpixel(corner)) < 300)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_picture_stays_of_a_return_that_was_not_stored(arrived, ask, monkeypatch):
    def fail(*_args):
        raise IntegrityError("none", {}, ValueError("none"))

    monkeypatch.setattr(asking, "request_return", fail)
    folder = pictures._root() / pictures.FOLDER
    before = set(folder.glob("*"))
    assert ask(arrived, files=[(picture(), "a.jpg")]).status_code == 500
    assert set(folder.glob("*")) == before
