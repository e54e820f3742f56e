"""`make bench`: the shop against the machine's own limits, in one run, on PostgreSQL with durable commits.

Production's behaviour is on: CSRF, sessions, rate limits (one address a shopper), audit, JSON logs,
cart summary, durable commits, the sandbox gateway by HTTP, workers draining. Prints a table with the
figure to reach beside each, and writes bench/results/<time>.json. `--quick` takes a fifth of the time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import deliveries  # noqa: E402
from bench.measuring import Measured, family_of, measure, resident_mib, summed  # noqa: E402
from bench.rig import (  # noqa: E402
    BIN,
    COMMON,
    Rig,
    Shopper,
    free_port,
    post_signed,
    running,
    wait_for,
)
from shop import create_app  # noqa: E402
from shop.catalog import demo  # noqa: E402
from shop.database import transaction  # noqa: E402
from shop.extensions import db  # noqa: E402
from tests.servers import Postgres  # noqa: E402

PRODUCTS = 1_000
SHOPPERS = 8


class Bench:
    """One run: what was measured, and what is to be reached."""

    def __init__(self, seconds: float, folder: Path) -> None:
        self.seconds = seconds
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.server = Postgres(durable=True)
        self.url = self.server.database("till_bench")
        self.postgres = self.server.process.pid if self.server.process else 0
        environ = {**COMMON, "DATABASE_URL": self.url, "LOG_LEVEL": "ERROR"}
        self.app = create_app(environ)

    def row(
        self, what: str, figure: float, unit: str, reach: str, factor: float | None = None
    ) -> None:
        """Keep one line of the table. `factor` is figure to target: 1 or less is reached."""
        self.rows.append(
            {
                "what": what,
                "figure": round(figure, 2),
                "unit": unit,
                "reach": reach,
                "factor": factor,
            }
        )
        shown = "" if factor is None else ("reached" if factor <= 1 else f"{factor:.1f}× too much")
        print(f"{what:52} {figure:10.2f} {unit:6} {reach:26} {shown}", flush=True)

    def seed(self) -> None:
        """The demo's shelves and a thousand products."""
        import flask_migrate

        with self.app.app_context():
            flask_migrate.upgrade()
            with transaction():
                demo.seed_catalogue()
                demo.seed_many(PRODUCTS)
            self.variants = list(
                db.session.scalars(
                    sa.text(
                        "SELECT variant_id FROM stock_levels WHERE on_hand > 1000 ORDER BY 1 LIMIT 50"
                    )
                )
            )
            self.slug = db.session.scalar(
                sa.text("SELECT slug FROM products ORDER BY id DESC LIMIT 1")
            )
            db.session.rollback()
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("ANALYZE")

    # --- the machine's own limits ------------------------------------------------------------

    def floors(self) -> None:
        """A bare WSGI page, a one-query Flask page, a plain commit."""
        self.floor = {}
        for name, target, path in (
            ("bare WSGI page", "bench.floor:bare", "/"),
            ("Flask page, one query of 20 rows", "bench.floor:app", "/list"),
            ("Flask page, one query of one row", "bench.floor:app", "/one"),
        ):
            port = free_port()
            process = subprocess.Popen(
                [
                    str(BIN / "gunicorn"), "-k", "gthread", "-w", "2", "--threads", "4", "--no-control-socket",
                    "-b", f"127.0.0.1:{port}", target,
                ],
                cwd=ROOT, env={**COMMON, "FLOOR_DATABASE_URL": self.url, "PATH": str(BIN)},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            wait_for(port)
            done = self.pages(port, path, [process.pid])
            self.floor_mib = max(resident_mib(pid) for pid in family_of([process.pid]))
            process.terminate()
            process.wait()
            self.floor[path] = done
            self.row(name, done.per_second, "/s", "")
            self.row("    CPU of it", done.cpu_ms, "ms", "")
        self.row("plain UPDATE+INSERT, committed", self.commits(), "/s", "")

    def commits(self) -> float:
        """How many durable commits a second eight connections make."""
        address = self.url.replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CREATE TABLE floor_a (id int PRIMARY KEY, n int)")
            connection.execute("CREATE TABLE floor_b (id bigserial PRIMARY KEY, n int)")
            connection.execute("INSERT INTO floor_a SELECT i, 0 FROM generate_series(1, 1000) i")
        local = threading.local()

        def work(number: int) -> bool:
            if not hasattr(local, "held"):
                local.held = psycopg.connect(address)
            local.held.execute("UPDATE floor_a SET n = n + 1 WHERE id = %s", [number % 1000 + 1])
            local.held.execute("INSERT INTO floor_b (n) VALUES (%s)", [number])
            local.held.commit()
            return True

        done = measure(work, self.seconds / 2, SHOPPERS, [self.postgres])
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("DROP TABLE floor_a, floor_b")
        return done.per_second

    def pages(self, port: int, path: str, pids: list[int], cookie: str = "") -> Measured:
        """GET one address from eight connections; a new address for each 100 requests."""
        local = threading.local()

        def work(number: int) -> bool:
            if not hasattr(local, "shopper") or local.left == 0:
                local.shopper, local.left = Shopper(port, number), 100
            local.left -= 1
            return bool(local.shopper.ask("GET", path).status == 200)

        measure(work, 1, SHOPPERS, pids)
        return measure(work, self.seconds, SHOPPERS, [*pids, self.postgres])

    # --- the shop ----------------------------------------------------------------------------

    def catalogue(self, rig: Rig) -> None:
        """List and product page."""
        web = [rig.processes[0].pid]
        for name, path, floor, most, p95 in (
            ("list of 24", "/products", "/list", 4.2, 40),
            ("product page", f"/products/{self.slug}", "/one", 3.3, 25),
        ):
            done = self.pages(rig.port, path, web)
            times = done.cpu_ms / self.floor[floor].cpu_ms
            self.row(name, done.per_second, "/s", "")
            self.row("    CPU", done.cpu_ms, "ms", f"≤ {most} ms or 3× the floor", min(done.cpu_ms / most, times / 3))  # fmt: skip
            self.row("    CPU against its floor", times, "×", "≤ 3×", times / 3)
            self.row("    p95 at 8", done.p95_ms, "ms", f"≤ {p95} ms", done.p95_ms / p95)
            self.fail_on(done, name)

    def cart(self, rig: Rig) -> None:
        """A click that answers with what the shopper sees."""
        local = threading.local()

        def work(number: int) -> bool:
            if not hasattr(local, "shopper") or local.left == 0:
                local.shopper, local.left = Shopper(rig.port, number), 15
            local.left -= 1
            answer = local.shopper.add(self.variants[number % len(self.variants)])
            return answer.status in {200, 303}

        measure(work, 1, SHOPPERS, [])
        done = measure(work, self.seconds, SHOPPERS, [rig.processes[0].pid, self.postgres])
        self.row("cart clicks", done.per_second, "/s", "")
        self.row("    CPU", done.cpu_ms, "ms", "≤ 7 ms", done.cpu_ms / 7)
        self.fail_on(done, "cart clicks")

    def orders(self, rig: Rig) -> None:
        """Empty cart to the gateway's page, by eight shoppers; the placing request by itself."""
        placing: list[float] = []

        def work(number: int) -> bool:
            shopper = Shopper(rig.port, 100_000 + number)
            shopper.add(self.variants[number % len(self.variants)])
            form = shopper.checkout_form()
            begun = time.monotonic()
            answer = shopper.place(form)
            placing.append(time.monotonic() - begun)
            shopper.connection.close()
            return answer.status == 303 and "/sandbox/pay/" in answer.location

        pids = [process.pid for process in rig.processes]
        measure(work, self.seconds, SHOPPERS, [])
        placing.clear()
        done = measure(work, 2 * self.seconds, SHOPPERS, [*pids, self.postgres])
        alone = summed(placing, done.seconds, 0, 0)
        self.row("whole orders, 8 shoppers", done.per_second, "/s", "≥ 60/s", 60 / done.per_second)
        self.row(
            "    CPU (sandbox and worker included)", done.cpu_ms, "ms", "≤ 25 ms", done.cpu_ms / 25
        )
        self.row("    placing request, p95 at 8", alone.p95_ms, "ms", "≤ 40 ms", alone.p95_ms / 40)
        self.fail_on(done, "orders")

    def statements(self) -> None:
        """SQL of one of each, counted in this process."""
        told = subprocess.run(
            [sys.executable, "-m", "bench.statements"], cwd=ROOT, check=True, capture_output=True, text=True,
            env={**COMMON, "DATABASE_URL": self.url, "PATH": str(BIN)},
        )  # fmt: skip
        for name, (count, most) in json.loads(told.stdout.splitlines()[-1]).items():
            self.row(f"SQL statements: {name}", count, "", f"≤ {most}", count / most)

    def webhooks(self, rig: Rig) -> None:
        """Signed messages, each new; then paced at 100 a second; then how fast workers take them."""
        local = threading.local()

        def send(number: int) -> bool:
            if not hasattr(local, "shopper") or local.left == 0:
                local.shopper, local.left = Shopper(rig.port, 200_000 + number), 50
            local.left -= 1
            body = json.dumps(
                {"id": f"bench-{time.monotonic_ns()}-{number}", "type": "bench.ping", "data": {}}
            )
            return post_signed(local.shopper, body) == 200

        measure(send, 1, SHOPPERS, [])
        done = measure(send, self.seconds, SHOPPERS, [rig.processes[0].pid, self.postgres])
        self.row("webhooks taken", done.per_second, "/s", "≥ 800/s", 800 / done.per_second)
        self.row("    CPU", done.cpu_ms, "ms", "")
        self.fail_on(done, "webhooks")
        paced = self.paced(send, 100)
        self.row("    p99 at 100/s", paced.p99_ms, "ms", "≤ 50 ms", paced.p99_ms / 50)

    def paced(self, send: Any, rate: int) -> Measured:
        """So many a second, each at its time, whether or not the one before is answered."""
        took: list[float] = []
        count = int(rate * self.seconds)
        start = time.monotonic() + 0.2

        def run(first: int) -> None:
            for number in range(first, count, SHOPPERS):
                due = start + number / rate
                time.sleep(max(0.0, due - time.monotonic()))
                send(1_000_000 + number)
                took.append(time.monotonic() - due)

        crowd = [threading.Thread(target=run, args=(first,)) for first in range(SHOPPERS)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        return summed(took, self.seconds, 0, 0)

    def jobs(self, rig: Rig) -> None:
        """How fast one worker takes waiting jobs."""
        begun, left = time.monotonic(), self.waiting()
        first = left
        while left and time.monotonic() - begun < 4 * self.seconds:
            time.sleep(0.2)
            left = self.waiting()
        done = first - left
        if done:
            self.row("jobs done by one worker", done / (time.monotonic() - begun), "/s", "")

    def waiting(self) -> int:
        """Jobs that are due and not done."""
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            row = connection.execute(
                "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running') AND run_at <= now()"
            ).fetchone()
        return int(row[0]) if row else 0

    def deliveries(self, orders: int) -> None:
        """With providers that answer in 200 ms: one worker, one order at a time."""
        took = deliveries.measured(self.server, self.folder / "deliveries", orders)
        for name, seconds, most in (
            ("webhook → shipment", [one.shipment for one in took], 3),
            ("webhook → mail", [one.mail for one in took], 5),
        ):
            done = summed(seconds, sum(seconds), 0, 0)
            self.row(f"{name}, middle", done.p50_ms / 1000, "s", "")
            slow = max(seconds)
            self.row(f"    slowest of {orders}", slow, "s", f"< {most} s", slow / most)

    def memory(self, rig: Rig) -> None:
        """Resident memory after the load, and how long a start takes, each beside the floor's."""
        web = max(
            resident_mib(pid)
            for pid in family_of([rig.processes[0].pid])
            if pid != rig.processes[0].pid
        )
        self.row("web process after load", web, "MiB", "≤ 90 MiB", web / 90)
        self.row("    the floor's after load", self.floor_mib, "MiB", "")
        floor, shop = self.start_of("bench.floor"), self.start_of("wsgi")
        self.row("start of the floor's page", floor, "s CPU", "")
        self.row("cold start", shop, "s CPU", "≤ 0.8 s or 2× the floor", min(shop / 0.8, shop / floor / 2))  # fmt: skip

    def start_of(self, module: str) -> float:
        """CPU seconds to import a module in a new process, its byte code being there: the best of four."""
        took = []
        for _ in range(4):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-c", f"import {module}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                env={
                    **COMMON, "DATABASE_URL": self.url, "FLOOR_DATABASE_URL": self.url, "PATH": str(BIN),
                },
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(took)

    def fail_on(self, done: Measured, what: str) -> None:
        """Figures of requests that failed mean nothing."""
        if done.errors:
            raise SystemExit(f"{what}: {done.errors} of {done.count} requests failed")


def main() -> None:
    """Run everything once and keep the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a fifth of the time")
    seconds = 2.0 if parser.parse_args().quick else 10.0
    with tempfile.TemporaryDirectory(prefix="tillbench") as name:
        bench = Bench(seconds, Path(name))
        try:
            bench.seed()
            bench.floors()
            bench.statements()
            with running(Path(name), bench.url) as rig:
                bench.catalogue(rig)
                bench.cart(rig)
                bench.orders(rig)
                bench.webhooks(rig)
                bench.jobs(rig)
                bench.memory(rig)
            bench.deliveries(5 if seconds < 10 else 20)
        finally:
            bench.server.stop()
    keep(bench.rows)


def keep(rows: list[dict[str, Any]]) -> None:
    """Write the JSON beside the others."""
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = folder / f"{moment}.json"
    path.write_text(json.dumps({"at": moment, "rows": rows}, indent=1), encoding="utf-8")
    print(f"\nKept in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
