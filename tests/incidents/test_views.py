"""The file of incidents can be read as docs/incidents.md says: each command there is run, and its answer known."""

import json
import re
import shlex
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from shop.incidents.trackers import CONTEXT

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "incidents.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(jq .*)\n```", PAGE)
JQ = shutil.which("jq")


def line(number, category, severity, day, order=None):
    return {
        "id": f"INC-{number}", "orderId": order, "category": category, "severity": severity,
        "issue": f"Issue {number}", "errorMessage": "", "errorStack": "",
        "context": dict.fromkeys(CONTEXT), "createdAt": f"{day}T10:00:00+00:00",
        "environment": "production",
    }  # fmt: skip


LINES = [
    line(1, "payment", "critical", "2026-11-20", "HL-2611-0042"),
    line(2, "delivery", "medium", "2026-11-21", "HL-2611-0042"),
    line(3, "payment", "high", "2026-11-21", "HL-2611-0007"),
    line(4, "api", "low", "2026-11-22"),
]
RESOLVED = [{"id": "INC-2", "resolvedAt": "2026-11-22T08:00:00+00:00", "note": "came"}]


def ids(*numbers):
    return [LINES[number - 1] for number in numbers]


#: By a word of each command: what it must answer, worked out here without jq.
ANSWERS = {
    ".category ==": [one for one in LINES if one["category"] == "payment"],
    ".severity ==": [one for one in LINES if one["severity"] in {"critical", "high"}],
    ".orderId ==": [one for one in LINES if one["orderId"] == "HL-2611-0042"],
    "startswith": [one for one in LINES if one["createdAt"].startswith("2026-11-21")],
    "slurpfile": [one for one in LINES if one["id"] not in {done["id"] for done in RESOLVED}],
    "group_by([.category": [[
        {"category": category, "severity": severity, "count": count}
        for (category, severity), count in sorted(Counter((o["category"], o["severity"]) for o in LINES).items())
    ]],
    "group_by(.createdAt": [[
        {"day": day, "count": count} for day, count in sorted(Counter(o["createdAt"][:10] for o in LINES).items())
    ]],
    "sort_by": [[
        {"orderId": order, "count": count}
        for order, count in Counter(o["orderId"] for o in LINES if o["orderId"]).most_common(10)
    ]],
    "@tsv": ["\t".join([o["createdAt"][:16], o["severity"], o["category"], o["orderId"] or "-", o["issue"]]) for o in LINES],
}  # fmt: skip


def test_the_answers_are_what_a_person_would_count():
    assert ANSWERS[".category =="] == ids(1, 3)
    assert ANSWERS[".severity =="] == ids(1, 3)
    assert ANSWERS[".orderId =="] == ids(1, 2)
    assert ANSWERS["startswith"] == ids(2, 3)
    assert ANSWERS["slurpfile"] == ids(1, 3, 4)
    assert [one["count"] for one in ANSWERS["group_by(.createdAt"][0]] == [1, 2, 1]
    assert ANSWERS["sort_by"][0][0] == {"orderId": "HL-2611-0042", "count": 2}


def test_the_page_has_a_command_for_each_view_and_no_other():
    for word in ANSWERS:
        assert sum(word in command for command in COMMANDS) == 1, word
    assert len(COMMANDS) == len(ANSWERS)


@pytest.mark.skipif(not JQ, reason="jq is not installed; the answers were counted in Python")
@pytest.mark.parametrize("word", ANSWERS)
def test_jq_answers_so(word, tmp_path):
    (tmp_path / "incidents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in LINES))
    (tmp_path / "incidents.resolved.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in RESOLVED)
    )
    [command] = [one for one in COMMANDS if word in one]
    answer = subprocess.run(
        [JQ, *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    read = answer if word == "@tsv" else [json.loads(one) for one in answer]
    assert read == ANSWERS[word]


def test_the_page_lists_the_lines_fields_and_its_context():
    table = PAGE.partition("## The file")[2].partition("### Views")[0]
    for name in (*LINES[0], *CONTEXT):
        assert f"`{name}`" in table, name
