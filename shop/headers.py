"""What the browser is told about every answer: content policy and the other security headers."""

from collections.abc import Mapping, Sequence

from flask import Flask, Response, g, request

from shop.config import settings

PERMISSIONS = "camera=(), microphone=(), geolocation=(), payment=()"


def init_app(app: Flask) -> None:
    """Add the headers after every request."""
    app.after_request(secured)


def allow_forms_to(*hosts: str) -> None:
    """Let this page's forms lead to these hosts too (a gateway's whole redirect chain)."""
    g.form_hosts = (*g.get("form_hosts", ()), *hosts)


def allow_sources(sources: Mapping[str, Sequence[str]]) -> None:
    """Let this page alone load these too, by directive (a gateway's script on its pay page)."""
    g.page_sources = sources


def content_policy() -> str:
    """The policy of security.md, S21."""
    more = g.get("page_sources", {})
    hosts = {name: "".join(f" {host}" for host in found) for name, found in more.items()}
    forms = " ".join(("'self'", *g.get("form_hosts", ())))
    policy = (
        f"default-src 'none'; script-src 'self'{hosts.get('script-src', '')}; style-src 'self'; "
        f"img-src 'self' data:; font-src 'self'; connect-src 'self'{hosts.get('connect-src', '')}; "
        f"form-action {forms}; frame-ancestors 'none'; "
        "base-uri 'none'; object-src 'none'; manifest-src 'self'"
    )
    policy += f"; frame-src{hosts['frame-src']}" if "frame-src" in hosts else ""
    return policy + ("; upgrade-insecure-requests" if settings().is_tls else "")


def secured(response: Response) -> Response:
    """Set the headers; static files keep their long caching."""
    headers = response.headers
    if response.mimetype == "text/html":
        # A page that must be kept tighter than the others brings its own (the demo mailbox).
        headers.setdefault("Content-Security-Policy", content_policy())
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
    # A gateway's script opens the bank's window, and hears from it.
    opener = "same-origin-allow-popups" if g.get("page_sources") else "same-origin"
    headers["Cross-Origin-Opener-Policy"] = opener
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = PERMISSIONS
    if settings().is_tls:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if request.endpoint != "static" and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    return response
