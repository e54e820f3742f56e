"""Counts the SQL statements of one page, click and placing, in a process of its own; prints JSON."""

import json
import os
import re
import threading
from typing import Any

from sqlalchemy import event, text
from werkzeug.serving import make_server

from shop import create_app
from shop.extensions import db

LIMITS = {"list": 5, "product": 4, "cart click": 10, "placing": 20, "whole order": 60}


def main() -> None:
    """One shopper's way, statement by statement. The pretend gateway's own statements do not count."""
    app, port = served()
    counted: list[str] = []
    with app.app_context():
        engine = db.engine
        slug = db.session.scalar(text("SELECT slug FROM products ORDER BY id DESC LIMIT 1"))
        variant = db.session.scalar(
            text("SELECT max(variant_id) FROM stock_levels WHERE on_hand > 9")
        )
        db.session.rollback()

    @event.listens_for(engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "sandbox_" not in statement:
            counted.append(statement)

    client = app.test_client()
    client.get("/products")
    client.get(f"/products/{slug}")
    told = {}

    def step(name: str, work: Any) -> Any:
        before = len(counted)
        answer = work()
        told[name] = len(counted) - before
        return answer

    step("list", lambda: client.get("/products?sort=newest&page=2"))
    step("product", lambda: client.get(f"/products/{slug}"))
    begun = len(counted)
    same = {"Sec-Fetch-Site": "same-origin"}
    step(
        "cart click",
        lambda: client.post(
            "/cart/items", data={"variant_id": variant, "quantity": 1}, headers=same
        ),
    )
    page = client.get("/checkout").text
    fields = dict(
        re.findall(r'name="(csrf_token|idempotency_key|quoted_total)"[^>]*?value="([^"]+)"', page)
    )
    from bench.rig import ADDRESS

    answer = step(
        "placing",
        lambda: client.post(
            "/checkout", data={**ADDRESS, "method": "sandbox", **fields}, headers=same
        ),
    )
    told["whole order"] = len(counted) - begun
    if answer.status_code != 303:
        raise SystemExit(f"placing answered {answer.status_code}")
    print(json.dumps({name: [told[name], most] for name, most in LIMITS.items()}))
    os._exit(0 if port else 1)


def served() -> tuple[Any, int]:
    """The app, and a server of it for the pretend gateway's API."""
    environ = dict(os.environ)
    from bench.rig import free_port

    port = free_port()
    environ |= {"PUBLIC_URL": f"http://127.0.0.1:{port}", "LOG_LEVEL": "ERROR"}
    app = create_app(environ)
    server = make_server("127.0.0.1", port, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return app, port


if __name__ == "__main__":
    main()
