"""Staff, for the tests of money that look at the admin too; and the counterparts of the gateways."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.admin.conftest import staff
from tests.payments import sides
from tests.payments.sides import Bench, Side
from tests.simulators.receiver import Receiver

__all__ = ["staff"]


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
