"""The catalogue's pages: the front page, the listing and each product.

What they show is the same for every reader, so each process keeps the rendered part under the
catalogue's stamp; the frame around it (who is signed in, how much is in the cart) is made anew.
"""

from typing import Any

from flask import Blueprint, Flask, Response, render_template, request
from markupsafe import Markup

from shop.catalog import listing as listings
from shop.catalog import product_page
from shop.catalog.filters import SORTS, Filters, read_filters
from shop.catalog.freshness import Stamp, page_version, read_stamp, remembered
from shop.catalog.shelves import Shelves, departments, shelves
from shop.config import settings
from shop.pages import asset_url, not_modified, page, tagged, wants_fragment, with_etag
from shop.shipping_prices import deliver_to
from shop.shipping_prices.estimating import estimate
from shop.shipping_prices.goods import Goods

bp = Blueprint("catalog", __name__)

ESTIMATE = Markup("<!-- estimate -->")
"""Where a kept product page leaves room for the reader's own estimate."""


def picture_url(storage_key: str) -> str:
    """Where the browser finds a picture of the catalogue."""
    return asset_url(f"img/{storage_key}")


def init_app(app: Flask) -> None:
    """What the frame of every page asks for."""
    app.jinja_env.globals.update(departments=departments, picture_url=picture_url)


@bp.get("/")
def home() -> Response:
    """The front page: the hero, then everything."""
    return _answer(lambda stamp: _listing_page(stamp, is_home=True))


@bp.get("/products")
def listing() -> Response:
    """The listing; a category's or brand's page is this with one filter."""
    return _answer(lambda stamp: _listing_page(stamp, is_home=False))


@bp.get("/products/<slug>")
def product(slug: str) -> Response:
    """A product, with the variant that ?variant=<sku> names."""
    return _answer(lambda stamp: _product_page(stamp, slug))


def _answer(make: Any) -> Response:
    """An anonymous reader's page has a tag, and is not made again while that stands."""
    stamp = read_stamp()
    if request.cookies or deliver_to.is_asked():
        made: Response = make(stamp)
        return made
    kind = "fragment" if wants_fragment() else "page"
    tag, is_held = with_etag(page_version(stamp, f"{kind} {request.full_path}"))
    return not_modified(tag) if is_held else tagged(make(stamp), tag)


def _listing_page(stamp: Stamp, is_home: bool) -> Response:
    found = shelves(stamp.shelves)
    filters = read_filters(request.args, found, settings().default_currency)
    parts = _rendered_results(stamp, filters, found)
    response = page(
        "catalog/listing.html",
        filters=filters,
        is_home=is_home,
        out_of_band=wants_fragment(),
        searched=filters.query,
        title=_title(filters, found),
        department=_department(filters, found),
        **parts,
    )
    if wants_fragment():
        response.headers["HX-Push-Url"] = filters.address()
    return response


def rendered(template: str, **context: Any) -> Markup:
    """A rendered template, which Jinja has escaped already."""
    return Markup(render_template(template, **context))  # noqa: S704


def _rendered_results(stamp: Stamp, filters: Filters, found: Shelves) -> dict[str, Any]:
    """The results and the choices of the filter form, as HTML, and how many there are.

    Kept where many readers ask the same.
    """

    def make() -> dict[str, Any]:
        result = listings.find(filters, found, settings().default_currency)
        context = {
            "listing": result,
            "filters": filters,
            "sorts": SORTS,
            "title": _title(filters, found),
            "chips": filters.chips(found),
            "categories": listings.category_choices(result, found),
            "brands": listings.brand_choices(result, found),
        }
        return {
            "results": rendered("catalog/_results.html", **context),
            "choices": rendered("catalog/_filters.html", **context),
            "total": result.counts.total,
        }

    if not filters.is_common:
        return make()
    return remembered(filters.address(), stamp.goods, make)


def _title(filters: Filters, found: Shelves) -> str:
    """What is shown, in words."""
    if filters.query:
        return f"Results for “{filters.query}”"
    names = [found.category_of_slug[slug].name for slug in filters.categories]
    names += [found.brand_of_slug[slug].name for slug in filters.brands]
    return names[0] if len(names) == 1 else "Everything"


def _department(filters: Filters, found: Shelves) -> str:
    """Which department of the header this is: "everything", a slug, or none."""
    if not filters.categories:
        return "everything" if not filters.query else ""
    if len(filters.categories) > 1:
        return ""
    return found.path(found.category_of_slug[filters.categories[0]].id)[0].slug


def _product_page(stamp: Stamp, slug: str) -> Response:
    sku = request.args.get("variant", "")[:60]
    template = "catalog/_buy.html" if wants_fragment() else "catalog/_product.html"

    def make() -> dict[str, Any]:
        found = load_product(stamp, slug, sku)
        content = rendered(template, **product_context(stamp, found))
        goods = product_page.goods_of(found, settings().default_currency)
        return {
            "content": content, "goods": goods, "sku": found.chosen.sku if found.chosen else "",
            "title": found.full_name, "department": found.path[0].slug,
        }  # fmt: skip

    kept = remembered(f"{template} {slug} {sku}", stamp.goods, make)
    content = with_estimate(stamp, kept["content"], slug, kept["sku"], kept["goods"])
    return page("catalog/product.html", **{**kept, "content": content})


def with_estimate(
    stamp: Stamp, content: Markup, slug: str, sku: str, goods: Goods | None
) -> Markup:
    """The product with what delivery would cost this reader, which is nobody else's."""
    if goods is None:
        return content.replace(ESTIMATE, Markup())
    told = estimate(deliver_to.asked(), goods, stamp.zone_countries)
    return content.replace(
        ESTIMATE, rendered("catalog/_estimate.html", estimate=told, slug=slug, sku=sku)
    )


def load_product(stamp: Stamp, slug: str, sku: str) -> product_page.ProductPage:
    """The product as of this stamp. Raises NoSuchProduct."""
    return product_page.load(slug, sku, shelves(stamp.shelves), settings().default_currency)


def product_context(stamp: Stamp, found: product_page.ProductPage) -> dict[str, Any]:
    """What the product's templates need."""
    return {
        "product": found,
        "free_from": stamp.free_shipping_minor,
        "currency": settings().default_currency,
        "estimate_here": ESTIMATE,
    }
