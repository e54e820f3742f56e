"""The staff's side of the shop: one module a screen, each thin over the parts below.

Every route names the right it needs (shop/accounts/rights.py); what a role may not use is not
rendered, and is refused all the same.
"""

from flask import Blueprint, Response, request
from flask_login import current_user

from shop.limits import count_try

bp = Blueprint("admin", __name__, url_prefix="/admin")

#: What begins so makes or moves money, moves parcels, calls a provider, or makes a file.
LIMITED = (
    "/admin/orders/", "/admin/desks", "/admin/disputes/", "/admin/channels/", "/admin/gateways/", "/admin/gift-cards",
    "/admin/takings/compare", "/admin/returns/", "/admin/messages/",
)  # fmt: skip


@bp.before_request
def limit_order_actions() -> None:
    """Moving money and parcels by hand: 30 a minute for one person (security.md, section 6)."""
    if (
        request.method == "POST"
        and request.path.startswith(LIMITED)
        and current_user.is_authenticated
    ):
        count_try("admin_action", f"user:{current_user.id}")


@bp.after_request
def keep_private(response: Response) -> Response:
    """No page of the admin is stored or found by search engines."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


# Each registers its routes on `bp`, so they come after it.
from shop.admin import (  # noqa: E402
    audit_log,
    channels,
    desks,
    disputes,
    gateways,
    gift_cards,
    home,
    incidents,
    jobs,
    kept_out,
    make_parcel,
    message_words,
    messages,
    order,
    order_money,
    order_parcels,
    orders,
    parcel_dialogs,
    returns,
    settings,
    shipping,
    stock,
    takings,
    webhooks,
)

__all__ = [
    "audit_log",
    "bp",
    "channels",
    "desks",
    "disputes",
    "gateways",
    "gift_cards",
    "home",
    "incidents",
    "jobs",
    "kept_out",
    "make_parcel",
    "message_words",
    "messages",
    "order",
    "order_money",
    "order_parcels",
    "orders",
    "parcel_dialogs",
    "returns",
    "settings",
    "shipping",
    "stock",
    "takings",
    "webhooks",
]  # fmt: skip
