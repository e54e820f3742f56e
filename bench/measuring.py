"""Load and stop-watches: requests from threads, CPU time of the processes that serve them."""

import http.client
import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """What a run of equal pieces of work took."""

    count: int
    seconds: float
    cpu_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Pieces of work a second."""
        return self.count / self.seconds


def family_of(pids: list[int]) -> set[int]:
    """These processes and all below them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (OSError, IndexError):
                continue
    found = set(pids)
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def cpu_seconds(pids: set[int]) -> float:
    """User and system time of these processes, their ended children included."""
    total = 0
    for pid in pids:
        try:
            total += sum(int(one) for one in _stat(pid)[11:15])
        except OSError:
            continue
    return total / TICK


def resident_mib(pid: int) -> float:
    """Resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(work: Callable[[int], bool], seconds: float, threads: int, pids: list[int]) -> Measured:
    """Call `work(number)` from some threads for some seconds. It says whether all went well."""
    numbers = itertools.count(1)
    took: list[float] = []
    errors = 0
    lock = threading.Lock()
    family = family_of(pids)
    end = time.monotonic() + seconds
    cpu = cpu_seconds(family)
    started = time.monotonic()

    def run() -> None:
        nonlocal errors
        mine, bad = [], 0
        while time.monotonic() < end:
            begun = time.monotonic()
            try:
                is_good = work(next(numbers))
            except (OSError, http.client.HTTPException):
                is_good = False
            mine.append(time.monotonic() - begun)
            bad += not is_good
        with lock:
            took.extend(mine)
            errors += bad

    crowd = [threading.Thread(target=run) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    elapsed = time.monotonic() - started
    used = cpu_seconds(family_of(pids) | family) - cpu
    return summed(took, elapsed, used, errors)


def summed(took: list[float], elapsed: float, cpu: float, errors: int) -> Measured:
    """The figures of a run."""
    ordered = sorted(took) or [0.0]
    return Measured(
        count=len(took), seconds=elapsed, cpu_ms=1000 * cpu / max(1, len(took)),
        p50_ms=1000 * statistics.median(ordered), p95_ms=1000 * ordered[int(len(ordered) * 0.95)],
        p99_ms=1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], errors=errors,
    )  # fmt: skip
