"""Rendering keeps its promises to every template."""

import re
from collections import Counter
from pathlib import Path

import pytest

TEMPLATE = "error.html"
TEMPLATES = Path(__file__).parent.parent / "templates"
FORM = re.compile(r"<form\b.*?</form>", re.DOTALL | re.IGNORECASE)
POSTS = re.compile(r"""\bmethod\s*=\s*["']?post\b""", re.IGNORECASE)
TOKEN = re.compile(r'\{\{ (csrf|token)\(\) \}\}|name="csrf_token"|cart/_undo_fields')
#: Catalogue pages make no cookie, and what a mail leads to is pressed without a session.
TOKENLESS = {
    "catalog/_buy.html": 2,  # add to the cart, and tell me when it is back
    "catalog/_card.html": 1,
    "messaging/alert.html": 1,
    "messaging/stop.html": 1,
}


def test_every_form_that_changes_something_carries_the_token_of_its_session():
    read = {
        str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.html")
    }
    forms = [(name, form) for name, page in read.items() for form in FORM.findall(page)]
    changing = [(name, form) for name, form in forms if POSTS.search(form)]
    assert len(changing) > 50
    assert Counter(name for name, form in changing if not TOKEN.search(form)) == TOKENLESS


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_template_may_bring_globals_of_its_own_since_all_share_them(app):
    environment = app.jinja_env
    with pytest.raises(TypeError, match="no globals of its own"):
        environment.from_string("{{ mine }}", globals={"mine": 1})
    environment.get_template(TEMPLATE)
    with pytest.raises(AttributeError):
        environment.get_template(TEMPLATE, globals={"mine": 1})
    assert "mine" not in environment.globals
