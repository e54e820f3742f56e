"""Till: a self-hosted shop, from payment to delivery. `create_app` is the only place that joins the parts."""

import os
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import structlog
from flask import Flask, Request
from flask.typing import ResponseReturnValue
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, MapAdapter, Rule

from shop import config, database, extensions, headers, logs, migrating, pages, start_checks

log = structlog.get_logger()

PARTS = (
    "limits",
    "preferences",
    "guards",
    "jobs.models",
    "jobs.queue",
    "jobs.maintenance",
    "audit.models",
    "incidents.models",
    "incidents.jobs",
    "incidents.tickets",
    "accounts.models",
    "accounts.signing_in",
    "accounts.rights",
    "accounts.factor_views",
    "accounts.views",
    "accounts.link_views",
    "stock.models",
    "shipping_prices.models",
    "catalog.models",
    "catalog.views",
    "promotions.models",
    "cart.models",
    "cart.views",
    "orders.models",
    "orders.incident_facts",
    "payments.models",
    "payments.incident_facts",
    "payments.statements.models",
    "payments.jobs",
    "payments.statements.jobs",
    "payments.desk_jobs",
    "payments.reconciling",
    "payments.payouts",
    "payments.instalments",
    "payments.trials",
    "payments.views",
    "delivery.models",
    "delivery.incident_facts",
    "delivery.live_rates",
    "delivery.asking",
    "delivery.jobs",
    "delivery.views",
    "returns.models",
    "returns.jobs",
    "returns.views",
    "messaging.models",
    "messaging.jobs",
    "messaging.telling",
    "messaging.stock_alerts",
    "messaging.cart_reminders",
    "messaging.views",
    "messaging.account_mail",
    "messaging.staff_mail",
    "messaging.trials",
    "messaging.trying_out",
    "messaging.short_links",
    "messaging.staff_mail",
    "webhooks.models",
    "webhooks.jobs",
    "webhooks.views",
    "checkout.sweeps",
    "checkout.views",
    "checkout.order_views",
    "checkout.account_views",
    "alerts.models",
    "alerts.counting",
    "alerts.telling",
    "alerts.evaluating",
    "alerts.web_side",
    "operations",
    "books.jobs",
    "admin",
    "sandbox.models",
    "sandbox.jobs",
    "sandbox.courier_jobs",
    "sandbox.api",
    "sandbox.views",
    "sandbox.swish_views",
    "sandbox.courier_views",
    "sandbox.mailbox",
    "cli",
)
"""The capabilities, in the order in which they may import one another: downwards only."""


class LateRule(Rule):
    """A rule that is made ready for building addresses when its first address is built.

    Werkzeug writes and compiles two functions for every rule: most of what it would take to join
    the parts, and most processes never build most addresses.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            made = super(LateRule, self)._compile_builder(append_unknown)
            setattr(rule, "_build_unknown" if append_unknown else "_build", made.__get__(rule))
            return made(rule, **values)

        return build


class RowKey(IntegerConverter):
    """`<int:…>` in an address: the key of a row. A number that no column holds is no address of ours."""

    regex = r"[0-9]{1,15}"


class Shop(Flask):
    """Flask, doing a use case again when the database was only busy (reliability.md, Transactions)."""

    url_rule_class = LateRule
    jinja_environment = pages.Templates

    def dispatch_request(self) -> ResponseReturnValue:
        """Answer; the whole use case again when it met a lock."""
        return database.retried(super().dispatch_request)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Addresses can be built outside requests too (jobs, commands): below PUBLIC_URL."""
        if request is not None:
            return super().create_url_adapter(request)
        scheme, _, host = self.extensions["settings"].public_url.partition("://")
        return self.url_map.bind(host, url_scheme=scheme)


def create_app(environ: Mapping[str, str] | None = None, *, statement_seconds: int = 10) -> Flask:
    """The application. `environ` stands in for the process's environment (tests).

    `statement_seconds` is the longest that one SQL statement may take on PostgreSQL.

    Raises config.ConfigurationError with every fault of the environment at once.
    """
    found = read_settings(os.environ if environ is None else environ)
    app = Shop(
        __name__,
        template_folder=str(config.ROOT / "templates"),
        static_folder=str(config.ROOT / "static"),
        instance_path=str(config.INSTANCE),
    )
    app.url_map.converters["int"] = RowKey
    app.extensions["settings"] = found
    app.config.from_mapping(_flask_config(found, statement_seconds))
    if found.trusted_proxies:
        count = found.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]
    logs.set_up(found.log_level, pretty=found.shop_env == "development")
    for sentence in start_checks.warnings(found):
        log.warning("start.warning", words=sentence)
    _bind_extensions(app)
    headers.init_app(app)
    pages.init_app(app)
    _join_parts(app)
    return app


def read_settings(environ: Mapping[str, str]) -> config.Settings:
    """The settings, with the names in them compared with the tables of providers.

    Raises config.ConfigurationError with every fault at once.
    """
    return config.read_settings(environ, _unknown_providers)


def _unknown_providers(found: config.Settings) -> list[str]:
    """A provider that is named and not there is a misspelling."""
    known = {
        "PAYMENT_GATEWAYS": (found.payment_gateways, "payments.gateways", "GATEWAYS"),
        "COURIER": ((found.courier,), "delivery.couriers", "COURIERS"),
    }
    faults = []
    for setting, (keys, module, table) in known.items():
        offered = getattr(import_module(f"shop.{module}"), table)
        faults += [
            f"{setting} names {key}, which is none of {', '.join(offered)}."
            for key in keys
            if key not in offered
        ]
    return faults


def _flask_config(found: config.Settings, statement_seconds: int) -> dict[str, object]:
    return {
        "SECRET_KEY": found.secret_key,
        "SECRET_KEY_FALLBACKS": list(found.secret_key_fallbacks),
        "TRUSTED_HOSTS": list(found.trusted_hosts),
        "SQLALCHEMY_DATABASE_URI": found.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": database.engine_options(found.database_url, statement_seconds),
        "MAX_CONTENT_LENGTH": 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 500_000,
        "MAX_FORM_PARTS": 1_000,
        "SEND_FILE_MAX_AGE_DEFAULT": 31_536_000,
        "SESSION_COOKIE_NAME": "__Host-session" if found.is_tls else "session",
        "SESSION_COOKIE_SECURE": found.is_tls,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_SSL_STRICT": False,
        "WTF_CSRF_CHECK_DEFAULT": False,
        # A socket's address is spelt redis+unix:// there.
        "RATELIMIT_STORAGE_URI": re.sub("^unix:", "redis+unix:", found.redis_url) or "memory://",
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": bool(found.redis_url),
        "RATELIMIT_HEADERS_ENABLED": False,
    }


def _bind_extensions(app: Flask) -> None:
    extensions.db.init_app(app)
    migrating.init_app(app)
    extensions.login_manager.init_app(app)
    extensions.csrf.init_app(app)
    extensions.limiter.init_app(app)
    with app.app_context():
        database.tune(extensions.db.engine)


def _join_parts(app: Flask) -> None:
    """Register every capability: its tables, job handlers, views and commands."""
    for name in PARTS:
        part = import_module(f"shop.{name}")
        if hasattr(part, "bp"):
            app.register_blueprint(part.bp)
        if hasattr(part, "init_app"):
            part.init_app(app)
