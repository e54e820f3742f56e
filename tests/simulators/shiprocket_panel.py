"""Shiprocket's panel in one page: the parcels, and the courier's next scan of each."""

from datetime import UTC, datetime
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect

#: What happens to a parcel that arrives, in Shiprocket's codes.
WAY = (42, 18, 17, 7)


def panel(account: Any, request: Request) -> Response:
    """A person presses the courier's button; the webhook goes out at once."""
    if request.method == "POST":
        order = account.orders.get(int(request.form.get("order", "0")))
        code = _next_scan(order) if order else 0
        if code:
            account.tell(account.scan(code, datetime.now(UTC), order["awb"]))
        return redirect(request.path, 303)
    rows = "".join(_row(order) for order in account.orders.values())
    title = "<!doctype html><title>Shiprocket (stand-in)</title><h1>Shiprocket, a stand-in</h1>"
    return Response(title + (rows or "<p>No parcels yet.</p>"), mimetype="text/html")


def _next_scan(order: dict[str, Any]) -> int:
    """The next code on the parcel's way; 0 without a waybill number, or where it has ended."""
    if not order["awb"]:
        return 0
    return next((code for code in WAY[len(order["scans"]) :]), 0)


def _row(order: dict[str, Any]) -> str:
    code = _next_scan(order)
    button = "<button>Next scan</button>" if code else ""
    return (
        f'<form method="post"><input type="hidden" name="order" value="{order["id"]}">'
        f"<p>{escape(order['reference'])} · {escape(order['awb'] or 'no waybill yet')} · "
        f"{len(order['scans'])} scans {button}</p></form>"
    )
