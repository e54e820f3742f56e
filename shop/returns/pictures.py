"""Pictures that customers send along: made anew from their pixels, kept privately below STORAGE_URL.

What is stored is always a JPEG of ours, so nothing that was hidden in the file, nor the place
where it was taken, is kept (security.md, S66).
"""

import secrets
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from shop.config import settings
from shop.errors import NotFound, Refused

FOLDER = "returns"
FORMATS = ("JPEG", "PNG", "WEBP")
MOST = 5
MAX_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 40_000_000
SIDE = 2000
"""The longest side of what is kept, in pixels."""


class NoPicture(Refused):
    """That is no picture that we can read. Use JPEG, PNG or WebP."""


def made_anew(body: bytes) -> bytes:
    """The picture as a JPEG of ours. Raises NoPicture in words for who sent it."""
    if len(body) > MAX_BYTES:
        raise NoPicture("A picture may have 5 MB at most. Choose smaller ones.")
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as found:
            if found.width * found.height > MAX_PIXELS:
                raise NoPicture("A picture may have 40 megapixels at most.")
            found.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(found).convert("RGB")
    except (
        UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError,
    ):  # fmt: skip
        raise NoPicture from None
    upright.thumbnail((SIDE, SIDE))
    out = BytesIO()
    upright.save(out, "JPEG", quality=85)
    return out.getvalue()


def keep(body: bytes) -> str:
    """Store a picture made anew, under a key that nobody guesses. Returns the key."""
    key = f"{FOLDER}/{secrets.token_hex(20)}.jpg"
    path = _root() / key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(body)
    return key


def read(key: str) -> bytes:
    """A picture by its key. Raises NotFound."""
    path = _root() / key
    if not key.startswith(f"{FOLDER}/") or ".." in key or not path.is_file():
        raise NotFound("There is no such picture.")
    return path.read_bytes()


def drop(keys: Iterable[str]) -> None:
    """Delete the files; one that is gone already is no fault."""
    for key in keys:
        (_root() / key).unlink(missing_ok=True)


def _root() -> Path:
    return Path(settings().storage_url.removeprefix("file://"))
