"""Takings: what each gateway took, gave back and keeps for itself, day by day, and what differs."""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from shop.accounts.rights import Right, needs
from shop.admin import bp
from shop.admin.rendering import done, screen
from shop.clock import local, utcnow
from shop.database import transaction
from shop.errors import Refused
from shop.jobs.queue import enqueue
from shop.money import to_decimal
from shop.payments import takings as report
from shop.payments.comparing import words_of

DAYS_SHOWN = 14
COLUMNS = ("day", "gateway", "currency", "payments", "captured", "refunded", "disputes_lost", "fees", "payments_without_fee", "payout")  # fmt: skip


@bp.get("/takings")
@needs(Right.RECORD_MONEY)
def takings() -> ResponseReturnValue:
    """The report of two weeks, or of the days asked for."""
    try:
        first, last = _days()
    except Refused as refused:
        return show_takings(problem=str(refused), status=refused.status)
    return show_takings(first, last)


def show_takings(
    first: date | None = None, last: date | None = None, *, problem: str = "", status: int = 200
) -> Response:
    """The screen; `problem` is what was wrong with the days."""
    last = last or local(utcnow()).date()
    first = first or last - timedelta(days=DAYS_SHOWN - 1)
    rows = report.between(first, last)
    return screen(
        "admin/takings.html",
        status,
        section="admin.takings",
        problem=problem,
        rows=rows,
        totals=report.totals(rows),
        payouts=report.payouts(first, last),
        differences=report.open_differences(),
        words_of=words_of,
        first=first,
        last=last,
        export=url_for("admin.takings_csv", first=first, last=last),
    )


def _days() -> tuple[date, date]:
    """The days asked for. Raises Refused with what is wrong about them."""
    today = local(utcnow()).date()
    try:
        last = date.fromisoformat(request.args.get("last") or str(today))
        usual = last - timedelta(days=DAYS_SHOWN - 1)
        first = date.fromisoformat(request.args.get("first") or str(usual))
    except (ValueError, OverflowError) as error:
        raise Refused("Enter days as YYYY-MM-DD.") from error
    if not date(2000, 1, 1) <= first <= last <= date(2200, 1, 1):
        raise Refused("The first day must not come after the last.")
    if (last - first).days >= report.LONGEST_DAYS:
        raise Refused(f"Not more than {report.LONGEST_DAYS} days at once.")
    return first, last


@bp.get("/takings.csv")
@needs(Right.RECORD_MONEY)
def takings_csv() -> ResponseReturnValue:
    """The same as CSV, in major units."""
    first, last = _days()
    answer = Response(_as_csv(report.between(first, last)), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f"attachment; filename=takings-{first}-{last}.csv"
    return answer


def _as_csv(rows: Sequence[report.Takings]) -> str:
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in rows:

        def major(minor: int, currency: str = row.currency) -> str:
            return str(to_decimal(minor, currency))

        lines.writerow(
            [
                row.day, row.gateway, row.currency, row.payments, major(row.captured_minor),
                major(row.refunded_minor), major(row.disputed_minor), major(row.fees_minor),
                row.without_fee, major(row.payout_minor),
            ]
        )  # fmt: skip
    return written.getvalue()


@bp.post("/takings/compare")
@needs(Right.RECORD_MONEY)
def takings_compare() -> ResponseReturnValue:
    """Ask every gateway for its lists now rather than tonight."""
    with transaction():
        enqueue("payments.reconcile", key="by hand")
    return done(url_for("admin.takings"), "The gateways are being asked. Look again in a minute.")
