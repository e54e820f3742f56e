"""No parcel is lost and none is made twice, however rough the courier, the workers and the line are.

Orders are placed, and paid by webhooks that come twice. While their parcels are made, the
courier's answers are lost after the step was taken (time-out, 5xx, half a body, garbage), it
refuses for a while (429, 503, hanging before), workers die between call and record, and leases
run out in mid-step so that two workers make one parcel. Then its scans are told twice, too.

In the suite with a few orders. In full, about half an hour on two cores:

    SHIPMENTS=2000 MAKERS=4 pytest tests/delivery/test_lost_and_doubled.py -n0 -k postgresql
"""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from sqlalchemy import func, select, update
from werkzeug import Request

from shop import providers
from shop.clock import in_future, utcnow
from shop.database import db_now, transaction
from shop.delivery.booking import CreateShipment
from shop.delivery.models import Shipment, ShipmentStatus, Step, TrackingEvent
from shop.extensions import db
from shop.incidents.models import Incident
from shop.jobs import runner
from shop.jobs.models import Job, JobStatus
from shop.orders.models import Order, OrderEvent, OrderLine, OrderStatus
from shop.payments import attempts
from shop.sandbox import gateway as sandbox
from tests.delivery.conftest import connected
from tests.factories import make_order, make_product
from tests.simulators import base
from tests.simulators.base import Fault
from tests.simulators.shiprocket import BASE, Shiprocket

SHIPMENTS = int(os.environ.get("SHIPMENTS", "3"))
MAKERS = int(os.environ.get("MAKERS", "2"))
SEED = int(os.environ.get("SEED", "20261121"))
BATCH = 50
MOST_ROUNDS = 60
CREATE = "delivery.create_shipment"

STEPS = (
    "/orders/create/adhoc",
    "/courier/assign/awb",
    "/courier/generate/pickup",
    "/courier/generate/label",
)
#: Kind of fault, its status, and how often it comes among faults.
FAULTS = (
    ("hang_after", 504, 2), ("fail_after", 500, 3), ("fail_after", 502, 2), ("half_body", 200, 3),
    ("garbage", 200, 2), ("hang_before", 504, 1), ("refuse", 503, 2), ("refuse", 429, 2), ("refuse", 500, 1),
)  # fmt: skip
#: Of a hundred calls so many go wrong; of a hundred steps so many lose their worker, or their lease.
BROKEN_CALLS, DEAD_WORKERS, LOST_LEASES = 25, 6, 8


#: Which throw falls whatever the dice say, so that each of them happens among a few orders, too.
SURE = {
    "broken": 2, "worker killed": 3, "lease lost before the call": 5, "lease lost after the call": 7,
}  # fmt: skip


class Killed(BaseException):
    """The worker is no more."""


class Dice:
    """One generator for all threads; what it let happen is counted."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.lock = threading.Lock()
        self.thrown: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    def falls(self, percent: int, what: str) -> bool:
        """True so many times of a hundred, and surely once."""
        with self.lock:
            self.thrown[what] += 1
            fell = self.random.randrange(100) < percent or self.thrown[what] == SURE[what]
            self.happened[what] += fell
            return fell

    def pick(self) -> tuple[str, int]:
        """One of the faults."""
        with self.lock:
            weights = [weight for _kind, _status, weight in FAULTS]
            kind, status, _ = self.random.choices(FAULTS, weights)[0]
            self.happened[f"{kind} {status}"] += 1
            return kind, status


class Rough(Shiprocket):
    """A courier whose answers get lost."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.is_rough = True
        super().__init__()

    def _fault_for(self, request: Request) -> Fault | None:
        path = request.path.removeprefix(BASE)
        if not self.is_rough or path not in STEPS or not self.dice.falls(BROKEN_CALLS, "broken"):
            return super()._fault_for(request)
        kind, status = self.dice.pick()
        return Fault(kind, path=request.path, status=status)


@pytest.fixture
def dice() -> Dice:
    return Dice()


@pytest.fixture
def rough(dice, configure, live, monkeypatch, loose_limits):
    """The rough courier, waited for briefly; the shop uses it for real."""
    monkeypatch.setattr(base, "HANG_SECONDS", 1.0)
    monkeypatch.setattr("shop.delivery.couriers.shiprocket.STEP_SECONDS", 0.5)
    held = Rough(dice)
    connected(held, configure, live)
    yield held
    held.stop()


@pytest.fixture
def mortal(dice, monkeypatch):
    """Workers die between call and record, and leases end before and after the call."""
    call, record = CreateShipment.call, CreateShipment.record

    def called(self, request):
        if dice.falls(LOST_LEASES, "lease lost before the call"):
            _end_lease()
        answer = call(self, request)
        if dice.falls(LOST_LEASES, "lease lost after the call"):
            _end_lease()
        return answer

    def recorded(self, work, request, answer):
        if dice.falls(DEAD_WORKERS, "worker killed"):
            raise Killed
        return record(self, work, request, answer)

    monkeypatch.setattr(CreateShipment, "call", called)
    monkeypatch.setattr(CreateShipment, "record", recorded)


