"""The worker with Redis: RQ says which row is waiting, the table says everything else.

RQ is a doorbell. A Redis that is emptied, restarted or away loses nothing: the sweep rings again,
and while nobody answers the door this worker looks into the table by itself.
"""

import signal
from types import FrameType
from typing import Any

import structlog
from flask import Flask, current_app
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from shop.jobs import embedded, runner
from shop.jobs.doorbell import QUEUE
from shop.jobs.stopping import Stopping

log = structlog.get_logger()

TTL_SECONDS = 30
"""RQ waits at most half of it for a push, then says again that it lives."""


def perform(job_id: int) -> None:
    """What RQ calls: somebody rang for this row. What is most urgent runs, this row or another.

    RQ knows no priorities: a parcel would wait behind the mails that were rung for before it. Every
    due row has its own ring, so as many run as were rung for.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        # A context of its own for each job, as for a request.
        with app.app_context():
            log.debug("worker.rung", job=job_id)
            runner.run_next(app.extensions["worker_name"])
    except runner.Stopped:
        log.info("worker.job_given_back")
    except SQLAlchemyError as error:
        log.warning("worker.database_away", error=f"{type(error).__name__}: {error}"[:500])


def attend(app: Flask, worker: str, stopping: Stopping) -> None:
    """Answer the doorbell until asked to stop."""
    app.extensions["worker_name"] = worker
    while not stopping.is_asked:
        try:
            with app.app_context():
                _answer_door(app.extensions["settings"].redis_url, worker, stopping)
        except RedisError as error:
            log.warning("worker.redis_away", error=type(error).__name__)
        finally:
            stopping.watch_signals()
        if not stopping.is_asked:
            # The connection was lost: what waits there is due in the table.
            embedded.step(app, worker, stopping)


def _answer_door(url: str, worker: str, stopping: Stopping) -> None:
    connection = Redis.from_url(url, socket_connect_timeout=1)
    try:
        connection.ping()
        queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
        attendant = Attendant(
            [queue], name=f"{worker}-{id(connection)}", connection=connection,
            serializer=JSONSerializer, worker_ttl=TTL_SECONDS,
        )  # fmt: skip
        attendant.stopping = stopping
        attendant.work(logging_level="WARNING")
    finally:
        connection.close()


class Attendant(SimpleWorker):
    """RQ's worker without its remote control, and leaving at once when Redis does not answer."""

    stopping: Stopping

    def subscribe(self) -> None:
        """Take no commands from whoever can write to Redis."""

    def unsubscribe(self) -> None:
        """There is nothing to end."""

    def procline(self, message: str) -> None:
        """Leave the name of the process alone."""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ would wait for Redis for up to a minute at a time.

        It says that it lives between two waits: whoever was asked to stop without a signal (its parent
        is gone) stops here. A message taken in that moment is lost, not its job: the sweep pushes it again.
        """
        if self.stopping.is_asked:
            raise StopRequested
        try:
            super().heartbeat(timeout, pipeline)
        except RedisConnectionError:
            raise StopRequested from None

    def register_death(self) -> None:
        """Best effort: Redis may be gone."""
        try:
            super().register_death()  # type: ignore[no-untyped-call]
        except RedisError:
            log.info("worker.death_not_registered")

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM: the grace begins; RQ takes no more."""
        self.stopping.ask()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second signal changes nothing: the grace is what decides."""

    def _install_signal_handlers(self) -> None:
        super()._install_signal_handlers()  # type: ignore[no-untyped-call]
        signal.signal(signal.SIGUSR1, self.stopping._grace_is_over)
