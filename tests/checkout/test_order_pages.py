"""The order's pages: where it is, cancelling it, finding it."""

import math
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shop.cart.models import Cart
from shop.catalog import shelves
from shop.checkout.order_views import FIND_WORDS
from shop.clock import utcnow
from shop.database import transaction
from shop.delivery.models import Shipment, ShipmentLine, ShipmentStatus, TrackingEvent
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging import consents
from shop.orders.models import Order, OrderStatus
from shop.payments.models import AttemptStatus
from shop.stock.models import StockLevel
from tests.checkout.shopping import (
    HTMX,
    SAME,
    buy,
    give_cart,
    headline,
    make_ball_in_cart,
    order_of,
    set_attempt,
    sign_in,
)
from tests.factories import bring, make_order, make_user

ONLY_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def give_to(user, order):
    """This customer ordered it. Returns its token."""
    with transaction():
        db.session.get_one(Order, order.id).user_id = user.id
    return order.token


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("pending_payment", "Waiting for your payment"),
        ("paid", "Thank you, we have your order"),
        ("processing", "Thank you, we have your order"),
        ("ready_for_shipment", "Packed and waiting for pickup"),
        ("delivered", "Delivered"),
        ("cancelled", "This order is cancelled"),
    ],
)
def test_the_headline_answers_the_question_of_the_moment(client, state, words, order_in):
    assert headline(client, order_in(state).token) == words


@ONLY_SQLITE
def test_a_bank_transfer_shows_what_to_copy_until_it_is_seen(client):
    token = make_order(method="bank_transfer").token
    order, page = order_of(token), client.get(f"/orders/{token}").text
    assert headline(client, token) == "Waiting for your bank transfer"
    assert "We have not seen it yet" in page
    assert re.search(r'id="row-4">[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]<', page)
    assert 'data-copy="row-1"' in page
    bring(order, OrderStatus.PAID)
    assert "data-copy" not in client.get(f"/orders/{token}").text


@ONLY_SQLITE
@pytest.mark.parametrize("path", ["", "/pay", "/hold"])
def test_s43_a_token_that_opens_nothing_is_a_plain_404_with_a_way_on(client, path):
    for token in ("x", "0" * 43, "%2e%2e", "' or 1=1 --"):
        answer = client.get(f"/orders/{token}{path}")
        assert answer.status_code == 404, token
        assert "/orders/find" in answer.text


@ONLY_SQLITE
def test_s43_nothing_can_be_done_to_an_order_without_its_token(client, order_in):
    order_in("pending_payment")
    data = {"csrf_token": client.csrf_token(), "method": "cod"}
    for path in ("pay", "hold", "cancel"):
        assert client.post(f"/orders/{'0' * 43}/{path}", data=data, headers=SAME).status_code == 404


@ONLY_SQLITE
def test_s29_the_token_goes_into_no_referrer_index_or_cache(client, order_in):
    token = order_in("pending_payment").token
    for path in ("", "/pay"):
        headers = client.get(f"/orders/{token}{path}").headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex"
        assert headers["Cache-Control"] == "no-store"


@ONLY_SQLITE
def test_s54_a_bare_link_shows_the_city_and_masked_contact_only(client, order_in):
    token = order_in("pending_payment").token
    page = client.get(f"/orders/{token}").text
    assert "Bengaluru" in page
    for secret in ("Asha Rao", "12 MG Road", "560001", "asha@shopper.example", "9812345678"):
        assert secret not in page, secret
    assert "a•••@shopper.example" in page
    assert "A••• R••" in page


@ONLY_SQLITE
def test_s54_the_customer_who_ordered_sees_the_whole_address_when_signed_in(
    client, new_client, order_in
):
    order, user = order_in("paid"), make_user()
    token = give_to(user, order)
    sign_in(client, user)
    assert "12 MG Road" in client.get(f"/orders/{token}").text
    assert "12 MG Road" not in new_client().get(f"/orders/{token}").text
    other = new_client()
    sign_in(other, make_user())
    assert "12 MG Road" not in other.get(f"/orders/{token}").text


