"""What the tests in a real browser share."""

import os
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


def axe_faults(page: Any, *, best_practice: bool = True) -> list[dict[str, Any]]:
    """What axe finds at fault on this page: each with `id`, `impact` and `nodes`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate(RUN, [RULES, best_practice])["violations"]
    return found
