"""`@pytest.mark.forces("late_money")`: the test makes this failure of the catalogue happen.

After the test the incident must be there, of the category and with a severity that the catalogue names.
"""

import re
from pathlib import Path
from typing import Any

from shop.extensions import db
from shop.incidents.catalogue import FAILURES, key_of
from shop.incidents.models import Incident

TESTS = Path(__file__).resolve().parent.parent
MARK = re.compile(r"""mark\.forces\(([^)]*)\)""")


def unforced(node: Any) -> list[str]:
    """What the test's marks claim and its database does not show."""
    claimed = {key for mark in node.iter_markers("forces") for key in mark.args}
    if not claimed:
        return []
    seen = db.session.execute(
        db.select(Incident.fingerprint, Incident.category, Incident.severity)
    ).all()
    found = {
        key_of(fingerprint)
        for fingerprint, category, severity in seen
        if _is_as_listed(key_of(fingerprint), category, severity)
    }
    return [f"the test did not force {key} as the catalogue lists it" for key in claimed - found]


def _is_as_listed(key: str, category: Any, severity: Any) -> bool:
    listed = FAILURES.get(key)
    if listed is None:
        return False
    return category in (listed.category, *listed.also) and severity in listed.severities


def forced_by_tests() -> dict[str, list[str]]:
    """The catalogue's keys that marks name, and the files that they stand in."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for mark in MARK.finditer(path.read_text(encoding="utf-8")):
            for key in re.findall(r'"([^"]+)"', mark.group(1)):
                found.setdefault(key, []).append(str(path.relative_to(TESTS)))
    return found
