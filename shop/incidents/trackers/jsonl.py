"""Tickets as lines of JSON in a file: the tracker of a shop that has no other."""

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from shop.config import settings
from shop.incidents.trackers.base import Filed, Ticket
from shop.providers import TryLater


class JsonLines:
    """Appends to INCIDENTS_FILE. A line is whole on the disk before the ticket counts as filed.

    A line is never changed. What was dealt with has a line of its own in a second file beside it,
    NAME.resolved.jsonl: the ticket's id, when, and how.
    """

    takes_comments = False
    settles_in = 0
    finds_within = 0

    def find(self, ticket: Ticket) -> Filed | None:
        """Look through the file for the line."""
        try:
            with _path().open("rb") as file:
                return Filed(ticket.id) if _holds(file, ticket.id) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TryLater(f"the incidents file: {error.strerror}") from error

    def file(self, ticket: Ticket) -> Filed:
        """Append the line, unless another process has just done so."""
        _write(_path(), _as_dict(ticket))
        return Filed(ticket.id)

    def comment(self, key: str, ticket: Ticket) -> None:
        """Nothing: a line is never changed. How often it was seen stands in the admin."""

    def grade(self, key: str, ticket: Ticket) -> None:
        """Nothing, like a comment."""

    def close(self, key: str, ticket: Ticket) -> None:
        """Append to the second file that it is dealt with, once."""
        resolved_at = ticket.resolved_at.isoformat() if ticket.resolved_at else None
        done = _path().with_suffix(".resolved.jsonl")
        _write(done, {"id": key, "resolvedAt": resolved_at, "note": ticket.note})


def _write(path: Path, values: dict[str, Any]) -> None:
    line = json.dumps(values, ensure_ascii=False, default=str).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, line, values["id"])
    except OSError as error:
        raise TryLater(f"the incidents file: {error.strerror}") from error


def _path() -> Path:
    return Path(settings().incidents_file)


def _holds(file: Iterable[bytes], ticket_id: str) -> bool:
    start = f'{{"id": "{ticket_id}",'.encode()
    return any(line.startswith(start) for line in file)


def _append(path: Path, line: bytes, ticket_id: str) -> None:
    """One writer at a time; a line that a crash cut short is ended first, so that it stays alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if _holds(file, ticket_id):
            return
        file.write(b"\n" + line if _is_cut(file) else line)
        file.flush()
        os.fsync(file.fileno())


def _is_cut(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _as_dict(ticket: Ticket) -> dict[str, Any]:
    """The line's fields, in this order, and no others."""
    return {
        "id": ticket.id,
        "orderId": ticket.order_id,
        "category": ticket.category,
        "severity": ticket.severity,
        "issue": ticket.issue,
        "errorMessage": ticket.error_message,
        "errorStack": ticket.error_stack,
        "context": ticket.context,
        "createdAt": ticket.created_at.isoformat(),
        "environment": ticket.environment,
    }