def test_the_open_page_asks_again_and_hears_nothing_until_something_changes(client, order_in):
    order = order_in("pending_payment")
    token, order_id = order.token, order.id
    page = client.get(f"/orders/{token}").text
    asked = re.search(r'hx-get="([^"]+)" hx-trigger="every 2s"', page)[1].replace("&amp;", "&")
    tag = re.search(r'data-tag="([^"]+)"', page)[1]
    first = client.get(asked, headers=HTMX)
    assert first.status_code == 200
    assert first.headers["ETag"] == f'"{tag}"'
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert "<!doctype" not in first.text.lower()
    known = {**HTMX, "If-None-Match": first.headers["ETag"]}
    assert client.get(asked, headers=known).status_code == 304
    bring(db.session.get_one(Order, order_id), OrderStatus.PAID)
    second = client.get(asked, headers=known)
    assert second.status_code == 200
    assert "Thank you, we have your order" in second.text
    assert 'hx-trigger="every 5s"' in second.text
    assert 'id="order-news" hx-swap-oob="innerHTML">Thank you' in second.text


@ONLY_SQLITE
def test_not_modified_is_answered_before_anything_is_rendered(client, sql_count, order_in):
    token = order_in("pending_payment").token
    asked = f"/orders/{token}?since=1"
    tag = client.get(asked, headers=HTMX).headers["ETag"]
    with sql_count() as told:
        answer = client.get(asked, headers={**HTMX, "If-None-Match": tag})
    assert answer.status_code == 304
    assert len(told) <= 2, "\n".join(told)


def shipped(order_id, status=ShipmentStatus.PICKUP_SCHEDULED, awb="AWB1", sequence=1):
    with transaction():
        order = db.session.get_one(Order, order_id)
        shipment = Shipment(
            order_id=order_id, sequence=sequence, courier="sandbox", reference=f"{order.number}-{sequence}",
            awb=awb, courier_name="Northline", status=status, weight_grams=500,
            estimated_at=utcnow() + timedelta(days=3),
        )  # fmt: skip
        db.session.add(shipment)
        db.session.flush()
        db.session.add(
            ShipmentLine(shipment_id=shipment.id, order_line_id=order.lines[0].id, quantity=1)
        )
    return shipment.id


def scan(shipment_id, status, place="Hosur", words="Sorted"):
    with transaction():
        db.session.execute(
            sa.update(Shipment).where(Shipment.id == shipment_id).values(status=status)
        )
        db.session.add(
            TrackingEvent(
                shipment_id=shipment_id, code=status.value, words=words, status=status.value, place=place,
                occurred_at=utcnow(),
            )
        )  # fmt: skip


@pytest.mark.breaks_books
def test_a_scan_changes_the_open_page_without_the_orders_state_moving(client, order_in):
    order = order_in("ready_for_shipment")
    token, shipment_id = order.token, shipped(order.id)
    asked = f"/orders/{token}?since=1"
    tag = client.get(asked, headers=HTMX).headers["ETag"]
    scan(shipment_id, ShipmentStatus.IN_TRANSIT)
    answer = client.get(asked, headers={**HTMX, "If-None-Match": tag})
    assert answer.status_code == 200
    assert "In transit, Hosur" in answer.text
    assert "Northline, last scan in Hosur today at" in answer.text
    assert 'class="flight"' in answer.text


@ONLY_SQLITE
@pytest.mark.breaks_books
def test_the_page_stops_asking_once_delivered(client, order_in):
    order = order_in("delivered")
    assert "hx-trigger" not in client.get(f"/orders/{order.token}", headers=HTMX).text


@ONLY_SQLITE
@pytest.mark.breaks_books
def test_each_of_several_parcels_has_its_own_part(client, order_in):
    order = order_in("ready_for_shipment")
    token, order_id = order.token, order.id
    shipped(order_id)
    shipped(order_id, awb="AWB2", sequence=2)
    page = client.get(f"/orders/{token}").text
    for words in ("Parcel 1 of 2", "Parcel 2 of 2", "AWB1", "AWB2"):
        assert words in page


@ONLY_SQLITE
def test_news_of_money_is_told_once(client, order_in):
    page = client.get(f"/orders/{order_in('paid').token}").text
    assert page.count("received</div>") == 1


