"""Staff, for the tests of money that look at the admin too; and the counterparts of the gateways."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop.database import transaction
from shop.messaging.events import EVENTS
from shop.messaging.models import MessageSwitch
from shop.preferences import change
from tests.admin.conftest import staff
from tests.payments import sides
from tests.payments.sides import Bench, Side
from tests.simulators.receiver import Receiver

__all__ = ["staff"]

MONEY = ("payments.", "stock.", "orders.")
"""How the kinds of jobs begin that move money, goods and orders."""


def let_only_money_move() -> None:
    """From now on no parcel is booked and no message written."""
    rows = {(event, telling.channel) for event, told in EVENTS.items() for telling in told}
    off = [{"event": event, "channel": channel, "is_on": False} for event, channel in sorted(rows)]
    with transaction() as session:
        change("auto_ship", "false")
        session.execute(sa.insert(MessageSwitch), off)


@pytest.fixture
def money_alone(app: Any) -> None:
    """For tests that look neither at parcels nor at messages. A scene has to do it by itself."""
    let_only_money_move()


@pytest.fixture
def run_money(run_jobs: Callable[..., int]) -> Callable[..., int]:
    """Runs the jobs that move money, goods and orders: no mail, no parcel, no ticket, no webhook."""
    return functools.partial(run_jobs, kinds=MONEY)


@pytest.fixture
def run_news(run_jobs: Callable[..., int]) -> Callable[..., int]:
    """Runs the jobs that `run_money` runs, sends the sandbox's webhooks and takes in what has come."""
    return functools.partial(run_jobs, kinds=(*MONEY, "webhooks.", "sandbox."))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where the counterparts send their webhooks."""
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def side_of(
    app: Any,
    live: str,
    receiver: Receiver,
    configure: Callable[..., None],
    client: Any,
    run_jobs: Any,
) -> Iterator[Callable[[str], Side]]:
    """Makes the counterpart of a gateway."""
    made: list[Side] = []

    def make(name: str) -> Side:
        made.append(sides.of(name)(name, Bench(receiver, configure, client, run_jobs)))
        return made[-1]

    yield make
    for side in made:
        side.stop()
