"""The shop's errors. The docstring of each is what a person reads; `facts` go to the log only."""

from typing import Any


class ShopError(Exception):
    """Something went wrong on our side."""

    status = 500

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message or self.__doc__)
        self.facts = facts


class Refused(ShopError):
    """That cannot be done."""

    status = 422
    #: The field of the form that the words are about; empty where they are about the whole.
    field = ""

    def __init__(self, message: str = "", *, field: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.field = field


class Conflict(Refused):
    """Something changed in the meantime. Look again, then repeat."""

    status = 409


class NotFound(Refused):
    """There is nothing here by that name."""

    status = 404


class NotAllowed(Refused):
    """Your role may not do this."""

    status = 403
