"""Reading off the code what incidents it can open: the first words of every fault it names."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

SPEAKS = re.compile(r"open_incident\(|report(_\w+)?\(")


@dataclass(frozen=True)
class Place:
    """A call that names a fault: where, and what stands before its first colon ("" when unreadable)."""

    where: str
    key: str


@cache
def faults_named() -> list[Place]:
    """Every call of `open_incident`, and of the functions that hand a `fault` on to it.

    A function hands on when one of its parameters is called `fault`; a call that passes that
    parameter on is no place of its own.
    """
    texts = {
        path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "shop").rglob("*.py"))
    }
    # Parsing takes time: what neither opens nor reports anything is left out.
    trees = {path: ast.parse(text) for path, text in texts.items() if SPEAKS.search(text)}
    handers = {"open_incident": 1}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args]
                if "fault" in names and _speaks_of_incidents(node):
                    handers[node.name] = names.index("fault")
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in handers:
                key = _key(node, handers[_name(node.func)])
                if key is not None:
                    found.append(Place(f"{path.relative_to(ROOT)}:{node.lineno}", key))
    return found


def _speaks_of_incidents(function: ast.FunctionDef) -> bool:
    called = {_name(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    return bool(called & {"open_incident", "report", "report_payment", "_report"})


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _key(call: ast.Call, place: int) -> str | None:
    """What stands before the colon; None where the caller's own parameter is passed on, or a job's."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    value = given.get("fault") or (call.args[place] if len(call.args) > place else None)
    if isinstance(value, ast.Name) and value.id == "fault":
        return None
    if isinstance(value, ast.Call) and _name(value.func) == "fault_of":
        return None  # a job that gave up: its kinds are compared by themselves
    if isinstance(value, ast.JoinedStr):
        first = value.values[0]
        if isinstance(first, ast.FormattedValue):
            is_passed_on = isinstance(first.value, ast.Name) and first.value.id == "fault"
            return None if is_passed_on else ""
        value = first
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value.partition(":")[0]
    return None if value is None else ""
