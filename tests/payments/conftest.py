"""Staff, for the tests of money that look at the admin too."""

from tests.admin.conftest import staff

__all__ = ["staff"]
