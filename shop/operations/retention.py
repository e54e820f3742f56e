"""What is deleted because nobody needs it any more."""

from sqlalchemy import delete, select

from shop.accounts import links, sign_in_limits, signing_in
from shop.alerts import counting
from shop.cart.models import Cart, CartLine
from shop.clock import in_future
from shop.database import rows_changed
from shop.delivery import papers
from shop.extensions import db
from shop.incidents import forgetting as incidents_forgetting
from shop.jobs import maintenance
from shop.jobs.handlers import Policy, Work, handles
from shop.jobs.queue import enqueue
from shop.limits import forget_old_tries
from shop.messaging import forgetting
from shop.preferences import preferences
from shop.returns import forgetting as returns_forgetting
from shop.shipping_prices import live_quotes
from shop.webhooks.models import WebhookEvent, WebhookStatus

CART_DAYS = 30


@handles(
    "retention.run", Policy(limit=600, attempts=3, base=300, cap=3600, incident=("database", "low"))
)
def run(work: Work) -> None:
    """Daily. Orders, money, stock and audit are never touched."""
    days = preferences("webhook_days", "job_days")
    maintenance.forget_finished(days["job_days"])
    maintenance.forget_slots()
    forget_webhooks(days["webhook_days"])
    forget_carts(CART_DAYS)
    forget_old_tries()
    signing_in.forget_old()
    sign_in_limits.forget_old()
    links.forget_old()
    live_quotes.forget_old()
    forgetting.forget_old()
    counting.forget_old()
    # These take so many at once; what is left is taken by another run, not a day later.
    is_more = papers.forget_old() == papers.MOST_AT_ONCE
    is_more |= returns_forgetting.forget_pictures() == returns_forgetting.PAGE
    is_more |= incidents_forgetting.forget_old() == incidents_forgetting.AT_ONCE
    if is_more:
        enqueue("retention.run", key="rest")


def forget_webhooks(days: int) -> int:
    """Delete messages received so many days ago; one that still waits stays. Returns how many."""
    result = db.session.execute(
        delete(WebhookEvent).where(
            WebhookEvent.received_at < in_future(hours=-24 * days),
            WebhookEvent.status != WebhookStatus.RECEIVED,
        )
    )
    return rows_changed(result)


def forget_carts(days: int) -> int:
    """Delete carts that nobody touched for so many days; a customer's open cart stays.

    A click changes the line and not the cart, so the newest line decides. Orders copied what they
    need of theirs. Returns how many.
    """
    since = in_future(hours=-24 * days)
    touched = select(CartLine.id).where(CartLine.cart_id == Cart.id, CartLine.updated_at >= since)
    result = db.session.execute(
        delete(Cart).where(
            Cart.updated_at < since,
            Cart.user_id.is_(None) | Cart.ordered_at.is_not(None),
            ~touched.exists(),
        )
    )
    return rows_changed(result)
