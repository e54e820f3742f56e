"""The pretend courier over HTTP: its API for the shop, and the page on which parcels are scanned."""

import hmac
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from shop.config import settings
from shop.database import transaction
from shop.delivery.couriers.sandbox import shared_secret
from shop.errors import NotFound, Refused
from shop.pages import page
from shop.sandbox import courier, never_in_production, only_in_development
from shop.sandbox.models import SandboxParcel

api = Blueprint("sandbox_api_parcels", __name__, url_prefix="/sandbox/api/parcels")
bp = Blueprint("sandbox_parcels", __name__, url_prefix="/sandbox/parcels")

STEPS = {
    "awb": courier.assign_awb,
    "pickup": courier.schedule_pickup,
    "cancel": courier.cancel,
}


def init_app(app: Flask) -> None:
    """The API beside the page, and what the desk's list needs."""
    app.register_blueprint(api)


@api.before_request
def check_bearer() -> ResponseReturnValue | None:
    """Only who knows the shared secret is answered; in production nobody."""
    never_in_production()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), shared_secret().encode()):
        return _error(401, "The bearer secret is missing or wrong.")
    return None


@api.errorhandler(Refused)
def refused(error: Refused) -> ResponseReturnValue:
    """404 or 422 in JSON: for certain."""
    return _error(404 if isinstance(error, NotFound) else 422, str(error))


@api.post("")
def create() -> ResponseReturnValue:
    """Take a parcel in; the same reference gets the same one again."""
    wish = request.get_json(silent=True)
    if not isinstance(wish, dict):
        raise Refused("The body is not a JSON object.")
    with transaction():
        made = courier.as_parcel(courier.create(wish))
    return jsonify(made), 201


@api.get("/<reference>")
def show(reference: str) -> ResponseReturnValue:
    """A parcel by the shop's reference."""
    return jsonify(courier.as_parcel(courier.by_reference(reference)))


@api.get("/track/<awb>")
def track(awb: str) -> ResponseReturnValue:
    """Its scans."""
    return jsonify(courier.as_tracking(courier.by_awb(awb)))


@api.post("/<reference>/<step>")
def take_step(reference: str, step: str) -> ResponseReturnValue:
    """awb, pickup, cancel; each may be asked for again."""
    if step not in STEPS:
        raise NotFound
    with transaction():
        parcel = courier.by_reference(reference, lock=True)
        STEPS[step](parcel)
        shown = courier.as_parcel(parcel)
    return jsonify(shown)


@api.get("/rates")
def rates() -> ResponseReturnValue:
    """What a parcel would cost: ?weight_grams= and ?collect=1."""
    grams = request.args.get("weight_grams", 0, type=int)
    return jsonify(rates=courier.rates(grams, request.args.get("collect") == "1"))


@api.get("/<reference>/rates")
def offers(reference: str) -> ResponseReturnValue:
    """Which carriers would take this parcel."""
    parcel = courier.by_reference(reference)
    return jsonify(
        rates=courier.rates(0, collect=False) if parcel.status == courier.ORDERED else []
    )


@api.post("/<reference>/label", defaults={"kind": "label"})
@api.post("/<reference>/manifest", defaults={"kind": "manifest"})
@api.post("/<reference>/invoice", defaults={"kind": "invoice"})
def make_paper(reference: str, kind: str) -> ResponseReturnValue:
    """Where the paper is."""
    path = url_for(".paper", reference=courier.by_reference(reference).reference, kind=kind)
    return jsonify({f"{kind}_url": settings().sandbox_api_base + path})


@api.get("/<reference>/<any(label, manifest, invoice):kind>.pdf")
def paper(reference: str, kind: str) -> ResponseReturnValue:
    """The paper."""
    answer = make_response(courier.paper(courier.by_reference(reference), kind))
    answer.mimetype = "application/pdf"
    return answer


@bp.before_request
def guard() -> None:
    """Whoever comes may act for the courier: only where nothing is real."""
    only_in_development()


@bp.get("")
def desk() -> ResponseReturnValue:
    """The parcels, each with what may happen to it next."""
    return page("sandbox/parcels.html", parcels=courier.latest(), **_rules())


@bp.post("/<awb>/<wish>")
def scan(awb: str, wish: str) -> ResponseReturnValue:
    """Move a parcel by one scan: next, fail or return."""
    with transaction():
        courier.scan(courier.by_awb(awb, lock=True), wish)
    return redirect(url_for(".desk"), 303)


@bp.app_context_processor
def for_the_desk() -> dict[str, Any]:
    """The payments' desk includes the list of parcels: templates/sandbox/_parcels.html."""
    if request.endpoint != "sandbox.desk":
        return {}
    parcels: list[SandboxParcel] = courier.latest()
    return {"parcels": parcels, **_rules()}


def _rules() -> dict[str, Any]:
    return {
        "next_status": courier.next_status,
        "may_fail": courier.may_fail,
        "may_return": courier.may_return,
    }


def _error(status: int, words: str) -> Response:
    response = jsonify(error=words)
    response.status_code = status
    return response