@ONLY_SQLITE
def test_notes_of_the_staff_are_not_for_the_customer(client, order_in):
    order = order_in("pending_payment")
    token, order_id = order.token, order.id
    from shop.orders.models import OrderEvent

    with transaction():
        db.session.add(
            OrderEvent(order_id=order_id, kind="note", actor="user:1", text="Looks like fraud", occurred_at=utcnow())
        )  # fmt: skip
    assert "Looks like fraud" not in client.get(f"/orders/{token}").text


@ONLY_SQLITE
@pytest.mark.breaks_books
def test_words_of_gateways_and_couriers_are_text_and_nothing_else(client, order_in):
    token = order_in("payment_failed").token
    set_attempt(token, status=AttemptStatus.FAILED, failure_words="<img src=x onerror=alert(1)>")
    for path in ("", "/pay"):
        page = client.get(f"/orders/{token}{path}").text
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


# Cancelling.


def test_an_unpaid_order_is_cancelled_by_its_link_and_gives_the_cart_back(client, in_cart):
    token = buy(client)
    answer = client.post_form(f"/orders/{token}/cancel", page=f"/orders/{token}/pay")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/cart")
    page = client.get("/cart").text
    assert "What was in it is in your cart again" in page
    assert "Match ball" in page
    assert order_of(token).status == OrderStatus.CANCELLED
    assert db.session.scalars(sa.select(StockLevel.reserved)).one() == 0
    assert db.session.scalars(sa.select(Cart.ordered_at)).one() is None


@ONLY_SQLITE
def test_s53_a_paid_order_is_not_cancelled_by_its_link_alone(client, order_in):
    token = order_in("paid").token
    assert "/cancel" not in client.get(f"/orders/{token}").text
    answer = client.post(
        f"/orders/{token}/cancel", data={"csrf_token": client.csrf_token()}, headers=SAME
    )
    assert answer.status_code == 403
    assert "Sign in to cancel it, or write to" in answer.text
    assert order_of(token).status == OrderStatus.PAID


def test_the_customer_who_ordered_cancels_a_paid_order_and_gets_the_money_back(client, order_in):
    order, user = order_in("paid"), make_user()
    token = give_to(user, order)
    sign_in(client, user)
    assert "get the money back" in client.get(f"/orders/{token}").text
    answer = client.post_form(f"/orders/{token}/cancel", page=f"/orders/{token}")
    assert answer.status_code == 303
    assert order_of(token).status == OrderStatus.CANCELLED
    kinds = set(db.session.scalars(sa.select(Job.kind)))
    assert "payments.refund_in_full" in kinds


@ONLY_SQLITE
@pytest.mark.parametrize("state", ["shipped", "delivered", "cancelled"])
def test_what_cannot_be_cancelled_any_more_is_refused_and_not_offered(client, state, order_in):
    order, user = order_in(state), make_user()
    token = give_to(user, order)
    sign_in(client, user)
    assert "/cancel" not in client.get(f"/orders/{token}").text
    answer = client.post(
        f"/orders/{token}/cancel", data={"csrf_token": client.csrf_token()}, headers=SAME
    )
    assert answer.status_code == 409
    assert "cannot be cancelled any more" in answer.text
    assert order_of(token).status == OrderStatus(state)


# Finding.


def test_s52_finding_says_the_same_words_whether_or_not_there_is_such_an_order(client, order_in):
    order = order_in("pending_payment")
    number, order_id = order.number, order.id
    with transaction():
        db.session.get_one(Order, order_id).email = "Asha@shopper.example"
    wishes = [
        {"number": number, "email": "asha@shopper.example"},
        {"number": number, "email": "other@shopper.example"},
        {"number": "2611.999999", "email": "asha@shopper.example"},
    ]
    answers = [client.post_form("/orders/find", wish) for wish in wishes]
    told = {(answer.status_code, answer.headers["Location"], answer.text) for answer in answers}
    assert len(told) == 1
    assert FIND_WORDS in client.get(answers[0].headers["Location"]).text
    jobs = db.session.scalars(sa.select(Job).where(Job.kind == "messaging.tell")).all()
    links = [job.payload for job in jobs if job.payload["event"] == "order_link"]
    assert [link["order_id"] for link in links] == [order_id]


