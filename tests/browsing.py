"""What the tests in a real browser share."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
#: A look costs half a second, other colours half as much again. In both axe looks at those pages that
#: hold all the parts and colours of the others, unless AXE=all; whether anything runs off is looked
#: at on each.
IS_THOROUGH = os.environ.get("AXE") == "all"
RULES = ("wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")
#: Only what is at fault is described, and nothing is fetched for it.
RUN = """([rules, best, alike]) => axe.run({exclude: alike}, {
    runOnly: best ? [...rules, 'best-practice'] : rules, resultTypes: ['violations'], preload: false,
})"""

#: After the next frame, all that it set moving has come to its end.
STILL = """() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))
    .then(() => Promise.allSettled(document.getAnimations().map(one => one.finished)))"""


def axe_faults(
    page: Any, *, best_practice: bool = True, alike: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """What axe finds at fault on this page: each with `id`, `impact` and `nodes`.

    `alike` selects what is left out, since the same stands beside it: a look costs by the element.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN, [RULES, best_practice, list(alike)])[
        "violations"
    ]
    return found


IS_DARK = "matchMedia('(prefers-color-scheme: dark)').matches"
"""Asked of the page."""


def looks(page: Any, *wanted: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """Show the open page in each of these colour schemes and widths; no two of one width.

    The width that it stands in already comes first: a change costs a good part of a page. "" keeps
    the colours, where only the width is looked at. Without motion, so that no colour is looked at on
    its way from one scheme to the other.
    """
    shown = "dark" if page.evaluate(IS_DARK) else "light"
    for scheme, width in sorted(wanted, key=lambda one: one[1] != page.viewport_size["width"]):
        changes = [scheme not in {"", shown}, width != page.viewport_size["width"]]
        if changes[0]:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            shown = scheme
        if changes[1]:
            page.set_viewport_size({"width": width, "height": 900})
        if scheme and any(changes):
            page.evaluate(STILL)
        yield scheme, width


def runs_off(page: Any) -> bool:
    """Whether the page is wider than the screen that it is shown on."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))
