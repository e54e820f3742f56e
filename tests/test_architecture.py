"""The rules of the house that can be read off the files."""

import ast
import base64
import functools
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: From the top down: a part may import those before it, never those after it.
ORDER = (
    "errors", "start_checks", "config", "extensions", "clock", "database", "migrating", "money", "limits", "preferences",
    "secret_box", "logs", "connections", "provider_json", "providers", "provider_words", "headers", "pages", "guards", "jobs", "audit", "incidents",
    "accounts", "stock", "shipping_prices", "catalog", "promotions", "cart", "orders", "payments", "delivery", "returns", "messaging", "webhooks",
    "checkout", "alerts", "operations", "books", "admin", "sandbox", "cli",
)  # fmt: skip
#: Leaves: they know no table, no request and no other provider.
LEAVES = ("payments/gateways", "delivery/couriers", "messaging/channels", "incidents/trackers")


def modules() -> list[Path]:
    return sorted((ROOT / "shop").rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "shop").with_suffix("").parts[0]


@functools.cache
def imports_of(path: Path) -> set[str]:
    """The dotted shop.… names that a file imports when it runs, whole module paths."""
    found = set()
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    for_types = [
        node
        for node in nodes
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    unseen = {id(inner) for node in for_types for inner in ast.walk(node)}
    for node in (node for node in nodes if id(node) not in unseen):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name.startswith("shop.")}


def test_every_part_has_its_place_in_the_order():
    parts = {part_of(path) for path in modules()} - {"__init__"}
    assert parts == set(ORDER)


def test_imports_run_downwards_only():
    places = {part: place for place, part in enumerate(ORDER)}
    wrong = {
        f"{path.relative_to(ROOT)} may not import {name}"
        for path in modules()
        if part_of(path) != "__init__"
        for name in imports_of(path)
        if places.get(name.split(".")[1], -1) > places[part_of(path)]
    }
    assert not wrong, sorted(wrong)


def test_the_app_joins_the_parts_in_this_order():
    from shop import PARTS

    places = [ORDER.index(name.split(".")[0]) for name in PARTS]
    assert places == sorted(places)


@pytest.mark.parametrize("leaf", LEAVES)
def test_providers_are_leaves(leaf):
    folder = ROOT / "shop" / leaf
    for path in sorted(folder.glob("*.py")):
        if path.name == "__init__.py":
            continue
        for name in imports_of(path):
            assert ".models" not in name, f"{path.name} knows a table: {name}"
            assert "extensions" not in name, f"{path.name} knows the database"
            assert "database" not in name.split("."), f"{path.name} knows the database"
        text = path.read_text(encoding="utf-8")
        assert "flask import request" not in text, f"{path.name} knows the request"


def test_stand_ins_import_nothing_of_the_shop():
    for path in sorted((ROOT / "tests" / "simulators").glob("*.py")):
        assert not imports_of(path), f"{path.name} imports the shop"
        assert "import shop" not in path.read_text(encoding="utf-8")


def test_transactions_are_opened_at_the_edge_only():
    """Views, jobs' runner, commands and the few use cases that call a gateway between two of them."""
    edges = re.compile(
        r"(views|cli|runner|schedule|queue|limits|numbers|placing|attempts|inbox|beat|embedded|dispatcher"
        r"|maintenance|operations|alerts/counting|alerts/web_side|guards|courier_tokens|live_quotes|signing_in|gateway|api|mailbox|shop/admin/|database)"
    )
    for path in modules():
        if "with transaction()" in path.read_text(encoding="utf-8"):
            assert edges.search(str(path.relative_to(ROOT))), f"{path} opens a transaction"


TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
FORBIDDEN = {
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)", re.I),
    "an event attribute": re.compile(r"\son[a-z]+\s*=", re.I),
    "a style attribute": re.compile(r"\sstyle\s*=", re.I),
    "hx-on": re.compile(r"\bhx-on", re.I),
    "a js: value": re.compile(r"[\"']js:", re.I),
    "a trigger filter": re.compile(r"hx-trigger=\"[^\"]*\[", re.I),
    "safe": re.compile(r"\|\s*safe\b"),
    "an unquoted attribute": re.compile(r"<[a-z]+[^>]*\s[a-z-]+={{"),
    "a field for cards": re.compile(r"name=\"(card|cvc|cvv)", re.I),
    "something of another host": re.compile(r"(src|href)=\"https?://", re.I),
}


def test_s22_no_template_holds_what_the_content_policy_forbids():
    assert TEMPLATES
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        is_mail = "messages" in path.relative_to(ROOT / "templates").parts
        for what, pattern in FORBIDDEN.items():
            if is_mail and what in {"a style attribute", "something of another host"}:
                continue
            found = pattern.search(text)
            assert not found, f"{path} holds {what}: {found[0]!r}"


def test_s57_no_sql_is_built_from_text_of_users():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"\btext\(\s*f[\"']", text):
            raise AssertionError(f"{path}: {found.group(0)}")


def test_s80_vendored_files_are_what_the_list_says():
    listed = (ROOT / "static" / "vendor" / "SOURCES").read_text(encoding="utf-8")
    for path in sorted((ROOT / "static" / "vendor").glob("*.js")):
        digest = base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        assert f"{path.name} " in listed
        assert f"sha384-{digest}" in listed


def test_files_stay_short_enough_to_be_read():
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long


def test_except_exception_stands_in_the_runner_and_the_error_handler_only():
    allowed = {"shop/jobs/runner.py", "shop/jobs/beat.py"}
    for path in modules():
        name = str(path.relative_to(ROOT))
        if re.search(r"except (Base)?Exception\b", path.read_text(encoding="utf-8")):
            assert name in allowed or "BaseException" in path.read_text(encoding="utf-8"), name


#: Large, and needed by some commands, pages, jobs or providers only: each comes with its first use.
LATE = {
    "PIL", "alembic", "cryptography", "css_inline", "email_validator", "flask_migrate", "fpdf",
    "phonenumbers", "redis", "requests", "rq", "segno", "smtplib", "stripe", "urllib3",
}  # fmt: skip


def test_a_process_starts_without_what_only_some_of_its_work_needs(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", "import gc, sys, wsgi; print(gc.isenabled(), *sys.modules)"],
        cwd=ROOT, check=True, capture_output=True, text=True,
        env={"SECRET_KEY": "x" * 40, "DATABASE_URL": f"sqlite:///{tmp_path}/shop.db"},
    ).stdout.split()  # fmt: skip
    assert told[0] == "True"
    assert "shop.admin" in told
    assert not LATE & set(told)
