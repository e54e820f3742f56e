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


#: Each command as jq has run it: what it must answer, worked out here without jq.
ANSWERS = {
    'jq -c \'select(.category == "payment")\' incidents.jsonl': [one for one in LINES if one["category"] == "payment"],
    'jq -c \'select(.severity == "critical" or .severity == "high")\' incidents.jsonl': [one for one in LINES if one["severity"] in {"critical", "high"}],
    'jq -c \'select(.orderId == "HL-2611-0042")\' incidents.jsonl': [one for one in LINES if one["orderId"] == "HL-2611-0042"],
    'jq -c \'select(.createdAt | startswith("2026-11-21"))\' incidents.jsonl': [one for one in LINES if one["createdAt"].startswith("2026-11-21")],
    "jq -c --slurpfile done incidents.resolved.jsonl '.id as $id | select(all($done[]; .id != $id))' incidents.jsonl": [one for one in LINES if one["id"] not in {done["id"] for done in RESOLVED}],
    "jq -cs 'group_by([.category, .severity]) | map({category: .[0].category, severity: .[0].severity, count: length})' incidents.jsonl": [[
        {"category": category, "severity": severity, "count": count}
        for (category, severity), count in sorted(Counter((o["category"], o["severity"]) for o in LINES).items())
    ]],
    "jq -cs 'group_by(.createdAt[:10]) | map({day: .[0].createdAt[:10], count: length})' incidents.jsonl": [[
        {"day": day, "count": count} for day, count in sorted(Counter(o["createdAt"][:10] for o in LINES).items())
    ]],
    "jq -cs 'map(select(.orderId)) | group_by(.orderId) | map({orderId: .[0].orderId, count: length}) | sort_by(-.count)[:10]' incidents.jsonl": [[
        {"orderId": order, "count": count}
        for order, count in Counter(o["orderId"] for o in LINES if o["orderId"]).most_common(10)
    ]],
    'jq -r \'[.createdAt[:16], .severity, .category, .orderId // "-", .issue] | @tsv\' incidents.jsonl': ["\t".join([o["createdAt"][:16], o["severity"], o["category"], o["orderId"] or "-", o["issue"]]) for o in LINES],
}  # fmt: skip


def answer(word):
    [found] = [held for command, held in ANSWERS.items() if word in command]
    return found


def test_the_answers_are_what_a_person_would_count():
    assert answer(".category ==") == ids(1, 3)
    assert answer(".severity ==") == ids(1, 3)
    assert answer(".orderId ==") == ids(1, 2)
    assert answer("startswith") == ids(2, 3)
    assert answer("slurpfile") == ids(1, 3, 4)
    assert [one["count"] for one in answer("group_by(.createdAt")[0]] == [1, 2, 1]
    assert answer("sort_by")[0][0] == {"orderId": "HL-2611-0042", "count": 2}


def test_the_page_has_a_command_for_each_view_and_no_other():
    assert sorted(COMMANDS) == sorted(ANSWERS)


@pytest.mark.parametrize("command", ANSWERS, ids=range(len(ANSWERS)))
def test_the_page_shows_the_command_that_answers_so(command, tmp_path):
    # Letter by letter what jq has run; where jq is to be had it runs it again.
    assert COMMANDS.count(command) == 1
    if JQ:
        assert run(command, tmp_path) == ANSWERS[command]


def run(command, folder):
    (folder / "incidents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in LINES))
    (folder / "incidents.resolved.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in RESOLVED)
    )
    told = subprocess.run(
        [JQ, *shlex.split(command)[1:]], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return told if "@tsv" in command else [json.loads(one) for one in told]


def test_the_page_lists_the_lines_fields_and_its_context():
    table = PAGE.partition("## The file")[2].partition("### Views")[0]
    for name in (*LINES[0], *CONTEXT):
        assert f"`{name}`" in table, name
