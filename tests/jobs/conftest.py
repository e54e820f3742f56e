"""Real worker processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shop.clock import utcnow
from shop.database import transaction
from shop.extensions import db
from shop.jobs import schedule
from shop.jobs.models import Job, JobStatus, ScheduleSlot, WorkerPresence
from tests.jobs import kinds  # noqa: F401  (registers them)

PROGRAM = Path(__file__).with_name("worker_of_tests.py")


class Started:
    """A worker that the nursery forked; used like the subprocess.Popen of one that is a program."""

    def __init__(self, nursery: "Nursery", environ: dict[str, str]) -> None:
        self.nursery = nursery
        self.pid: int = nursery.ask(environ)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.nursery.ask(self.pid)
        return self.returncode

    def wait(self, seconds: float = 60) -> int:
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            assert time.monotonic() < end, f"the worker did not end within {seconds} s"
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A process that has loaded the shop and forks workers (see worker_of_tests.py)."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, "--nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, wish: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One for this test process."""
    held = Nursery()
    yield held
    held.stop()


class Workers:
    """Starts worker processes on the shop under test and ends them after it."""

    def __init__(self, environ: Callable[[], dict[str, str]], nursery: Nursery) -> None:
        self.environ = environ
        self.nursery = nursery
        self.running: list[subprocess.Popen[bytes] | Started] = []

    def start(self, *, program: str = "", **environ: Any) -> Any:
        """One parent with WORKERS children. Returns when they are at work.

        With a `program` it is started as people do, each child loading the shop for itself.
        """
        before = present()
        values = {**self.environ(), **{name: str(value) for name, value in environ.items()}}
        process: subprocess.Popen[bytes] | Started
        if program:
            process = subprocess.Popen([sys.executable, program], env=values)
        else:
            process = Started(self.nursery, values)
        self.running.append(process)
        until(lambda: present() >= before + int(environ.get("WORKERS", 1)), 120)
        return process

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(45)


@pytest.fixture
def workers(
    child_environ: Callable[[], dict[str, str]], app: Any, nursery: Nursery
) -> Iterator[Workers]:
    """`workers.start(WORKERS=2)`: real processes. Periodic work is taken already, so that only the
    test's jobs run."""
    quiet()
    held = Workers(child_environ, nursery)
    yield held
    held.stop()


def quiet() -> None:
    """Take the turns of periodic work for the next minutes."""
    now = utcnow()
    with transaction() as session:
        for task in schedule.SCHEDULE:
            for turn in range(10 if task.every < 600 else 2):
                slot = schedule._slot(now, task.every) + turn * timedelta(seconds=task.every)
                session.add(ScheduleSlot(task=task.kind, slot_at=slot))


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        db.session.rollback()
        found = true()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError("it did not come about in time: " + str(states()))


def states(*kinds_wanted: str) -> dict[str, int]:
    """Jobs by status, of the kinds named."""
    db.session.rollback()
    query = sa.select(Job.status, sa.func.count()).group_by(Job.status)
    if kinds_wanted:
        query = query.where(Job.kind.in_(kinds_wanted))
    return {status.value: number for status, number in db.session.execute(query)}


def present() -> int:
    """How many workers said that they live."""
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count()).select_from(WorkerPresence)) or 0


def all_done(count: int) -> Callable[[], bool]:
    """Whether so many jobs have succeeded."""
    return lambda: states().get(JobStatus.SUCCEEDED, 0) >= count
