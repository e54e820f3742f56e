"""What `make run` does once .venv stands: database, demo, then web, sandbox gateway and worker."""

import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / ".venv" / "bin"
KEPT = ROOT / "instance" / "prepared.json"
DECIDING = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SHOP_ENV", "DEFAULT_CURRENCY")
PORTS = {"PORT": 8000, "SANDBOX_PORT": 8001}
INTERRUPTED = 130
"""What honcho ends with after Ctrl-C, which is how it is meant to end."""


def main() -> int:
    """Set up, start honcho, and say where to click as soon as the shop answers."""
    return serve(surroundings())


def surroundings() -> dict[str, str]:
    """The environment of the shop's processes: this one's, with what it leaves open filled in."""
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    environ = {
        **os.environ,
        "HOST": host,
        "PORT": port,
        "SANDBOX_PORT": os.environ.get("SANDBOX_PORT", "8001"),
        "PUBLIC_URL": os.environ.get("PUBLIC_URL", f"http://{host}:{port}"),
        "PYTHONUNBUFFERED": "1",
        "PROMETHEUS_MULTIPROC_DIR": fresh_metrics_folder(port),
    }
    # The shop never calls the process that serves it: its pretend gateway stands in one of its own.
    environ.setdefault("SANDBOX_API_BASE", f"http://127.0.0.1:{environ['SANDBOX_PORT']}")
    return environ


def serve(environ: dict[str, str], more: Sequence[str] = ()) -> int:
    """Run the shop's processes until somebody ends them; `more` lines are said where to click."""
    host, port = environ["HOST"], environ["PORT"]
    for name in PORTS:
        fault = port_fault(name, "127.0.0.1" if name == "SANDBOX_PORT" else host, environ[name])
        if fault:
            print(fault, file=sys.stderr)
            return 1
    told = told_before(environ) or set_up(environ)
    words = "\n".join([told.rstrip(), *more])
    threading.Thread(
        target=announce, args=(environ["PUBLIC_URL"], host, port, words), daemon=True
    ).start()
    honcho = subprocess.Popen([PROGRAMS / "honcho", "start"], cwd=ROOT, env=environ)
    # Ctrl-C reaches honcho by itself; whoever asks only this process to end means honcho too.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: honcho.terminate())
    code = honcho.wait()
    return 0 if code == INTERRUPTED else code


def fresh_metrics_folder(port: str) -> str:
    """Where the web processes on that port share their counts; emptied at each start."""
    folder = ROOT / "instance" / "metrics" / port
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return str(folder)


def port_fault(name: str, host: str, port: str) -> str:
    """One line when the port cannot be had."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            return f"{name} must be a number from 1 to 65535, not {port}."
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            other = PORTS[name] + 80
            return f"Port {port} cannot be used ({error}). Choose another: make run {name}={other}"
    return ""


def told_before(environ: dict[str, str]) -> str:
    """What the demo said last time, if the very same database stands ready: saves some seconds."""
    try:
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        if kept["made_by"] != made_by(environ):
            return ""
        with closing(sqlite3.connect(f"file:{kept['path']}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (OSError, ValueError, KeyError, sqlite3.Error):
        return ""
    return str(kept["told"]) if found == (kept["version"],) else ""


def made_by(environ: dict[str, str]) -> str:
    """A digest of what decides how the database is set up."""
    digest = hashlib.sha256(repr([environ.get(name) for name in DECIDING]).encode())
    for pattern in ("migrations/versions/*.py", "shop/*/demo*.py", "scripts/run.py"):
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def keep(environ: dict[str, str], app: Any, told: str) -> None:
    """Remember a set-up on SQLite for `told_before`."""
    from shop.extensions import db

    with app.app_context():
        if db.engine.dialect.name != "sqlite":
            return
        with db.engine.connect() as connection:
            version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        path = str(Path(str(db.engine.url.database)).resolve())
    kept = {"made_by": made_by(environ), "path": path, "version": version, "told": told}
    KEPT.write_text(json.dumps(kept), encoding="utf-8")


def set_up(environ: dict[str, str]) -> str:
    """Bring the database up to date and put the demo in. Returns what the demo says.

    In this process: each start of Python and of the shop's code costs a second.
    """
    os.environ.update(environ)
    sys.path.insert(0, str(ROOT))
    import flask_migrate

    from shop import create_app
    from shop.config import ConfigurationError

    try:
        app = create_app()
    except ConfigurationError as error:
        sys.exit(str(error))
    with app.app_context():
        flask_migrate.upgrade()
    if app.extensions["settings"].is_production:
        return (
            "In production there is no demo. First admin: flask --app wsgi shop create-admin EMAIL"
        )
    done = app.test_cli_runner().invoke(args=["shop", "demo"])
    if done.exit_code:
        sys.exit(done.output)
    keep(environ, app, done.stdout)
    return done.stdout


def announce(url: str, host: str, port: str, told: str) -> None:
    """Wait until the shop answers, then print where to click."""
    asked = f"http://{host}:{port}/healthz"
    for _ in range(600):
        try:
            urllib.request.urlopen(asked, timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    lines = [
        "",
        f"  The shop:   {url}/",
        f"  The admin:  {url}/admin",
        f"  The mail:   {url}/sandbox/mailbox",
    ]
    print(
        "\n".join(
            [*lines, *(f"  {line}" for line in told.splitlines()), "", "  Stop with Ctrl-C.", ""]
        ),
        flush=True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(0)
