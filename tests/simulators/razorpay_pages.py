"""The pages and the script by which a person pays at the stand-in for Razorpay."""

import json
from typing import Any

from markupsafe import escape
from werkzeug import Request, Response
from werkzeug.utils import redirect


def hosted_page(account: Any, request: Request) -> Response:
    """A payment link's page in three buttons."""
    name = f"plink_{request.path.removeprefix('/l/')}"
    link = account.link(name) if name in account.links else None
    if link is None or link["status"] != "created":
        return Response("<h1>This link is closed.</h1>", 404, mimetype="text/html")
    choice = request.form.get("choice", "") if request.method == "POST" else ""
    if choice == "pay":
        payment_id = account.pay(name)
        return redirect(account.way_back(name, payment_id), 303)
    if choice == "decline":
        account.decline(name)
    if choice == "abandon":
        # Razorpay leads nobody back who leaves; the demo's shopper finds the shop's tab this way.
        return redirect(link["callback_url"], 303)
    return _buttons(link, "The bank declined. Try again." if choice else "")


def window(account: Any, request: Request) -> Response:
    """What the script shows in its frame; it tells the page by a message."""
    order = account.orders.get(request.path.removeprefix("/checkout/"))
    if order is None or request.args.get("key") != account.key_id:
        return Response("<h1>The id provided does not exist.</h1>", 400, mimetype="text/html")
    choice = request.form.get("choice", "") if request.method == "POST" else ""
    if choice == "pay":
        payment_id = account.pay(order["id"])
        return _message({"paid": account.handed_over(order["id"], payment_id)})
    if choice == "decline":
        account.decline(order["id"])
    if choice == "abandon":
        return _message({"dismissed": True})
    return _buttons(order, "The bank declined. Try again." if choice else "")


def _buttons(due: dict[str, Any], words: str) -> Response:
    amount = f"{due['amount']} {due['currency']}"
    buttons = "".join(
        f'<button name="choice" value="{c}">{c}</button>' for c in ("pay", "decline", "abandon")
    )
    return Response(
        f'<!doctype html><title>Pay</title><h1>{escape(amount)}</h1><p>{words}</p><form method="post">{buttons}</form>',
        mimetype="text/html",
    )


def _message(told: dict[str, Any]) -> Response:
    script = f"parent.postMessage({json.dumps(told)}, '*')"
    return Response(f"<!doctype html><script>{script}</script>", mimetype="text/html")


SCRIPT = """
(function () {
  var origin = new URL(document.currentScript.src).origin;
  window.Razorpay = function (options) { this.options = options; this.listeners = {}; };
  window.Razorpay.prototype.on = function (name, listener) { this.listeners[name] = listener; };
  window.Razorpay.prototype.open = function () {
    var options = this.options, frame = document.createElement("iframe");
    frame.title = "Razorpay";
    frame.width = 400;
    frame.height = 300;
    frame.src = origin + "/checkout/" + options.order_id + "?key=" + encodeURIComponent(options.key);
    window.addEventListener("message", function told(event) {
      if (event.origin !== origin) { return; }
      window.removeEventListener("message", told);
      frame.remove();
      if (event.data.paid) { options.handler(event.data.paid); }
      else if (options.modal && options.modal.ondismiss) { options.modal.ondismiss(); }
    });
    document.body.appendChild(frame);
  };
})();
"""
