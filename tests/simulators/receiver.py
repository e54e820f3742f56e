"""Stands where the shop's webhook address would be, and keeps what comes."""

from werkzeug import Request, Response
from werkzeug.serving import make_server

from tests.simulators import serving


class Receiver:
    """A server on loopback that takes any message and answers `status`."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        serving.start(self._server)

    @Request.application
    def _answer(self, request: Request) -> Response:
        self.taken.append((request.get_data(), dict(request.headers)))
        return Response(status=self.status)

    def stop(self) -> None:
        """End the server."""
        serving.end(self._server)
