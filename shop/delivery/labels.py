"""Labels on disk: they carry the buyer's address, so they are kept privately, below STORAGE_URL."""

import re
from pathlib import Path

from shop.config import settings
from shop.errors import NotFound

FOLDER = "labels"


def keep(reference: str, body: bytes) -> str:
    """Store a label; returns its key. The same reference is written over."""
    key = f"{FOLDER}/{re.sub(r'[^A-Za-z0-9.-]', '_', reference)}.pdf"
    path = _root() / key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(body)
    fresh.replace(path)
    return key


def read(key: str | None) -> bytes:
    """A label by its key. Raises NotFound."""
    path = _root() / (key or "")
    if not key or not key.startswith(f"{FOLDER}/") or ".." in key or not path.is_file():
        raise NotFound("There is no label.")
    return path.read_bytes()


def _root() -> Path:
    return Path(settings().storage_url.removeprefix("file://"))
