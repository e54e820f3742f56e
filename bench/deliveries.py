"""From a payment's webhook to the parcel made and the mail handed over, order after order.

A shop of its own with one worker; the courier and the mail server take 200 ms for every answer.
The parcel is made when every step at the courier is taken (order, waybill number, pickup, label);
the mail is handed over when the server has taken the buyer's confirmation.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import psycopg
import sqlalchemy as sa
from flask import Flask

from bench.rig import ADDRESS, COMMON, Rig, Shopper, post_signed, running
from shop import create_app
from shop.catalog import demo
from shop.database import transaction
from shop.extensions import db
from shop.sandbox import gateway as sandbox
from shop.sandbox.models import SandboxPayment
from tests.servers import Postgres
from tests.simulators.shiprocket import EMAIL, PASSWORD, Shiprocket
from tests.simulators.slow_smtp import SlowSmtp

ANSWER_SECONDS = 0.2
LONGEST_SECONDS = 30


@dataclass(frozen=True)
class Taken:
    """Seconds from the webhook on, one order."""

    shipment: float
    mail: float


def measured(server: Postgres, folder: Path, orders: int) -> list[Taken]:
    """So many orders, each after the one before it is done with. The first only warms up."""
    url = server.database("till_deliveries")
    app = create_app({**COMMON, "DATABASE_URL": url, "LOG_LEVEL": "ERROR"})
    with app.app_context():
        flask_migrate.upgrade()
        with transaction():
            demo.seed_catalogue()
        variant = db.session.scalar(
            sa.text("SELECT variant_id FROM stock_levels ORDER BY on_hand DESC, variant_id LIMIT 1")
        )
        db.session.rollback()
    courier, mail = Shiprocket(), SlowSmtp(ANSWER_SECONDS)
    courier.latency_ms = round(1000 * ANSWER_SECONDS)
    folder.mkdir(exist_ok=True)
    chosen = {
        "COURIER": "parcel", "SHIPROCKET_DRY_RUN": "false", "SHIPROCKET_EMAIL": EMAIL,
        "SHIPROCKET_PASSWORD": PASSWORD, "SHIPROCKET_API_BASE": courier.base,
        "SHIPROCKET_WEBHOOK_TOKEN": courier.webhook_token, "SMTP_URL": mail.url,
    }  # fmt: skip
    try:
        with running(folder, url, web=1, **chosen) as rig:
            way = Way(app, rig, url, mail)
            return [way.order(variant, number) for number in range(orders + 1)][1:]
    finally:
        courier.stop()
        mail.stop()


class Way:
    """One order's way, timed."""

    def __init__(self, app: Flask, rig: Rig, url: str, mail: SlowSmtp) -> None:
        self.app = app
        self.rig = rig
        self.mail = mail
        self.connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def order(self, variant: int, number: int) -> Taken:
        """Place, pay, and wait for parcel, mail, and all that follows."""
        shopper = Shopper(self.rig.port, 500_000 + number)
        shopper.add(variant)
        placed = shopper.place(shopper.checkout_form())
        if placed.status != 303:
            raise SystemExit(f"no order was placed: {placed.status}")
        body, parcels, mails = self._paid(), self._parcels(), self._mails()
        begun = time.monotonic()
        if post_signed(shopper, body) != 200:
            raise SystemExit("the webhook was not taken")
        shipment = _until(lambda: self._parcels() > parcels) - begun
        _until(lambda: self._mails() > mails)
        mailed = [moment for moment, to, _mail in self.mail.taken if to == ADDRESS["email"]]
        _until(lambda: not self._unfinished())
        shopper.connection.close()
        return Taken(shipment, mailed[mails] - begun)

    def _paid(self) -> str:
        """The gateway takes the money; the body of the webhook that says so."""
        with self.app.app_context(), transaction():
            newest = sa.select(SandboxPayment.reference).order_by(SandboxPayment.id.desc())
            payment = sandbox.find(db.session.scalars(newest).first() or "", lock=True)
            sandbox.pay(payment, webhooks=0)
            data = sandbox.as_payment(payment)
            return json.dumps(
                {"id": f"evt_{data['id']}", "type": sandbox.WEBHOOK_TYPES["paid"], "data": data}
            )

    def _parcels(self) -> int:
        return self._count("SELECT count(*) FROM shipments WHERE step = 'labelled'")

    def _mails(self) -> int:
        return sum(to == ADDRESS["email"] for _moment, to, _mail in self.mail.taken)

    def _unfinished(self) -> int:
        return self._count(
            "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running') AND run_at <= now()"
        )

    def _count(self, query: str) -> int:
        row = self.connection.execute(query).fetchone()  # type: ignore[call-overload]
        return int(row[0]) if row else 0


def _until(is_so: Callable[[], object]) -> float:
    """Wait until it is so; returns that moment."""
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        if is_so():
            return time.monotonic()
        time.sleep(0.01)
    raise SystemExit(f"it did not come about within {LONGEST_SECONDS} s")
