"""README's table of commands against `flask shop` itself."""

import re
from pathlib import Path

import click

from shop.cli import group

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def usage(name: str, command: click.Command) -> str:
    """How the README writes a command: `name ARGUMENT [ARGUMENT] [--flag] [--option VALUE]`."""
    return " ".join((name, *map(_written, command.params)))


def _written(given: click.Parameter) -> str:
    value = str(given.name).upper()
    if isinstance(given, click.Option):
        return f"[{given.opts[0]}]" if given.is_flag else f"[{given.opts[0]} {value}]"
    return value if given.required else f"[{value}]"


def test_the_readmes_table_of_commands_is_the_commands_with_what_they_take():
    table = README.partition("## Commands")[2].partition("##")[0]
    cells = re.findall(r"^\| (`flask shop [^|]+) \|", table, re.MULTILINE)
    told = [
        name.removeprefix("flask shop ")
        for cell in cells
        for name in re.findall(r"`([^`]+)`", cell)
    ]
    assert sorted(told) == sorted(usage(*one) for one in group.commands.items())
