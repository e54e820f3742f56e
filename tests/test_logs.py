"""What is logged names no secret and opens nothing."""

import json
import re

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


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_s29_no_address_of_the_shop_leaves_its_token_in_a_log(app):
    token = "w1hKuXzXQKNlWiPCLxq_bHzFJ8TTBBoitMMkBrmhNPI"
    opening = {"token", "secret"}
    rules = [rule for rule in app.url_map.iter_rules() if opening & rule.arguments]
    assert len(rules) > 10
    for rule in rules:
        path = re.sub(r"<(?:\w+:)?(?:token|secret)>", token, rule.rule)
        path = re.sub(r"<(?:int:)?\w+>", "1", path)
        assert token not in logs.TOKEN_IN_PATH.sub(r"/\1/[hidden]", path), rule.rule


@pytest.mark.parametrize(
    "words",
    [
        "550 5.1.1 <asha@shopper.example>: no such user", "GET /x?whatsappNumber=919876543210&a=1",
        "To=%2B919876543210&From=%2B15005550006", "asha%40shopper.example", "to +91 98765 43210",
        "whatsapp:+919876543210",
    ],
)  # fmt: skip
def test_what_providers_repeat_of_people_is_masked(logged, words):
    for name in ("error", "reason", "issue"):
        told = json.dumps(logged(**{name: words}), ensure_ascii=False)
        assert not re.search(r"asha(@|%40)|9876543|98765 43|15005550", told), told


def test_an_exceptions_text_is_masked_and_numbers_that_are_nobodys_stay(logged, capsys):
    try:
        raise ValueError("550 <asha@shopper.example>")
    except ValueError:
        structlog.get_logger().error("job.gave_up", exc_info=True)
    told = capsys.readouterr().out
    assert "ValueError" in told
    assert "asha@" not in told
    assert (
        logs.without_contact("card 4242 4242 4242 4242 x 4242424242424242")
        == "card [card] x [card]"
    )
    kept = "AWB 141123221084922 4242424242424243, order 2611.001, id=12345678, INR 13848.00, 2026-11-21"
    assert logs.without_contact(kept) == kept


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
