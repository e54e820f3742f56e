"""`python worker.py` learns from a process that ends how many workers are wanted."""

import sys

import pytest

import worker


class Counted:
    """Stands where the parent would start its children."""

    wanted: list[int] = []

    def __init__(self, count):
        self.wanted.append(count)

    def run(self):
        return 0


@pytest.fixture
def started(monkeypatch):
    """How many children were to be started."""
    monkeypatch.setattr(Counted, "wanted", [])
    monkeypatch.setattr(worker, "Parent", Counted)
    monkeypatch.setattr(sys, "argv", ["worker.py"])
    monkeypatch.setenv("SHOP_ENV", "development")
    return Counted.wanted


def test_a_wrong_setting_ends_it_with_words(started, monkeypatch, capfd):
    monkeypatch.setenv("WORKERS", "several")
    assert worker.main() == 1
    assert "WORKERS" in capfd.readouterr().err
    assert started == []


def test_what_else_is_printed_as_it_starts_is_not_the_number(started, monkeypatch, tmp_path):
    talkative = tmp_path / "talkative.py"
    talkative.write_text("print('a library says 12 things')\nprint(3)\n")
    monkeypatch.setattr(worker, "__file__", str(talkative))
    assert worker.main() == 0
    assert started == [3]
