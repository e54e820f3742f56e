"""Labels, manifests and invoices on disk, below STORAGE_URL: they carry the buyer's address."""

import re
from pathlib import Path

from sqlalchemy import or_, select

from shop.clock import in_future
from shop.config import settings
from shop.delivery.models import FINAL, Shipment
from shop.errors import NotFound
from shop.extensions import db
from shop.providers import ProviderRefused

KINDS = ("label", "manifest", "invoice")
PDF = b"%PDF-"
KEPT_DAYS = 90
"""So long after a parcel's end its papers are kept: a courier's claims are settled by then."""

MOST_AT_ONCE = 1000


def keep(kind: str, reference: str, body: bytes) -> str:
    """Store a paper; returns its key. The same reference is written over.

    Raises ProviderRefused for what is no PDF: a page of words in its place is no label.
    """
    if not body.startswith(PDF):
        raise ProviderRefused(f"the {kind} is no PDF")
    key = f"{kind}s/{re.sub(r'[^A-Za-z0-9.-]', '_', reference)}.pdf"
    path = _root() / key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(body)
    fresh.replace(path)
    return key


def read(key: str | None) -> bytes:
    """A paper by its key. Raises NotFound."""
    path = _path(key)
    if path is None or not path.is_file():
        raise NotFound("There is no such paper.")
    return path.read_bytes()


def forget_old(days: int = KEPT_DAYS) -> int:
    """Delete the papers of parcels that ended so many days ago. Returns how many parcels had some."""
    keys = [getattr(Shipment, f"{kind}_key") for kind in KINDS]
    ended = db.session.scalars(
        select(Shipment)
        .where(
            Shipment.status.in_(FINAL),
            Shipment.status_at < in_future(hours=-24 * days),
            or_(*(key.is_not(None) for key in keys)),
        )
        .order_by(Shipment.id)
        .limit(MOST_AT_ONCE)
    ).all()
    for shipment in ended:
        for kind in KINDS:
            path = _path(key_of(shipment, kind))
            if path is not None:
                path.unlink(missing_ok=True)
            set_key(shipment, kind, None)
    return len(ended)


def key_of(shipment: Shipment, kind: str) -> str | None:
    """Where that paper of the parcel is kept; None while it is not. Raises NotFound for no kind."""
    if kind not in KINDS:
        raise NotFound("There is no such paper.")
    key: str | None = getattr(shipment, f"{kind}_key")
    return key


def set_key(shipment: Shipment, kind: str, key: str | None) -> None:
    """Remember where that paper is kept."""
    key_of(shipment, kind)
    setattr(shipment, f"{kind}_key", key)


def _path(key: str | None) -> Path | None:
    folder, _, name = (key or "").partition("/")
    is_ours = folder.removesuffix("s") in KINDS and re.fullmatch(r"[A-Za-z0-9._-]+\.pdf", name)
    return _root() / folder / name if is_ours else None


def _root() -> Path:
    return Path(settings().storage_url.removeprefix("file://"))
