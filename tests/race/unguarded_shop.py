"""The shop without its guard as processes of its own serve it: `tests.race.unguarded_shop:app`."""

import pytest

from shop import create_app
from tests.race.unguarded import take_guards_out

take_guards_out(pytest.MonkeyPatch())
app = create_app()
