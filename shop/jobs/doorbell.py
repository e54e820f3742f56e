"""RQ's bell: it tells a worker which row is waiting. Loaded only where there is a Redis."""

import structlog
from flask import current_app
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from shop.config import settings
from shop.jobs.handlers import HANDLERS

log = structlog.get_logger()

QUEUE = "shop"
#: What an RQ worker calls, with the id of a row and nothing else.
PERFORM = "shop.jobs.dispatcher.perform"


def ring(job_ids: list[int]) -> bool:
    """Put the ids on RQ's queue. A Redis that is away is logged only: the sweep will find the rows."""
    # Above every handler's own limit, which the runner keeps.
    limit = max(handler.policy.limit for handler in HANDLERS.values()) + 15
    try:
        queue = Queue(QUEUE, connection=_client(), serializer=JSONSerializer)
        queue.enqueue_many(
            [
                Queue.prepare_data(PERFORM, (job_id,), timeout=limit, result_ttl=0, failure_ttl=60)
                for job_id in job_ids
            ]
        )
    except RedisError as error:
        log.warning("jobs.push_failed", jobs=len(job_ids), error=type(error).__name__)
        return False
    return True


def state() -> str:
    """ "ok", or what is wrong with Redis."""
    try:
        _client().ping()
    except RedisError as error:
        return type(error).__name__
    return "ok"


def _client() -> Redis:
    """A client that gives up at once: work must not wait for the doorbell."""
    held: Redis | None = current_app.extensions.get("redis")
    if held is None:
        held = Redis.from_url(
            settings().redis_url,
            socket_connect_timeout=0.3,
            socket_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )
        current_app.extensions["redis"] = held
    return held
