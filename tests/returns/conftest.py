"""Orders that have arrived, and browsers that ask for returns."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import func, select

from shop.accounts.models import User
from shop.database import transaction
from shop.delivery import by_hand
from shop.extensions import db
from shop.jobs.models import Job
from shop.messaging.models import Notification
from shop.orders.lifecycle import advance
from shop.orders.models import Order
from shop.returns import asking, deciding
from shop.returns.deciding import Checked
from shop.returns.models import Disposition, ReturnRequest
from shop.stock.models import StockLevel
from tests import factories
from tests.factories import STAFF, make_order, make_product


def arrive(order: Order) -> Order:
    """A paid order is handed over and delivered, in one parcel, by hand."""
    with transaction():
        order = db.session.get_one(Order, order.id)
        for event in ("accepted", "packed", "shipped", "delivered"):
            advance(order, event, STAFF)
            by_hand.follow(order, event, "Delhivery", f"AWB{order.id}")
    return db.session.get_one(Order, order.id)


def make_arrived(units: int = 3, price: int = 10_000, variants: int = 2) -> int:
    """An order of so many units of one thing, delivered; nine more are in stock."""
    ball = make_product(stock=9 + units, price=price, variants=variants)
    return arrive(make_order("paid", lines={ball: units})).id


@pytest.fixture
def when_told(
    shop: Any, run_returns: Callable[..., int]
) -> Callable[[str, Callable[[], int]], int]:
    """`when_told(name, make)` is the scene after everybody has been told of it; what `make` returned."""

    def made(make: Callable[[], int]) -> int:
        key = make()
        run_returns(also=("messaging.tell",))
        return key

    return lambda name, make: int(shop.scene(name, lambda: made(make)))


@pytest.fixture
def arrived(when_told: Callable[..., int]) -> Order:
    """Three units of one thing, delivered today. 300 in all; two variants of it in stock."""
    return db.session.get_one(Order, when_told("return_arrived", make_arrived))


@pytest.fixture
def ask(client: Any) -> Callable[..., Any]:
    """`ask(order, qty=1, reason="damaged", …)` sends the form; returns the answer.

    With `page="/new"` that page is loaded first, as a browser does.
    """

    def send(
        order: Order, qty: int | str = 1, files: Any = (), page: str | None = None, **fields: Any
    ) -> Any:
        path = f"/orders/{order.token}/returns"
        data = {
            f"qty-{order.lines[0].id}": str(qty), "reason": "damaged", "resolution": "refund",
            "words": "It has a dent", **fields,
        }  # fmt: skip
        if files:
            data["pictures"] = [(io.BytesIO(body), name) for body, name in files]
        if page is None:
            return client.send(path, data, content_type="multipart/form-data")
        return client.post_form(path, data, page=path + page, content_type="multipart/form-data")

    return send


@pytest.fixture
def the_return(app: Any) -> Callable[[], ReturnRequest]:
    """The only return, read afresh."""

    def read() -> ReturnRequest:
        db.session.rollback()
        return db.session.scalars(select(ReturnRequest)).one()

    return read


@pytest.fixture
def asked(when_told: Callable[..., int]) -> ReturnRequest:
    """A return of two units of three that were delivered, asked for."""
    return db.session.get_one(ReturnRequest, when_told("return_asked_and_told", make_asked))


@pytest.fixture
def put_away(when_told: Callable[..., int]) -> ReturnRequest:
    """The same return, approved, and its two units put back on the shelf."""
    return db.session.get_one(ReturnRequest, when_told("return_put_away", make_put_away))


def make_put_away() -> int:
    """By the part itself."""
    return_id = make_asked()
    check_in(db.session.get_one(ReturnRequest, return_id))
    return return_id


def check_in(
    found: ReturnRequest, arrived: int = 2, goes: Disposition = Disposition.RESTOCK
) -> None:
    """Approve it and put away what arrived, by the part itself."""
    (line,) = found.lines
    seen, return_id = {line.id: Checked(arrived, "", goes)}, found.id
    with transaction():
        deciding.approve(return_id, "user:1")
        deciding.check_in(return_id, seen, "user:1")


def make_asked() -> int:
    """By the part itself: the form has its own tests."""
    order = db.session.get_one(Order, make_arrived())
    form = asking.read_form(
        order, {f"qty-{order.lines[0].id}": "2", "reason": "damaged", "resolution": "refund"}, []
    )
    assert not form.errors
    order_id = order.id
    with transaction():
        return asking.request_return(order_id, form, [], "customer").id


#: What books, follows and ends returns and their parcels: neither mail nor papers nor money.
OF_RETURNS = ("delivery.c", "delivery.track", "returns.", "sandbox.", "webhooks.")


@pytest.fixture
def run_returns(run_jobs: Callable[..., int]) -> Callable[..., int]:
    """`run_returns()` runs the jobs of returns that are due; but for kinds in `also`, others wait."""

    def run(ahead: float = 0, also: tuple[str, ...] = ()) -> int:
        return run_jobs(ahead=ahead, kinds=OF_RETURNS + also)

    return run


@pytest.fixture
def staff(new_client: Callable[[], Any]) -> Callable[..., Any]:
    """`staff("manager")` is a browser in which such a person has signed in."""

    def signed_in(role: str = "manager") -> Any:
        browser = new_client()
        user: User = factories.make_user(role)
        browser.user_id = user.id
        return factories.let_in(browser, user)

    return signed_in


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 30), **more: Any) -> bytes:
    """A small real picture."""
    out = io.BytesIO()
    Image.new("RGB", size, "orange").save(out, kind, **more)
    return out.getvalue()


def here(found: ReturnRequest) -> str:
    """The return's page at the desk."""
    return f"/admin/returns/{found.id}"


def press(browser: Any, found: ReturnRequest, what: str, **fields: Any) -> Any:
    """Send one of the forms of that page, without loading it."""
    return browser.send(f"{here(found)}/{what}", fields)


def on_hand(variant_id: int) -> int | None:
    """How many of it are on the shelf."""
    db.session.rollback()
    return db.session.scalar(select(StockLevel.on_hand).filter_by(variant_id=variant_id))


def told() -> set[str]:
    """What customers and staff were told of."""
    db.session.rollback()
    return set(db.session.scalars(select(Notification.template)))


def jobs(kind: str) -> int | None:
    """How many jobs of that kind there are."""
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Job).filter_by(kind=kind))
