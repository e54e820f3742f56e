"""The worker: `python worker.py`. A small parent and WORKERS children that run the jobs.

With REDIS_URL the children are RQ workers, else they drain the job table by themselves. A child
that dies is replaced, and its replacement first gives back what it held.
"""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from types import FrameType

GRACE_SECONDS = 40
"""A child has 30 seconds for the job in hand, and some to say good-bye."""
SHORT_LIFE_SECONDS = 5
CHILD = "--child"
COUNT = "--count"


@dataclass
class Child:
    """A process that runs jobs."""

    name: str
    process: subprocess.Popen[bytes]
    started: float


class Parent:
    """Keeps `count` children alive until it is asked to stop. `program` is what they run."""

    def __init__(self, count: int, program: str = __file__) -> None:
        self.count = count
        self.program = os.path.abspath(program)
        self.number = 0
        self.is_stopping = False
        self.children: list[Child] = []

    def run(self) -> int:
        """Start the children and look after them. Returns the exit code."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self.children = [self._start() for _ in range(self.count)]
        while not self.is_stopping:
            time.sleep(0.1)
            self.children = [self._alive(child) for child in self.children]
        return self._end()

    def _start(self, dead: str = "") -> Child:
        self.number += 1
        name = f"{socket.gethostname()[:40]}-{os.getpid()}-{self.number}"
        command = [sys.executable, self.program, CHILD, name, dead]
        return Child(name, subprocess.Popen(command), time.monotonic())

    def _alive(self, child: Child) -> Child:
        if child.process.poll() is None or self.is_stopping:
            return child
        print(
            f"worker: {child.name} ended with {child.process.returncode}; starting another",
            flush=True,
        )
        if time.monotonic() - child.started < SHORT_LIFE_SECONDS:
            time.sleep(1)
        return self._start(dead=child.name)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.is_stopping = True

    def _end(self) -> int:
        for child in self.children:
            child.process.terminate()
        until = time.monotonic() + GRACE_SECONDS
        for child in self.children:
            try:
                child.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
        return 0


def main() -> int:
    """Parent or child, as the arguments say.

    The settings are read by a process that ends, so that the parent stays small.
    """
    if sys.argv[1:2] == [CHILD]:
        gc.disable()  # As in wsgi.py.
        from shop import create_app
        from shop.jobs.working import work

        app = create_app(statement_seconds=60)
        gc.freeze()
        gc.enable()
        work(app, worker=sys.argv[2], dead=sys.argv[3])
        return 0
    if sys.argv[1:2] == [COUNT]:
        return tell_count()
    told = subprocess.run([sys.executable, __file__, COUNT], stdout=subprocess.PIPE, check=False)
    # The last line: what is loaded may have printed something of its own before.
    return told.returncode or Parent(int(told.stdout.split()[-1])).run()


def tell_count() -> int:
    """Print how many children are wanted, or what is wrong with the settings."""
    from shop import read_settings
    from shop.config import ConfigurationError

    try:
        print(read_settings(os.environ).workers)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
