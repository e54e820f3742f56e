"""Where a parcel is, for anyone who has its waybill number or the order's link."""

import re
from typing import Any

from flask import Blueprint, Flask, Response, abort, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from shop.clock import local, utcnow
from shop.delivery import story
from shop.delivery.by_hand import LONGEST_NUMBER
from shop.delivery.story import Story
from shop.extensions import db
from shop.orders.models import Order
from shop.pages import not_modified, page, tagged, wants_fragment, with_etag

bp = Blueprint("delivery", __name__)

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""Order tokens. Anything else names nothing, and need not reach the database."""

AWB = re.compile(rf"\S{{1,{LONGEST_NUMBER}}}")
"""Waybill numbers, of couriers and as staff type them (shop/delivery/by_hand.py)."""


def init_app(app: Flask) -> None:
    """What the templates of parcels use, wherever they are included."""
    app.jinja_env.globals.update(
        stages_of=story.stages_of,
        parcel_headline=story.headline,
        parcel_words=story.words_of,
        parcel_is_final=story.is_final,
        parcel_badge=story.badge_of,
        parcel_expected=story.expected_day,
        public_place=story.public_place,
    )


@bp.after_request
def _kept_private(response: Response) -> Response:
    """The address of an order's tracking is a key: it goes into no referrer and no index (S29)."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@bp.get("/track/<path:awb>")
def track_page(awb: str) -> ResponseReturnValue:
    """Public: stages, depots and times; no name, no address, no words of the courier's people."""
    told = story.story_of_awb(awb) if AWB.fullmatch(awb) else None
    if told is None:
        abort(404)
    tag, is_known = with_etag(f"{version_of(told)}:{local(utcnow()).date()}:{wants_fragment()}")
    if is_known:
        return not_modified(tag)
    answer = page("delivery/track.html", shipment=told.shipment, events=told.events)
    return tagged(answer, tag)


@bp.get("/api/orders/<token>/tracking")
def tracking_json(token: str) -> ResponseReturnValue:
    """The order's parcels and their scans, for whoever holds the order's token."""
    named = select(Order).where(Order.token == token)
    order = db.session.scalars(named).one_or_none() if TOKEN.fullmatch(token) else None
    if order is None:
        abort(404)
    return jsonify(
        order=order.number,
        status=order.status.value,
        fulfilment=order.fulfilment_status.value,
        parcels=[_as_json(told) for told in story.stories_of(order.id)],
    )


def version_of(told: Story) -> str:
    """Changes whenever the parcel or its scans do."""
    return f"{told.shipment.id}:{told.shipment.updated_at.isoformat()}:{len(told.events)}"


def _as_json(told: Story) -> dict[str, Any]:
    shipment = told.shipment
    return {
        "courier": shipment.courier_name,
        "awb": shipment.awb,
        "status": shipment.status.value,
        "estimated_at": shipment.estimated_at.isoformat() if shipment.estimated_at else None,
        "delivered_at": shipment.delivered_at.isoformat() if shipment.delivered_at else None,
        "events": [
            {
                "status": event.status,
                "words": event.words,
                "place": event.place,
                "occurred_at": event.occurred_at.isoformat(),
            }
            for event in told.events
        ],
    }
