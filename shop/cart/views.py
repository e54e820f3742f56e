"""The cart's page and what is done to it. Each form works without JavaScript."""

from dataclasses import asdict
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    g,
    make_response,
    render_template,
    request,
    session,
    url_for,
)
from flask import redirect as go

from shop.accounts.signing_in import on_sign_in
from shop.cart import changing, contents
from shop.cart.carts import (
    cart_count,
    current_cart,
    merge_into,
    remember_cart,
    waiting_units,
)
from shop.cart.changing import BadQuantity, Outcome, Removed, SoldOut
from shop.cart.models import Cart
from shop.catalog.freshness import read_stamp
from shop.catalog.models import Product, Variant
from shop.catalog.product_page import goods_of
from shop.catalog.views import load_product, product_context, rendered, with_estimate
from shop.config import settings
from shop.database import transaction
from shop.errors import Refused
from shop.extensions import db
from shop.money import format_minor
from shop.pages import page, wants_fragment
from shop.shipping_prices import deliver_to
from shop.shipping_prices.estimating import estimate

bp = Blueprint("cart", __name__)

SAID = "cart_said"
"""Session key: what happened at the last click, for the next page (without JavaScript)."""


def init_app(app: Flask) -> None:
    """Every page of the shop shows how much is in the cart; signing in merges it."""
    app.jinja_env.globals["cart_count"] = cart_count
    if _merge not in on_sign_in:
        on_sign_in.append(_merge)


def _merge(user_id: int) -> None:
    """The browser's cart goes into the person's; what lay there before is named on the cart's page."""
    waiting = waiting_units(user_id)
    merge_into(user_id)
    if waiting:
        things = "1 item" if waiting == 1 else f"{waiting} items"
        session[SAID] = {"words": f"We added {things} from your last visit."}


@bp.get("/cart")
def show() -> Response:
    """The cart."""
    said = session.pop(SAID, {})
    return _cart_page(contents.read(current_cart(), settings().default_currency), said)


def _cart_page(
    found: contents.Contents, said: dict[str, Any], status: int = 200, **more: Any
) -> Response:
    g.cart_count = found.count
    told = estimate(deliver_to.asked(), found.goods, found.zone_countries) if found.lines else None
    return page(
        "cart/cart.html", status, cart=found, said=said, out_of_band=wants_fragment(), estimate=told, **more
    )  # fmt: skip


@bp.post("/cart/items")
def add() -> Response:
    """Put a variant in the cart. No token is asked for (security.md, S12): its origin is judged."""
    variant_id = changing.read_id(request.form.get("variant_id", ""))
    typed = request.form.get("quantity", "1")
    try:
        with transaction():
            outcome = changing.add(variant_id, changing.read_quantity(typed))
    except (BadQuantity, SoldOut) as refusal:
        return _add_refused(refusal, variant_id, typed)
    if not wants_fragment():
        session[SAID] = {"words": outcome.words}
        return remember_cart(make_response(go(url_for("cart.show"), 303)))
    return remember_cart(_added(outcome))


def _added(outcome: Outcome) -> Response:
    """The cart's link in the header, and a toast."""
    currency = settings().default_currency
    g.cart_count, subtotal_minor = contents.totals(outcome.cart_id, currency)
    words = f"{outcome.words} Cart total {format_minor(subtotal_minor, currency)}"
    return make_response(render_template("cart/_added.html", words=words, view_cart=True))


def _add_refused(refusal: Refused, variant_id: int, typed: str) -> Response:
    """To htmx a toast; else the product's page, with the words beside the field."""
    if wants_fragment():
        body = render_template("cart/_added.html", words=str(refusal), tone="danger")
        return make_response(body, refusal.status)
    place = db.session.execute(
        db.select(Product.slug, Variant.sku).join(Variant.product).where(Variant.id == variant_id)
    ).first()
    if place is None:
        raise changing.NotSold(variant=variant_id)
    stamp = read_stamp()
    found = load_product(stamp, place.slug, place.sku)
    faults = (
        {"quantity_fault": str(refusal), "typed": typed[:20]}
        if isinstance(refusal, BadQuantity)
        else {"fault": str(refusal)}
    )
    content = rendered("catalog/_product.html", **product_context(stamp, found), **faults)
    goods = goods_of(found, settings().default_currency)
    content = with_estimate(stamp, content, place.slug, place.sku, goods)
    return page(
        "catalog/product.html", refusal.status, content=content, title=f"Error: {found.full_name}",
        department=found.path[0].slug,
    )  # fmt: skip


@bp.post("/cart/items/<int:line_id>")
def change(line_id: int) -> Response:
    """Change a line: remove=1, delta=±1 or quantity."""
    try:
        with transaction():
            outcome = _change(line_id)
    except BadQuantity as refusal:
        found = contents.read(current_cart(), settings().default_currency)
        return _cart_page(found, {}, refusal.status, faults={line_id: str(refusal)})
    return _changed(outcome)


def _change(line_id: int) -> Outcome:
    form = request.form
    if form.get("remove") == "1":
        return changing.remove(line_id)
    if "delta" not in form:
        return changing.change(line_id, to=changing.read_quantity(form.get("quantity", "")))
    if form["delta"] not in ("1", "-1"):
        raise BadQuantity
    return changing.change(line_id, by=int(form["delta"]))


@bp.post("/cart/undo")
def undo() -> Response:
    """Put back what was taken out."""
    form = request.form
    since = form.get("since", "")
    removed = Removed(
        changing.read_id(form.get("variant_id", "")),
        changing.read_quantity(form.get("quantity", "")),
        int(since) if since.isascii() and since.isdigit() and len(since) <= 16 else 0,
    )
    with transaction():
        outcome = changing.put_back(removed)
    return _changed(outcome)


def _changed(outcome: Outcome) -> Response:
    """The cart anew: at once for htmx, else by its own address."""
    said: dict[str, Any] = {"words": outcome.words}
    if outcome.removed:
        said["undo"] = asdict(outcome.removed)
    if wants_fragment():
        cart = db.session.get(Cart, outcome.cart_id)
        return remember_cart(_cart_page(contents.read(cart, settings().default_currency), said))
    if outcome.words:
        session[SAID] = said
    return remember_cart(make_response(go(url_for("cart.show"), 303)))
