"""400 shoppers, 50 units, all clicking at once: 50 orders, 350 polite refusals, no error page."""

import hashlib
import os
import secrets
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from bench.rig import Shopper, running
from shop.books import faults
from shop.cart.models import Cart, CartLine
from shop.database import transaction
from shop.extensions import db
from shop.orders.models import Order
from shop.stock.models import StockLevel
from tests.factories import make_product
from tests.race import unguarded

SHOPPERS = int(os.environ.get("RACE_SHOPPERS", "400"))
UNITS = 50
RUNS = int(os.environ.get("RACE_RUNS", "1"))


def shoppers_at_checkout(
    port: int, variant_id: int, count: int
) -> list[tuple[Shopper, dict[str, str]]]:
    """Everybody has one in a cart of their own and the form filled in.

    The first comes by HTTP; the others are given rows, cookies and forms like the first one's.
    """
    first = Shopper(port, 1)
    assert first.add(variant_id).status in {200, 303}
    form = first.checkout_form()
    tokens = [secrets.token_urlsafe(32) for _ in range(count - 1)]
    with transaction() as session:
        price = session.scalars(sa.select(CartLine.price_seen_minor)).one()
        hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
        carts = [Cart(token_hash=known, currency="INR") for known in hashes]
        session.add_all(carts)
        session.flush()
        line = {"variant_id": variant_id, "quantity": 1, "price_seen_minor": price}
        session.add_all(CartLine(cart_id=cart.id, **line) for cart in carts)
    ready = [(first, form)]
    for number, token in enumerate(tokens, 2):
        shopper = Shopper(port, number)
        shopper.cookies = {**first.cookies, "cart": token}
        ready.append((shopper, {**form, "idempotency_key": secrets.token_hex(16)}))
    return ready


def click_at_once(ready: list[tuple[Shopper, dict[str, str]]]) -> Counter[str]:
    """All press the button at the same moment; how they were answered."""
    gate, said = threading.Barrier(len(ready)), Counter[str]()

    def click(shopper: Shopper, form: dict[str, str]) -> None:
        shopper.connection.connect()
        gate.wait()
        try:
            answer = shopper.place(form)
        except OSError as error:
            said[f"cut: {type(error).__name__}"] += 1
            return
        if answer.status == 303 and "/sandbox/pay/" in answer.location:
            said["order"] += 1
        elif answer.status == 409 or (answer.status == 303 and answer.location.endswith("/cart")):
            said["refused politely"] += 1
        else:
            said[f"{answer.status} {answer.location}"] += 1

    threads = [threading.Thread(target=click, args=one) for one in ready]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for shopper, _form in ready:
        shopper.connection.close()
    return said


def last_balls(units: int) -> int:
    """The variant of which there are so many."""
    variant_id = make_product("Last ball", stock=units).variants[0].id
    db.session.rollback()
    return variant_id


def race(tmp_path: Path, environ: dict[str, str], app: str = "wsgi:app") -> Counter[str]:
    """One race on an own set of processes, with the gateway of the tests' own server."""
    variant_id = last_balls(UNITS)
    with running(
        tmp_path, environ["DATABASE_URL"], app=app, worker=False,
        sandbox_url=environ["SANDBOX_API_BASE"], SECRET_KEY=environ["SECRET_KEY"],
    ) as rig:  # fmt: skip
        return click_at_once(shoppers_at_checkout(rig.port, variant_id, SHOPPERS))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("run", range(RUNS))
def test_fifty_units_make_fifty_orders_whoever_clicks(app, child_environ, tmp_path, run):
    said = race(tmp_path, child_environ())
    assert said == Counter({"order": UNITS, "refused politely": SHOPPERS - UNITS})
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) == UNITS
    level = db.session.scalars(sa.select(StockLevel)).one()
    assert (level.on_hand, level.reserved) == (UNITS, UNITS)
    assert faults() == []


@pytest.mark.breaks_books
def test_the_race_finds_a_shop_whose_guard_was_taken_out(live, loose_limits, monkeypatch):
    """The same clicks, at the tests' own server: it need not even be processes."""
    unguarded.take_guards_out(monkeypatch)
    variant_id = last_balls(10)
    said = click_at_once(shoppers_at_checkout(urlsplit(live).port, variant_id, 30))
    assert db.session.scalar(sa.select(sa.func.count(Order.id))) > 10, said


if RUNS > 1:  # A part of the long run; the short one skips nothing.

    @pytest.mark.slow
    @pytest.mark.breaks_books
    @pytest.mark.timeout(240)
    def test_the_very_same_race_oversells_where_the_guard_was_taken_out(
        app, child_environ, tmp_path
    ):
        said = race(tmp_path, child_environ(), app="tests.race.unguarded_shop:app")
        assert db.session.scalar(sa.select(sa.func.count(Order.id))) > UNITS, said
