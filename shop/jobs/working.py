"""One worker process: which loop it runs, and what it does at its start and end."""

import structlog
from flask import Flask

from shop.jobs import embedded, runner
from shop.jobs.beat import Beat
from shop.jobs.stopping import Stopping

log = structlog.get_logger()


def work(app: Flask, worker: str, dead: str = "") -> None:
    """Run jobs until SIGTERM. `dead` names a worker whose jobs are given back first."""
    stopping = Stopping()
    stopping.watch_signals()
    with app.app_context():
        given_back = runner.release(dead) if dead else 0
    beat = Beat(app, worker, stopping)
    beat.start()
    log.info("worker.started", worker=worker, given_back=given_back)
    try:
        if app.extensions["settings"].redis_url:
            # RQ is not loaded where no Redis is used.
            from shop.jobs.dispatcher import attend

            for _ in range(given_back):
                # Nobody rings for these a second time.
                embedded.step(app, worker, stopping)
            attend(app, worker, stopping)
        else:
            embedded.drain(app, worker, stopping)
    finally:
        beat.end()
        with app.app_context():
            runner.release(worker, counted=False)
        log.info("worker.stopped", worker=worker)
