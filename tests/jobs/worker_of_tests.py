"""worker.py, with the kinds of tests/jobs/kinds.py and a place to die at.

Environment: KILL_AT="kind:step" and KILL_FLAG=path (once), LEASE_SECONDS, GRACE_SECONDS.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import worker
from shop import create_app
from shop.jobs import beat, queue, runner, stopping
from shop.jobs.working import work


def child() -> None:
    app = create_app()
    from tests.jobs import kinds

    runner.LEASE_SECONDS = int(os.environ.get("LEASE_SECONDS", "60"))
    stopping.GRACE_SECONDS = int(os.environ.get("GRACE_SECONDS", "30"))
    queue.REPUSH_SECONDS = int(os.environ.get("REPUSH_SECONDS", "30"))
    beat.RENEW_SECONDS = min(15, runner.LEASE_SECONDS / 3)
    if os.environ.get("KILL_AT"):
        kinds.kill_once_at(os.environ["KILL_AT"], os.environ["KILL_FLAG"])
    work(app, worker=sys.argv[2], dead=sys.argv[3])


if __name__ == "__main__":
    if sys.argv[1:2] == [worker.CHILD]:
        child()
    else:
        sys.exit(worker.Parent(int(os.environ.get("WORKERS", "1")), __file__).run())
