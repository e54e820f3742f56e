"""The worker without Redis: it looks into the job table by itself."""

import structlog
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from shop.jobs import runner
from shop.jobs.stopping import Stopping

log = structlog.get_logger()

IDLE_SECONDS = 0.25
AWAY_SECONDS = 1.0


def drain(app: Flask, worker: str, stopping: Stopping) -> None:
    """Run what is due, one after the other, until asked to stop."""
    while not stopping.is_asked:
        step(app, worker, stopping)


def step(app: Flask, worker: str, stopping: Stopping) -> None:
    """Run one job, or wait a moment when there is none."""
    try:
        with app.app_context():
            worked = runner.run_next(worker)
    except runner.Stopped:
        log.info("worker.job_given_back")
    except SQLAlchemyError as error:
        # The row's lease brings the job back; this worker only has to live on.
        log.warning("worker.database_away", error=f"{type(error).__name__}: {error}"[:500])
        stopping.wait(AWAY_SECONDS)
    else:
        if not worked:
            stopping.wait(IDLE_SECONDS)