@ONLY_SQLITE
def test_s52_the_link_comes_by_mail(client, smtp_server, run_jobs, order_in):
    order = order_in("pending_payment")
    number, token = order.number, order.token
    client.post_form("/orders/find", {"number": f" #{number} ", "email": "ASHA@shopper.example"})
    run_jobs(kinds="messaging.")
    bodies = [str(message.get_body(("plain",)).get_content()) for message in smtp_server.messages]
    assert any(f"/orders/{token}" in body for body in bodies)


@ONLY_SQLITE
def test_s52_an_empty_look_up_is_explained_beside_the_field(client):
    answer = client.post_form("/orders/find", {"number": "", "email": ""})
    assert answer.status_code == 422
    assert "Enter the order number" in answer.text
    assert "<title>Error:" in answer.text


@ONLY_SQLITE
def test_s47_look_ups_are_counted(client, turn_clock):
    turn_clock(utcnow().replace(second=1))
    wish = {
        "csrf_token": client.csrf_token(),
        "number": "2611.001",
        "email": "asha@shopper.example",
    }
    answers = [client.post("/orders/find", data=wish, headers=SAME).status_code for _ in range(11)]
    assert answers == [303] * 10 + [429]


@ONLY_SQLITE
def test_the_pages_take_the_same_few_statements_however_large_the_order(
    client, sql_count, monkeypatch
):
    # The header's shelves are read once for a while, which is not to end in between.
    monkeypatch.setattr(shelves, "FRAME_SECONDS", math.inf)
    counted = []
    for lines in (1, 4):
        order = make_order(lines=lines)
        token = order.token
        assert client.get(f"/orders/{token}/pay").status_code == 200
        with sql_count() as told:
            assert client.get(f"/orders/{token}/pay").status_code == 200
        assert len(told) <= 7, "\n".join(told)
        bring(order, OrderStatus.PAID)
        with sql_count() as told:
            assert client.get(f"/orders/{token}").status_code == 200
        counted.append(len(told))
    assert counted[0] == counted[1] <= 12


@ONLY_SQLITE
def test_s11_looking_at_an_order_changes_nothing(client, sql_count, order_in):
    token = order_in("pending_payment").token
    give_cart(client, make_ball_in_cart())
    for path in (
        f"/orders/{token}",
        f"/orders/{token}/pay",
        f"/orders/{token}/hold",
        "/orders/find",
        "/checkout",
    ):
        with sql_count() as told:
            client.get(path, headers=HTMX)
        assert not [line for line in told if not line.lstrip().upper().startswith("SELECT")], path


def test_a_guest_stops_and_asks_again_for_news_by_telephone(client, configure):
    configure(sms_channel="termii", whatsapp_channel="wati", messages_dry_run=True)
    order = make_order("paid", news_by=("whatsapp",))
    path, number = f"/orders/{order.token}", order.phone
    page = client.get(path).text
    assert "Stop WhatsApp messages" in page
    assert "Get SMS messages" in page
    for kind, wanted in (("whatsapp", "0"), ("sms", "1")):
        told = client.post_form(f"{path}/news", {"kind": kind, "wanted": wanted}, page=path)
        assert told.status_code in {200, 303}
    assert not consents.agreed("whatsapp", number, "transactional")
    assert consents.agreed("sms", number, "transactional")
    assert "Get WhatsApp messages" in client.get(path).text
    wrong = client.post_form(f"{path}/news", {"kind": "email", "wanted": "0"}, page=path)
    assert wrong.status_code == 404
    unknown = client.post_form("/orders/unknown/news", {"kind": "sms"}, page=path)
    assert unknown.status_code == 404


@ONLY_SQLITE
def test_nothing_is_offered_where_nobody_carries_it_or_its_owner_wrote_stop(
    client, configure, order_in
):
    order = order_in("paid")
    path, number = f"/orders/{order.token}", order.phone
    assert "SMS messages" not in client.get(path).text
    configure(sms_channel="termii", messages_dry_run=True)
    assert "Get SMS messages" in client.get(path).text
    with transaction():
        consents.suppress("sms", number, "opted_out", "STOP")
    assert "SMS messages" not in client.get(path).text
