"""A consistent copy of the database while the shop runs."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from shop.config import settings
from shop.errors import Refused
from shop.extensions import db


def copy_to(path: Path) -> None:
    """Write the copy: a SQLite file, or pg_dump's own format. Raises Refused when it cannot."""
    if path.exists():
        raise Refused(f"{path} is there already; a copy never overwrites another.")
    path.touch(mode=0o600)
    if settings().is_sqlite:
        _copy_sqlite(path)
    else:
        _dump_postgresql(path)


def _copy_sqlite(path: Path) -> None:
    # VACUUM INTO wants a file that is not there or empty, and no transaction of its own.
    raw = db.engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM INTO ?", (str(path),))
    finally:
        raw.close()


def _dump_postgresql(path: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        path.unlink()
        raise Refused("pg_dump is not installed here.")
    url = make_url(settings().database_url)
    address = url.set(drivername="postgresql", password=None)
    # Given in the environment: an argument could be read by everybody on this machine.
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    done = subprocess.run(
        [program, "--format=custom", "--no-owner", f"--file={path}", f"--dbname={address}"],
        env={**os.environ, **secret}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        path.unlink()
        raise Refused(f"pg_dump failed: {done.stderr.strip()[-500:]}")
