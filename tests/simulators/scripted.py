"""A provider that answers whatever it is told to: for samples, and for answers that no real one would give."""

import json
from typing import Any

from werkzeug import Request, Response

from tests.simulators.base import Simulator


class Scripted(Simulator):
    """Answers `status` and `body` to everything."""

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.body: Any = {}
        super().__init__(port)

    @property
    def api(self) -> str:
        """Its address."""
        return self.url

    def handle(self, request: Request) -> Response:
        """The answer."""
        return Response(json.dumps(self.body), self.status, mimetype="application/json")
