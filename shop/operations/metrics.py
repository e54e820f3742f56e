"""Figures for Prometheus: requests are counted as they pass, the tables are counted when asked.

With several web processes PROMETHEUS_MULTIPROC_DIR names the folder in which they share counts.
"""

import os
import time
from collections.abc import Iterator

from flask import Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import func, select

from shop.alerts import evaluating, pace
from shop.alerts.models import AlertState
from shop.clock import in_future, utcnow
from shop.extensions import db
from shop.jobs.models import Job, JobStatus, WorkerPresence
from shop.orders.models import Order
from shop.webhooks.models import WebhookEvent, WebhookStatus

_own = CollectorRegistry()
REQUESTS = Counter(
    "shop_requests", "Requests answered", ("method", "route", "status"), registry=_own
)
SECONDS = Histogram(
    "shop_request_seconds", "Time to answer", ("route",), registry=_own,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip

UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED)


def begin() -> None:
    """Before a request."""
    g.began = time.perf_counter()


def count(response: Response) -> Response:
    """After a request. Addresses are counted by their rule: their number stays small."""
    route = request.url_rule.rule if request.url_rule else "none"
    REQUESTS.labels(request.method, route, response.status_code).inc()
    if "began" in g:
        SECONDS.labels(route).observe(time.perf_counter() - g.began)
    return response


def text() -> bytes:
    """All figures, in Prometheus' format."""
    registry = CollectorRegistry()
    registry.register(_Tables())
    counted = _own
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(registry)


class _Tables:
    """Counts of rows, one grouped query each."""

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield from self._jobs()
        yield _grouped(
            "shop_orders", "Orders by status", ("status",),
            select(Order.status, func.count()).group_by(Order.status),
        )  # fmt: skip
        yield _grouped(
            "shop_webhooks", "Webhooks of the last 24 h by source and outcome",
            ("source", "outcome"),
            select(WebhookEvent.source, WebhookEvent.status, func.count())
            .where(
                # Every status, so that the index on it serves.
                WebhookEvent.status.in_(list(WebhookStatus)),
                WebhookEvent.received_at >= in_future(hours=-24),
            )
            .group_by(WebhookEvent.source, WebhookEvent.status),
        )  # fmt: skip
        yield from self._alerts()
        yield from self._paces()
        workers = db.session.scalar(select(func.count()).select_from(WorkerPresence)) or 0
        yield GaugeMetricFamily("shop_workers", "Workers that said they live", value=workers)

    def _alerts(self) -> Iterator[Metric]:
        firing = GaugeMetricFamily("shop_alert_firing", "1 while it fires", labels=("alert",))
        values = GaugeMetricFamily(
            "shop_alert_value", "As measured last: percent, or a count", labels=("alert",)
        )
        for key, _rule, row in evaluating.states():
            firing.add_metric((key,), int(row is not None and row.state == AlertState.FIRING))
            if row is not None and row.value is not None:
                values.add_metric((key,), row.value)
        return iter((firing, values))

    def _paces(self) -> Iterator[Metric]:
        """The figures of the dashboard: the last 24 hours, 500 at most."""
        found = pace.paces()
        for name, words, one in (
            ("shop_webhook_seconds", "From a webhook received to its effect", found.webhooks),
            ("shop_shipment_seconds", "From an order paid to its parcel made", found.shipments),
        ):
            seconds = GaugeMetricFamily(name, words, labels=("quantile",))
            for quantile, value in (("0.5", one.p50), ("0.95", one.p95)):
                if value is not None:
                    seconds.add_metric((quantile,), value)
            yield seconds
        if found.failures.value is not None:
            yield GaugeMetricFamily(
                "shop_shipment_failure_ratio", "Parcels of 24 h not made in time, of all",
                value=found.failures.value / 100,
            )  # fmt: skip

    def _jobs(self) -> Iterator[Metric]:
        counts = GaugeMetricFamily("shop_jobs", "Jobs that are not done", labels=("kind", "status"))
        ages = GaugeMetricFamily(
            "shop_job_oldest_seconds", "How long the oldest has been due", labels=("kind", "status")
        )
        rows = db.session.execute(
            select(Job.kind, Job.status, func.count(), func.min(Job.run_at))
            .where(Job.status.in_(UNFINISHED))
            .group_by(Job.kind, Job.status)
        )
        now = utcnow()
        for kind, status, number, oldest in rows:
            counts.add_metric((kind, status.value), number)
            ages.add_metric((kind, status.value), max(0.0, (now - oldest).total_seconds()))
        return iter((counts, ages))


def _grouped(name: str, words: str, labels: tuple[str, ...], query: object) -> Metric:
    metric = GaugeMetricFamily(name, words, labels=labels)
    for *values, number in db.session.execute(query):  # type: ignore[call-overload]
        metric.add_metric([str(value) for value in values], number)
    return metric
