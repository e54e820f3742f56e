"""Addresses are made ready for building when they are first built."""

import pytest
from werkzeug.routing import Map, Rule

from shop import LateRule


def test_an_address_is_made_ready_when_it_is_first_built_with_parts_it_knows_and_with_others(
    monkeypatch,
):
    made = []
    compiled = Rule._compile_builder

    def noted(rule, append_unknown=True):
        made.append(append_unknown)
        return compiled(rule, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", noted)
    addresses = Map([LateRule("/orders/<number>/pay", endpoint="pay")]).bind("shop.example")
    assert made == []
    for _ in range(2):
        wanted = {"number": "a b", "left": "1"}
        assert addresses.build("pay", wanted) == "/orders/a%20b/pay?left=1"
        assert addresses.build("pay", wanted, append_unknown=False) == "/orders/a%20b/pay"
    assert made == [True, False]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_address_of_the_shop_is_made_ready_late(app):
    assert {type(rule) for rule in app.url_map.iter_rules()} == {LateRule}
