"""Stands where the shop's webhook address would be, and keeps what comes."""

import threading

from werkzeug import Request, Response
from werkzeug.serving import make_server


class Receiver:
    """A server on loopback that takes any message and answers `status`."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @Request.application
    def _answer(self, request: Request) -> Response:
        self.taken.append((request.get_data(), dict(request.headers)))
        return Response(status=self.status)

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
