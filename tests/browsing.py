"""What the tests in a real browser share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
#: A look costs most of a second. On a dark, narrow screen axe looks at those pages that hold all the
#: parts and colours of the others, unless AXE=all; whether anything runs off is looked at on each.
IS_THOROUGH = os.environ.get("AXE") == "all"
RULES = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")
#: Only what is at fault is described, and nothing is fetched for it.
RUN = """([rules, best]) => axe.run(document, {
    runOnly: best ? [...rules, 'best-practice'] : rules, resultTypes: ['violations'], preload: false,
})"""

#: After the next frame, all that it set moving has come to its end.
STILL = """() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))
    .then(() => Promise.allSettled(document.getAnimations().map(one => one.finished)))"""


def axe_faults(page: Any, *, best_practice: bool = True) -> list[dict[str, Any]]:
    """What axe finds at fault on this page: each with `id`, `impact` and `nodes`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN, [RULES, best_practice])["violations"]
    return found


def looks(page: Any, *wanted: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """Show the open page in each of these colour schemes and widths; no two of one width.

    The one that it stands in already comes first: a change costs more than a page. Without motion, so
    that no colour is looked at on its way from one scheme to the other.
    """
    for scheme, width in sorted(wanted, key=lambda one: one[1] != page.viewport_size["width"]):
        if width != page.viewport_size["width"]:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(STILL)
        yield scheme, width
