"""Many shoppers place at once: each gets an order and a number of its own, and none is lost."""

import json
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import sqlalchemy as sa

from shop.cart.models import Cart, CartLine
from shop.checkout import placing
from shop.clock import local, utcnow
from shop.database import retried, transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.orders.numbers import draw_number
from shop.payments.gateways import sandbox
from shop.payments.models import Payment
from shop.stock.models import Reservation, StockLevel
from tests.factories import make_cart, make_product, make_wish

SHOPPERS = 200
THREADS = 16
METHODS = ("sandbox", "bank_transfer", "cod", "bank_transfer")
#: Places the wish that comes by standard input, and ends in the middle of it.
KILLED = """
import json, os, signal, sys
from shop import create_app
from shop.checkout import placing

placing._write = lambda wish, number: os.kill(os.getpid(), signal.SIGKILL)
with create_app().app_context():
    placing.place(placing.Wish(**json.load(sys.stdin)))
"""


def wishes_of(count, product):
    """Everybody has a cart and the form filled in; one in four pays at a gateway over HTTP."""
    by_method = [make_wish(make_cart({product: 1}), method=way) for way in METHODS]
    price = db.session.scalars(sa.select(CartLine.price_seen_minor).limit(1)).one()
    variant_id = product.variants[0].id
    with transaction() as session:
        carts = [Cart(token_hash=secrets.token_hex(32), currency="INR") for _ in range(count)]
        session.add_all(carts)
        session.flush()
        session.execute(
            db.insert(CartLine),
            [
                {
                    "cart_id": cart.id,
                    "variant_id": variant_id,
                    "quantity": 1,
                    "price_seen_minor": price,
                }
                for cart in carts
            ],
        )
        ids = [cart.id for cart in carts]
    return [
        replace(by_method[place % len(METHODS)], cart_id=one, idempotency_key=secrets.token_hex(16))
        for place, one in enumerate(ids)
    ]


def place_all(app, wishes):
    """Place them with threads that all begin at the same moment; what each was answered.

    A busy database is asked again, as the view does: SQLite gives no turns, so one may wait long.
    """
    gate = threading.Barrier(THREADS)

    def one(wish):
        with app.app_context():
            try:
                return retried(lambda: placing.place(wish), tries=6)
            except placing.FiguresMoved as refusal:
                return refusal

    with ThreadPoolExecutor(THREADS, initializer=gate.wait) as pool:
        return list(pool.map(one, wishes))


def numbers():
    """The numbers of all orders, without the month."""
    month = local(utcnow()).strftime("%y%m")
    db.session.rollback()
    found = db.session.scalars(sa.select(Order.number)).all()
    assert all(number.startswith(f"{month}.") for number in found)
    return sorted(int(number.split(".")[1]) for number in found)


def count(model):
    return db.session.scalar(sa.select(sa.func.count()).select_from(model))


def test_two_hundred_parallel_placings_give_two_hundred_orders_and_numbers(app, monkeypatch):
    # On a busy machine the pretend gateway, which writes to the same file, may wait for its turn.
    monkeypatch.setattr(sandbox, "OPEN_SECONDS", 60)
    ball = make_product(stock=SHOPPERS)
    placed = place_all(app, wishes_of(SHOPPERS, ball))

    assert len({one.order_id for one in placed}) == SHOPPERS
    assert len({one.token for one in placed}) == SHOPPERS
    assert sum(one.is_external for one in placed) == SHOPPERS // 4
    assert numbers() == list(range(1, SHOPPERS + 1))
    assert count(Payment) == count(Reservation) == SHOPPERS
    level = db.session.scalars(sa.select(StockLevel)).one()
    # Cash on delivery is accepted at once: those units have left the shelf.
    assert level.on_hand - level.reserved == 0


def test_placings_that_fail_after_drawing_leave_gaps_and_no_double(app):
    wishes = [
        replace(wish, quoted_total_minor=1) if place % 2 else wish
        for place, wish in enumerate(wishes_of(2 * THREADS, make_product(stock=THREADS)))
    ]
    said = place_all(app, wishes)

    assert sum(isinstance(one, placing.FiguresMoved) for one in said) == THREADS
    given = numbers()
    assert len(set(given)) == len(given) == THREADS
    assert max(given) <= 2 * THREADS
    assert int(draw_number().split(".")[1]) == 2 * THREADS + 1


def test_a_placing_killed_after_drawing_leaves_a_gap_and_the_form_still_works(app, child_environ):
    wish = make_wish()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=child_environ(), input=json.dumps(asdict(wish)), text=True, timeout=60,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert numbers() == []

    placing.place(wish)
    placing.place(wish)
    assert numbers() == [2]
