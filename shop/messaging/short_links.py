"""Short addresses for SMS: /o/<token> is the order's page, with the same key and five signs fewer."""

from flask import Blueprint, Response, make_response, redirect

bp = Blueprint("short_links", __name__, url_prefix="/o")


@bp.get("/<token>")
def order(token: str) -> Response:
    """On to the order's page, which says whether there is one."""
    return _on_to(f"/orders/{token}")


@bp.get("/<token>/pay")
def pay(token: str) -> Response:
    """On to where the order is paid."""
    return _on_to(f"/orders/{token}/pay")


def _on_to(path: str) -> Response:
    """The address is a key: it goes into no referrer and no index (security.md, S29)."""
    response = make_response(redirect(path, 303))
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response
