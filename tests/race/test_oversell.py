"""400 shoppers, 50 units, all clicking at once: 50 orders, 350 polite refusals, no error page."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.rig import Rig, Shopper, running
from shop.books import faults
from shop.extensions import db
from shop.orders.models import Order
from shop.stock.models import StockLevel
from tests.factories import make_product

SHOPPERS = int(os.environ.get("RACE_SHOPPERS", "400"))
UNITS = 50
RUNS = int(os.environ.get("RACE_RUNS", "1"))


def shoppers_at_checkout(
    rig: Rig, variant_id: int, count: int
) -> list[tuple[Shopper, dict[str, str]]]:
    """Everybody has one in the cart and the form filled in."""

    def ready(number: int) -> tuple[Shopper, dict[str, str]]:
        shopper = Shopper(rig.port, number)
        assert shopper.add(variant_id).status in {200, 303}
        return shopper, shopper.checkout_form()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ready, range(1, count + 1)))


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


def race(
    tmp_path: Path, environ: dict[str, str], app: str = "wsgi:app", count: int = SHOPPERS
) -> Counter[str]:
    """One race on an own set of processes."""
    ball = make_product("Last ball", stock=UNITS)
    variant_id = ball.variants[0].id
    db.session.rollback()
    with running(tmp_path, environ["DATABASE_URL"], app=app, worker=False) as rig:
        said = click_at_once(shoppers_at_checkout(rig, variant_id, count))
    return said


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


@pytest.mark.slow
@pytest.mark.breaks_books
@pytest.mark.timeout(240)
def test_the_race_finds_a_shop_whose_guard_was_taken_out(app, child_environ, tmp_path):
    said = race(tmp_path, child_environ(), app="tests.race.unguarded:app", count=120)
    orders = db.session.scalar(sa.select(sa.func.count(Order.id)))
    assert orders > UNITS or set(said) - {"order", "refused politely"}, said
