"""For those who run the shop: health, readiness, metrics, clean-up, copies and tables in and out."""

from shop.operations import retention, watching  # noqa: F401  (their job handlers)
from shop.operations.views import bp, init_app

__all__ = ["bp", "init_app"]
