"""worker.py, with the kinds of tests/jobs/kinds.py and a place to die at.

Environment: WORKERS, KILL_AT="kind:step kind:step@source …" and KILL_FLAGS=folder
(once at each),
LEASE_SECONDS, GRACE_SECONDS, REPUSH_SECONDS, SWEEP_SECONDS, SLOT_SECONDS, TTL_SECONDS,
SHORT_LIFE_SECONDS.

Run by itself it is a nursery: it loads the shop once and forks a worker for each line that it
reads, since loading costs more than all that the worker then does. What is forked is a process
like any other: it is killed, stopped and orphaned as one. With "--child" it is what the worker's
own parent starts, program and all.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import worker


class Forked:
    """As much of subprocess.Popen as worker.Parent uses, for a fork of this process."""

    def __init__(self, body):
        self.returncode = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            code = body() or 0
        finally:
            sys.stdout.flush()
            os._exit(code)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("worker", seconds)
            time.sleep(0.01)
        return self.returncode

    def terminate(self):
        self._send(signal.SIGTERM)

    def kill(self):
        self._send(signal.SIGKILL)

    def _send(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkingParent(worker.Parent):
    """worker.Parent, whose children are forked. The application is made once, what it opens by each."""

    def __init__(self, count):
        super().__init__(count)
        self.app = application()

    def _start(self, dead=""):
        from shop.jobs.working import work

        self.number += 1
        name = f"test-{os.getpid()}-{self.number}"
        forked = Forked(lambda: work(self.app, worker=name, dead=dead))
        return worker.Child(name, forked, time.monotonic())


def application():
    """What a child of worker.py makes, with the tests' kinds, leases and deaths."""
    from shop import create_app
    from shop.jobs import beat, queue, runner, stopping

    app = create_app()
    from tests.jobs import kinds

    runner.LEASE_SECONDS = int(os.environ.get("LEASE_SECONDS", "60"))
    stopping.GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "30"))
    queue.REPUSH_SECONDS = int(os.environ.get("REPUSH_SECONDS", "30"))
    beat.RENEW_SECONDS = min(15, runner.LEASE_SECONDS / 3)
    beat.SWEEP_SECONDS = float(os.environ.get("SWEEP_SECONDS", "2"))
    beat.SLOT_SECONDS = float(os.environ.get("SLOT_SECONDS", "1"))
    if app.extensions["settings"].redis_url:
        from shop.jobs import dispatcher

        dispatcher.TTL_SECONDS = int(os.environ.get("TTL_SECONDS", "30"))
    for place in os.environ.get("KILL_AT", "").split():
        kinds.kill_once_at(place, os.environ["KILL_FLAGS"])
    return app


def child(name, dead):
    """What worker.py does as a child, with such an application."""
    from shop.jobs.working import work

    work(application(), worker=name, dead=dead)


def parent(kind, *arguments):
    worker.SHORT_LIFE_SECONDS = float(os.environ.get("SHORT_LIFE_SECONDS", "0"))
    return kind(int(os.environ.get("WORKERS", "1")), *arguments).run()


def nursery():
    """Each line is an environment to start a worker in, or the id of one to ask about.

    Answers its process id, or how it ended (null while it runs).
    """
    # Loaded, but no application made: nothing is open that a fork must not share. What jobs load
    # when they first need it is there too, or each child would load it after each death.
    import css_inline  # noqa: F401
    import requests  # noqa: F401
    import rq  # noqa: F401
    import sqlalchemy.orm

    import shop.connections
    import shop.messaging.channels.smtp
    from tests.jobs import kinds  # noqa: F401

    for name in shop.PARTS:
        __import__(f"shop.{name}")
    sqlalchemy.orm.configure_mappers()
    gc.collect()
    gc.freeze()
    started = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            made = Forked(lambda environ=asked: grown(environ))
            started[made.pid] = made
            answer = made.pid
        else:
            answer = started[asked].poll()
        print(json.dumps(answer), flush=True)


def grown(environ):
    """A worker's parent in its own environment; what it says goes where the tests' errors go."""
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    return parent(ForkingParent)


if __name__ == "__main__":
    if sys.argv[1:2] == [worker.CHILD]:
        child(*sys.argv[2:4])
    elif sys.argv[1:2] == ["--nursery"]:
        nursery()
    else:
        sys.exit(parent(worker.Parent, __file__))