def _end_lease() -> None:
    """The job that this thread holds is anybody's from now on."""
    job_id = runner.held[threading.get_ident()].job_id
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=db_now(-1)))


@pytest.fixture
def work(app) -> Callable[..., None]:
    """`work(ahead=seconds)`: several workers run what is due, with the clock turned; the dead are replaced."""

    def labour(name: str) -> None:
        with app.app_context():
            while _one(name):
                continue

    def run(ahead: float = 0) -> None:
        db.session.rollback()
        with time_machine.travel(utcnow().timestamp() + ahead, tick=True):
            threads = [threading.Thread(target=labour, args=(f"maker-{n}",)) for n in range(MAKERS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        db.session.rollback()

    return run


def _one(name: str) -> bool:
    providers.reset_lines()
    try:
        return runner.run_next(name)
    except Killed:
        db.session.rollback()
        runner.release(name)
        return True


def place(count: int) -> None:
    """Orders of two lines, paid at the pretend gateway, which tells of it twice."""
    for _ in range(count):
        order = make_order(lines={make_product(): 1, make_product(): 2})
        reference = attempts.latest(order.id).reference
        with transaction():
            sandbox.pay(sandbox.find(reference, lock=True), webhooks=2)


def until_made(work: Callable[..., None]) -> int:
    """Hours go by; a job that gave up is tried again by a person, who was told of it. The rounds it took."""
    for turn in range(MOST_ROUNDS):
        work(ahead=turn * 7_200)
        if not db.session.scalar(select(Job.id).where(Job.kind == CREATE, _is_open()).limit(1)):
            return turn
        failed = select(Job.id).where(Job.kind == CREATE, Job.status == JobStatus.FAILED)
        for job_id in db.session.scalars(failed).all():
            assert db.session.scalar(select(Incident.id).where(Incident.job_id == job_id))
            with transaction():
                runner.retry(job_id)
    raise AssertionError(f"not made after {MOST_ROUNDS} rounds")


def _is_open() -> Any:
    return Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED])


@pytest.mark.slow
@pytest.mark.timeout(180 + 5 * SHIPMENTS)
def test_every_paid_order_gets_one_parcel_and_no_more(rough, mortal, work, dice, record_property):
    for start in range(0, SHIPMENTS, BATCH):
        place(min(BATCH, SHIPMENTS - start))
        work()
    rounds = until_made(work)
    assert [what for what in SURE if not dice.happened[what]] == []

    parcels = db.session.scalars(select(Shipment)).all()
    table = {one.reference: one for one in parcels}
    assert len(table) == len(parcels) == SHIPMENTS, "a parcel is missing or stands twice"
    assert db.session.scalar(select(func.count(func.distinct(Shipment.order_id)))) == SHIPMENTS
    assert {one.step for one in parcels} == {Step.LABELLED}
    assert len({one.awb for one in parcels}) == SHIPMENTS
    for step in ("order", "awb", "pickup"):
        assert Counter(rough.done(step)) == dict.fromkeys(table, 1), f"{step}: doubled or lost"
    there = {order["reference"]: order for order in rough.orders.values()}
    assert len(rough.orders) == len(there) == SHIPMENTS, "the courier has an order too many"
    for reference, parcel in table.items():
        order = there[reference]
        told = (str(order["id"]), str(order["shipment_id"]), order["awb"])
        assert (parcel.courier_order_id, parcel.courier_shipment_id, parcel.awb) == told
    short = select(func.count()).where(OrderLine.shipped_quantity != OrderLine.quantity)
    assert db.session.scalar(short) == 0, "units left behind, or sent twice"
    record_property("rounds", rounds)
    print(f"{SHIPMENTS} orders, {rounds} later rounds, {dict(dice.happened)}")

    rough.is_rough = False
    tell_twice(rough)
    work(ahead=60)
    statuses = Counter(db.session.scalars(select(Shipment.status)))
    assert statuses == {ShipmentStatus.IN_TRANSIT: SHIPMENTS}
    assert Counter(db.session.scalars(select(Order.status))) == {OrderStatus.IN_TRANSIT: SHIPMENTS}
    told_once = dict.fromkeys((one.order_id for one in parcels), 1)
    shipped = select(OrderEvent.order_id).where(OrderEvent.kind == "shipped")
    assert Counter(db.session.scalars(shipped)) == told_once
    scans = Counter(db.session.scalars(select(TrackingEvent.shipment_id)))
    assert set(scans.values()) == {2}
    assert len(scans) == SHIPMENTS


def tell_twice(rough: Rough) -> None:
    """Picked up, then in transit; each message comes twice, and the later one first."""
    rough.copies, rough.delivers = 2, False
    for order in list(rough.orders.values()):
        for code, minutes in ((42, -5), (18, -2)):
            rough.tell(rough.scan(code, in_future(minutes=minutes), order["awb"]))
    rough.deliver(backwards=True)
    assert set(rough.answers) == {200}
