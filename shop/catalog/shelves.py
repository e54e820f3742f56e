"""Where things stand in the shop: the tree of categories, and the brands. Kept by the process."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flask import current_app
from sqlalchemy import literal, null, select, union_all

from shop.catalog.freshness import remembered
from shop.catalog.models import Brand, Category
from shop.extensions import db

FRAME_SECONDS = 30
"""How long a page that shows no goods may show yesterday's departments."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A category or a brand."""

    id: int
    parent_id: int | None
    name: str
    slug: str


@dataclass(frozen=True)
class Shelves:
    """All of them, in the order in which they are shown."""

    categories: dict[int, Shelf]
    brands: dict[int, Shelf]

    @cached_property
    def top(self) -> list[Shelf]:
        """The departments."""
        return self.children(None)

    @cached_property
    def category_of_slug(self) -> dict[str, Shelf]:
        """Categories by slug."""
        return {shelf.slug: shelf for shelf in self.categories.values()}

    @cached_property
    def brand_of_slug(self) -> dict[str, Shelf]:
        """Brands by slug."""
        return {shelf.slug: shelf for shelf in self.brands.values()}

    def children(self, parent_id: int | None) -> list[Shelf]:
        """The shelves that stand right on this one."""
        return [shelf for shelf in self.categories.values() if shelf.parent_id == parent_id]

    def below(self, ids: Iterable[int]) -> set[int]:
        """These categories and all that stand on them."""
        found: set[int] = set()
        waiting = list(ids)
        while waiting:
            shelf_id = waiting.pop()
            if shelf_id not in found:
                found.add(shelf_id)
                waiting += [child.id for child in self.children(shelf_id)]
        return found

    def path(self, category_id: int) -> list[Shelf]:
        """From the department down to this category."""
        steps: list[Shelf] = []
        shelf = self.categories.get(category_id)
        while shelf is not None and shelf not in steps:
            steps.insert(0, shelf)
            shelf = self.categories.get(shelf.parent_id) if shelf.parent_id else None
        return steps


def shelves(stamp: str) -> Shelves:
    """The shelves as of this stamp (freshness.Stamp.shelves): one statement when they changed."""
    found = remembered("shelves", stamp, _read)
    current_app.extensions["departments"] = (time.monotonic(), found.top)
    return found


def departments() -> list[Shelf]:
    """For the frame of every page: what the catalogue's pages read last, at most 30 s old."""
    read_at, found = current_app.extensions.get("departments", (0.0, None))
    if found is None or time.monotonic() - read_at > FRAME_SECONDS:
        found = _read().top
        current_app.extensions["departments"] = (time.monotonic(), found)
    top: list[Shelf] = found
    return top


def _read() -> Shelves:
    categories = select(
        literal("category").label("kind"), Category.id, Category.parent_id, Category.name,
        Category.slug, Category.position.label("position"),
    )  # fmt: skip
    brands = select(literal("brand"), Brand.id, null(), Brand.name, Brand.slug, Brand.position)
    rows: Any = db.session.execute(union_all(categories, brands).order_by("position", "name")).all()
    found: dict[str, dict[int, Shelf]] = {"category": {}, "brand": {}}
    for kind, shelf_id, parent_id, name, slug, _position in rows:
        found[kind][shelf_id] = Shelf(shelf_id, parent_id, name, slug)
    return Shelves(found["category"], found["brand"])
