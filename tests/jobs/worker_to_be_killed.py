"""worker.py with children that end with SIGKILL at each place that KILL_AT names, once at each.

Environment: KILL_AT="kind:step kind:step@source …" (the steps of tests/jobs/kinds.py; `source` is
whose webhook is processed), KILL_FLAGS=folder. Children are forked, so that a death costs parts of
a second; everything else is worker.py's own parent.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import worker
from shop import create_app
from shop.extensions import db
from shop.jobs import beat, queue
from shop.jobs.handlers import HANDLERS
from shop.jobs.working import work
from shop.webhooks.models import WebhookEvent


class Forked:
    """A forked child, with what worker.Parent asks of a process."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                run()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)

    def poll(self) -> int | None:
        return self._ended(os.WNOHANG)

    def wait(self, _seconds: float) -> int | None:
        return self._ended(0)

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _ended(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class Parent(worker.Parent):
    """Forks its one child anew."""

    def __init__(self, app: Any) -> None:
        super().__init__(1)
        self.app = app

    def _start(self, dead: str = "") -> worker.Child:
        self.number += 1
        name = f"mortal-{os.getpid()}-{self.number}"
        child = Forked(lambda: work(self.app, worker=name, dead=dead))
        return worker.Child(name, child, 0)  # type: ignore[arg-type]


def die_at(place: str) -> None:
    """Let the process that first gets there (for this source) die when the step's work is done."""
    point, _, source = place.partition("@")
    kind, step = point.split(":")
    handler = HANDLERS[kind]
    owner: Any = handler if step == "local" else handler.outward
    real = getattr(owner, step)
    flag = Path(os.environ["KILL_FLAGS"]) / place.replace("/", "-")

    def then_die(*args: Any) -> Any:
        result = real(*args)
        if source and db.session.get(WebhookEvent, args[0].payload["event_id"]).source != source:
            return result
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return result
        db.session.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    object.__setattr__(owner, step, then_die)


def main() -> int:
    """The parent; its application is made once, its connections by each child."""
    queue.REPUSH_SECONDS = 0
    beat.SWEEP_SECONDS = 0.2
    app = create_app()
    if app.extensions["settings"].redis_url:
        # Each child would load RQ for itself.
        from shop.jobs import dispatcher  # noqa: F401
    for place in os.environ["KILL_AT"].split():
        die_at(place)
    return Parent(app).run()


if __name__ == "__main__":
    sys.exit(main())
