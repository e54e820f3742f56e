"""What goes on beside the job in hand: its lease, this worker's presence, periodic work, the sweep."""

import os
import threading
import time
from collections.abc import Callable

import structlog
from flask import Flask
from sqlalchemy import delete

from shop.database import Upsert, db_now, given, transaction
from shop.extensions import db
from shop.jobs import queue, runner, schedule
from shop.jobs.models import WorkerPresence
from shop.jobs.stopping import Stopping

log = structlog.get_logger()

RENEW_SECONDS = 15
SLOT_SECONDS = 1
SWEEP_SECONDS = 2
"""The design allows 10; a job put back for 2 s should not wait for 10."""

_seen = Upsert(
    WorkerPresence,
    {"worker": given("worker"), "seen_at": db_now()},
    unique=("worker",),
    then={"seen_at": db_now()},
    returning="id",
)


class Beat(threading.Thread):
    """A thread of the worker process, with sessions of its own."""

    def __init__(self, app: Flask, worker: str, stopping: Stopping) -> None:
        super().__init__(name="beat", daemon=True)
        self.app = app
        self.worker = worker
        self.stopping = stopping
        self.parent = os.getppid()
        self.over = threading.Event()
        self.rounds: list[tuple[float, Callable[[], object]]] = [
            (RENEW_SECONDS, runner.renew_held),
            (RENEW_SECONDS, self.show_presence),
            (SLOT_SECONDS, schedule.tick),
        ]
        if app.extensions["settings"].redis_url:
            self.rounds.append((SWEEP_SECONDS, queue.push_waiting))

    def run(self) -> None:
        """Do each round when its time has come, until `end`."""
        due = [0.0] * len(self.rounds)
        while not self.over.wait(0.25):
            self._leave_with_parent()
            for index, (every, work) in enumerate(self.rounds):
                if time.monotonic() >= due[index]:
                    due[index] = time.monotonic() + every
                    self._do(work)

    def _do(self, work: Callable[[], object]) -> None:
        """Nothing may end the heart-beat: neither a database that is away, nor a fault of one round."""
        try:
            with self.app.app_context():
                work()
        except Exception as error:
            log.error("worker.beat_failed", round=work.__name__, exc_info=error)

    def _leave_with_parent(self) -> None:
        if os.getppid() != self.parent:
            self.stopping.ask()

    def show_presence(self) -> None:
        """Say that this worker lives; by the database's clock."""
        with transaction():
            _seen(worker=self.worker)

    def end(self) -> None:
        """Stop, and take the presence away."""
        self.over.set()
        self.join(10)
        self._do(self._leave)

    def _leave(self) -> None:
        with transaction():
            db.session.execute(delete(WorkerPresence).where(WorkerPresence.worker == self.worker))
