"""What is logged names no secret and opens nothing."""

import json

import pytest
import structlog

from shop import logs


@pytest.fixture
def logged(capsys):
    """One line as production writes it."""
    before = structlog.get_config()
    logs.set_up("INFO", pretty=False)

    def line(**facts):
        structlog.get_logger().info("something", **facts)
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    yield line
    structlog.configure(**before)


def test_s29_an_orders_token_is_in_no_log(logged):
    token = "w1hKuXzXQKNlWiPCLxq_bHzFJ8TTBBoitMMkBrmhNPI"
    assert token not in json.dumps(logged(path=f"/orders/{token}/pay"))


def test_s71_what_is_named_like_a_secret_is_hidden(logged):
    line = logged(password="a", Token="b", signature="c", order="2611.001")
    assert (line["password"], line["Token"], line["signature"]) == ("[hidden]",) * 3
    assert line["order"] == "2611.001"


def test_s84_line_breaks_from_outside_are_escaped(logged, capsys):
    assert logged(name="a\nb: forged")["name"] == "a\nb: forged"
    structlog.get_logger().info("x", name="a\nforged line")
    assert "\nforged" not in capsys.readouterr().out.strip()


def test_addresses_are_masked():
    assert logs.masked_email("asha@shopper.example") == "a…@s….example"
