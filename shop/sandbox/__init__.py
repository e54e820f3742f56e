"""The pretend gateway, courier and mailbox of the demo. Nothing else reads their tables."""

from flask import abort

from shop.config import settings


def never_in_production() -> None:
    """Before every request to the sandbox: in production its addresses do not exist."""
    if settings().is_production:
        abort(404)


def only_in_development() -> None:
    """For the desks, which let any visitor act for gateway and courier."""
    if settings().shop_env != "development":
        abort(404)
