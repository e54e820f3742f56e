"""Pictures that customers send along: made anew from their pixels, kept privately below STORAGE_URL.

What is stored is always a JPEG of ours, so nothing that was hidden in the file, nor the place
where it was taken, is kept (security.md, S66).
"""

import secrets
import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from shop.config import settings
from shop.errors import NotFound, Refused

if TYPE_CHECKING:
    from PIL import Image

FOLDER = "returns"
FORMATS = ("JPEG", "PNG", "WEBP")
MOST = 5
MAX_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 40_000_000
SIDE = 2000
"""The longest side of what is kept, in pixels."""

ORIENTATION = 0x0112
TURNS = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
"""How a picture is turned upright, in Pillow's words, by its EXIF orientation (EXIF 2.32, tag 0x0112)."""


class NoPicture(Refused):
    """That is no picture that we can read. Use JPEG, PNG or WebP."""


def made_anew(body: bytes) -> bytes:
    """The picture as a JPEG of ours. Raises NoPicture in words for who sent it."""
    from PIL import Image, UnidentifiedImageError  # Large, and pictures are seldom sent.

    if len(body) > MAX_BYTES:
        raise NoPicture("A picture may have 5 MB at most. Choose smaller ones.")
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as found:
            if found.width * found.height > MAX_PIXELS:
                raise NoPicture("A picture may have 40 megapixels at most.")
            found.draft("RGB", (SIDE, SIDE))
            upright = _turned(found).convert("RGB")
    except (
        UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError,
        struct.error,
    ):  # fmt: skip
        raise NoPicture from None
    upright.thumbnail((SIDE, SIDE))
    out = BytesIO()
    upright.save(out, "JPEG", quality=85)
    return out.getvalue()


def _turned(found: "Image.Image") -> "Image.Image":
    """The picture as its camera was held. Where what is written beside it is odd, as it is.

    Only the turn is read: Pillow's own way writes the rest again, and fails at what it cannot write.
    """
    from PIL import Image

    try:
        turn = TURNS.get(found.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return found
    return found if turn is None else found.transpose(Image.Transpose[turn])


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
