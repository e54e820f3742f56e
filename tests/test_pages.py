"""Rendering keeps its promises to every template."""

import pytest

TEMPLATE = "error.html"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_template_may_bring_globals_of_its_own_since_all_share_them(app):
    environment = app.jinja_env
    with pytest.raises(TypeError, match="no globals of its own"):
        environment.from_string("{{ mine }}", globals={"mine": 1})
    environment.get_template(TEMPLATE)
    with pytest.raises(AttributeError):
        environment.get_template(TEMPLATE, globals={"mine": 1})
    assert "mine" not in environment.globals
